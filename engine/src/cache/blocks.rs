//! Blocks that were read and verified, so that what is asked for again costs no device read: pages of the index, and
//! bodies.
//!
//! Pages and small bodies lie on the heap, in one room, and whichever is asked for more for its bytes has it. Small
//! bodies are copied there, because the buffer they were read into is several times as long. Of larger ones the very
//! buffer is kept, as long as nobody needs its memory: the arena takes it back before anyone waits ([`Relief`]).
//!
//! Invariants: what is held passed the checksums that its parent holds, and a body is handed out only to a parent that
//! holds the same ones. An address never holds other bytes within one generation, so nothing has to be taken out
//! when space is reused. Readers are given the very bytes that are held.

use super::fifo::{Cache, Cached, Weighing};
use super::name::Name;
use super::statistics::{CacheStatistics, Kind};
use crate::buffer::{Arena, BufferSlice, Relief};
use crate::heap::allocated_bytes;
use crate::limits::{ARENA_CACHE_PERCENT, COPIED_BODY_BYTES_MAX};
use crate::number::to_usize;
use crate::page::Page;
use ashlar_disk_format::extent::Extent;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// What the smallest page or body on the heap costs, bytes: a smaller one is counted as much.
const HEAP_COST_MIN: usize = 1024;

/// What lies on the heap.
#[derive(Debug)]
enum Block {
    Page(Rc<Page>),
    /// So small that it has one checksum.
    Body {
        crc: u32,
        bytes: Arc<[u8]>,
    },
}

/// A larger body in the buffer that it was read into.
#[derive(Debug)]
struct KeptBody {
    crcs: Box<[u32]>,
    bytes: BufferSlice,
}

/// The larger bodies.
#[derive(Debug)]
struct Kept {
    bodies: RefCell<Cache<KeptBody>>,
    arena: Arena,
}

/// What all handles share.
#[derive(Debug)]
struct Shared {
    blocks: RefCell<Cache<Block>>,
    /// Runs that were given a number.
    runs: Cell<u64>,
}

/// See the module. Clones name the same cache.
#[derive(Debug, Clone)]
pub struct BlockCache {
    shared: Rc<Shared>,
    kept: Option<Rc<Kept>>,
}

impl Cached for Block {
    fn is_in_use(&self) -> bool {
        match self {
            Self::Page(page) => Rc::strong_count(page) > 1,
            Self::Body { bytes, .. } => Arc::strong_count(bytes) > 1,
        }
    }
}

impl Cached for KeptBody {
    fn is_in_use(&self) -> bool {
        self.bytes.is_shared()
    }
}

impl Relief for Kept {
    fn relieve(&self) -> bool {
        self.bodies.borrow_mut().give_up()
    }
}

