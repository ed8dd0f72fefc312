//! Bodies that were read and verified, so that what is asked for again costs no device read.
//!
//! Small ones are copied to the heap, because the buffer they were read into is several times as long. Of larger
//! ones the very buffer is kept, as long as nobody needs its memory: the arena takes it back before anyone waits
//! ([`Relief`]).
//!
//! Invariants: what is held passed the checksums that its parent holds, and is handed out only to a parent that
//! holds the same ones. An address never holds other bytes within one generation, so nothing has to be taken out
//! when space is reused. Readers are given the very bytes that are held.

use super::fifo::{Cache, Cached};
use crate::buffer::{Arena, BufferSlice, Relief};
use crate::limits::{ARENA_CACHE_PERCENT, COPIED_BODY_BYTES_MAX};
use crate::number::to_usize;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::units::{Generation, RowOffset};
use std::cell::RefCell;
use std::ops::Range;
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// Where an extent begins: generation of its group, row, member, byte of the chunk's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct BlockName(Generation, RowOffset, u8, u32);

#[derive(Debug, Clone)]
struct Block {
    crcs: Rc<[u32]>,
    bytes: BufferSlice,
}

impl Cached for Block {
    fn is_in_use(&self) -> bool {
        self.bytes.is_shared()
    }
}

/// The blocks of one kind of memory.
#[derive(Debug)]
struct Blocks(RefCell<Cache<BlockName, Block>>);

/// See the module.
#[derive(Debug)]
pub(crate) struct BlockCache {
    copied: Blocks,
    /// Those in buffers, and the arena that they lie in.
    kept: Option<(Rc<Blocks>, Arena)>,
}

fn name(extent: &Extent) -> BlockName {
    BlockName(extent.generation, extent.row, extent.member, extent.payload_offset)
}

impl Blocks {
    fn new(room: usize) -> Self {
        Self(RefCell::new(Cache::new(room)))
    }

    fn get(&self, extent: &Extent, range: &Range<u32>) -> Option<BufferSlice> {
        let block = self.0.borrow_mut().get(name(extent)).filter(|block| *block.crcs == *extent.crcs)?;
        let range = to_usize(u64::from(range.start))..to_usize(u64::from(range.end));
        (range.end <= block.bytes.len()).then(|| block.bytes.part(range))
    }

    /// When the cache is full, a body is let in only when it is asked for again: more bodies than it holds would
    /// only come and go, and their buffers would always be those that left the processor's cache longest ago.
    fn keep(&self, extent: &Extent, cost: usize, bytes: impl FnOnce() -> BufferSlice) {
        let mut blocks = self.0.borrow_mut();
        if blocks.admits(name(extent), cost) {
            blocks.insert(name(extent), Block { crcs: Rc::from(&*extent.crcs), bytes: bytes() }, cost);
        }
    }
}

impl Relief for Blocks {
    fn relieve(&self) -> bool {
        self.0.borrow_mut().give_up()
    }
}

impl BlockCache {
    /// A cache that holds nothing.
    pub(crate) fn none() -> Self {
        Self { copied: Blocks::new(0), kept: None }
    }

    /// An empty cache for at most `room` bytes of copies, and for buffers of `arena`.
    pub(crate) fn new(room: usize, arena: &Arena) -> Self {
        let kept = Rc::new(Blocks::new(arena.capacity().div_ceil(100) * ARENA_CACHE_PERCENT));
        let relief: Weak<Blocks> = Rc::downgrade(&kept);
        arena.relieve_by(relief);
        Self { copied: Blocks::new(room), kept: Some((kept, arena.clone())) }
    }

    /// The bytes `range` of `extent`, if they are held.
    pub(crate) fn get(&self, extent: &Extent, range: &Range<u32>) -> Option<BufferSlice> {
        if is_copied(extent) {
            return self.copied.get(extent, range);
        }
        self.kept.as_ref().and_then(|(kept, _arena)| kept.get(extent, range))
    }

    /// Takes note of the whole of `extent`, which was read and verified.
    pub(crate) fn keep(&self, extent: &Extent, slice: &BufferSlice) {
        assert!(slice.len() == to_usize(u64::from(extent.length)), "an extent is kept whole");
        if is_copied(extent) {
            let copy = || BufferSlice::of_heap(Arc::from(slice.bytes()), 0..slice.len());
            self.copied.keep(extent, slice.len(), copy);
        } else if let Some((kept, arena)) = &self.kept
            && slice.is_in_buffer()
            && !arena.is_awaited()
        {
            kept.keep(extent, slice.memory_bytes(), || slice.clone());
        }
    }
}

