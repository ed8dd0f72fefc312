//! A pointer with proof: where bytes are, and what each 64 KiB of them hashes to. The checksum is held by the
//! parent, so a stale but self-consistent chunk (a lost write) is noticed when it is read.
//!
//! An extent lies within one chunk, so that reading it is one device read.

use crate::archive::Frame;
use crate::bytes::{checksum, within};
use crate::checksum::crc32c;
use crate::constants::{CRC_BLOCK, EXTENT_LIST_MAGIC, HEIGHT_MAX, MEMBERS_MAX};
use crate::error::{DecodeError, Field, Structure};
use crate::units::{Generation, GroupId, Height, RowOffset};
use rkyv::{Archive, Deserialize, Serialize};
use smallvec::SmallVec;
use std::ops::Range;

/// Checksums of an extent. Those of 256 KiB and less, which nearly all are, stand in the extent itself.
pub type Crcs = SmallVec<[u32; 4]>;

/// A run of payload bytes inside one data chunk of one row.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Extent {
    /// Which use of the group slot; another generation there means the bytes are gone.
    pub generation: Generation,
    /// The group whose segments hold the row.
    pub group: GroupId,
    /// Where the row begins in each segment.
    pub row: RowOffset,
    /// Height of the row.
    pub height: Height,
    /// The data chunk that holds the bytes, 0-based; below `data_count`.
    pub member: u8,
    /// Data chunks that the row uses; those above count as zeros when decoding.
    pub data_count: u8,
    /// Where the bytes begin in the payload area of the chunk (behind its header), bytes.
    pub payload_offset: u32,
    /// How many bytes, at least 1.
    pub length: u32,
    /// CRC32C of each 64 KiB of the extent's own bytes, counted from its first byte; the last may be short.
    pub crcs: Crcs,
}

const LIST: Frame = Frame { structure: Structure::ExtentList, magic: EXTENT_LIST_MAGIC, version: 1 };

impl Extent {
    /// CRC32C of each 64 KiB of `payload`: what goes into [`Extent::crcs`].
    #[must_use]
    pub fn crcs_of(payload: &[u8]) -> Crcs {
        payload.chunks(CRC_BLOCK as usize).map(crc32c).collect()
    }

    /// The checksum blocks that hold the bytes `range` of the extent; empty for an empty range.
    #[must_use]
    pub fn blocks_of(&self, range: Range<u32>) -> Range<usize> {
        let end = range.end.min(self.length);
        if range.start >= end {
            return 0..0;
        }
        let first = range.start >> CRC_BLOCK.trailing_zeros();
        first as usize..end.div_ceil(CRC_BLOCK) as usize
    }

    /// The bytes of the extent that checksum block `block_index` covers; empty behind the end.
    #[must_use]
    pub fn block_range(&self, block_index: usize) -> Range<u32> {
        let block = u32::try_from(block_index).unwrap_or(u32::MAX);
        let start = block.saturating_mul(CRC_BLOCK).min(self.length);
        start..start.saturating_add(CRC_BLOCK).min(self.length)
    }

    /// Checks `bytes`, which must be exactly checksum block `block_index`.
    ///
    /// # Errors
    /// [`DecodeError::Mismatch`] if they are not as long as that block, [`DecodeError::Checksum`] if they are
    /// not the bytes that were written.
    pub fn verify(&self, block_index: usize, bytes: &[u8]) -> Result<(), DecodeError> {
        let structure = Structure::Extent;
        let range = self.block_range(block_index);
        let (expected, found) = (u64::from(range.end - range.start), bytes.len() as u64);
        let Some(&crc) = self.crcs.get(block_index) else {
            let maximum = self.crcs.len() as u64;
            return Err(DecodeError::OutOfRange {
                structure,
                field: Field::Crcs,
                minimum: 0,
                maximum,
                found: block_index as u64,
            });
        };
        if expected != found {
            return Err(DecodeError::Mismatch { structure, field: Field::Length, expected, found });
        }
        checksum(structure, crc, crc32c(bytes))
    }

    /// Checks that the numbers fit each other. Decoders of this crate have done so for what they return.
    ///
    /// # Errors
    /// [`DecodeError::OutOfRange`] or [`DecodeError::Mismatch`] by field.
    pub fn check(&self) -> Result<(), DecodeError> {
        let structure = Structure::Extent;
        within(structure, Field::Height, 1..=u64::from(HEIGHT_MAX), u64::from(self.height.0))?;
        within(structure, Field::DataCount, 1..=MEMBERS_MAX as u64, u64::from(self.data_count))?;
        within(structure, Field::Member, 0..=u64::from(self.data_count - 1), u64::from(self.member))?;
        let height = u64::from(self.height.bytes());
        within(structure, Field::Length, 1..=height, u64::from(self.length))?;
        let room = height - u64::from(self.length);
        within(structure, Field::PayloadOffset, 0..=room, u64::from(self.payload_offset))?;
        let blocks = u64::from(self.length.div_ceil(CRC_BLOCK));
        within(structure, Field::Crcs, blocks..=blocks, self.crcs.len() as u64)
    }

