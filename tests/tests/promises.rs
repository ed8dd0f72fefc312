//! Promises of docs/durability.md that no other test would miss: recovery is bounded, redundancy is counted, nothing is
//! taken away from a reader.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands, and says where it is")]

use ashlar_engine::error::EngineError;
use ashlar_engine::runtime::Runtime as _;
use ashlar_engine::runtime::sim::{SimDisk, SimRuntime};
use ashlar_engine::types::{Condition, Etag, ObjectMeta};
use ashlar_engine::{Object, ObjectReader};
use ashlar_tests::driver::send;
use ashlar_tests::load::Work;
use ashlar_tests::model::Content;
use ashlar_tests::rig::{Boot, Rig, SimEngine};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const MIB: u64 = 1 << 20;

type SimReader = ObjectReader<SimRuntime>;

async fn put_some(engine: &SimEngine, work: &Work, numbers: std::ops::Range<u64>, length: u64) {
    for number in numbers {
        let content = Content { seed: number, length };
        let key = format!("key/{}", number.rem_euclid(200));
        assert!(work.put(engine, key.as_bytes(), content).await, "{:?}", work.take_failures());
    }
}

/// Rows that a start reads after a life of `scenario` that ends like a power cut.
fn rows_replayed(cores: u16, later: u64) -> u64 {
    let rig = Rig::flash("2+1", 3, 64 * MIB);
    let work = Work::new();
    let own = work.clone();
    let ended = rig.boot(&Boot { cores, ..Boot::default() }, move |engines| {
        let work = own.clone();
        async move {
            work.bucket(&engines[0]).await;
            put_some(&engines[0], &work, 0..150, 3000).await;
            assert_eq!(engines[0].checkpoint().await, Ok(()));
            put_some(&engines[0], &work, 150..150 + later, 3000).await;
        }
    });
    ended.assert_finished();
    let ended = rig.boot(&Boot { cores, seed: 1, ..Boot::default() }, move |engines| {
        let work = work.clone();
        async move {
            work.verify(&engines).await;
        }
    });
    ended.assert_finished().rows_replayed
}

#[test]
fn a_start_reads_what_was_written_behind_the_checkpoint_and_no_more() {
    for cores in [1, 2] {
        for later in [0, 1, 9, 40] {
            let rows = rows_replayed(cores, later);
            // One row each, and a few that link groups of the log.
            assert!((later..=later + 4).contains(&rows), "{cores} cores, {later} changes: {rows} rows");
        }
    }
}

#[test]
fn devices_that_are_away_make_no_start_longer() {
    let rig = Rig::flash("4+2", 6, 64 * MIB);
    let own = Work::new();
    let ended = rig.boot(&Boot { cores: 2, ..Boot::default() }, move |engines| {
        let work = own.clone();
        async move {
            work.bucket(&engines[0]).await;
            assert_eq!(engines[0].checkpoint().await, Ok(()));
            put_some(&engines[0], &work, 0..20, 3000).await;
        }
    });
    ended.assert_finished();
    let before: Vec<_> = rig.disks.iter().map(SimDisk::snapshot).collect();
    let reads = |rig: &Rig| rig.disks.iter().map(|disk| disk.log().reads).sum::<u64>();
    let start = |unplugged: &[usize]| {
        rig.disks.iter().zip(&before).for_each(|(disk, snapshot)| disk.restore(snapshot));
        let earlier = reads(&rig);
        let boot = Boot { cores: 2, seed: 1, unplugged: unplugged.to_vec(), ..Boot::default() };
        let ended = rig.boot(&boot, |_| async {});
        assert_eq!(ended.assert_finished().missing.len(), unplugged.len());
        reads(&rig) - earlier
    };
    let whole = start(&[]);
    for unplugged in [&[0][..], &[3], &[5], &[0, 5], &[2, 4]] {
        let found = start(unplugged);
        assert!(found <= 2 * whole, "{found} reads without {unplugged:?}, {whole} with all");
    }
}

