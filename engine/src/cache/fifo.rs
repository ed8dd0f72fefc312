//! Blocks bounded by bytes, evicted by S3-FIFO, weighed by what they cost.
//!
//! S3-FIFO (Yang et al., *FIFO queues are all you need for cache eviction*, SOSP 2023): what is new
//! enters a small queue, a tenth of the room; what is asked for again moves on to the main queue when
//! its turn comes, the rest leaves and only its name is remembered for a while. A name that comes
//! back enters the main queue at once. So a scan passes through the small queue and pushes nothing
//! out that is in use.
//!
//! Two things are added. Where blocks of very different size save one device read each, a use is worth a number of
//! bytes, and a turn of the main queue costs a block as many as it takes: a large one stays only if it is asked for
//! more often than the small ones that would fit in its place ([`Weighing`]). And a use that follows at once counts
//! for nothing: the next page of a listing begins in the block that the last one ended in, and a scan would seem
//! popular.
//!
//! Invariants: the cost of everything held is at most the room; what is in use elsewhere does not leave, because
//! its memory would be taken and no longer counted, unless it is given up to whoever counts it. A hit allocates nothing.
//! The tables are made for as many blocks as there can be and never made anew, which would halt the core: a million names
//! took a hash table a fifth of a second.

use super::ghosts::Ghosts;
use super::name::Name;
use super::statistics::{CacheStatistics, Kind, Tally};
use crate::number::{to_u32, to_usize};
use slab::Slab;
use std::collections::VecDeque;

/// What the cache spends on a block besides its bytes, bytes: places in the slab and in a queue, headers of allocations.
const OVERHEAD_BYTES: usize = 128;
/// Part of the room that the small queue may take, in percent.
const SMALL_PERCENT: usize = 10;
/// Uses of a block count once so much of the room was filled behind it, in percent: half of what the small queue takes.
const YOUNG_PERCENT: usize = 5;
/// Uses that are remembered for a block where all weigh the same: each saves it from one turn of the main queue.
const USES_MAX: u32 = 3;
/// Bytes that a use keeps for one turn where blocks are weighed by theirs: about a page of an index. See
/// docs/decisions/0014.
const USE_BYTES: u32 = 32 << 10;
/// Bytes that are kept for one turn at most by what was used often.
const USES_BYTES_MAX: u32 = 4 * USE_BYTES;
/// Values that one eviction looks at: each leaves after its few uses, unless it is in use. The next eviction goes on
/// where this one gave up.
const TURNS_MAX: usize = 256;
/// Behind the last of a chain.
const END: u32 = u32::MAX;

/// What a block has to be asked for to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weighing {
    /// As often as any other: what a hit saves grows with the block.
    ByItem,
    /// As often as its bytes are worth: every hit saves the same.
    ByByte,
}

/// What a cache can hold.
pub(super) trait Cached {
    /// Whether somebody besides the cache has it, so that its memory would not come back if it left.
    fn is_in_use(&self) -> bool;
}

#[derive(Debug)]
struct Held<V> {
    name: Name,
    value: V,
    cost: u32,
    /// What its uses are worth that no turn has used up.
    credit: u32,
    /// In the small queue: what had been let in before it, bytes.
    young_at: Option<u64>,
    /// The next place in its chain.
    next: u32,
}

/// The blocks held by name, and the order in which they leave.
#[derive(Debug)]
pub(super) struct Cache<V> {
    room: usize,
    weighing: Weighing,
    held: Slab<Held<V>>,
    /// A power of two of places in `held`, each the first of a chain of names whose hashes have the same low bits.
    chains: Box<[u32]>,
    cost_min: usize,
    small: VecDeque<usize>,
    main: VecDeque<usize>,
    small_bytes: usize,
    main_bytes: usize,
    /// What was ever let in, bytes.
    let_in_bytes: u64,
    ghosts: Ghosts,
    tally: Tally,
}

impl Weighing {
    /// What one use is worth, and the most that any number of them is.
    fn use_worth(self) -> (u32, u32) {
        match self {
            Self::ByItem => (1, USES_MAX),
            Self::ByByte => (USE_BYTES, USES_BYTES_MAX),
        }
    }

    /// What a turn of the main queue takes of that.
    fn turn_price(self, cost: u32) -> u32 {
        match self {
            Self::ByItem => 1,
            Self::ByByte => cost,
        }
    }
}

