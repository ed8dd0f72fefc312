//! Values bounded by bytes, evicted by S3-FIFO.
//!
//! S3-FIFO (Yang et al., *FIFO queues are all you need for cache eviction*, SOSP 2023): what is new
//! enters a small queue, a tenth of the room; what is asked for again moves on to the main queue when
//! its turn comes, the rest leaves and only its name is remembered for a while. A name that comes
//! back enters the main queue at once. So a scan passes through the small queue and pushes nothing
//! out that is in use.
//!
//! Invariants: the cost of everything held is at most the room; what is in use elsewhere does not leave, because
//! its memory would be taken and no longer counted, unless it is given up to whoever counts it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the cache spends on a value besides its bytes, bytes: map entry, queue entry, ghost entry,
/// reference counts.
const OVERHEAD_BYTES: usize = 128;
/// Part of the room that the small queue may take, in percent.
const SMALL_PERCENT: usize = 10;
/// Uses that are remembered for a page: each saves it from one turn of the main queue.
const USES_MAX: u8 = 3;
/// Values that one eviction looks at: each leaves after its few uses, unless it is in use. The next eviction goes on
/// where this one gave up.
const TURNS_MAX: usize = 256;
/// Names remembered when the cache is nearly empty.
const GHOSTS_MIN: usize = 16;

/// How a cache did since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    /// Values that were there.
    pub hits: u64,
    /// Values that had to be read.
    pub misses: u64,
    /// Values that left to make room.
    pub evicted: u64,
}

/// What a cache can hold.
pub(crate) trait Cached: Clone {
    /// Whether somebody besides the cache has it, so that its memory would not come back if it left.
    fn is_in_use(&self) -> bool;
}

#[derive(Debug)]
struct Held<V> {
    value: V,
    cost: usize,
    uses: u8,
    main: bool,
}

/// The values held by name, and the order in which they leave.
#[derive(Debug)]
pub(crate) struct Cache<N, V> {
    room: usize,
    held: BTreeMap<N, Held<V>>,
    small: VecDeque<N>,
    main: VecDeque<N>,
    small_bytes: usize,
    main_bytes: usize,
    ghosts: VecDeque<N>,
    ghost_names: BTreeSet<N>,
    statistics: CacheStatistics,
}

impl<N: Copy + Ord, V: Cached> Cache<N, V> {
    /// An empty cache for at most `room` bytes.
    pub(crate) fn new(room: usize) -> Self {
        Self {
            room,
            held: BTreeMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            small_bytes: 0,
            main_bytes: 0,
            ghosts: VecDeque::new(),
            ghost_names: BTreeSet::new(),
            statistics: CacheStatistics::default(),
        }
    }

    /// The value, if it is held.
    pub(crate) fn get(&mut self, name: N) -> Option<V> {
        let Some(held) = self.held.get_mut(&name) else {
            self.statistics.misses += 1;
            return None;
        };
        held.uses = (held.uses + 1).min(USES_MAX);
        self.statistics.hits += 1;
        Some(held.value.clone())
    }

    /// Holds a value of `bytes`, at the price of others. One larger than the room is not held, and none is while
    /// too much of what is held is in use.
    pub(crate) fn insert(&mut self, name: N, value: V, bytes: usize) {
        let cost = bytes + OVERHEAD_BYTES;
        if cost > self.room || self.held.contains_key(&name) {
            return;
        }
        while self.bytes() + cost > self.room {
            if !self.evict() {
                return;
            }
        }
        let main = self.ghost_names.remove(&name);
        self.held.insert(name, Held { value, cost, uses: 0, main });
        self.enqueue(name, cost, main);
    }

    /// Whether a value of `bytes` that was just read is worth its copy: there is room for it, or it was read a
    /// short while ago. Remembers the name if it is not, so that the next time it is.
    pub(crate) fn admits(&mut self, name: N, bytes: usize) -> bool {
        let cost = bytes + OVERHEAD_BYTES;
        if cost > self.room {
            return false;
        }
        if self.bytes() + cost <= self.room || self.ghost_names.contains(&name) {
            return true;
        }
        self.remember(name);
        false
    }

    /// Lets go of one value, in use or not; false when none is held.
    pub(crate) fn give_up(&mut self) -> bool {
        if self.held.is_empty() {
            return false;
        }
        if !self.evict() {
            let Some(name) = self.small.pop_front().or_else(|| self.main.pop_front()) else {
                unreachable!("the queues name all {} bytes that are held", self.bytes())
            };
            let Some(held) = self.held.remove(&name) else { unreachable!("a queue names only what is held") };
            self.uncount(&held);
        }
        true
    }

