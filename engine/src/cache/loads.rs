//! One room for pages and bodies beside two rooms of half the size: which share of what is asked for each has, under
//! loads of which some suit two rooms. docs/decisions/0014 has the table.

use super::fifo::{Cache, Cached, Weighing};
use super::name::Name;
use super::statistics::Kind;
use ashlar_disk_format::units::{Generation, RowOffset};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const HALF: usize = 8 << 20;
/// Steps to warm up, and then as many that count.
const STEPS: u32 = 100_000;
/// A page and where its entries lie.
const PAGE_BYTES: usize = 36 << 10;
const KEYS_PER_PAGE: u32 = 160;
const KEYS_PER_LISTING: u32 = 1000;
/// Of which some are asked for much more often than others: two and a half times the room of pages, four of bodies.
const PAGES: u32 = 1200;
const BODIES: u32 = 16_000;
/// Bodies and keys that nobody else asks for.
const COLD: u32 = 10_000_000;

impl Cached for () {
    fn is_in_use(&self) -> bool {
        false
    }
}

/// Numbers below `weights.len()`, some much more often than others, in no order.
struct Skewed {
    sums: Vec<f64>,
    shuffled: Vec<u32>,
}

impl Skewed {
    /// The one of rank r comes in proportion to r to the power -0.9.
    fn new(count: u32) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(u64::from(count));
        let weight = |rank: u32| f64::from(rank).powf(-0.9);
        let mut sum = 0.0;
        let sums = (1..=count).map(|rank| {
            sum += weight(rank);
            sum
        });
        let sums = sums.collect();
        let mut shuffled: Vec<u32> = (0..count).collect();
        (1..shuffled.len()).rev().for_each(|last| shuffled.swap(last, random.random_range(0..=last)));
        Self { sums, shuffled }
    }

    fn draw(&self, random: &mut ChaCha8Rng) -> u32 {
        let at = random.random_range(0.0..*self.sums.last().unwrap());
        self.shuffled[self.sums.partition_point(|sum| *sum <= at)]
    }
}

fn page_of(key: u32) -> u32 {
    key.div_euclid(KEYS_PER_PAGE)
}

/// One room, or one for each kind.
struct Rooms {
    caches: Vec<Cache<()>>,
    body_bytes: fn(u32) -> usize,
}

impl Rooms {
    fn touch(&mut self, name: Name, bytes: usize) {
        let which = if name.kind() == Kind::Page { 0 } else { self.caches.len() - 1 };
        let cache = &mut self.caches[which];
        let is_held = cache.get(name).is_some();
        if !is_held && (name.kind() == Kind::Page || cache.admits(name, bytes)) {
            cache.insert(name, (), bytes);
        }
    }

    fn page(&mut self, page: u32) {
        self.touch(Name::Page { run: 1, page }, PAGE_BYTES);
    }

    fn body(&mut self, number: u32) {
        let name = Name::Body { generation: Generation(1), row: RowOffset(number), member: 0, offset: 0 };
        self.touch(name, (self.body_bytes)(number));
    }

    fn get(&mut self, key: u32) {
        self.page(page_of(key));
        self.body(key);
    }

    fn list(&mut self, listing: u32) {
        let first = listing * KEYS_PER_LISTING;
        let last = first + KEYS_PER_LISTING - 1;
        (page_of(first)..=page_of(last)).for_each(|page| self.page(page));
    }

    /// Hits and misses of both kinds.
    fn counts(&self) -> [u64; 4] {
        let sum = |kind, part: fn(&super::CacheStatistics) -> u64| {
            self.caches.iter().map(|cache| part(&cache.statistics(kind))).sum()
        };
        [Kind::Page, Kind::Body]
            .map(|kind| [sum(kind, |counted| counted.hits), sum(kind, |counted| counted.misses)])
            .concat()
            .try_into()
            .unwrap()
    }
}

/// Of a hundred that are asked for: pages, bodies, both.
#[derive(Debug, Clone, Copy)]
struct Shares {
    pages: f64,
    bodies: f64,
    both: f64,
}

/// What is done in one step.
type Step = Box<dyn FnMut(&mut Rooms, &mut ChaCha8Rng, u32)>;

fn shares(mut rooms: Rooms, step: &mut Step) -> Shares {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    (0..STEPS).for_each(|number| step(&mut rooms, &mut random, number));
    let before = rooms.counts();
    (STEPS..2 * STEPS).for_each(|number| step(&mut rooms, &mut random, number));
    let after = rooms.counts();
    let [page_hits, page_misses, body_hits, body_misses] =
        [0, 1, 2, 3].map(|part| (after[part] - before[part]) as f64);
    let share = |hits: f64, misses: f64| 100.0 * hits / f64::max(hits + misses, 1.0);
    Shares {
        pages: share(page_hits, page_misses),
        bodies: share(body_hits, body_misses),
        both: share(page_hits + body_hits, page_misses + body_misses),
    }
}

fn even(_number: u32) -> usize {
    4096
}

fn mixed(number: u32) -> usize {
    512 << (number % 6)
}