#[test]
fn checkpoints_that_nobody_asks_for_bound_what_a_start_reads() {
    const BODY: u64 = 60_000;
    let rig = Rig::flash("1+1", 2, 512 * MIB);
    let own = Work::new();
    let ended = rig.boot(&Boot { cores: 1, ..Boot::default() }, move |engines| {
        let work = own.clone();
        async move {
            work.bucket(&engines[0]).await;
            put_some(&engines[0], &work, 0..3000, BODY).await;
        }
    });
    ended.assert_finished();
    let ended = rig.boot(&Boot { cores: 1, seed: 1, ..Boot::default() }, |_| async {});
    let rows = ended.assert_finished().rows_replayed;
    assert!(rows > 0 && rows * BODY <= 2 * 64 * MIB, "{rows} rows");
}

/// Groups by lost members after a life with some devices away, before and after it wrote something.
fn redundancy(rig: &Rig, work: &Work, seed: u64, unplugged: &[usize]) -> [Vec<u64>; 2] {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (own, result) = (work.clone(), Rc::clone(&seen));
    let boot = Boot { seed, unplugged: unplugged.to_vec(), ..Boot::default() };
    let ended = rig.boot(&boot, move |engines| {
        let (work, result) = (own.clone(), Rc::clone(&result));
        async move {
            work.bucket(&engines[0]).await;
            let before = engines[0].status().unwrap().redundancy;
            for engine in &engines {
                put_some(engine, &work, seed * 10..seed * 10 + 5, 700_000).await;
            }
            *result.borrow_mut() = vec![before, engines[0].status().unwrap().redundancy];
        }
    });
    assert_eq!(ended.assert_finished().missing.len(), unplugged.len());
    let seen = seen.take();
    seen.try_into().unwrap()
}

#[test]
fn groups_are_counted_by_the_members_that_they_lack() {
    let rig = Rig::flash("4+2", 6, 64 * MIB);
    let work = Work::new();
    let [_, whole] = redundancy(&rig, &work, 0, &[]);
    assert!(whole[0] > 0 && whole[1..] == [0, 0], "{whole:?}");
    let [before, after] = redundancy(&rig, &work, 1, &[1]);
    assert!(before[1] > 0 && before[2] == 0, "every group had a member on each device: {before:?}");
    assert!(after[0] > before[0], "what is written now lacks nothing: {after:?}");
    assert!(after[1] <= before[1] && after[2] == 0, "{before:?}, {after:?}");
    let [before, _] = redundancy(&rig, &work, 2, &[]);
    assert_eq!(before[1..], [0, 0], "the device is back, and later groups have no member on it");
    let [before, after] = redundancy(&rig, &work, 3, &[0, 1]);
    assert!(before[1] > 0, "groups of the second life have nothing on device 1: {before:?}");
    assert!(before[2] > 0, "the others lack both: {before:?}");
    assert!(after[0] > before[0] && after[2] <= before[2], "{before:?}, {after:?}");
}

/// Puts until the pool is full; how many objects.
async fn fill(engine: &SimEngine, work: &Work, length: u64) -> u64 {
    for number in 0..1000 {
        let content = Content { seed: 50 + number, length };
        if !work.put(engine, format!("fill/{number}").as_bytes(), content).await {
            assert_eq!(work.take_failures(), vec![EngineError::Full]);
            return number;
        }
    }
    panic!("the pool never gets full");
}

/// Reads an object slowly, while it is deleted and all free space is written.
async fn read_while_it_goes(engine: SimEngine, work: Work) {
    let bucket = work.bucket(&engine).await;
    let content = Content { seed: 7, length: 6_000_000 };
    let body = send(&engine, content).await.unwrap();
    let meta = ObjectMeta { etag: Etag { md5: [0; 16], parts: 0 }, checksum: None, metadata: Vec::new() };
    engine.publish(&bucket, b"read", body, meta, Condition::default()).await.unwrap();
    let object = engine.lookup(&bucket, b"read").await.unwrap().unwrap();
    let mut reader = engine.read(&object, 0..object.size());
    let mut bytes = reader.next().await.unwrap().unwrap().bytes().to_vec();
    assert!(engine.delete(&bucket, b"read", Condition::default()).await.unwrap());
    drop(object);
    for _ in 0..3 {
        assert_eq!(engine.checkpoint().await, Ok(()));
        engine.runtime().sleep(Duration::from_secs(1)).await;
    }
    let stored = fill(&engine, &work, 900_000).await;
    assert!(stored > 5, "{stored}");
    while let Some(slice) = reader.next().await.unwrap() {
        bytes.extend_from_slice(slice.bytes());
    }
    assert!(bytes == content.all(), "the bytes that were there when the reader began");
    drop(reader);
    engine.runtime().sleep(Duration::from_secs(5)).await;
    let content = Content { seed: 8, length: 900_000 };
    assert!(work.put(&engine, b"more", content).await, "now there is room again");
}

