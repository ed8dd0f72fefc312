//! Rows of the log that rot on every device: what they held may be lost, and is reported; nothing else is.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands, and says where it is")]

use ashlar_disk_format::chunk::{ChunkHeader, header_bytes};
use ashlar_disk_format::group::GroupKind;
use ashlar_disk_format::record::{Record, RecordReader};
use ashlar_engine::runtime::sim::{DiskSnapshot, SimDisk};
use ashlar_tests::check::Outcome;
use ashlar_tests::load::Work;
use ashlar_tests::model::Content;
use ashlar_tests::rig::{Boot, Ended, Rig, SimEngine};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

const MIB: u64 = 1 << 20;
const DISK_BYTES: u64 = 128 * MIB;
/// Rides in the row of its record; a segment holds some fifteen.
const SMALL: u64 = 60_000;
/// Objects that fill most of what is free.
const NEW_COUNT: u64 = 80;
/// Has rows of its own; a segment holds two.
const LARGE: u64 = 400_000;

/// A row of a log as it stands on every disk.
#[derive(Debug, Clone)]
struct LogRow {
    log: u16,
    sequence: u64,
    /// Disk and byte offset of each chunk.
    chunks: Vec<(usize, u64)>,
    records: Vec<Record>,
}

impl LogRow {
    fn is_link(&self) -> bool {
        self.records.iter().any(|record| matches!(record, Record::NextLogGroup(_)))
    }

    fn announces(&self) -> bool {
        self.records.iter().any(|record| matches!(record, Record::GroupOpen(_)))
    }

    fn rot(&self, disks: &[SimDisk]) {
        self.chunks.iter().for_each(|(disk, offset)| disks[*disk].flip(offset + 30, 4));
    }
}

/// All rows of the newest mount on disks that hold copies, in the order of log and sequence.
fn log_rows(disks: &[SimDisk]) -> Vec<LogRow> {
    let mut rows: BTreeMap<(u16, u64), LogRow> = BTreeMap::new();
    let mut newest = 0;
    for (position, disk) in disks.iter().enumerate() {
        let image = disk.image_bytes(0..DISK_BYTES);
        for at in (0..image.len()).step_by(4096) {
            let Ok(header) = ChunkHeader::decode(&image[at..]) else { continue };
            if header.kind != GroupKind::Log || header.epoch.0 < newest {
                continue;
            }
            if header.epoch.0 > newest {
                newest = header.epoch.0;
                rows.clear();
            }
            let end = at + header_bytes(header.members()) + usize::try_from(header.payload_bytes).unwrap();
            let records = &image[end - usize::try_from(header.record_bytes).unwrap()..end];
            let row = rows.entry((header.log.0, header.sequence.0)).or_insert_with(|| LogRow {
                log: header.log.0,
                sequence: header.sequence.0,
                chunks: Vec::new(),
                records: RecordReader::new(records).map(|record| record.unwrap().1).collect(),
            });
            row.chunks.push((position, u64::try_from(at).unwrap()));
        }
    }
    rows.into_values().collect()
}

fn key(number: u64) -> Vec<u8> {
    format!("key/{number:04}").into_bytes()
}

async fn put(engine: &SimEngine, work: &Work, numbers: Range<u64>, length: u64) {
    for number in numbers {
        let done = work.put(engine, &key(number), Content { seed: number, length }).await;
        assert!(done, "{number}: {:?}", work.take_failures());
    }
}

/// A pool of copies and its work: a checkpoint, then `count` objects; no orderly end.
fn loaded(count: u64, length: u64) -> (Rig, Work, Vec<LogRow>, Vec<DiskSnapshot>) {
    let rig = Rig::flash("1+1", 2, DISK_BYTES);
    let work = Work::new();
    let own = work.clone();
    let ended = rig.boot(&Boot { cores: 1, ..Boot::default() }, move |engines| {
        let work = own.clone();
        async move {
            work.bucket(&engines[0]).await;
            assert_eq!(engines[0].checkpoint().await, Ok(()));
            put(&engines[0], &work, 0..count, length).await;
        }
    });
    ended.assert_finished();
    let rows = log_rows(&rig.disks);
    let snapshots = rig.disks.iter().map(SimDisk::snapshot).collect();
    (rig, work, rows, snapshots)
}

fn restore(rig: &Rig, snapshots: &[DiskSnapshot]) {
    rig.disks.iter().zip(snapshots).for_each(|(disk, snapshot)| disk.restore(snapshot));
}

/// Everything is there, also after most of the rest of the pool was written.
async fn all_stays(engines: Vec<SimEngine>, work: Work) {
    work.verify(&engines).await;
    let new = |number: u64| format!("new/{number}").into_bytes();
    for number in 0..NEW_COUNT {
        let content = Content { seed: 5000 + number, length: 900_000 };
        assert!(work.put(&engines[0], &new(number), content).await, "{:?}", work.take_failures());
    }
    assert_eq!(engines[0].checkpoint().await, Ok(()));
    work.verify(&engines).await;
    // The next life begins with the disks of the first.
    for number in 0..NEW_COUNT {
        assert!(work.delete(&engines[0], &new(number)).await);
    }
}

