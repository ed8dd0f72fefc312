//! One promise of the index per test.

use super::{CACHE_BYTES, MemoryStore, collect, flush, get, options, run, run_for, value};
use crate::cache::BlockCache;
use crate::error::EngineError;
use crate::index::{Index, IndexOptions};
use ashlar_disk_format::units::VirtualShard;
use std::ops::Bound;

fn key(number: usize) -> Vec<u8> {
    format!("key/{number:06}").into_bytes()
}

/// Runs of `runs` flushes, each of all numbers below `count` that are `flush` modulo `runs`.
fn filled(store: &MemoryStore, options: IndexOptions, runs: usize, count: usize) -> Index<MemoryStore> {
    let index = Index::new(store.clone(), options);
    for flushed in 0..runs {
        (flushed..count).step_by(runs).for_each(|at| index.put(&key(at), value(&format!("value {at}"))));
        flush(&index);
    }
    index
}

#[test]
fn newest_wins_in_every_place() {
    let index = Index::new(MemoryStore::new(), options());
    index.put(b"a", value("1"));
    flush(&index);
    assert_eq!(get(&index, b"a"), Some(b"1".to_vec()));
    index.put(b"a", value("2"));
    let frozen = index.freeze().unwrap();
    assert_eq!(get(&index, b"a"), Some(b"2".to_vec()));
    index.put(b"a", None);
    assert_eq!(get(&index, b"a"), None);
    run(index.flush(frozen)).unwrap();
    assert_eq!(get(&index, b"a"), None);
    assert_eq!(collect(&index), []);
    flush(&index);
    assert_eq!(get(&index, b"a"), None);
    assert_eq!(collect(&index), []);
}

#[test]
fn a_cold_get_is_one_page_read() {
    let store = MemoryStore::new();
    let before = filled(&store, options(), 1, 2000);
    let runs = before.manifest_snapshot().runs;
    let index =
        run(Index::open(store.clone(), IndexOptions { cache: BlockCache::none(), ..options() }, &runs))
            .unwrap();
    for at in [0, 1, 777, 1999] {
        let reads = store.reads();
        assert_eq!(get(&index, &key(at)), Some(format!("value {at}").into_bytes()));
        assert_eq!(store.reads(), reads + 1);
    }
    let reads = store.reads();
    let absent = (0..2000).filter(|at| get(&index, format!("key/{at:06}x").as_bytes()).is_some()).count();
    assert_eq!(absent, 0);
    assert!(store.reads() - reads <= 60, "{} reads for absent keys", store.reads() - reads);
}

#[test]
fn cached_pages_are_not_read_again() {
    let store = MemoryStore::new();
    let index = filled(&store, options(), 1, 100);
    assert!(get(&index, &key(5)).is_some());
    let reads = store.reads();
    assert!(get(&index, &key(5)).is_some());
    assert_eq!(store.reads(), reads);
    assert!(index.memory().cache_bytes > 0);
    assert!(index.memory().cache_bytes <= CACHE_BYTES);
    assert_eq!(index.cache_statistics().hits, 1);
}

#[test]
fn indexes_that_share_a_cache_share_no_pages() {
    let cache = BlockCache::of_heap(1 << 20);
    let indexes = ["one", "two"].map(|text| {
        let index = Index::new(MemoryStore::new(), IndexOptions { cache: cache.clone(), ..options() });
        (0..100).for_each(|at| index.put(&key(at), value(text)));
        flush(&index);
        (text, index)
    });
    for _ in 0..2 {
        for (text, index) in &indexes {
            assert!((0..100).all(|at| get(index, &key(at)).as_deref() == Some(text.as_bytes())));
        }
    }
    let counted = indexes[0].1.cache_statistics();
    assert_eq!(counted, indexes[1].1.cache_statistics());
    assert!(counted.hits > 300 && counted.misses < 100);
}

#[test]
fn what_a_merge_replaced_leaves_the_cache() {
    let store = MemoryStore::new();
    let index = filled(&store, IndexOptions { cache: BlockCache::of_heap(1 << 20), ..options() }, 4, 1000);
    assert_eq!(collect(&index).len(), 1000);
    assert!(index.memory().cache_bytes > 0);
    assert!(run(index.merge_step()).unwrap());
    assert_eq!(index.memory().cache_bytes, 0);
    assert_eq!(collect(&index).len(), 1000);
    assert!(index.memory().cache_bytes > 0);
}

#[test]
fn tombstones_go_when_nothing_older_can_hold_the_key() {
    let store = MemoryStore::new();
    let index = Index::new(store.clone(), options());
    (0..100).for_each(|at| index.put(&key(at), None));
    let frozen = index.freeze().unwrap();
    assert_eq!(run(index.flush(frozen)).unwrap(), None, "nothing to hide, no run");
    assert_eq!(store.live_pages(), 0);
    for round in 0..4 {
        (0..100).for_each(|at| index.put(&key(at), (round < 3).then(|| value("x")).flatten()));
        flush(&index);
    }
    assert_eq!(index.manifest_snapshot().runs.len(), 4);
    assert!(run(index.merge_step()).unwrap());
    assert_eq!(index.manifest_snapshot().runs.len(), 0, "all was deleted, nothing is left");
    assert_eq!(collect(&index), []);
}