impl<V: Cached> Cache<V> {
    /// An empty cache for at most `room` bytes. A block costs `cost_min` bytes at least, so that their number is bounded.
    pub(super) fn new(room: usize, cost_min: usize, weighing: Weighing) -> Self {
        // Half as many names of what left as there can be blocks: few are as small as that.
        let ghosts = Ghosts::new(room, 2 * cost_min);
        let count_max = room.div_ceil(cost_min);
        let chains: Box<[u32]> = vec![END; count_max.next_power_of_two()].into();
        Self {
            room: room.saturating_sub(ghosts.bytes() + size_of_val(&*chains)),
            weighing,
            held: Slab::with_capacity(count_max),
            chains,
            cost_min,
            small: VecDeque::new(),
            main: VecDeque::new(),
            small_bytes: 0,
            main_bytes: 0,
            let_in_bytes: 0,
            ghosts,
            tally: Tally::default(),
        }
    }

    /// The block, if it is held.
    pub(super) fn get(&mut self, name: Name) -> Option<&V> {
        let found = self.find(name, name.hash());
        let statistics = self.tally.of_mut(name.kind());
        let Some(place) = found else {
            statistics.misses += 1;
            return None;
        };
        statistics.hits += 1;
        let held = &mut self.held[place];
        let young_bytes = (self.room.div_ceil(100) * YOUNG_PERCENT) as u64;
        if held.young_at.is_none_or(|at| self.let_in_bytes - at > young_bytes) {
            let (worth, most) = self.weighing.use_worth();
            held.credit = (held.credit + worth).min(most);
        }
        Some(&held.value)
    }

    /// Holds a block of `bytes`, at the price of others. One larger than the room is not held, and none is while
    /// too much of what is held is in use.
    pub(super) fn insert(&mut self, name: Name, value: V, bytes: usize) {
        let (cost, hash) = (self.cost(bytes), name.hash());
        if cost > self.room || self.find(name, hash).is_some() {
            return;
        }
        while self.bytes() + cost > self.room {
            if !self.evict() {
                return;
            }
        }
        let young_at = (!self.ghosts.knows(hash)).then_some(self.let_in_bytes);
        self.ghosts.forget(hash);
        self.let_in_bytes += cost as u64;
        let chain = self.chain(hash);
        let next = self.chains[chain];
        let place = self.held.insert(Held { name, value, cost: to_u32(cost), credit: 0, young_at, next });
        self.chains[chain] = to_u32(place);
        self.tally.of_mut(name.kind()).bytes += cost;
        if young_at.is_some() {
            self.small.push_back(place);
            self.small_bytes += cost;
        } else {
            self.main.push_back(place);
            self.main_bytes += cost;
        }
    }

    /// Whether a block of `bytes` that was just read is worth its copy: there is room for it, or it was read a
    /// short while ago. Remembers the name if it is not, so that the next time it is.
    pub(super) fn admits(&mut self, name: Name, bytes: usize) -> bool {
        let (cost, hash) = (self.cost(bytes), name.hash());
        if cost > self.room {
            return false;
        }
        if self.bytes() + cost <= self.room || self.ghosts.knows(hash) {
            return true;
        }
        self.ghosts.remember(hash, cost);
        false
    }

    /// Lets go of one block, in use or not; false when none is held.
    pub(super) fn give_up(&mut self) -> bool {
        if self.held.is_empty() {
            return false;
        }
        if !self.evict() {
            let Some(place) = self.small.pop_front().or_else(|| self.main.pop_front()) else {
                unreachable!("the queues name all {} bytes that are held", self.bytes())
            };
            drop(self.take_out(place));
        }
        true
    }