    /// A list of extents as bytes with a checksum of their own.
    #[must_use]
    pub fn list_encode(extents: &[Self]) -> Vec<u8> {
        let list = extents.to_vec();
        LIST.encode([list.len() as u64, 0, 0, 0], &list)
    }

    /// Reads what [`Extent::list_encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong; each extent is checked.
    pub fn list_decode(bytes: &[u8]) -> Result<Vec<Self>, DecodeError> {
        let (own, archive) = LIST.open(bytes, true)?;
        let list: Vec<Self> = crate::archive::decode(Structure::ExtentList, archive)?;
        expect_own(Structure::ExtentList, own, [list.len() as u64, 0, 0, 0])?;
        check_all(&list)?;
        Ok(list)
    }
}

/// Checks each extent.
pub(crate) fn check_all(extents: &[Extent]) -> Result<(), DecodeError> {
    extents.iter().try_for_each(Extent::check)
}

/// Checks a frame's own numbers against those that follow from its archive.
pub(crate) fn expect_own(
    structure: Structure,
    found: [u64; 4],
    expected: [u64; 4],
) -> Result<(), DecodeError> {
    for (found, expected) in found.into_iter().zip(expected) {
        if found != expected {
            return Err(DecodeError::Mismatch { structure, field: Field::OwnFields, expected, found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Epoch;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    fn extent(bytes: &[u8]) -> Extent {
        Extent {
            generation: Generation::new(Epoch(1), 1),
            group: GroupId(1),
            row: RowOffset(1),
            height: Height(256),
            member: 0,
            data_count: 1,
            payload_offset: 0,
            length: u32::try_from(bytes.len()).unwrap(),
            crcs: Extent::crcs_of(bytes),
        }
    }

    #[test]
    fn only_the_right_bytes_pass() {
        let bytes: Vec<u8> = (0..200_000u32).map(|i| i.to_le_bytes()[1]).collect();
        let extent = extent(&bytes);
        assert_eq!(extent.check(), Ok(()));
        assert_eq!(extent.crcs.len(), 4);
        for block in 0..4 {
            let range = extent.block_range(block);
            let part = &bytes[range.start as usize..range.end as usize];
            assert_eq!(extent.verify(block, part), Ok(()));
            assert!(extent.verify(block, &part[1..]).is_err(), "short");
            let mut flipped = part.to_vec();
            flipped[7] ^= 1;
            assert!(matches!(extent.verify(block, &flipped), Err(DecodeError::Checksum { .. })));
        }
        assert!(extent.verify(4, &[]).is_err(), "behind the end");
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let good = extent(&[1; 5]);
        let bad = [
            Extent { height: Height(0), ..good.clone() },
            Extent { height: Height(257), ..good.clone() },
            Extent { data_count: 0, ..good.clone() },
            Extent { member: 1, ..good.clone() },
            Extent { length: 0, ..good.clone() },
            Extent { payload_offset: 1 << 20, ..good.clone() },
            Extent { payload_offset: u32::MAX, ..good.clone() },
            Extent { crcs: Crcs::new(), ..good.clone() },
            Extent { crcs: Crcs::from_slice(&[1, 2]), ..good },
        ];
        for extent in bad {
            assert!(extent.check().is_err(), "{extent:?}");
        }
    }

    proptest! {
        #[test]
        fn blocks_cover_the_range_and_no_more(length in 1u32..1 << 20, a in 0u32..1 << 20, b in 0u32..1 << 20) {
            let extent = Extent { length, ..extent(&[0]) };
            let (start, end) = (a.min(b).min(length), a.max(b).min(length));
            let blocks = extent.blocks_of(start..end);
            if start == end {
                prop_assert!(blocks.is_empty());
            } else {
                prop_assert!(extent.block_range(blocks.start).contains(&start));
                prop_assert!(extent.block_range(blocks.end - 1).contains(&(end - 1)));
            }
            prop_assert_eq!(extent.blocks_of(0..length).len(), length.div_ceil(CRC_BLOCK) as usize);
        }
    }
}