#[test]
fn merged_pages_are_released_after_the_checkpoint_and_the_last_reader() {
    let store = MemoryStore::new();
    let index = filled(&store, options(), 4, 1000);
    let pages = store.live_pages();
    let early = index.manifest_snapshot().retired_up_to;
    let mut scan = index.scan(Bound::Unbounded, Bound::Unbounded);
    assert!(run(scan.next()).unwrap().is_some());
    assert!(run(index.merge_step()).unwrap());
    assert!(!run(index.merge_step()).unwrap());
    let merged = store.live_pages();
    assert!(merged > pages);
    assert!(index.confirm(early).is_empty());
    assert_eq!(store.live_pages(), merged, "a checkpoint from before the merge frees nothing");
    let snapshot = index.manifest_snapshot();
    assert_eq!(snapshot.runs.len(), 1);
    assert!(index.confirm(snapshot.retired_up_to).is_empty());
    assert_eq!(store.live_pages(), merged, "the scan still reads the old runs");
    drop(scan);
    assert!(index.confirm(snapshot.retired_up_to).is_empty());
    assert_eq!(store.live_pages(), merged - pages);
    assert_eq!(collect(&index).len(), 1000);
}

#[test]
fn a_failed_or_dropped_flush_keeps_the_memtable_and_leaks_nothing() {
    let store = MemoryStore::new();
    let index = Index::new(store.clone(), IndexOptions { page_bytes: 128, ..options() });
    (0..500).for_each(|at| index.put(&key(at), value("some value")));
    let frozen = index.freeze().unwrap();
    assert_eq!(index.freeze().unwrap_err().frozen, frozen);
    for operations in 0..3 {
        store.fail_after(operations);
        assert_eq!(run(index.flush(frozen)), Err(EngineError::Full));
        assert_eq!(store.live_pages(), 0);
        assert_eq!(get(&index, &key(7)), Some(b"some value".to_vec()));
    }
    assert!(run_for(5, index.flush(frozen)).is_none());
    assert_eq!(store.live_pages(), 0);
    assert!(run(index.flush(frozen)).unwrap().is_some());
    assert_eq!(collect(&index).len(), 500);
    assert_eq!(index.memory().frozen_bytes, 0);
}

#[test]
fn a_failed_or_dropped_merge_changes_nothing() {
    let store = MemoryStore::new();
    let index = filled(&store, options(), 4, 2000);
    let (runs, pages) = (index.manifest_snapshot().runs, store.live_pages());
    for operations in [0, 1, 10, 50] {
        store.fail_after(operations);
        assert_eq!(run(index.merge_step()), Err(EngineError::Full));
        assert_eq!((index.manifest_snapshot().runs, store.live_pages()), (runs.clone(), pages));
    }
    assert!(run_for(100, index.merge_step()).is_none());
    assert_eq!((index.manifest_snapshot().runs, store.live_pages()), (runs, pages));
    assert!(run(index.merge_step()).unwrap());
    assert_eq!(collect(&index).len(), 2000);
}

#[test]
fn flush_goes_on_while_a_merge_is_under_way() {
    let store = MemoryStore::new();
    let index = filled(&store, options(), 4, 1000);
    index.put(&key(5), value("newer"));
    let frozen = index.freeze().unwrap();
    let both = futures_util::future::join(index.merge_step(), index.flush(frozen));
    let (merged, flushed) = run(both);
    assert!(merged.unwrap() && flushed.unwrap().is_some());
    assert_eq!(index.manifest_snapshot().runs.len(), 2);
    assert_eq!(get(&index, &key(5)), Some(b"newer".to_vec()));
    assert_eq!(collect(&index).len(), 1000);
}

#[test]
fn seek_skips_without_reading() {
    let store = MemoryStore::new();
    let index = filled(&store, IndexOptions { cache: BlockCache::none(), ..options() }, 2, 4000);
    let mut scan = index.scan(Bound::Included(&key(1)), Bound::Excluded(&key(3999)));
    assert_eq!(&*run(scan.next()).unwrap().unwrap().key, key(1));
    let reads = store.reads();
    scan.seek(&key(3000));
    assert_eq!(&*run(scan.next()).unwrap().unwrap().key, key(3000));
    assert_eq!(store.reads(), reads + 2, "one page of each run");
    scan.seek(&key(10));
    assert_eq!(&*run(scan.next()).unwrap().unwrap().key, key(3001), "never back");
    scan.seek(&key(3998));
    assert_eq!(&*run(scan.next()).unwrap().unwrap().key, key(3998));
    assert_eq!(run(scan.next()).unwrap(), None);
    scan.seek(&key(9000));
    assert_eq!(run(scan.next()).unwrap(), None);
}