    /// Drops everything whose name `is_gone`.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&Name) -> bool) {
        let held = self.held.iter().filter(|(_, held)| is_gone(&held.name));
        let gone: Vec<usize> = held.map(|(place, _)| place).collect();
        if gone.is_empty() {
            return;
        }
        self.small.retain(|&place| !is_gone(&self.held[place].name));
        self.main.retain(|&place| !is_gone(&self.held[place].name));
        for place in gone {
            drop(self.take_out(place));
        }
    }

    /// How it does with one kind.
    pub(super) fn statistics(&self, kind: Kind) -> CacheStatistics {
        self.tally.of(kind)
    }

    fn chain(&self, hash: u64) -> usize {
        to_usize(hash & (self.chains.len() - 1) as u64)
    }

    fn find(&self, name: Name, hash: u64) -> Option<usize> {
        let mut place = self.chains[self.chain(hash)];
        while place != END {
            let held = &self.held[place as usize];
            if held.name == name {
                return Some(place as usize);
            }
            place = held.next;
        }
        None
    }

    fn cost(&self, bytes: usize) -> usize {
        (bytes + OVERHEAD_BYTES).max(self.cost_min)
    }

    /// Memory taken, bytes.
    fn bytes(&self) -> usize {
        self.small_bytes + self.main_bytes
    }

    /// Frees a block, unless the next ones are all in use. The caller has seen that something is held.
    fn evict(&mut self) -> bool {
        let small_share = self.room.div_ceil(100) * SMALL_PERCENT;
        for _ in 0..TURNS_MAX {
            let from_small = self.small_bytes > small_share || self.main.is_empty();
            let queue = if from_small { &mut self.small } else { &mut self.main };
            let Some(place) = queue.pop_front() else {
                unreachable!("the queues name all {} bytes that are held", self.bytes())
            };
            if self.turn(place) {
                return true;
            }
        }
        false
    }

    /// Decides on the block that was at the head of its queue; true when it left.
    fn turn(&mut self, place: usize) -> bool {
        let held = &mut self.held[place];
        let price = if held.young_at.is_some() { 1 } else { self.weighing.turn_price(held.cost) };
        if held.credit < price && !held.value.is_in_use() {
            let held = self.take_out(place);
            if held.young_at.is_some() {
                self.ghosts.remember(held.name.hash(), to_usize(u64::from(held.cost)));
            }
            self.tally.of_mut(held.name.kind()).evicted += 1;
            return true;
        }
        if held.young_at.take().is_some() {
            let cost = to_usize(u64::from(held.cost));
            self.small_bytes -= cost;
            self.main_bytes += cost;
        } else {
            held.credit = held.credit.saturating_sub(price);
        }
        self.main.push_back(place);
        false
    }

    /// The block, which stands in no queue any more.
    fn take_out(&mut self, place: usize) -> Held<V> {
        let held = self.held.remove(place);
        let chain = self.chain(held.name.hash());
        let (mut before, mut at) = (None, self.chains[chain]);
        while at as usize != place {
            before = Some(at);
            at = self.held[at as usize].next;
        }
        match before {
            Some(before) => self.held[before as usize].next = held.next,
            None => self.chains[chain] = held.next,
        }
        let cost = to_usize(u64::from(held.cost));
        let bytes = if held.young_at.is_some() { &mut self.small_bytes } else { &mut self.main_bytes };
        *bytes -= cost;
        self.tally.of_mut(held.name.kind()).bytes -= cost;
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    const BYTES: usize = 1024;
    const COST: usize = BYTES + OVERHEAD_BYTES;

    /// Whether somebody else has it.
    impl Cached for bool {
        fn is_in_use(&self) -> bool {
            *self
        }
    }

    fn name(page: u32) -> Name {
        Name::Page { run: 1, page }
    }

    /// A cache with room for so many values.
    fn cache(values: usize, weighing: Weighing) -> Cache<bool> {
        let mut cache = Cache::new(values * COST, COST, weighing);
        cache.room = values * COST;
        cache.ghosts = Ghosts::new(cache.room, COST);
        cache
    }

    /// Blocks in all chains.
    fn named(cache: &Cache<bool>) -> usize {
        let next = |place: u32| (place != END).then_some(place);
        let chain = |&first: &u32| {
            std::iter::successors(next(first), |&place| next(cache.held[place as usize].next)).count()
        };
        cache.chains.iter().map(chain).sum()
    }

    fn sized_touch(cache: &mut Cache<bool>, number: u32, bytes: usize) -> bool {
        let hit = cache.get(name(number)).is_some();
        if !hit {
            cache.insert(name(number), false, bytes);
        }
        assert!(cache.bytes() <= cache.room);
        assert_eq!(cache.bytes(), cache.statistics(Kind::Page).bytes);
        assert_eq!(cache.held.len(), cache.small.len() + cache.main.len());
        assert_eq!(cache.held.len(), named(cache));
        hit
    }

    fn touch(cache: &mut Cache<bool>, number: u32) -> bool {
        sized_touch(cache, number, BYTES)
    }

    #[test]
    fn holds_what_fits_and_no_more() {
        let mut cache = cache(10, Weighing::ByByte);
        (0..100).for_each(|number| assert!(!touch(&mut cache, number)));
        let expected = CacheStatistics { hits: 0, misses: 100, evicted: 90, bytes: 10 * COST };
        assert_eq!(cache.statistics(Kind::Page), expected);
        assert_eq!(cache.statistics(Kind::Body), CacheStatistics::default());
        cache.insert(name(1000), false, 20 * BYTES);
        assert!(cache.get(name(1000)).is_none());
    }

    #[test]
    fn what_it_needs_itself_is_part_of_the_room() {
        const ROOM: usize = 1 << 20;
        for bytes in [1, BYTES, 10 * BYTES] {
            let mut cache: Cache<bool> = Cache::new(ROOM, 512, Weighing::ByByte);
            let places = cache.held.capacity();
            (0..4000).for_each(|number| {
                sized_touch(&mut cache, number, bytes);
            });
            assert_eq!(cache.held.capacity(), places, "what is held is never moved");
            let own = cache.ghosts.bytes() + size_of_val(&*cache.chains);
            assert!(cache.bytes() + own <= ROOM);
            assert!(cache.bytes() + own + cache.cost(bytes) > ROOM, "and no more of it");
        }
    }

    #[test]
    fn a_scan_pushes_nothing_out_that_is_in_use() {
        for weighing in [Weighing::ByItem, Weighing::ByByte] {
            let mut cache = cache(100, weighing);
            for _ in 0..3 {
                (0..50).for_each(|number| {
                    touch(&mut cache, number);
                });
            }
            (1000..5000).for_each(|number| {
                touch(&mut cache, number);
            });
            let kept = (0..50).filter(|number| cache.get(name(*number)).is_some()).count();
            // The last few had hardly come when they were asked for again.
            assert!(kept >= 45, "{kept} with {weighing:?}");
        }
    }

    #[test]
    fn a_scan_that_looks_twice_is_still_a_scan() {
        let mut cache = cache(100, Weighing::ByByte);
        for _ in 0..3 {
            (0..90).for_each(|number| {
                touch(&mut cache, number);
            });
        }
        (1000..5000).for_each(|number| {
            assert!(!touch(&mut cache, number));
            assert!(touch(&mut cache, number));
        });
        let kept = (0..90).filter(|number| cache.get(name(*number)).is_some()).count();
        assert!(kept >= 80, "{kept}");
    }

    /// Hits of a hundred on a block as large as forty others, of which 120 are asked for beside it, and there is
    /// room for a hundred.
    fn hits_on_a_large_block(weighing: Weighing, every: u32) -> u32 {
        let mut cache = cache(100, weighing);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let (mut hits, mut asked) = (0, 0);
        for number in 0..40_000 {
            touch(&mut cache, random.random_range(0..120));
            if number % every == 0 {
                asked += 1;
                hits += u32::from(sized_touch(&mut cache, u32::MAX, 40 * COST));
            }
        }
        (100 * hits).div_euclid(asked)
    }

    #[test]
    fn a_large_block_stays_if_it_is_asked_for_as_often_as_what_would_fit_in_its_place() {
        // Those that take as much are asked for forty times in 120 steps, all together.
        assert!(hits_on_a_large_block(Weighing::ByByte, 1) > 90);
        assert!(hits_on_a_large_block(Weighing::ByByte, 40) < 10);
        assert!(hits_on_a_large_block(Weighing::ByItem, 40) > 90);
    }

    #[test]
    fn what_comes_back_soon_stays() {
        let mut cache = cache(20, Weighing::ByItem);
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
        let mut cache = cache(20, Weighing::ByByte);
        (0..20).for_each(|number| {
            assert!(cache.admits(name(number), BYTES), "there is room");
            cache.insert(name(number), false, BYTES);
        });
        assert!(!cache.admits(name(100), BYTES));
        assert!(cache.admits(name(100), BYTES), "asked for again");
        (200..300).for_each(|number| assert!(!cache.admits(name(number), BYTES)));
        assert!(!cache.admits(name(100), BYTES), "too long ago");
        assert!(!cache.admits(name(1), 100 * BYTES), "never larger than the room");
        assert_eq!(cache.statistics(Kind::Page).evicted, 0);
    }

    #[test]
    fn what_is_in_use_leaves_only_when_it_is_given_up() {
        let mut cache = cache(10, Weighing::ByByte);
        (0..10).for_each(|number| cache.insert(name(number), true, BYTES));
        cache.insert(name(10), false, BYTES);
        assert!(cache.get(name(10)).is_none());
        assert!((0..10).all(|number| cache.get(name(number)).is_some()));
        assert_eq!((0..20).filter(|_| cache.give_up()).count(), 10);
        assert_eq!((cache.bytes(), named(&cache)), (0, 0));
    }

    #[test]
    fn what_is_forgotten_leaves_nothing() {
        let mut cache = cache(10, Weighing::ByByte);
        (0..30).for_each(|number| {
            touch(&mut cache, number);
        });
        let other = Name::Page { run: 2, page: 0 };
        cache.insert(other, false, BYTES);
        cache.forget(|name| matches!(name, Name::Page { run: 1, .. }));
        assert_eq!(cache.bytes(), COST);
        assert!(cache.get(other).is_some());
        assert_eq!(cache.small.len() + cache.main.len(), 1);
        assert_eq!(named(&cache), 1);
    }
}
