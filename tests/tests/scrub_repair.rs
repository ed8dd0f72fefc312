//! Rot: whatever is flipped on as many devices as the code survives is read right and mended; beyond that there is an
//! error, never a wrong byte.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands, and says where it is")]

use ashlar_disk_format::layout::DeviceLayout;
use ashlar_disk_format::units::SegmentIndex;
use ashlar_engine::runtime::Runtime as _;
use ashlar_engine::runtime::sim::{DiskSnapshot, SimDisk};
use ashlar_tests::check::Outcome;
use ashlar_tests::load::{Habits, Work};
use ashlar_tests::model::Content;
use ashlar_tests::rig::{Boot, Rig, SimEngine};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

const DISK_BYTES: u64 = 64 << 20;
const SECTOR: u64 = 4096;

fn loaded(shape: &str, disks: usize, seed: u64) -> (Rig, Work) {
    let rig = Rig::flash(shape, disks, DISK_BYTES);
    let work = Work::new();
    let own = work.clone();
    let ended = rig.boot(&Boot { seed, ..Boot::default() }, move |engines| {
        let work = own.clone();
        async move {
            work.bucket(&engines[0]).await;
            let habits = Habits { operations: 8, deletes: 1, size_max: 300_000, ..Habits::default() };
            work.run(&engines, seed, 3, habits).await;
            assert_eq!(engines[0].checkpoint().await, Ok(()));
            work.run(&engines, seed + 1, 3, habits).await;
            assert_eq!(work.take_failures(), vec![]);
        }
    });
    ended.assert_finished();
    (rig, work)
}

fn snapshot(rig: &Rig) -> Vec<DiskSnapshot> {
    rig.disks.iter().map(|disk| disk.snapshot()).collect()
}

fn restore(rig: &Rig, snapshots: &[DiskSnapshot]) {
    rig.disks.iter().zip(snapshots).for_each(|(disk, snapshot)| disk.restore(snapshot));
}

/// Sectors of `range` that hold anything.
fn written(disk: &SimDisk, range: Range<u64>) -> Vec<u64> {
    let image = disk.image_bytes(range.clone());
    let sectors = image.chunks(4096).zip((range.start..).step_by(4096));
    sectors.filter(|(bytes, _)| bytes.iter().any(|byte| *byte != 0)).map(|(_, offset)| offset).collect()
}

fn verified(rig: &Rig, work: &Work, seed: u64, what: &str) {
    // Twice: what a life has read it need not read again.
    for _life in 0..2 {
        let own = work.clone();
        let ended = rig.boot(&Boot { seed, ..Boot::default() }, move |engines| {
            let work = own.clone();
            async move {
                work.verify(&engines).await;
                // What was mended is written back behind the answers.
                engines[0].runtime().sleep(Duration::from_secs(1)).await;
            }
        });
        assert_eq!(ended.error, None, "{what}");
        assert_eq!(ended.outcome, ashlar_engine::runtime::sim::Outcome::Finished, "{what}");
    }
}

fn layout(rig: &Rig) -> DeviceLayout {
    let bytes = ashlar_disk_format::layout::default_segment_bytes(
        DISK_BYTES,
        ashlar_disk_format::layout::Media::Flash,
    );
    let layout = DeviceLayout::new(DISK_BYTES, bytes).unwrap();
    assert!(layout.segment_count() > 8, "{:?}", rig.shape());
    layout
}

/// The structures of a device by name, and where they are.
fn structures(rig: &Rig) -> Vec<(&'static str, Vec<Range<u64>>)> {
    let layout = layout(rig);
    let sized = |offset: u64, bytes: u64| offset..offset + bytes;
    let segments = || (0..layout.segment_count()).map(|index| layout.segment_offset(SegmentIndex(index)));
    vec![
        ("label A", vec![sized(layout.label_offsets()[0], SECTOR)]),
        ("label B", vec![sized(layout.label_offsets()[1], SECTOR)]),
        ("both labels", layout.label_offsets().map(|offset| sized(offset, SECTOR)).to_vec()),
        ("superblock 0", vec![sized(layout.superblock_offset(0), 16 * SECTOR)]),
        ("superblock 3", vec![sized(layout.superblock_offset(3), 16 * SECTOR)]),
        ("every superblock", (0..4).map(|copy| sized(layout.superblock_offset(copy), 16 * SECTOR)).collect()),
        ("segment headers", segments().map(|offset| sized(offset, SECTOR)).collect()),
        ("first rows", segments().map(|offset| sized(offset + SECTOR, SECTOR)).collect()),
        ("segments", segments().map(|offset| sized(offset, layout.segment_bytes())).collect()),
        ("the whole device", std::iter::once(0..DISK_BYTES).collect()),
    ]
}