#[test]
fn a_scan_survives_a_read_error() {
    let store = MemoryStore::new();
    let index = filled(&store, IndexOptions { cache: BlockCache::none(), ..options() }, 3, 900);
    let mut scan = index.scan(Bound::Unbounded, Bound::Unbounded);
    let mut seen = Vec::new();
    for turn in 0.. {
        if turn % 7 == 0 {
            store.fail_after(0);
        }
        match run(scan.next()) {
            Ok(Some(entry)) => seen.push(entry.key.to_vec()),
            Ok(None) => break,
            Err(error) => assert_eq!(error, EngineError::Full),
        }
    }
    assert_eq!(seen, (0..900).map(key).collect::<Vec<_>>());
}

#[test]
fn indexes_of_other_shard_ranges_share_a_run() {
    let store = MemoryStore::new();
    let wide = filled(&store, options(), 4, 1000);
    let runs = wide.manifest_snapshot().runs;
    // Keys end in '0' to '9'; vshard_of spreads them by that byte.
    let middle = u16::from(b'4') << 4;
    let low = IndexOptions { last_vshard: VirtualShard(middle), ..options() };
    let high = IndexOptions { first_vshard: VirtualShard(middle + 1), ..options() };
    let owned = |options| run(Index::open(store.clone(), options, &runs)).unwrap();
    let (low, high) = (owned(low), owned(high));
    let own = |digits: std::ops::Range<usize>| {
        let number = move |at: &usize| digits.contains(&(at % 10));
        (0..1000).filter(number).map(|at| (key(at), format!("value {at}").into_bytes())).collect::<Vec<_>>()
    };
    assert_eq!(collect(&low), own(0..5));
    assert_eq!(collect(&high), own(5..10));
    assert_eq!(get(&low, &key(7)), None);
    assert_eq!(get(&high, &key(7)), Some(b"value 7".to_vec()));
    // A merge keeps a core's own entries; the old runs are the other core's too.
    assert!(run(low.merge_step()).unwrap());
    let let_go = low.confirm(low.manifest_snapshot().retired_up_to);
    assert_eq!(let_go.len(), 4);
    assert!(let_go.iter().all(|run| !run.extents.is_empty()));
    assert_eq!(collect(&low), own(0..5));
    assert_eq!(collect(&high), own(5..10), "its runs were not released");
    let narrow = low.manifest_snapshot().runs;
    let reopened = run(Index::open(store.clone(), options(), &narrow)).unwrap();
    assert_eq!(collect(&reopened), own(0..5), "rewritten without foreign entries");
}

#[test]
fn a_run_at_rest_costs_at_most_two_bytes_of_memory_per_key() {
    let count: usize = 40_000;
    let index = Index::new(MemoryStore::new(), IndexOptions { page_bytes: 32 * 1024, ..options() });
    let body = "v".repeat(300);
    for at in 0..count {
        let mixed = at.wrapping_mul(0x9E37_79B9) % 1_000_003;
        let name = format!(
            "tenants/example-corp/photos/{:04}/{:02}/camera-{:03}/raw/{mixed:08}-original-file-name-of-{at:09}.jpeg",
            2000 + at % 25,
            at % 12,
            at % 100,
        );
        assert!((90..110).contains(&name.len()), "{}", name.len());
        index.put(name.as_bytes(), value(&body));
    }
    flush(&index);
    let memory = index.memory();
    assert_eq!((memory.memtable_bytes, memory.frozen_bytes, memory.cache_bytes), (0, 0, 0));
    let rest = memory.filters_bytes + memory.fences_bytes;
    assert!(rest <= 2 * count, "{} + {} bytes for {count} keys", memory.filters_bytes, memory.fences_bytes);
}

#[test]
fn run_numbers_do_not_collide_between_cores() {
    let store = MemoryStore::new();
    let index = filled(&store, IndexOptions { next_run: 5, run_stride: 4, ..options() }, 3, 30);
    let runs = index.manifest_snapshot().runs;
    assert_eq!(runs.iter().map(|run| run.run).collect::<Vec<_>>(), [13, 9, 5]);
    let again =
        run(Index::open(store, IndexOptions { next_run: 2, run_stride: 4, ..options() }, &runs)).unwrap();
    assert_eq!(again.next_run(), 14);
}

#[test]
fn the_largest_entries_fit() {
    let index = Index::new(MemoryStore::new(), options());
    let long = vec![b'k'; ashlar_disk_format::constants::INDEX_KEY_BYTES_MAX];
    let large = vec![b'v'; crate::index::VALUE_BYTES_MAX];
    index.put(&long, Some(&large));
    index.put(b"a", value("small"));
    flush(&index);
    assert_eq!(get(&index, &long), Some(large));
    assert_eq!(get(&index, b"a"), Some(b"small".to_vec()));
}