#[test]
fn what_is_being_read_is_not_written_over() {
    for cores in [1, 2] {
        let rig = Rig::flash("2+1", 3, 24 * MIB);
        let work = Work::new();
        let ended = rig.boot(&Boot { cores, ..Boot::default() }, move |engines| {
            read_while_it_goes(engines[0].clone(), work.clone())
        });
        ended.assert_finished();
    }
}

/// A full pool, and the object of which it holds one beside the others.
async fn full_pool(engine: &SimEngine, work: &Work, content: Content) -> (Object, u64) {
    let bucket = work.bucket(engine).await;
    let body = send(engine, content).await.unwrap();
    let meta = ObjectMeta { etag: Etag { md5: [0; 16], parts: 0 }, checksum: None, metadata: Vec::new() };
    engine.publish(&bucket, b"read", body, meta, Condition::default()).await.unwrap();
    let stored = fill(engine, work, 900_000).await;
    (engine.lookup(&bucket, b"read").await.unwrap().unwrap(), stored)
}

/// Reads on, a slice every seven seconds.
async fn read_slices(
    engine: &SimEngine,
    reader: &mut SimReader,
    bytes: &mut Vec<u8>,
    slices: usize,
) -> Result<usize, EngineError> {
    for number in 0..slices {
        let Some(slice) = reader.next().await? else { return Ok(number) };
        bytes.extend_from_slice(slice.bytes());
        engine.runtime().sleep(Duration::from_secs(7)).await;
    }
    Ok(slices)
}

async fn delete_all(engine: &SimEngine, work: &Work, stored: u64) {
    for number in 0..stored {
        assert!(work.delete(engine, format!("fill/{number}").as_bytes()).await);
    }
}

const SLOW: Content = Content { seed: 7, length: 6_000_000 };
const OTHER: Content = Content { seed: 9, length: 900_000 };

async fn others_are_deleted(engine: SimEngine, work: Work) {
    let (object, stored) = full_pool(&engine, &work, SLOW).await;
    let mut reader = engine.read(&object, 0..object.size());
    let mut bytes = Vec::new();
    read_slices(&engine, &mut reader, &mut bytes, 3).await.unwrap();
    delete_all(&engine, &work, stored).await;
    read_slices(&engine, &mut reader, &mut bytes, 3).await.unwrap();
    assert!(work.put(&engine, b"other", OTHER).await, "{:?}", work.take_failures());
    read_slices(&engine, &mut reader, &mut bytes, 1000).await.unwrap();
    assert!(bytes == SLOW.all());
}

async fn it_is_deleted_itself(engine: SimEngine, work: Work) {
    let (object, stored) = full_pool(&engine, &work, SLOW).await;
    let mut reader = engine.read(&object, 0..object.size());
    let mut bytes = Vec::new();
    read_slices(&engine, &mut reader, &mut bytes, 3).await.unwrap();
    delete_all(&engine, &work, stored).await;
    assert!(work.delete(&engine, b"read").await);
    let ended = read_slices(&engine, &mut reader, &mut bytes, 1000).await;
    assert_eq!(ended, Err(EngineError::Superseded));
    let length = u64::try_from(bytes.len()).unwrap();
    assert!(length > 2_000_000 && bytes == SLOW.bytes(0..length), "{length} right bytes until then");
    drop((reader, object));
    engine.runtime().sleep(Duration::from_secs(5)).await;
    assert!(work.put(&engine, b"other", OTHER).await, "{:?}", work.take_failures());
}

fn on_a_small_pool<F: Future<Output = ()> + 'static>(scenario: fn(SimEngine, Work) -> F) {
    let rig = Rig::flash("2+1", 3, 24 * MIB);
    let work = Work::new();
    let boot = Boot { cores: 1, ..Boot::default() };
    rig.boot(&boot, move |engines| scenario(engines[0].clone(), work.clone())).assert_finished();
}

#[test]
fn a_slow_reader_keeps_no_space_but_its_own() {
    on_a_small_pool(others_are_deleted);
}

#[test]
fn a_slow_reader_of_what_is_gone_ends_after_a_while() {
    on_a_small_pool(it_is_deleted_itself);
}