/// Flips one bit in each written sector of `ranges`, in the first bytes (`head`: headers) or anywhere.
fn rot(disk: &SimDisk, ranges: &[Range<u64>], random: &mut ChaCha8Rng, head: bool) -> usize {
    let mut count = 0;
    for range in ranges {
        for sector in written(disk, range.clone()) {
            let at = if head { random.random_range(0..100) } else { random.random_range(0..SECTOR) };
            disk.flip(sector + at, 1 << random.random_range(0..8_u32));
            count += 1;
        }
    }
    count
}

#[test]
fn every_structure_may_rot_on_as_many_devices_as_the_code_survives() {
    // One device more than m+1 stays when the faulty ones count as missing: with fewer the pool does not open.
    for (shape, disks, faulty) in [("4+2", 6, 2), ("1+1", 3, 1), ("2+1", 4, 1)] {
        let (rig, work) = loaded(shape, disks, 7);
        let good = snapshot(&rig);
        let mut random = ChaCha8Rng::seed_from_u64(3);
        for (name, ranges) in structures(&rig) {
            for round in 0..2_usize {
                restore(&rig, &good);
                let first = round % disks;
                let mut count = 0;
                for position in 0..faulty {
                    let disk = &rig.disks[(first + position * (1 + round)) % disks];
                    count += rot(disk, &ranges, &mut random, round % 2 == 0);
                }
                assert!(count > 0, "there is something to damage in {name}");
                let what = format!("{shape}: {count} sectors of {name} on {faulty} devices, round {round}");
                verified(&rig, &work, 20, &what);
            }
        }
    }
}

#[test]
fn beyond_what_the_code_survives_there_is_an_error_and_no_wrong_byte() {
    for (shape, disks, faulty) in [("4+2", 6, 3), ("1+1", 2, 2), ("2+1", 4, 2)] {
        let (rig, work) = loaded(shape, disks, 8);
        let good = snapshot(&rig);
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let (mut errors, mut read) = (0, 0);
        for round in 0..6_usize {
            restore(&rig, &good);
            let layout = layout(&rig);
            // The superblocks and labels stay whole: the store opens or says why not.
            let first = layout.segment_offset(SegmentIndex(0));
            let end = layout.label_offsets()[1];
            for position in 0..faulty {
                let disk = &rig.disks[(round + position) % disks];
                // One sector in eight only, so that something stays readable.
                for sector in written(disk, first..end) {
                    if random.random_range(0..8_u32) == 0 {
                        disk.flip(sector + random.random_range(0..SECTOR), 4);
                    }
                }
            }
            let own = work.clone();
            let counted = Rc::new(Cell::new((0, 0)));
            let result = Rc::clone(&counted);
            let ended = rig.boot(&Boot { seed: 30, ..Boot::default() }, move |engines| {
                let (work, result) = (own.clone(), Rc::clone(&result));
                async move { result.set(read_all(&engines, &work).await) }
            });
            if ended.error.is_none() {
                ended.outcome.assert_finished();
                errors += counted.get().0;
                read += counted.get().1;
            } else {
                errors += 1;
            }
        }
        assert!(errors > 0 && read > 0, "{shape}: {errors} errors, {read} right");
    }
}

/// Reads of all keys: how many failed, how many were right. A wrong byte panics.
async fn read_all(engines: &[SimEngine], work: &Work) -> (u32, u32) {
    let mut counts = (0, 0);
    for key in 0..12 {
        match work.look(&engines[0], format!("key/{key}").as_bytes()).await {
            Ok(_) => counts.1 += 1,
            Err(_) => counts.0 += 1,
        }
    }
    counts
}

/// Where the device holds `needle`.
fn find(disk: &SimDisk, needle: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    let layout_end = DISK_BYTES;
    for sector in written(disk, 0..layout_end) {
        let bytes = disk.image_bytes(sector..sector + SECTOR);
        let at = bytes.windows(needle.len()).position(|window| window == needle);
        found.extend(at.map(|at| sector + u64::try_from(at).unwrap()));
    }
    found
}