fn is_copied(extent: &Extent) -> bool {
    to_usize(u64::from(extent.length)) <= COPIED_BODY_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Region;
    use ashlar_disk_format::units::{GroupId, Height};
    use futures_util::FutureExt as _;

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

    fn heap_only(room: usize) -> BlockCache {
        BlockCache { copied: Blocks::new(room), ..BlockCache::none() }
    }

    fn slice(bytes: &[u8]) -> BufferSlice {
        BufferSlice::of_heap(Arc::from(bytes), 0..bytes.len())
    }

    fn read(cache: &BlockCache, extent: &Extent, range: Range<u32>) -> Option<Vec<u8>> {
        cache.get(extent, &range).map(|slice| slice.bytes().to_vec())
    }

    #[test]
    fn what_was_kept_comes_back_in_part_or_whole() {
        let cache = heap_only(1 << 20);
        let body = b"0123456789";
        let kept = extent(1, body);
        assert_eq!(read(&cache, &kept, 0..10), None);
        cache.keep(&kept, &slice(body));
        assert_eq!(read(&cache, &kept, 0..10).as_deref(), Some(&body[..]));
        assert_eq!(read(&cache, &kept, 3..5).as_deref(), Some(&b"34"[..]));
        assert_eq!(read(&cache, &extent(2, body), 0..10), None);
    }

    #[test]
    fn a_parent_with_another_checksum_gets_nothing() {
        let cache = heap_only(1 << 20);
        cache.keep(&extent(1, b"old bytes"), &slice(b"old bytes"));
        assert_eq!(read(&cache, &extent(1, b"new bytes"), 0..9), None);
    }

    #[test]
    fn no_room_holds_nothing() {
        let none = BlockCache::none();
        none.keep(&extent(1, b"x"), &slice(b"x"));
        assert_eq!(read(&none, &extent(1, b"x"), 0..1), None);
    }

    const LENGTH: usize = 100_000;

    fn large(row: u8) -> (Extent, Vec<u8>) {
        let body = vec![row; LENGTH];
        (extent(u32::from(row), &body), body)
    }

    fn is_held(cache: &BlockCache, row: u8) -> bool {
        let (extent, body) = large(row);
        read(cache, &extent, 7..100_000).inspect(|bytes| assert_eq!(*bytes, body[7..])).is_some()
    }

    /// An arena of 2 MiB, and a cache that may keep half of it, to which twenty bodies were shown.
    fn kept() -> (Arena, BlockCache) {
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let cache = BlockCache::new(1 << 20, &arena);
        for row in 0..20 {
            let (extent, body) = large(row);
            let mut buffer = arena.try_take(LENGTH + 100).unwrap();
            buffer.bytes_mut()[100..100 + LENGTH].copy_from_slice(&body);
            cache.keep(&extent, &BufferSlice::of(buffer, 100..100 + LENGTH));
        }
        (arena, cache)
    }

    #[test]
    fn buffers_of_larger_bodies_are_kept_until_their_memory_is_wanted() {
        let (arena, cache) = kept();
        let count = (0..20).filter(|row| is_held(&cache, *row)).count();
        assert_eq!(count, 7, "half of the arena, in blocks of 128 KiB and a little more");
        let other = Extent { crcs: vec![1, 2], ..large(0).0 };
        assert_eq!(read(&cache, &other, 0..10), None, "of another parent");
        let sent = cache.get(&large(0).0, &(0..10)).unwrap();
        let some = arena.try_take(1 << 20).unwrap();
        assert!(arena.try_take(1 << 20).is_none(), "one is still being sent");
        assert!((0..20).all(|row| !is_held(&cache, row)));
        assert_eq!(sent.bytes(), [0; 10]);
        drop((some, sent));
        assert_eq!(arena.available(), arena.capacity());
    }

    #[test]
    fn nothing_is_kept_while_somebody_waits() {
        let (arena, cache) = kept();
        let mut all: Vec<_> = std::iter::from_fn(|| arena.try_take(1 << 20)).collect();
        assert_eq!(all.len(), 2);
        let mut waiting = Box::pin(arena.take(LENGTH));
        assert!(waiting.as_mut().now_or_never().is_none());
        let (extent, body) = large(1);
        let mut buffer = all.pop().unwrap();
        buffer.bytes_mut()[..LENGTH].copy_from_slice(&body);
        cache.keep(&extent, &BufferSlice::of(buffer, 0..LENGTH));
        assert!(waiting.as_mut().now_or_never().is_some_and(|taken| taken.is_ok()));
        assert!(!is_held(&cache, 1));
    }

    #[test]
    fn what_is_being_sent_is_counted_until_it_was_sent() {
        let bodies: Vec<Vec<u8>> = (0..8).map(|fill| vec![fill; 1000]).collect();
        let cache = heap_only(4 * 1200);
        let keep = |row: usize| {
            let extent = extent(u32::try_from(row).unwrap(), &bodies[row]);
            // Twice: into a full cache only what is asked for again is let in.
            cache.keep(&extent, &slice(&bodies[row]));
            cache.keep(&extent, &slice(&bodies[row]));
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