impl BlockCache {
    /// A cache that holds nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::of_heap(0)
    }

    /// An empty cache for at most `room` bytes of pages and small bodies.
    #[must_use]
    pub fn of_heap(room: usize) -> Self {
        let blocks = RefCell::new(Cache::new(room, HEAP_COST_MIN, Weighing::ByByte));
        Self { shared: Rc::new(Shared { blocks, runs: Cell::new(0) }), kept: None }
    }

    /// As [`BlockCache::of_heap`], and for buffers of `arena`.
    pub(crate) fn new(room: usize, arena: &Arena) -> Self {
        let room_kept = arena.capacity().div_ceil(100) * ARENA_CACHE_PERCENT;
        let bodies = RefCell::new(Cache::new(room_kept, COPIED_BODY_BYTES_MAX, Weighing::ByItem));
        let kept = Rc::new(Kept { bodies, arena: arena.clone() });
        let relief: Weak<Kept> = Rc::downgrade(&kept);
        arena.relieve_by(relief);
        Self { kept: Some(kept), ..Self::of_heap(room) }
    }

    /// The bytes `range` of `extent`, if they are held.
    pub(crate) fn get(&self, extent: &Extent, range: &Range<u32>) -> Option<BufferSlice> {
        assert!(range.start <= range.end, "a range ends behind its start");
        if range.end > extent.length {
            return None;
        }
        let range = to_usize(u64::from(range.start))..to_usize(u64::from(range.end));
        if is_copied(extent) {
            return self.copied(extent, range);
        }
        let mut bodies = self.kept.as_ref()?.bodies.borrow_mut();
        let body = bodies.get(Name::of(extent))?;
        let is_same = *body.crcs == *extent.crcs && range.end <= body.bytes.len();
        is_same.then(|| body.bytes.part(range))
    }

    /// Takes note of the whole of `extent`, which was read and verified.
    pub(crate) fn keep(&self, extent: &Extent, slice: &BufferSlice) {
        assert!(slice.len() == to_usize(u64::from(extent.length)), "an extent is kept whole");
        if is_copied(extent) {
            self.copy(extent, slice);
        } else if let Some(kept) = &self.kept
            && slice.is_in_buffer()
            && !kept.arena.is_awaited()
        {
            let (name, cost) = (Name::of(extent), slice.memory_bytes());
            let mut bodies = kept.bodies.borrow_mut();
            if bodies.admits(name, cost) {
                let body = KeptBody { crcs: (&*extent.crcs).into(), bytes: slice.clone() };
                bodies.insert(name, body, cost);
            }
        }
    }

    /// A number for the pages of a run, which no other run of this cache has.
    pub(crate) fn number_run(&self) -> u64 {
        self.shared.runs.set(self.shared.runs.get() + 1);
        self.shared.runs.get()
    }

    /// Page `page` of a run, if it is held.
    pub(crate) fn page(&self, run: u64, page: u32) -> Option<Rc<Page>> {
        match self.shared.blocks.borrow_mut().get(Name::Page { run, page })? {
            Block::Page(page) => Some(Rc::clone(page)),
            Block::Body { .. } => unreachable!("no body has the name of a page"),
        }
    }

    /// Takes note of a page that was read and checked. Pages are let in at once, unlike bodies: nothing has to be copied,
    /// and the next key is often in the same page.
    pub(crate) fn keep_page(&self, run: u64, page: u32, checked: &Rc<Page>) {
        let name = Name::Page { run, page };
        self.shared.blocks.borrow_mut().insert(name, Block::Page(Rc::clone(checked)), checked.bytes());
    }

    /// Drops the pages of runs that are no more.
    pub(crate) fn forget_runs(&self, runs: &[u64]) {
        let is_gone = |name: &Name| matches!(name, Name::Page { run, .. } if runs.contains(run));
        self.shared.blocks.borrow_mut().forget(is_gone);
    }

    /// How pages and small bodies do.
    #[must_use]
    pub fn statistics(&self, kind: Kind) -> CacheStatistics {
        self.shared.blocks.borrow().statistics(kind)
    }

    fn copied(&self, extent: &Extent, range: Range<usize>) -> Option<BufferSlice> {
        match self.shared.blocks.borrow_mut().get(Name::of(extent))? {
            Block::Body { crc, bytes } => {
                let is_same = *extent.crcs == [*crc] && range.end <= bytes.len();
                is_same.then(|| BufferSlice::of_heap(Arc::clone(bytes), range))
            }
            Block::Page(_) => unreachable!("no page has the name of a body"),
        }
    }

    /// When the cache is full, a body is let in only when it is asked for again: more bodies than it holds would
    /// only come and go, and their copies would always be those that left the processor's cache longest ago.
    fn copy(&self, extent: &Extent, slice: &BufferSlice) {
        let &[crc] = &*extent.crcs else { return };
        // Two counters stand before the bytes.
        let cost = allocated_bytes(slice.len() + 2 * size_of::<usize>());
        let name = Name::of(extent);
        let mut blocks = self.shared.blocks.borrow_mut();
        if blocks.admits(name, cost) {
            blocks.insert(name, Block::Body { crc, bytes: slice.bytes().into() }, cost);
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
    use ashlar_disk_format::index_page::encode_index_page;
    use ashlar_disk_format::units::{Generation, GroupId, Height, RowOffset};
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

    fn slice(bytes: &[u8]) -> BufferSlice {
        BufferSlice::of_heap(Arc::from(bytes), 0..bytes.len())
    }

    fn read(cache: &BlockCache, extent: &Extent, range: Range<u32>) -> Option<Vec<u8>> {
        cache.get(extent, &range).map(|slice| slice.bytes().to_vec())
    }

    #[test]
    fn what_was_kept_comes_back_in_part_or_whole() {
        let cache = BlockCache::of_heap(1 << 20);
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
        let cache = BlockCache::of_heap(1 << 20);
        cache.keep(&extent(1, b"old bytes"), &slice(b"old bytes"));
        assert_eq!(read(&cache, &extent(1, b"new bytes"), 0..9), None);
    }

    #[test]
    fn no_room_holds_nothing() {
        let none = BlockCache::none();
        none.keep(&extent(1, b"x"), &slice(b"x"));
        assert_eq!(read(&none, &extent(1, b"x"), 0..1), None);
    }

    fn page(number: u32) -> Rc<Page> {
        let entries: [(&[u8], Option<&[u8]>); 1] = [(b"key", Some(&[7; 4000]))];
        Rc::new(Page::open(encode_index_page(1, number, &entries).into(), 1, number).unwrap())
    }

    #[test]
    fn pages_and_bodies_share_a_room_and_no_names() {
        let cache = BlockCache::of_heap(1 << 20);
        let (run, other) = (cache.number_run(), cache.number_run());
        assert_ne!(run, other);
        cache.keep_page(run, 0, &page(0));
        cache.keep_page(other, 0, &page(0));
        let alike = Extent { generation: Generation(run), ..extent(0, b"body") };
        assert_eq!(read(&cache, &alike, 0..4), None);
        cache.keep(&alike, &slice(b"body"));
        assert_eq!(read(&cache, &alike, 0..4).as_deref(), Some(&b"body"[..]));
        assert!(cache.page(run, 1).is_none());
        let pages = cache.statistics(Kind::Page);
        let bodies = cache.statistics(Kind::Body);
        assert_eq!((pages.hits, pages.misses, bodies.hits, bodies.misses), (0, 1, 1, 1));
        assert!(bodies.bytes > 0 && pages.bytes > 8 * bodies.bytes);
        cache.forget_runs(&[run]);
        assert!(cache.page(run, 0).is_none());
        assert!(cache.page(other, 0).is_some());
        assert!(read(&cache, &alike, 0..4).is_some());
        assert_eq!(cache.statistics(Kind::Page).bytes * 2, pages.bytes);
    }

    #[test]
    fn whichever_kind_is_asked_for_takes_the_room() {
        const ROOM: usize = 1 << 20;
        let cache = BlockCache::of_heap(ROOM);
        let run = cache.number_run();
        let filled = |kind| {
            let [pages, bodies] = [Kind::Page, Kind::Body].map(|kind| cache.statistics(kind).bytes);
            assert!(pages + bodies <= ROOM);
            cache.statistics(kind).bytes * 10 > ROOM * 7
        };
        (0..300).for_each(|number| cache.keep_page(run, number, &page(number)));
        assert!(filled(Kind::Page));
        let body = [9; 4000];
        let ask = |row: u32| {
            let extent = extent(row, &body);
            if read(&cache, &extent, 0..1).is_none() {
                cache.keep(&extent, &slice(&body));
            }
        };
        (0..10).for_each(|_| (0..200).for_each(ask));
        assert!(filled(Kind::Body), "{:?}", cache.statistics(Kind::Body));
        assert!(cache.statistics(Kind::Page).evicted > 150);
        (0..10).for_each(|_| {
            (0..200).for_each(|number| {
                if cache.page(run, number).is_none() {
                    cache.keep_page(run, number, &page(number));
                }
            });
        });
        assert!(filled(Kind::Page), "{:?}", cache.statistics(Kind::Page));
    }

    #[test]
    fn a_page_that_is_being_read_is_counted_until_it_was_read() {
        let cache = BlockCache::of_heap(20_000);
        let run = cache.number_run();
        let read: Vec<Rc<Page>> = (0..4).map(page).collect();
        read.iter().zip(0..).for_each(|(page, number)| cache.keep_page(run, number, page));
        cache.keep_page(run, 4, &page(4));
        assert!(cache.page(run, 4).is_none(), "nothing could leave for it");
        assert!((0..4).all(|number| cache.page(run, number).is_some()));
        drop(read);
        (4..40).for_each(|number| cache.keep_page(run, number, &page(number)));
        assert!(cache.page(run, 39).is_some());
        assert!(cache.statistics(Kind::Page).evicted > 30);
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
        let other = Extent { crcs: vec![1, 2].into(), ..large(0).0 };
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
        let cache = BlockCache::of_heap(4 * 1300);
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
