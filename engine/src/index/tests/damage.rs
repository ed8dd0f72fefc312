//! Bytes that passed their checksums and are wrong all the same give typed errors, never panics.

use super::{MemoryStore, flush, options, run, value};
use crate::error::EngineError;
use crate::index::{Index, IndexOptions, PageStore};
use ashlar_disk_format::checkpoint::RunRef;
use ashlar_disk_format::run_manifest::RunManifest;
use ashlar_disk_format::units::VirtualShard;
use proptest::prelude::{ProptestConfig, any, proptest};
use std::ops::Bound;

fn written(store: &MemoryStore, runs: usize) -> Vec<RunRef> {
    let index = Index::new(store.clone(), options());
    for round in 0..runs {
        (0..100)
            .for_each(|at| index.put(format!("key {at:03}").as_bytes(), value(&format!("value {round}"))));
        flush(&index);
    }
    index.manifest_snapshot().runs
}

fn open(store: &MemoryStore, runs: &[RunRef]) -> Result<Index<MemoryStore>, EngineError> {
    run(Index::open(store.clone(), options(), runs))
}

fn scan_all(index: &Index<MemoryStore>) -> Result<usize, EngineError> {
    let mut scan = index.scan(Bound::Unbounded, Bound::Unbounded);
    let mut count = 0;
    while run(scan.next())?.is_some() {
        count += 1;
    }
    Ok(count)
}

fn is_decode<T: std::fmt::Debug>(result: &Result<T, EngineError>) -> bool {
    matches!(result, Err(EngineError::Decode(_)))
}

/// Decodes a run's manifest, changes it, and stores it again.
fn change_manifest(store: &MemoryStore, run: &mut RunRef, change: impl FnOnce(&mut RunManifest)) {
    assert_eq!(run.extents.len(), 1, "a small manifest is one piece");
    store.rewrite(&mut run.extents[0], |bytes| {
        let mut manifest = RunManifest::decode(bytes).unwrap();
        change(&mut manifest);
        *bytes = manifest.encode();
    });
    run.bytes = u64::from(run.extents[0].length);
}

fn manifest_of(store: &MemoryStore, run: &RunRef) -> RunManifest {
    let bytes = super::run(store.read_page(&run.extents[0])).unwrap();
    RunManifest::decode(bytes.bytes()).unwrap()
}

fn open_changed(change: impl FnOnce(&mut RunManifest)) -> Result<Index<MemoryStore>, EngineError> {
    let store = MemoryStore::new();
    let mut runs = written(&store, 1);
    change_manifest(&store, &mut runs[0], change);
    open(&store, &runs)
}

#[test]
fn manifests_that_do_not_fit_are_refused() {
    assert_eq!(open_changed(|_| ()).map(|index| scan_all(&index)), Ok(Ok(100)));
    assert!(is_decode(&open_changed(|manifest| manifest.run += 1)));
    assert!(is_decode(&open_changed(|manifest| manifest.pages.clear())));
    assert!(is_decode(&open_changed(|manifest| manifest.filter.truncate(63))));
    assert!(is_decode(&open_changed(|manifest| manifest.filter.clear())));
    assert!(is_decode(&open_changed(|manifest| manifest.filter_hashes = 0)));
    assert!(is_decode(&open_changed(|manifest| manifest.filter_hashes = 200)));
}

#[test]
fn run_references_that_do_not_fit_are_refused() {
    let store = MemoryStore::new();
    let runs = written(&store, 2);
    assert!(is_decode(&open(&store, &[runs[0].clone(), runs[0].clone()])));
    assert!(is_decode(&open(&store, &[RunRef { bytes: runs[0].bytes + 1, ..runs[0].clone() }])));
    assert!(is_decode(&open(&store, &[RunRef { bytes: 0, extents: Vec::new(), ..runs[0].clone() }])));
    let swapped = RunRef { run: runs[0].run, ..runs[1].clone() };
    assert!(is_decode(&open(&store, &[swapped])));
}

#[test]
fn runs_of_other_shards_are_refused() {
    let store = MemoryStore::new();
    let narrow = IndexOptions { last_vshard: VirtualShard(99), ..options() };
    let index = Index::new(store.clone(), narrow);
    index.put(b"\x00", value("x"));
    flush(&index);
    let other = IndexOptions { first_vshard: VirtualShard(100), ..options() };
    assert!(is_decode(&run(Index::open(store, other, &index.manifest_snapshot().runs))));
}

#[test]
fn a_page_in_the_place_of_another_is_refused() {
    let opened = open_changed(|manifest| {
        let (first, last) = (manifest.pages[0].extent.clone(), manifest.pages.last().unwrap().extent.clone());
        manifest.pages[0].extent = last;
        manifest.pages.last_mut().unwrap().extent = first;
    });
    let index = opened.unwrap();
    assert!(is_decode(&run(index.get(b"key 000"))));
    assert!(is_decode(&scan_all(&index)));
}

#[test]
fn a_page_with_keys_outside_its_fences_is_refused() {
    let index = open_changed(|manifest| manifest.pages[1].first_key.extend(b"zzz")).unwrap();
    assert!(is_decode(&scan_all(&index)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any flipped byte in a manifest is noticed when it is opened.
    #[test]
    fn flipped_manifests_are_errors(at in any::<proptest::sample::Index>(), flip in 1..=255_u8) {
        let store = MemoryStore::new();
        let mut runs = written(&store, 1);
        store.rewrite(&mut runs[0].extents[0], |bytes| {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        });
        assert!(is_decode(&open(&store, &runs)));
    }

    /// Any flipped byte in a page is noticed when it is read.
    #[test]
    fn flipped_pages_are_errors(at in any::<proptest::sample::Index>(), flip in 1..=255_u8) {
        let store = MemoryStore::new();
        let mut runs = written(&store, 1);
        let mut page = manifest_of(&store, &runs[0]).pages[0].extent.clone();
        store.rewrite(&mut page, |bytes| {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        });
        change_manifest(&store, &mut runs[0], |manifest| manifest.pages[0].extent = page);
        let index = open(&store, &runs).unwrap();
        assert!(is_decode(&run(index.get(b"key 000"))));
        assert!(is_decode(&scan_all(&index)));
    }
}