    /// Drops everything whose name `is_gone`.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(&N) -> bool) {
        let gone: Vec<N> = self.held.keys().filter(|name| is_gone(name)).copied().collect();
        for name in gone {
            if let Some(held) = self.held.remove(&name) {
                self.uncount(&held);
            }
        }
        self.small.retain(|name| !is_gone(name));
        self.main.retain(|name| !is_gone(name));
        self.ghosts.retain(|name| !is_gone(name));
        self.ghost_names.retain(|name| !is_gone(name));
    }

    /// Memory taken, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.small_bytes + self.main_bytes
    }

    pub(crate) fn statistics(&self) -> CacheStatistics {
        self.statistics
    }

    /// Frees a value, unless the next ones are all in use. The caller has seen that something is held.
    fn evict(&mut self) -> bool {
        let small_share = self.room.div_ceil(100) * SMALL_PERCENT;
        for _ in 0..TURNS_MAX {
            let from_small = self.small_bytes > small_share || self.main.is_empty();
            let queue = if from_small { &mut self.small } else { &mut self.main };
            let Some(name) = queue.pop_front() else {
                unreachable!("the queues name all {} bytes that are held", self.bytes())
            };
            if self.turn(name, from_small) {
                self.statistics.evicted += 1;
                return true;
            }
        }
        false
    }

    /// Decides on the value at the head of its queue; true when it left.
    fn turn(&mut self, name: N, from_small: bool) -> bool {
        let Some(mut held) = self.held.remove(&name) else { unreachable!("a queue names only what is held") };
        self.uncount(&held);
        if held.uses == 0 && !held.value.is_in_use() {
            if from_small {
                self.remember(name);
            }
            return true;
        }
        held.uses = if from_small { 0 } else { held.uses.saturating_sub(1) };
        held.main = true;
        let cost = held.cost;
        self.held.insert(name, held);
        self.enqueue(name, cost, true);
        false
    }

    fn enqueue(&mut self, name: N, cost: usize, main: bool) {
        if main {
            self.main.push_back(name);
            self.main_bytes += cost;
        } else {
            self.small.push_back(name);
            self.small_bytes += cost;
        }
    }

    fn uncount(&mut self, held: &Held<V>) {
        let bytes = if held.main { &mut self.main_bytes } else { &mut self.small_bytes };
        *bytes -= held.cost;
    }

    fn remember(&mut self, name: N) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 1024;
    const COST: usize = BYTES + OVERHEAD_BYTES;

    type Name = (u64, u32);

    impl Cached for () {
        fn is_in_use(&self) -> bool {
            false
        }
    }

    fn name(number: u32) -> Name {
        (1, number)
    }

    fn cache(values: usize) -> Cache<Name, ()> {
        Cache::new(values * COST)
    }

    fn touch(cache: &mut Cache<Name, ()>, number: u32) -> bool {
        let hit = cache.get(name(number)).is_some();
        if !hit {
            cache.insert(name(number), (), BYTES);
        }
        assert!(cache.bytes() <= cache.room);
        hit
    }

    #[test]
    fn holds_what_fits_and_no_more() {
        let mut cache = cache(10);
        (0..100).for_each(|number| assert!(!touch(&mut cache, number)));
        assert_eq!(cache.bytes(), 10 * COST);
        assert_eq!(cache.statistics(), CacheStatistics { hits: 0, misses: 100, evicted: 90 });
        cache.insert(name(1000), (), 20 * BYTES);
        assert!(cache.get(name(1000)).is_none());
    }

    #[test]
    fn a_scan_pushes_nothing_out_that_is_in_use() {
        let mut cache = cache(100);
        for _ in 0..3 {
            (0..50).for_each(|number| {
                touch(&mut cache, number);
            });
        }
        (1000..5000).for_each(|number| {
            touch(&mut cache, number);
        });
        let kept = (0..50).filter(|number| cache.get(name(*number)).is_some()).count();
        assert_eq!(kept, 50);
    }

    #[test]
    fn what_comes_back_soon_stays() {
        let mut cache = cache(20);
        (0..21).for_each(|number| {
            touch(&mut cache, number);
        });
        assert!(!touch(&mut cache, 0), "left by the small queue");
        (100..400).for_each(|number| {
            touch(&mut cache, number);
        });
        assert!(touch(&mut cache, 0), "came back from the ghosts into the main queue");
    }

    #[test]
    fn a_full_cache_admits_what_comes_back_soon() {
        let mut cache = cache(20);
        (0..20).for_each(|number| {
            assert!(cache.admits(name(number), BYTES), "there is room");
            cache.insert(name(number), (), BYTES);
        });
        assert!(!cache.admits(name(100), BYTES));
        assert!(cache.admits(name(100), BYTES), "asked for again");
        (200..300).for_each(|number| assert!(!cache.admits(name(number), BYTES)));
        assert!(!cache.admits(name(100), BYTES), "too long ago");
        assert!(!cache.admits(name(1), 100 * BYTES), "never larger than the room");
        assert_eq!(cache.statistics().evicted, 0);
    }

    #[test]
    fn what_is_forgotten_leaves_nothing() {
        let mut cache = cache(10);
        (0..30).for_each(|number| {
            touch(&mut cache, number);
        });
        let other = (2, 0);
        cache.insert(other, (), BYTES);
        cache.forget(|(run, _)| *run == 1);
        assert_eq!(cache.bytes(), COST);
        assert!(cache.get(other).is_some());
        assert!(cache.ghosts.is_empty() && cache.ghost_names.is_empty());
        assert_eq!(cache.small.len() + cache.main.len(), 1);
    }
}
