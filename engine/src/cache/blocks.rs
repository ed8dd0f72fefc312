//! Small bodies that were read and verified, so that what is asked for again costs no device read.
//!
//! Invariants: what is held passed the checksum that its parent holds, and is handed out only to a parent
//! that holds the same one. An address never holds other bytes within one generation, so nothing has to
//! be taken out when space is reused. Readers are given the very bytes that are held. Bodies longer than a checksum block are never held: they are
//! few device reads per byte, and one of them would push out hundreds.

use super::fifo::{Cache, Cached};
use crate::buffer::BufferSlice;
use crate::number::to_usize;
use ashlar_disk_format::constants::CRC_BLOCK;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::units::{Generation, RowOffset};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

/// Where an extent begins: generation of its group, row, member, byte of the chunk's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct BlockName(Generation, RowOffset, u8, u32);

#[derive(Debug, Clone)]
struct Block {
    crc: u32,
    bytes: Arc<[u8]>,
}

impl Cached for Block {
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.bytes) > 1
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct BlockCache {
    blocks: RefCell<Cache<BlockName, Block>>,
}

fn name(extent: &Extent) -> BlockName {
    BlockName(extent.generation, extent.row, extent.member, extent.payload_offset)
}

/// The checksum of an extent that may be held.
fn only_crc(extent: &Extent) -> Option<u32> {
    match &*extent.crcs {
        [crc] if extent.length <= CRC_BLOCK => Some(*crc),
        _ => None,
    }
}

impl BlockCache {
    /// An empty cache for at most `room` bytes; with none it holds nothing.
    pub(crate) fn new(room: usize) -> Self {
        Self { blocks: RefCell::new(Cache::new(room)) }
    }

    /// The bytes `range` of `extent`, if they are held.
    pub(crate) fn get(&self, extent: &Extent, range: &Range<u32>) -> Option<BufferSlice> {
        let crc = only_crc(extent)?;
        let block = self.blocks.borrow_mut().get(name(extent)).filter(|block| block.crc == crc)?;
        let range = to_usize(u64::from(range.start))..to_usize(u64::from(range.end));
        (range.end <= block.bytes.len()).then(|| BufferSlice::of_heap(block.bytes, range))
    }

    /// Takes note of the whole of `extent`, which was verified. When the cache is full, a body is let in only
    /// when it is asked for again: more bodies than it holds would only be copied in and pushed out.
    pub(crate) fn keep(&self, extent: &Extent, bytes: &[u8]) {
        assert!(bytes.len() == to_usize(u64::from(extent.length)), "an extent is kept whole");
        let Some(crc) = only_crc(extent) else { return };
        let mut blocks = self.blocks.borrow_mut();
        if blocks.admits(name(extent), bytes.len()) {
            blocks.insert(name(extent), Block { crc, bytes: Arc::from(bytes) }, bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_disk_format::units::{GroupId, Height};

    fn extent(row: u32, bytes: &[u8]) -> Extent {
        Extent {
            generation: Generation(1),
            group: GroupId(1),
            row: RowOffset(row),
            height: Height(1),
            member: 0,
            data_count: 1,
            payload_offset: 0,
            length: u32::try_from(bytes.len()).unwrap(),
            crcs: Extent::crcs_of(bytes),
        }
    }

    fn read(cache: &BlockCache, extent: &Extent, range: Range<u32>) -> Option<Vec<u8>> {
        cache.get(extent, &range).map(|slice| slice.bytes().to_vec())
    }

    #[test]
    fn what_was_kept_comes_back_in_part_or_whole() {
        let cache = BlockCache::new(1 << 20);
        let body = b"0123456789";
        let kept = extent(1, body);
        assert_eq!(read(&cache, &kept, 0..10), None);
        cache.keep(&kept, body);
        assert_eq!(read(&cache, &kept, 0..10).as_deref(), Some(&body[..]));
        assert_eq!(read(&cache, &kept, 3..5).as_deref(), Some(&b"34"[..]));
        assert_eq!(read(&cache, &extent(2, body), 0..10), None);
    }

    #[test]
    fn a_parent_with_another_checksum_gets_nothing() {
        let cache = BlockCache::new(1 << 20);
        cache.keep(&extent(1, b"old bytes"), b"old bytes");
        assert_eq!(read(&cache, &extent(1, b"new bytes"), 0..9), None);
    }

    #[test]
    fn long_bodies_pass_by_and_no_room_holds_nothing() {
        let long = vec![7; CRC_BLOCK as usize + 1];
        let cache = BlockCache::new(1 << 20);
        cache.keep(&extent(1, &long), &long);
        assert_eq!(read(&cache, &extent(1, &long), 0..10), None);
        let none = BlockCache::new(0);
        none.keep(&extent(1, b"x"), b"x");
        assert_eq!(read(&none, &extent(1, b"x"), 0..1), None);
    }

    #[test]
    fn what_is_being_sent_is_counted_until_it_was_sent() {
        let bodies: Vec<Vec<u8>> = (0..8).map(|fill| vec![fill; 1000]).collect();
        let cache = BlockCache::new(4 * 1200);
        let keep = |row: usize| {
            let extent = extent(u32::try_from(row).unwrap(), &bodies[row]);
            // Twice: into a full cache only what is asked for again is let in.
            cache.keep(&extent, &bodies[row]);
            cache.keep(&extent, &bodies[row]);
            extent
        };
        let extents: Vec<Extent> = (0..4).map(keep).collect();
        let lent: Vec<BufferSlice> =
            extents.iter().map(|extent| cache.get(extent, &(0..1000)).unwrap()).collect();
        let late = keep(4);
        assert_eq!(read(&cache, &late, 0..1), None, "nothing could leave for it");
        assert!(lent.iter().zip(&bodies).all(|(slice, body)| slice.bytes() == body));
        drop(lent);
        keep(4);
        assert_eq!(read(&cache, &late, 0..1), Some(vec![4]));
    }
}
