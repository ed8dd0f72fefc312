//! Finding a key in a core's index: in the memtable, in a run whose page is cached, in a run whose
//! page must be fetched (from memory here, so what is left is our own work), and nowhere. The ceiling is an ordered map of
//! the standard library that holds the same keys and nothing of what makes an index: pages, filters, a log.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ashlar_disk_format::constants::VIRTUAL_SHARDS;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::units::{Generation, GroupId, Height, RowOffset, VirtualShard};
use ashlar_engine::buffer::{Arena, BufferSlice, Region};
use ashlar_engine::error::EngineError;
use ashlar_engine::index::{BlockCache, Index, IndexOptions, PAGE_BYTES_MAX, PageStore};
use criterion::{Criterion, Throughput, criterion_group};

/// Keys in the index.
const KEYS: u32 = 100_000;
/// Bytes of a value: about what a small object's record takes.
const VALUE_BYTES: usize = 160;
const ARENA_BYTES: usize = 128 << 20;
/// Smaller than one page, so that every look-up fetches.
const NO_CACHE_BYTES: usize = 1;

/// Pages in memory; nothing is ever released.
#[derive(Clone)]
struct MemoryStore {
    arena: Arena,
    pages: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl MemoryStore {
    fn new() -> Self {
        let Ok(region) = Region::allocate(ARENA_BYTES) else { unreachable!("128 MiB of memory can be had") };
        Self { arena: Arena::new(region, 0), pages: Rc::default() }
    }
}

impl PageStore for MemoryStore {
    async fn write_pages(&self, pages: Vec<Vec<u8>>) -> Result<Vec<Extent>, EngineError> {
        let mut kept = self.pages.borrow_mut();
        let mut extents = Vec::new();
        for page in pages {
            let (Ok(number), Ok(length)) = (u32::try_from(kept.len()), u32::try_from(page.len())) else {
                return Err(EngineError::Full);
            };
            extents.push(Extent {
                generation: Generation(1),
                group: GroupId(0),
                row: RowOffset(number),
                height: Height(256),
                member: 0,
                data_count: 1,
                payload_offset: 0,
                length,
                crcs: Extent::crcs_of(&page),
            });
            kept.push(page);
        }
        Ok(extents)
    }

    async fn read_page(&self, extent: &Extent) -> Result<BufferSlice, EngineError> {
        let mut buffer = self.arena.take(PAGE_BYTES_MAX).await?;
        let pages = self.pages.borrow();
        let Some(page) = pages.get(extent.row.0 as usize) else { return Err(EngineError::Full) };
        extent.verify(0, page)?;
        buffer.bytes_mut()[..page.len()].copy_from_slice(page);
        Ok(BufferSlice::of(buffer, 0..page.len()))
    }

    fn release_pages(&self, _extents: &[Extent]) {}
}

/// Runs a future that waits for nothing but its own turns.
fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

fn key(number: u32) -> Vec<u8> {
    format!("bucket/folder-{:03}/object-{number:08}", number % 997).into_bytes()
}

fn vshard_of(_key: &[u8]) -> VirtualShard {
    VirtualShard(0)
}

fn filled(cache_bytes: usize) -> Index<MemoryStore> {
    let all = VirtualShard(VIRTUAL_SHARDS - 1);
    let cache = BlockCache::of_heap(cache_bytes);
    let options = IndexOptions { cache, ..IndexOptions::new(VirtualShard(0), all, vshard_of) };
    let index = Index::new(MemoryStore::new(), options);
    for number in 0..KEYS {
        index.put(&key(number), Some(&[0x5a; VALUE_BYTES]));
    }
    index
}

fn flushed(cache_bytes: usize) -> Index<MemoryStore> {
    let index = filled(cache_bytes);
    let Ok(frozen) = index.freeze() else { unreachable!("nothing was frozen before") };
    assert!(matches!(run(index.flush(frozen)), Ok(Some(_))), "the keys make a run");
    index
}

fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("index_lookup");
    group.throughput(Throughput::Elements(1));
    // Keys are made beforehand: formatting one costs about as much as finding it.
    let present: Vec<_> = (0..KEYS).step_by(101).map(key).collect();
    let absent: Vec<_> = (KEYS..2 * KEYS).step_by(101).map(key).collect();
    let map: BTreeMap<Vec<u8>, u32> = (0..KEYS).map(|number| (key(number), number)).collect();
    let mut turn = present.iter().cycle();
    group.bench_function("ceiling_ordered_map", |bencher| {
        bencher.iter(|| turn.next().and_then(|key| map.get(black_box(key))).is_some());
    });
    let cases = [
        ("memtable", filled(64 << 20), &present, true),
        ("cached_page", flushed(64 << 20), &present, true),
        ("fetched_page", flushed(NO_CACHE_BYTES), &present, true),
        ("absent", flushed(64 << 20), &absent, false),
    ];
    for (name, index, keys, expected) in cases {
        let mut turn = keys.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let Some(key) = turn.next() else { unreachable!("a cycle never ends") };
                let Ok(found) = run(index.get(black_box(key))) else { unreachable!("memory never fails") };
                assert_eq!(found.is_some(), expected, "the index answers rightly");
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = lookups
}