#[test]
fn what_was_read_damaged_is_mended_so_that_the_other_copies_may_rot_next() {
    for (length, seed) in [(3000_u64, 1_u64), (60_000, 2), (200_000, 4), (900_000, 5)] {
        let rig = Rig::flash("1+2", 3, DISK_BYTES);
        let work = Work::new();
        let content = Content { seed, length };
        let own = work.clone();
        let ended = rig.boot(&Boot::default(), move |engines| {
            let work = own.clone();
            async move {
                work.bucket(&engines[0]).await;
                assert!(work.put(&engines[0], b"object", content).await);
            }
        });
        ended.assert_finished();
        let needle = content.bytes(1000..1032);
        let places: Vec<u64> = rig.disks.iter().map(|disk| find(disk, &needle)[0]).collect();
        let mut mended = 0;
        for (position, place) in places.iter().enumerate() {
            rig.disks[position].flip(*place, 0x10);
            verified(&rig, &work, 40, "one copy is damaged");
            let now = rig.disks[position].image_bytes(*place..*place + 32);
            if now == needle {
                mended += 1;
                // The others rot; what was mended carries alone.
                let others: Vec<usize> = (0..3).filter(|other| *other != position).collect();
                others.iter().for_each(|other| rig.disks[*other].flip(places[*other], 0x20));
                verified(&rig, &work, 41, "only the mended copy is good");
                others.iter().for_each(|other| rig.disks[*other].flip(places[*other], 0x20));
            } else {
                rig.disks[position].flip(*place, 0x10);
            }
        }
        assert!(mended > 0, "the copy that is read is mended when it is found damaged");
        for (disk, place) in rig.disks.iter().zip(&places) {
            disk.flip(*place, 0x40);
        }
        let own = work.clone();
        let ended = rig.boot(&Boot { seed: 42, ..Boot::default() }, move |engines| {
            let work = own.clone();
            async move {
                let found = work.look(&engines[0], b"object").await;
                assert!(found.is_err(), "three bad copies give an error: {found:?}");
            }
        });
        ended.assert_finished();
    }
}

/// Keys so long that a page of the index holds few of them.
fn long_key(group: u32, number: u32) -> Vec<u8> {
    format!("key/{group}/{number:04}/{}", "k".repeat(400)).into_bytes()
}

async fn put_all(engine: &SimEngine, work: &Work, group: u32, count: u32) {
    for number in 0..count {
        let content = Content { seed: u64::from(group * 10_000 + number), length: 100 };
        assert!(work.put(engine, &long_key(group, number), content).await, "{:?}", work.take_failures());
    }
}

/// How many of the first group's keys cannot be read; the others hold what they should, or this panics.
async fn lost_keys(engine: &SimEngine, work: &Work) -> Vec<u32> {
    let mut lost = Vec::new();
    for number in 0..600 {
        match work.look(engine, &long_key(0, number)).await {
            Ok(found) => assert_ne!(found, Outcome::Absent, "{number}"),
            Err(error) => {
                assert!(error.is_damage(), "{number}: {error}");
                lost.push(number);
            }
        }
    }
    lost
}

#[test]
fn a_lost_page_of_the_index_costs_what_lies_in_it_and_nothing_else() {
    let rig = Rig::flash("1+1", 2, DISK_BYTES);
    let work = Work::new();
    let (own, disks) = (work.clone(), rig.disks.clone());
    let lost = Rc::new(RefCell::new(Vec::new()));
    let found = Rc::clone(&lost);
    let ended = rig.boot(&Boot { cores: 1, ..Boot::default() }, move |engines| {
        let (work, disks, found) = (own.clone(), disks.clone(), Rc::clone(&found));
        async move {
            let engine = &engines[0];
            work.bucket(engine).await;
            assert_eq!(engine.checkpoint().await, Ok(()));
            put_all(engine, &work, 0, 600).await;
            assert_eq!(engine.checkpoint().await, Ok(()));
            for disk in &disks {
                for place in find(disk, b"key/0/0300/") {
                    disk.flip(place, 1);
                }
            }
            // The last of these checkpoints has enough runs to merge.
            for group in 1..5 {
                put_all(engine, &work, group, 20).await;
                assert_eq!(engine.checkpoint().await, Ok(()), "{group}");
            }
            assert_eq!(engine.status().unwrap().damaged_runs, 1);
            *found.borrow_mut() = lost_keys(engine, &work).await;
        }
    });
    ended.assert_finished();
    let lost = lost.take();
    assert!(lost.contains(&300) && lost.len() < 100, "one page: {lost:?}");
    let own = work;
    let ended = rig.boot(&Boot { cores: 1, seed: 1, ..Boot::default() }, move |engines| {
        let (work, lost) = (own.clone(), lost.clone());
        async move {
            let engine = &engines[0];
            assert_eq!(lost_keys(engine, &work).await, lost);
            put_all(engine, &work, 5, 20).await;
            assert_eq!(engine.checkpoint().await, Ok(()));
            assert_eq!(engine.status().unwrap().damaged_runs, 1);
        }
    });
    ended.assert_finished();
}
