//! A full pool: reads and deletes work, and the space comes back, again and again.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands, and says where it is")]

use ashlar_disk_format::layout::{DeviceLayout, Media, default_segment_bytes};
use ashlar_disk_format::units::SegmentIndex;
use ashlar_engine::error::EngineError;
use ashlar_engine::runtime::Runtime as _;
use ashlar_engine::runtime::sim::{DiskConfig, SimDisk, Violation};
use ashlar_tests::load::{Work, settle};
use ashlar_tests::model::Content;
use ashlar_tests::rig::{Boot, Rig, SimEngine};
use std::time::Duration;

const DISK_BYTES: u64 = 24 << 20;

/// Puts objects until the engine says that it is full; how many there was room for.
async fn fill(engines: &[SimEngine], work: &Work, round: u64, length: u64) -> u64 {
    let mut stored = 0;
    for (number, engine) in (0..2000_u64).zip(engines.iter().cycle()) {
        let content = Content { seed: round * 10_000 + number, length };
        if work.put(engine, format!("key/{number}").as_bytes(), content).await {
            stored += 1;
            continue;
        }
        let failures = work.take_failures();
        assert!(matches!(failures.as_slice(), [EngineError::Full]), "{failures:?}");
        return stored;
    }
    panic!("the pool never gets full");
}

/// Fills, deletes everything, fills again. Groups that stay open make the room of so small a pool differ, but it must
/// not shrink from round to round.
async fn rounds(engines: Vec<SimEngine>, work: Work, length: u64) {
    work.bucket(&engines[0]).await;
    settle(&engines[0]).await;
    let mut first = None;
    for round in 0..5 {
        let stored = fill(&engines, &work, round, length).await;
        assert!(stored > 5, "round {round}: room for {stored} objects");
        let usual = *first.get_or_insert(stored);
        assert!(stored * 2 >= usual, "round {round}: room for {stored}, it was {usual}");
        assert_eq!(work.verify(&engines).await, usize::try_from(stored).unwrap(), "reads work when full");
        work.empty(&engines[0]).await;
        settle(&engines[0]).await;
        let status = engines[0].status().unwrap();
        assert!(status.live_bytes < 64 << 10, "round {round}: {} bytes live", status.live_bytes);
        assert!(status.free_bytes * 2 > status.capacity_bytes, "round {round}: {status:?}");
    }
}

fn run(rig: &Rig, cores: u16, length: u64) {
    let work = Work::new();
    let boot = Boot { seed: length, cores, ..Boot::default() };
    let ended = rig.boot(&boot, move |engines| rounds(engines, work.clone(), length));
    ended.assert_finished();
}

#[test]
fn a_full_pool_of_large_objects_comes_back() {
    run(&Rig::flash("2+1", 3, DISK_BYTES), 2, 1_500_000);
}

#[test]
fn a_full_pool_of_small_objects_comes_back() {
    run(&Rig::flash("1+1", 2, DISK_BYTES), 1, 60_000);
}

/// Nobody asks for a checkpoint, and nothing but the deletes themselves is written meanwhile.
async fn rounds_unasked(engines: Vec<SimEngine>, work: Work) {
    work.bucket(&engines[0]).await;
    let mut first = None;
    for round in 0..3 {
        let stored = fill(&engines, &work, round, 1_500_000).await;
        let usual = *first.get_or_insert(stored);
        assert!(stored > 5 && stored * 2 >= usual, "round {round}: room for {stored}, it was {usual}");
        work.empty(&engines[0]).await;
        engines[0].runtime().sleep(Duration::from_secs(10)).await;
    }
}

#[test]
fn deleting_from_a_full_pool_is_enough() {
    for cores in [1, 2] {
        let work = Work::new();
        let boot = Boot { seed: 3, cores, ..Boot::default() };
        let rig = Rig::flash("2+1", 3, DISK_BYTES);
        rig.boot(&boot, move |engines| rounds_unasked(engines, work.clone())).assert_finished();
    }
}

#[test]
fn a_full_pool_survives_a_restart() {
    let rig = Rig::flash("2+1", 3, DISK_BYTES);
    let work = Work::new();
    let own = work.clone();
    let ended = rig.boot(&Boot::default(), move |engines| {
        let work = own.clone();
        async move {
            work.bucket(&engines[0]).await;
            fill(&engines, &work, 0, 700_000).await;
        }
    });
    ended.assert_finished();
    for seed in 1..6 {
        let own = work.clone();
        let ended = rig.boot(&Boot { seed, ..Boot::default() }, move |engines| {
            let work = own.clone();
            async move {
                work.verify(&engines).await;
                let refused = !work.put(&engines[0], b"more", Content { seed, length: 700_000 }).await;
                assert!(refused || seed > 1, "still full");
                let failures = work.take_failures();
                assert!(failures.iter().all(|error| *error == EngineError::Full), "{failures:?}");
            }
        });
        ended.assert_finished();
    }
    let own = work;
    let ended = rig.boot(&Boot { seed: 9, ..Boot::default() }, move |engines| {
        let work = own.clone();
        async move {
            work.verify(&engines).await;
            work.empty(&engines[0]).await;
            settle(&engines[0]).await;
            assert!(fill(&engines, &work, 1, 700_000).await > 10);
        }
    });
    ended.assert_finished();
}

#[test]
fn files_are_written_only_where_they_were_prepared() {
    let disks: Vec<SimDisk> = (0..3)
        .map(|number| SimDisk::new(DiskConfig::strict_file(&format!("file{number}"), DISK_BYTES)))
        .collect();
    let rig = Rig::new("2+1", disks);
    run(&rig, 2, 800_000);
    let layout = DeviceLayout::new(DISK_BYTES, default_segment_bytes(DISK_BYTES, Media::Flash)).unwrap();
    let segments = layout.segment_offset(SegmentIndex(0))..layout.label_offsets()[1];
    for disk in &rig.disks {
        let wrong: Vec<Violation> =
            disk.violations().into_iter().filter(|violation| segments.contains(&violation.offset)).collect();
        assert_eq!(wrong, vec![], "of {}", disk.info().name);
    }
}
