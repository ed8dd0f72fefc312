//! Verified pages of runs, bounded by bytes, evicted by S3-FIFO.
//!
//! S3-FIFO (Yang et al., *FIFO queues are all you need for cache eviction*, SOSP 2023): new pages
//! enter a small queue, a tenth of the room; those asked for again move on to the main queue when
//! their turn comes, the others leave and only their names are remembered for a while. A name that
//! comes back enters the main queue at once. So a scan passes through the small queue and pushes
//! nothing out that is in use.
//!
//! Invariant: the bytes of all pages held are at most the bound. The cache holds copies on the
//! heap, never DMA memory, because that is what requests wait for.

use super::page::Page;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// What the cache spends on a page besides its bytes, bytes: map entry, queue entry, ghost entry,
/// reference counts.
const PAGE_OVERHEAD_BYTES: usize = 128;
/// Part of the room that the small queue may take, in percent.
const SMALL_PERCENT: usize = 10;
/// Uses that are remembered for a page: each saves it from one turn of the main queue.
const USES_MAX: u8 = 3;
/// Names remembered when the cache is nearly empty.
const GHOSTS_MIN: usize = 16;

/// Which page of which run of this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PageName {
    /// Number that the index gave the run when it opened or wrote it; never reused.
    pub(super) run: u64,
    /// 0-based page of the run.
    pub(super) page: u32,
}

/// How the cache did since the index was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PageCacheStatistics {
    /// Pages that were there.
    pub hits: u64,
    /// Pages that had to be read.
    pub misses: u64,
    /// Pages that left to make room.
    pub evicted: u64,
}

#[derive(Debug)]
struct Held {
    page: Rc<Page>,
    uses: u8,
    main: bool,
}

/// The pages held, and the order in which they leave.
#[derive(Debug)]
pub(super) struct PageCache {
    room: usize,
    held: BTreeMap<PageName, Held>,
    small: VecDeque<PageName>,
    main: VecDeque<PageName>,
    small_bytes: usize,
    main_bytes: usize,
    ghosts: VecDeque<PageName>,
    ghost_names: BTreeSet<PageName>,
    statistics: PageCacheStatistics,
}

impl PageCache {
    /// An empty cache for at most `room` bytes.
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            held: BTreeMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            small_bytes: 0,
            main_bytes: 0,
            ghosts: VecDeque::new(),
            ghost_names: BTreeSet::new(),
            statistics: PageCacheStatistics::default(),
        }
    }

    /// The page, if it is held.
    pub(super) fn get(&mut self, name: PageName) -> Option<Rc<Page>> {
        let Some(held) = self.held.get_mut(&name) else {
            self.statistics.misses += 1;
            return None;
        };
        held.uses = (held.uses + 1).min(USES_MAX);
        self.statistics.hits += 1;
        Some(Rc::clone(&held.page))
    }

    /// Holds the page, at the price of others. A page larger than the room is not held.
    pub(super) fn insert(&mut self, name: PageName, page: Rc<Page>) {
        let cost = cost_of(&page);
        if cost > self.room || self.held.contains_key(&name) {
            return;
        }
        while self.bytes() + cost > self.room {
            self.evict();
        }
        let main = self.ghost_names.remove(&name);
        self.held.insert(name, Held { page, uses: 0, main });
        self.enqueue(name, cost, main);
    }

    /// Drops the pages of a run that is no longer read.
    pub(super) fn forget_run(&mut self, run: u64) {
        let of_run = |name: &PageName| name.run == run;
        let names = PageName { run, page: 0 }..=PageName { run, page: u32::MAX };
        let gone: Vec<PageName> = self.held.range(names).map(|(name, _)| *name).collect();
        for name in gone {
            if let Some(held) = self.held.remove(&name) {
                self.uncount(&held);
            }
        }
        self.small.retain(|name| !of_run(name));
        self.main.retain(|name| !of_run(name));
        self.ghosts.retain(|name| !of_run(name));
        self.ghost_names.retain(|name| !of_run(name));
    }

    /// Memory taken, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.small_bytes + self.main_bytes
    }

    pub(super) fn statistics(&self) -> PageCacheStatistics {
        self.statistics
    }

    /// Frees at least one page. The caller has seen that something is held.
    fn evict(&mut self) {
        let small_share = self.room.div_ceil(100) * SMALL_PERCENT;
        // Ends: each turn removes a page, moves one from small to main, or takes one of a page's
        // few remembered uses.
        loop {
            let from_small = self.small_bytes > small_share || self.main.is_empty();
            let queue = if from_small { &mut self.small } else { &mut self.main };
            let Some(name) = queue.pop_front() else {
                unreachable!("the queues name all {} bytes of pages that are held", self.bytes())
            };
            if self.turn(name, from_small) {
                self.statistics.evicted += 1;
                return;
            }
        }
    }

    /// Decides on the page at the head of its queue; true when it left.
    fn turn(&mut self, name: PageName, from_small: bool) -> bool {
        let Some(mut held) = self.held.remove(&name) else {
            unreachable!("a queue names only pages that are held")
        };
        self.uncount(&held);
        if held.uses == 0 {
            if from_small {
                self.remember(name);
            }
            return true;
        }
        held.uses = if from_small { 0 } else { held.uses - 1 };
        held.main = true;
        let cost = cost_of(&held.page);
        self.held.insert(name, held);
        self.enqueue(name, cost, true);
        false
    }

    fn enqueue(&mut self, name: PageName, cost: usize, main: bool) {
        if main {
            self.main.push_back(name);
            self.main_bytes += cost;
        } else {
            self.small.push_back(name);
            self.small_bytes += cost;
        }
    }

    fn uncount(&mut self, held: &Held) {
        let bytes = if held.main { &mut self.main_bytes } else { &mut self.small_bytes };
        *bytes -= cost_of(&held.page);
    }

    fn remember(&mut self, name: PageName) {
        if self.ghost_names.insert(name) {
            self.ghosts.push_back(name);
        }
        while self.ghosts.len() > self.held.len().max(GHOSTS_MIN) {
            if let Some(oldest) = self.ghosts.pop_front() {
                self.ghost_names.remove(&oldest);
            }
        }
    }
}

