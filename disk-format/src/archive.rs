//! `rkyv` archives, and the frame that carries them on disk:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8 | 2 | version of the structure |
//! | 10 | 2 | reserved, zero |
//! | 12 | 4 | length of the archive, bytes |
//! | 16 | 32 | four numbers of the structure's own |
//! | 48 | 12 | reserved, zero |
//! | 60 | 4 | CRC32C of bytes 0 to 59 and of the archive |
//! | 64 | … | the archive; its root stands at its end |

use crate::bytes::{Reader, Writer, checksum, length_u32, magic, version};
use crate::checksum::{crc32c, crc32c_append};
use crate::constants::FRAME_HEADER_BYTES;
use crate::error::{DecodeError, Field, Structure};
use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::{Archive, Deserialize, Portable, Serialize};

/// What a value needs so that it can be written.
pub(crate) trait Encode: for<'a> Serialize<HighSerializer<Vec<u8>, ArenaHandle<'a>, Failure>> {}
impl<T: for<'a> Serialize<HighSerializer<Vec<u8>, ArenaHandle<'a>, Failure>>> Encode for T {}

/// What a value needs so that it can be checked in place.
pub(crate) trait Access:
    Archive<Archived: Portable + for<'a> CheckBytes<HighValidator<'a, Failure>>>
{
}
impl<T: Archive<Archived: Portable + for<'a> CheckBytes<HighValidator<'a, Failure>>>> Access for T {}

/// What a value needs so that it can be read back.
pub(crate) trait Decode:
    Access + Archive<Archived: Deserialize<Self, HighDeserializer<Failure>>> + Sized
{
}
impl<T: Access + Archive<Archived: Deserialize<T, HighDeserializer<Failure>>>> Decode for T {}

/// Appends the archive of `value` to `out`.
pub(crate) fn append<T: Encode>(value: &T, out: Vec<u8>) -> Vec<u8> {
    let Ok(out) = rkyv::api::high::to_bytes_in::<_, Failure>(value, out) else {
        unreachable!("writing to memory fails only for archives of 2 GiB, and ours are far smaller")
    };
    out
}

/// The checked archive that fills `bytes`.
pub(crate) fn access<T: Access>(structure: Structure, bytes: &[u8]) -> Result<&T::Archived, DecodeError> {
    rkyv::access::<T::Archived, Failure>(bytes)
        .map_err(|Failure| DecodeError::Archive { structure, bytes: bytes.len() as u64 })
}

/// The value in the archive that fills `bytes`.
pub(crate) fn decode<T: Decode>(structure: Structure, bytes: &[u8]) -> Result<T, DecodeError> {
    rkyv::deserialize::<T, Failure>(access::<T>(structure, bytes)?)
        .map_err(|Failure| DecodeError::Archive { structure, bytes: bytes.len() as u64 })
}

/// What names a framed structure.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) structure: Structure,
    pub(crate) magic: u64,
    pub(crate) version: u16,
}

impl Frame {
    /// Frame header and archive of `value`.
    pub(crate) fn encode<T: Encode>(self, own: [u64; 4], value: &T) -> Vec<u8> {
        let mut out = append(value, vec![0; FRAME_HEADER_BYTES]);
        let length = length_u32(out.len() - FRAME_HEADER_BYTES);
        let Some((header, archive)) = out.split_first_chunk_mut::<FRAME_HEADER_BYTES>() else {
            unreachable!("the header was put there above")
        };
        let mut writer = Writer::new(header);
        writer.u64(self.magic);
        writer.u16(self.version);
        writer.u16(0);
        writer.u32(length);
        for number in own {
            writer.u64(number);
        }
        writer.zeros(12);
        let [covered @ .., _, _, _, _] = &*header;
        let crc = crc32c_append(crc32c(covered), archive);
        let [.., a, b, c, d] = header;
        [*a, *b, *c, *d] = crc.to_le_bytes();
        out
    }

    /// The structure's own numbers and its archive, not yet checked; the checksum is checked if asked for.
    pub(crate) fn open(self, bytes: &[u8], verify: bool) -> Result<([u64; 4], &[u8]), DecodeError> {
        let mut reader = Reader::new(self.structure, bytes);
        magic(self.structure, self.magic, reader.u64(Field::Header)?)?;
        version(self.structure, self.version, reader.u16(Field::Version)?)?;
        reader.reserved(2)?;
        let length = reader.u32(Field::Length)?;
        let mut own = [0; 4];
        for number in &mut own {
            *number = reader.u64(Field::OwnFields)?;
        }
        reader.reserved(12)?;
        let covered = reader.offset();
        let expected = reader.u32(Field::Header)?;
        let archive = reader.take(Field::Body, length as usize)?;
        reader.finish()?;
        if verify {
            let header = bytes.get(..covered).unwrap_or_default();
            checksum(self.structure, expected, crc32c_append(crc32c(header), archive))?;
        }
        Ok((own, archive))
    }
}
