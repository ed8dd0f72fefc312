//! Who this device is: the first block of each of its two regions. Written when the device joins a pool and
//! again only where it is found damaged, so every future version must be able to read at least bytes 0 to 63.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `ASHLABEL` |
//! | 8 | 2 | format version |
//! | 10 | 2 | device index |
//! | 12 | 4 | length of the pool name, bytes |
//! | 16 | 16 | pool |
//! | 32 | 16 | device |
//! | 48 | 8 | bytes of the device when it joined |
//! | 56 | 8 | bytes of a segment |
//! | 64 | 8 | when it was written, milliseconds since 1970 |
//! | 72 | 24 | feature flags: compat, read-only compat, incompat |
//! | 96 | 1 | code family of the pool |
//! | 97 | 1 | k |
//! | 98 | 1 | m |
//! | 99 | 29 | reserved, zero |
//! | 128 | 64 | pool name, UTF-8, filled with zeros |
//! | 192 | 3900 | reserved, zero |
//! | 4092 | 4 | CRC32C of bytes 0 to 4091 |

use crate::bytes::{Reader, Writer, checksum, length_u32, magic, version, within};
use crate::checksum::crc32c;
use crate::code::CodeShape;
use crate::constants::{LABEL_BYTES, LABEL_MAGIC, POOL_NAME_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use crate::error::{DecodeError, Field, Structure};
use crate::units::{DeviceId, DeviceIndex, PoolId};
use crate::version::{FORMAT_VERSION, FeatureFlags};

/// What a device says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The pool.
    pub pool: PoolId,
    /// The device.
    pub device: DeviceId,
    /// Its place in the pool's device table.
    pub index: DeviceIndex,
    /// Its size when it joined, bytes.
    pub device_bytes: u64,
    /// Size of a segment, bytes.
    pub segment_bytes: u64,
    /// Shape of the pool's groups.
    pub shape: CodeShape,
    /// When it was written, milliseconds since 1970; for people only.
    pub created_ms: u64,
    /// What the pool uses.
    pub features: FeatureFlags,
    /// Name of the pool, for people only; at most 64 bytes.
    pub pool_name: String,
}

/// What the first block of a device says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A good label.
    Ours(Box<Label>),
    /// It begins like a label, but is damaged or of another version: the device may hold data of a pool.
    Damaged(DecodeError),
    /// Something else, or nothing.
    NotOurs,
}

const CRC_OFFSET: usize = LABEL_BYTES - 4;

impl Label {
    /// The block as written.
    ///
    /// # Panics
    /// When the pool name is above 64 bytes: who takes it from an operator refuses it first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.pool_name.len() <= POOL_NAME_BYTES_MAX, "pool names are bounded where they are given");
        let mut block = vec![0; LABEL_BYTES];
        let mut writer = Writer::new(&mut block);
        writer.u64(LABEL_MAGIC);
        writer.u16(FORMAT_VERSION.0);
        writer.u16(self.index.0);
        writer.u32(length_u32(self.pool_name.len()));
        writer.put(&self.pool.0);
        writer.put(&self.device.0);
        writer.u64(self.device_bytes);
        writer.u64(self.segment_bytes);
        writer.u64(self.created_ms);
        write_features(self.features, &mut writer);
        writer.u8(self.shape.family.number());
        writer.u8(self.shape.k);
        writer.u8(self.shape.m);
        writer.zeros(29);
        writer.put(self.pool_name.as_bytes());
        writer.zeros(CRC_OFFSET - writer.offset());
        let crc = crc32c(block.get(..CRC_OFFSET).unwrap_or_default());
        Writer::new(block.get_mut(CRC_OFFSET..).unwrap_or_default()).u32(crc);
        block
    }

    /// Reads the first block of a region; bytes behind it are not looked at.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let structure = Structure::Label;
        let mut whole = Reader::new(structure, bytes);
        magic(structure, LABEL_MAGIC, Reader::new(structure, bytes).u64(Field::Header)?)?;
        let covered = whole.take(Field::Header, CRC_OFFSET)?;
        let mut reader = Reader::new(structure, covered);
        reader.u64(Field::Header)?;
        version(structure, FORMAT_VERSION.0, reader.u16(Field::Version)?)?;
        checksum(structure, whole.u32(Field::Header)?, crc32c(covered))?;
        let index = DeviceIndex(reader.u16(Field::DeviceIndex)?);
        let name_length = reader.u32(Field::PoolName)?;
        within(structure, Field::PoolName, 0..=POOL_NAME_BYTES_MAX as u64, u64::from(name_length))?;
        let pool = PoolId(reader.array(Field::Pool)?);
        let device = DeviceId(reader.array(Field::Device)?);
        let device_bytes = reader.u64(Field::DeviceBytes)?;
        let segment_bytes = reader.u64(Field::SegmentBytes)?;
        within(structure, Field::SegmentBytes, SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX, segment_bytes)?;
        let created_ms = reader.u64(Field::Header)?;
        let features = read_features(&mut reader)?;
        let [family, k, m] = reader.array(Field::Shape)?;
        let shape = CodeShape::from_stored(family, k, m)?;
        reader.reserved(29)?;
        let name = reader.take(Field::PoolName, name_length as usize)?;
        reader.reserved_rest()?;
        let pool_name = str::from_utf8(name)
            .map_err(|error| DecodeError::Text {
                structure,
                field: Field::PoolName,
                offset: error.valid_up_to() as u64,
            })?
            .to_owned();
        Ok(Self { pool, device, index, device_bytes, segment_bytes, shape, created_ms, features, pool_name })
    }

    /// Tells a label from a damaged one and from anything else. A device is only ever called "not ours" when
    /// even the magic is missing; whether it may be overwritten is for the caller to ask.
    #[must_use]
    pub fn probe(bytes: &[u8]) -> Probe {
        match Self::decode(bytes) {
            Ok(label) => Probe::Ours(Box::new(label)),
            Err(DecodeError::Magic { .. }) => Probe::NotOurs,
            Err(_) if bytes.len() < 8 => Probe::NotOurs,
            Err(error) => Probe::Damaged(error),
        }
    }
}

pub(crate) fn write_features(features: FeatureFlags, writer: &mut Writer<'_>) {
    writer.u64(features.compat);
    writer.u64(features.read_only_compat);
    writer.u64(features.incompat);
}

pub(crate) fn read_features(reader: &mut Reader<'_>) -> Result<FeatureFlags, DecodeError> {
    Ok(FeatureFlags {
        compat: reader.u64(Field::Header)?,
        read_only_compat: reader.u64(Field::Header)?,
        incompat: reader.u64(Field::Header)?,
    })
}