/// A load: its name, the least that one room must have over two, of a hundred that are asked for, and its steps.
type Load = (&'static str, f64, fn() -> Step);

fn of_one_kind() -> Vec<Load> {
    vec![
        ("pages only, skewed", 8.0, || {
            let pages = Skewed::new(PAGES);
            Box::new(move |rooms, random, _| rooms.page(pages.draw(random)))
        }),
        ("listings only, of 26 MiB of pages", 20.0, || {
            Box::new(|rooms, random, _| rooms.list(random.random_range(0..120)))
        }),
        ("bodies only, skewed", 6.0, || {
            let bodies = Skewed::new(BODIES);
            Box::new(move |rooms, random, _| rooms.body(bodies.draw(random)))
        }),
        ("bodies, then pages", 5.0, || {
            let (pages, bodies) = (Skewed::new(PAGES), Skewed::new(BODIES));
            Box::new(move |rooms, random, number| match number < STEPS {
                true => rooms.body(bodies.draw(random)),
                false => rooms.page(pages.draw(random)),
            })
        }),
        ("pages, then bodies", 3.0, || {
            let (pages, bodies) = (Skewed::new(PAGES), Skewed::new(BODIES));
            Box::new(move |rooms, random, number| match number < STEPS {
                true => rooms.page(pages.draw(random)),
                false => rooms.body(bodies.draw(random)),
            })
        }),
    ]
}

fn of_both_kinds() -> Vec<Load> {
    vec![
        ("GETs of 6000 keys, even", 10.0, || {
            Box::new(|rooms, random, _| rooms.get(random.random_range(0..6000)))
        }),
        ("GETs of 20,000 keys, skewed", 1.0, || {
            let keys = Skewed::new(20_000);
            Box::new(move |rooms, random, _| rooms.get(keys.draw(random)))
        }),
        ("GETs of 100,000 keys, skewed", 3.0, || {
            let keys = Skewed::new(100_000);
            Box::new(move |rooms, random, _| rooms.get(keys.draw(random)))
        }),
        ("GETs of 400,000 keys, skewed", -1.5, || {
            let keys = Skewed::new(400_000);
            Box::new(move |rooms, random, _| rooms.get(keys.draw(random)))
        }),
        ("pages and bodies, skewed, in turns", -1.5, || {
            let (pages, bodies) = (Skewed::new(PAGES), Skewed::new(BODIES));
            Box::new(move |rooms, random, number| match number % 2 {
                0 => rooms.page(pages.draw(random)),
                _ => rooms.body(bodies.draw(random)),
            })
        }),
        ("one page to nine bodies, skewed", 1.5, || {
            let (pages, bodies) = (Skewed::new(PAGES), Skewed::new(BODIES));
            Box::new(move |rooms, random, number| match number % 10 {
                0 => rooms.page(pages.draw(random)),
                _ => rooms.body(bodies.draw(random)),
            })
        }),
    ]
}

fn of_scans() -> Vec<Load> {
    vec![
        ("new bodies beside skewed pages", 4.0, || {
            let pages = Skewed::new(700);
            Box::new(move |rooms, random, number| match number % 2 {
                0 => rooms.page(pages.draw(random)),
                _ => rooms.body(COLD + number),
            })
        }),
        ("GETs of new keys beside skewed HEADs", 5.0, || {
            let keys = Skewed::new(100_000);
            Box::new(move |rooms, random, number| match number % 2 {
                0 => rooms.page(page_of(keys.draw(random))),
                _ => rooms.get(COLD + number.div_euclid(2)),
            })
        }),
        ("a long listing beside skewed bodies", 6.0, || {
            let bodies = Skewed::new(8000);
            Box::new(move |rooms, random, number| match number % 50 {
                0 => rooms.list(1000 + number.div_euclid(50)),
                _ => rooms.body(bodies.draw(random)),
            })
        }),
        ("a long listing beside skewed GETs", 0.5, || {
            let keys = Skewed::new(20_000);
            Box::new(move |rooms, random, number| match number % 50 {
                0 => rooms.list(1000 + number.div_euclid(50)),
                _ => rooms.get(keys.draw(random)),
            })
        }),
        ("a long listing, five times as fast", -1.0, || {
            let keys = Skewed::new(20_000);
            Box::new(move |rooms, random, number| match number % 10 {
                0 => rooms.list(1000 + number.div_euclid(10)),
                _ => rooms.get(keys.draw(random)),
            })
        }),
    ]
}

#[test]
fn one_room_serves_what_is_asked_for_more() {
    let loads = [of_one_kind(), of_both_kinds(), of_scans()].concat();
    let mut failed = Vec::new();
    for (sizes, body_bytes) in [("4 KiB", even as fn(u32) -> usize), ("512 bytes to 16 KiB", mixed)] {
        println!("bodies of {sizes}; hits of a hundred: pages, bodies, both");
        for (name, least, make) in loads.iter().copied() {
            let two = || (0..2).map(|_| Cache::new(HALF, 1024, Weighing::ByItem)).collect();
            let one = || vec![Cache::new(2 * HALF, 1024, Weighing::ByByte)];
            let two = shares(Rooms { caches: two(), body_bytes }, &mut make());
            let one = shares(Rooms { caches: one(), body_bytes }, &mut make());
            let text = |of: Shares| format!("{:5.1} {:5.1} {:5.1}", of.pages, of.bodies, of.both);
            println!("{name:<40} two rooms {} one {}", text(two), text(one));
            if one.both < two.both + least {
                failed.push((name, sizes, two, one));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