fn cost_of(page: &Page) -> usize {
    page.bytes() + PAGE_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::page::tests::page_of_bytes;

    const PAGE: usize = 1024;
    const COST: usize = PAGE + PAGE_OVERHEAD_BYTES;

    fn name(page: u32) -> PageName {
        PageName { run: 1, page }
    }

    fn cache(pages: usize) -> PageCache {
        PageCache::new(pages * COST)
    }

    fn touch(cache: &mut PageCache, page: u32) -> bool {
        let hit = cache.get(name(page)).is_some();
        if !hit {
            cache.insert(name(page), page_of_bytes(PAGE));
        }
        assert!(cache.bytes() <= cache.room);
        hit
    }

    #[test]
    fn holds_what_fits_and_no_more() {
        let mut cache = cache(10);
        (0..100).for_each(|page| assert!(!touch(&mut cache, page)));
        assert_eq!(cache.bytes(), 10 * COST);
        assert_eq!(cache.statistics(), PageCacheStatistics { hits: 0, misses: 100, evicted: 90 });
        cache.insert(name(1000), page_of_bytes(20 * PAGE));
        assert!(cache.get(name(1000)).is_none());
    }

    #[test]
    fn a_scan_pushes_nothing_out_that_is_in_use() {
        let mut cache = cache(100);
        for _ in 0..3 {
            (0..50).for_each(|page| {
                touch(&mut cache, page);
            });
        }
        (1000..5000).for_each(|page| {
            touch(&mut cache, page);
        });
        let kept = (0..50).filter(|page| cache.get(name(*page)).is_some()).count();
        assert_eq!(kept, 50);
    }

    #[test]
    fn a_page_that_comes_back_soon_stays() {
        let mut cache = cache(20);
        (0..21).for_each(|page| {
            touch(&mut cache, page);
        });
        assert!(!touch(&mut cache, 0), "left by the small queue");
        (100..400).for_each(|page| {
            touch(&mut cache, page);
        });
        assert!(touch(&mut cache, 0), "came back from the ghosts into the main queue");
    }

    #[test]
    fn a_forgotten_run_leaves_nothing() {
        let mut cache = cache(10);
        (0..30).for_each(|page| {
            touch(&mut cache, page);
        });
        let other = PageName { run: 2, page: 0 };
        cache.insert(other, page_of_bytes(PAGE));
        cache.forget_run(1);
        assert_eq!(cache.bytes(), COST);
        assert!(cache.get(other).is_some());
        assert!(cache.ghosts.is_empty() && cache.ghost_names.is_empty());
        assert_eq!(cache.small.len() + cache.main.len(), 1);
    }
}