fn boot_and_verify(rig: &Rig, work: &Work, cores: u16) -> Ended {
    let own = work.clone();
    rig.boot(&Boot { cores, seed: 9, ..Boot::default() }, move |engines| all_stays(engines, own.clone()))
}

#[test]
fn a_lost_link_is_reported_and_the_log_goes_on_behind_it() {
    let (rig, work, rows, good) = loaded(50, SMALL);
    let links: Vec<&LogRow> = rows.iter().filter(|row| row.is_link()).collect();
    assert!(links.len() >= 2, "{}", links.len());
    // One link, another, all of them.
    for lost in [&links[..1], &links[1..2], &links[..]] {
        restore(&rig, &good);
        lost.iter().for_each(|row| row.rot(&rig.disks));
        let ended = boot_and_verify(&rig, &work.clone(), 1);
        let report = ended.assert_finished();
        assert_eq!(report.rows_lost, u64::try_from(lost.len()).unwrap());
    }
}

#[test]
fn a_lost_announcement_is_reported_and_its_group_is_not_written_over() {
    let (rig, work, rows, good) = loaded(10, LARGE);
    let announcements: Vec<&LogRow> = rows.iter().filter(|row| row.announces()).collect();
    assert!(announcements.len() >= 3, "{}", announcements.len());
    for row in announcements.into_iter().take(3) {
        restore(&rig, &good);
        row.rot(&rig.disks);
        let ended = boot_and_verify(&rig, &work, 1);
        assert_eq!(ended.assert_finished().rows_lost, 1, "sequence {}", row.sequence);
    }
}

/// Puts until the last row of core 0's log announces a group and does nothing else.
async fn end_with_an_announcement(engine: SimEngine, work: Work, disks: Vec<SimDisk>) {
    work.bucket(&engine).await;
    assert_eq!(engine.checkpoint().await, Ok(()));
    for number in 0..40 {
        put(&engine, &work, number..number + 1, LARGE).await;
        let rows = log_rows(&disks);
        if rows.iter().rfind(|row| row.log == 0).is_some_and(LogRow::announces) {
            return;
        }
    }
    panic!("some object of the other core's opens a group");
}

#[test]
fn an_announcement_at_the_end_of_its_log_is_missed_too() {
    let rig = Rig::flash("1+1", 2, DISK_BYTES);
    let work = Work::new();
    let (own, disks) = (work.clone(), rig.disks.clone());
    rig.boot(&Boot::default(), move |engines| {
        end_with_an_announcement(engines[0].clone(), own.clone(), disks.clone())
    })
    .assert_finished();
    let rows = log_rows(&rig.disks);
    rows.iter().rfind(|row| row.log == 0).unwrap().rot(&rig.disks);
    let ended = boot_and_verify(&rig, &work, 2);
    assert_eq!(ended.assert_finished().rows_lost, 1);
}

/// Which keys are not there. One that is there holds what was put, or this panics.
async fn missing(engine: &SimEngine, work: &Work, count: u64) -> Vec<u64> {
    let mut missing = Vec::new();
    for number in 0..count {
        if work.look(engine, &key(number)).await.unwrap() == Outcome::Absent {
            missing.push(number);
        }
    }
    missing
}

/// The objects whose records stand in a row.
fn objects_in(row: &LogRow) -> Vec<u64> {
    let batches = row.records.iter().filter_map(|record| match record {
        Record::Batch(batch) => Some(batch),
        Record::GroupOpen(_) | Record::NextLogGroup(_) => None,
    });
    let keys = batches.flat_map(|batch| &batch.mutations).filter_map(|mutation| {
        let at = mutation.key.windows(4).position(|window| window == b"key/")?;
        String::from_utf8_lossy(mutation.key.get(at + 4..at + 8)?).parse().ok()
    });
    keys.collect()
}

#[test]
fn rows_lost_one_after_another_cost_what_they_held_and_nothing_else() {
    const COUNT: u64 = 50;
    let (rig, work, rows, good) = loaded(COUNT, SMALL);
    let puts: Vec<usize> = (0..rows.len()).filter(|at| !objects_in(&rows[*at]).is_empty()).collect();
    let first_link = rows.iter().position(LogRow::is_link).unwrap();
    // Inside a group, to its end with the link, over the whole of the next one. The last row stays.
    let runs = [
        puts[0]..puts[1],
        puts[1]..puts[8],
        puts[2]..first_link,
        puts[2]..first_link + 1,
        first_link - 1..first_link + 4,
        first_link..first_link + 18,
        puts[0]..rows.len() - 1,
    ];
    for run in runs {
        restore(&rig, &good);
        rows[run.clone()].iter().for_each(|row| row.rot(&rig.disks));
        let expected: Vec<u64> = rows[run.clone()].iter().flat_map(objects_in).collect();
        let (own, found) = (work.clone(), Rc::new(RefCell::new(Vec::new())));
        let result = Rc::clone(&found);
        let ended = rig.boot(&Boot { cores: 1, seed: 3, ..Boot::default() }, move |engines| {
            let (work, result) = (own.clone(), Rc::clone(&result));
            async move {
                *result.borrow_mut() = missing(&engines[0], &work, COUNT).await;
            }
        });
        assert_eq!(ended.assert_finished().rows_lost, u64::try_from(run.len()).unwrap(), "{run:?}");
        assert_eq!(found.take(), expected, "{run:?}");
    }
}
