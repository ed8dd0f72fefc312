//! The first block of each segment of a group: enough to rebuild the group table from a scan when every
//! superblock is gone. Written once, before the first row of the group; believed when its checksum holds and
//! its generation is not older than that of another header that claims the same group.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `ASHSEGMT` |
//! | 8 | 2 | version, 1 |
//! | 10 | 1 | member: which of the group's segments this is |
//! | 11 | 1 | reserved, zero |
//! | 12 | 4 | mount epoch of the writer |
//! | 16 | 16 | pool |
//! | 32 | 8 | bytes of a segment |
//! | 40 | 20 + 6 n | group descriptor |
//! | … | | zero |
//! | 4092 | 4 | CRC32C of bytes 0 to 4091 |

use crate::bytes::{Reader, Writer, checksum, magic, version, within};
use crate::checksum::crc32c;
use crate::constants::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC};
use crate::error::{DecodeError, Field, Structure};
use crate::group::GroupDescriptor;
use crate::units::{Epoch, PoolId};

/// What a segment says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The pool.
    pub pool: PoolId,
    /// The group it is a part of.
    pub descriptor: GroupDescriptor,
    /// Which member of the group it is.
    pub member: u8,
    /// The mount that wrote this header.
    pub epoch: Epoch,
    /// Size of the segment, bytes.
    pub segment_bytes: u64,
}

const VERSION: u16 = 1;
const CRC_OFFSET: usize = SEGMENT_HEADER_BYTES - 4;
const DESCRIPTOR_BYTES_MAX: usize = 20 + 6 * crate::constants::MEMBERS_MAX;
const _: () = assert!(40 + DESCRIPTOR_BYTES_MAX <= CRC_OFFSET);

impl SegmentHeader {
    /// The block as written.
    ///
    /// # Panics
    /// When the descriptor is not sound: it is of our own making.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert!(usize::from(self.member) < self.descriptor.members.len(), "the member is one of the group");
        let mut block = vec![0; SEGMENT_HEADER_BYTES];
        let mut writer = Writer::new(&mut block);
        writer.u64(SEGMENT_MAGIC);
        writer.u16(VERSION);
        writer.u8(self.member);
        writer.u8(0);
        writer.u32(self.epoch.0);
        writer.put(&self.pool.0);
        writer.u64(self.segment_bytes);
        self.descriptor.write(&mut writer);
        let crc = crc32c(block.get(..CRC_OFFSET).unwrap_or_default());
        Writer::new(block.get_mut(CRC_OFFSET..).unwrap_or_default()).u32(crc);
        block
    }

    /// Reads the first block of a segment; bytes behind it are not looked at.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong. A segment that was never used gives [`DecodeError::Magic`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let structure = Structure::SegmentHeader;
        let mut whole = Reader::new(structure, bytes);
        magic(structure, SEGMENT_MAGIC, Reader::new(structure, bytes).u64(Field::Header)?)?;
        let covered = whole.take(Field::Header, CRC_OFFSET)?;
        let mut reader = Reader::new(structure, covered);
        reader.u64(Field::Header)?;
        version(structure, VERSION, reader.u16(Field::Version)?)?;
        checksum(structure, whole.u32(Field::Header)?, crc32c(covered))?;
        let member = reader.u8(Field::Member)?;
        reader.reserved(1)?;
        let epoch = Epoch(reader.u32(Field::Header)?);
        let pool = PoolId(reader.array(Field::Pool)?);
        let segment_bytes = reader.u64(Field::SegmentBytes)?;
        within(structure, Field::SegmentBytes, SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX, segment_bytes)?;
        let descriptor = GroupDescriptor::read(&mut reader)?;
        reader.reserved_rest()?;
        within(structure, Field::Member, 0..=descriptor.members.len() as u64 - 1, u64::from(member))?;
        Ok(Self { pool, descriptor, member, epoch, segment_bytes })
    }
}
