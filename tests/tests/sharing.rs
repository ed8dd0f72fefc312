//! Copies share the bytes of their source: they take no space, stay readable when the source is gone, and the space
//! comes back with the last of them.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands, and says where it is")]

use ashlar_engine::error::EngineError;
use ashlar_engine::runtime::Runtime as _;
use ashlar_engine::types::{Condition, Etag, EtagMatch, Metadata, NamedPart, ObjectMeta, UploadInit};
use ashlar_tests::driver::{send, view};
use ashlar_tests::load::{BUCKET, Habits, Work, settle};
use ashlar_tests::model::Content;
use ashlar_tests::rig::{Boot, Rig, SimEngine};
use std::future::Future;
use std::time::Duration;

/// What an empty store may still hold: its index and its last checkpoint.
const EMPTY_BYTES: u64 = 64 << 10;

/// One life of `cores` cores.
fn life<F: Future<Output = ()> + 'static>(
    rig: &Rig,
    cores: u16,
    scenario: impl Fn(Vec<SimEngine>) -> F + Clone + 'static,
) {
    let boot = Boot { seed: u64::from(cores), cores, ..Boot::default() };
    rig.boot(&boot, scenario).assert_finished();
}

/// Live bytes when nothing is under way any more.
async fn live(engine: &SimEngine) -> u64 {
    settle(engine).await;
    engine.status().unwrap().live_bytes
}

async fn assert_live(engine: &SimEngine, bodies: u64) {
    let live = live(engine).await;
    assert!((bodies..bodies + EMPTY_BYTES).contains(&live), "{live} bytes live, {bodies} are in bodies");
}

fn name(number: u64) -> Vec<u8> {
    format!("copy/{number}").into_bytes()
}

#[test]
fn copies_take_no_space_and_outlive_their_source() {
    const LENGTH: u64 = 3_000_000;
    let rig = Rig::flash("2+1", 3, 64 << 20);
    let work = Work::new();
    let own = work.clone();
    life(&rig, 4, move |engines| {
        let work = own.clone();
        async move {
            work.bucket(&engines[0]).await;
            assert!(work.put(&engines[0], b"source", Content { seed: 1, length: LENGTH }).await);
            for (number, engine) in (0..40_u64).zip(engines.iter().cycle()) {
                // Copies of the source and copies of copies.
                let source = if number % 3 == 0 { b"source".to_vec() } else { name(number.div_euclid(2)) };
                assert!(work.copy(engine, &source, &name(number)).await);
            }
            assert_eq!(work.verify(&engines).await, 41);
            assert_live(&engines[0], LENGTH).await;
            assert!(work.delete(&engines[1], b"source").await);
            assert_eq!(work.verify(&engines).await, 40);
        }
    });
    // Fewer and more cores: what is left to do belongs to other cores now.
    for (cores, left) in [(1, 20), (3, 10), (8, 1)] {
        let own = work.clone();
        life(&rig, cores, move |engines| {
            let work = own.clone();
            async move {
                assert_live(&engines[0], LENGTH).await;
                for (number, engine) in (left..40).zip(engines.iter().cycle()) {
                    work.delete(engine, &name(number)).await;
                }
                assert_eq!(work.verify(&engines).await, usize::try_from(left).unwrap());
            }
        });
    }
    life(&rig, 2, move |engines| {
        let work = work.clone();
        async move {
            assert_live(&engines[0], LENGTH).await;
            work.verify(&engines).await;
            work.empty(&engines[0]).await;
            assert_live(&engines[0], 0).await;
            let status = engines[0].status().unwrap();
            assert!(status.free_bytes * 4 > status.capacity_bytes * 3, "{status:?}");
        }
    });
}

/// The first object of a bucket, put by hand.
async fn put(engine: &SimEngine, key: &[u8], content: Content) {
    let bucket = Work::new().bucket(engine).await;
    let body = send(engine, content).await.unwrap();
    engine.publish(&bucket, key, body, meta(content, 0), Condition::default()).await.unwrap();
}

fn meta(content: Content, number: u64) -> ObjectMeta {
    let header = Metadata { name: "x-amz-meta-number".to_owned(), value: number.to_string().into_bytes() };
    let etag = Etag { md5: content.md5(), parts: 0 };
    ObjectMeta { etag, checksum: None, metadata: vec![header] }
}

#[test]
fn a_copy_onto_itself_changes_its_metadata_only() {
    let rig = Rig::flash("1+1", 2, 64 << 20);
    life(&rig, 3, |engines| async move {
        let engine = &engines[0];
        let content = Content { seed: 5, length: 200_000 };
        put(engine, b"key", content).await;
        let bucket = engine.bucket(BUCKET).unwrap();
        for number in 1..20 {
            let object = engine.lookup(&bucket, b"key").await.unwrap().unwrap();
            let copied = engine.copy(&object, &bucket, b"key", meta(content, number), Condition::default());
            assert!(copied.await.unwrap().replaced);
            let object = engine.lookup(&bucket, b"key").await.unwrap().unwrap();
            let seen = view(engine, &object, None).await.unwrap();
            assert_eq!((seen.metadata, seen.size), (number, content.length));
            assert!(seen.bytes == content.all());
        }
        assert_live(engine, content.length).await;
        assert_eq!(engine.delete(&bucket, b"key", Condition::default()).await, Ok(true));
        assert_live(engine, 0).await;
    });
}

#[test]
fn a_refused_copy_leaves_nothing() {
    let rig = Rig::flash("1+1", 2, 64 << 20);
    life(&rig, 4, |engines| async move {
        let engine = &engines[0];
        let (content, other) = (Content { seed: 5, length: 200_000 }, Content { seed: 6, length: 100_000 });
        put(engine, b"key", content).await;
        put(engine, b"other", other).await;
        let bucket = engine.bucket(BUCKET).unwrap();
        let absent = Condition { if_match: None, if_none_match: Some(EtagMatch::Any) };
        for _ in 0..5 {
            let object = engine.lookup(&bucket, b"key").await.unwrap().unwrap();
            let copied = engine.copy(&object, &bucket, b"other", meta(content, 1), absent.clone()).await;
            assert_eq!(copied.map(|_| ()), Err(EngineError::PreconditionFailed));
        }
        assert_live(engine, content.length + other.length).await;
        assert_eq!(engine.delete(&bucket, b"key", Condition::default()).await, Ok(true));
        assert_live(engine, other.length).await;
    });
}

#[test]
fn a_source_that_was_replaced_is_copied_as_it_was_looked_up() {
    let rig = Rig::flash("2+1", 3, 64 << 20);
    life(&rig, 2, |engines| async move {
        let engine = &engines[0];
        let (old, new) = (Content { seed: 5, length: 200_000 }, Content { seed: 6, length: 100_000 });
        put(engine, b"key", old).await;
        let bucket = engine.bucket(BUCKET).unwrap();
        let object = engine.lookup(&bucket, b"key").await.unwrap().unwrap();
        put(engine, b"key", new).await;
        engine.copy(&object, &bucket, b"copy", meta(old, 1), Condition::default()).await.unwrap();
        drop(object);
        let copy = engine.lookup(&bucket, b"copy").await.unwrap().unwrap();
        assert!(view(engine, &copy, None).await.unwrap().bytes == old.all());
        drop(copy);
        assert_live(engine, old.length + new.length).await;
    });
}

#[test]
fn a_reader_goes_on_when_the_last_sharer_is_gone() {
    let rig = Rig::flash("2+1", 3, 64 << 20);
    life(&rig, 3, |engines| async move {
        let engine = &engines[0];
        let content = Content { seed: 5, length: 900_000 };
        put(engine, b"key", content).await;
        let bucket = engine.bucket(BUCKET).unwrap();
        let source = engine.lookup(&bucket, b"key").await.unwrap().unwrap();
        engine.copy(&source, &bucket, b"copy", meta(content, 1), Condition::default()).await.unwrap();
        drop(source);
        let shared = engine.lookup(&bucket, b"copy").await.unwrap().unwrap();
        for key in [b"key".as_slice(), b"copy"] {
            assert_eq!(engine.delete(&bucket, key, Condition::default()).await, Ok(true));
        }
        settle(engine).await;
        for seed in 0..20 {
            put(engine, format!("more/{seed}").as_bytes(), Content { seed: 100 + seed, length: 900_000 })
                .await;
        }
        assert!(view(engine, &shared, None).await.unwrap().bytes == content.all());
    });
}

/// Forty parts: more than a record lists, over more extents than it holds.
#[test]
fn a_copy_of_a_multipart_object_keeps_its_parts() {
    const PARTS: u16 = 40;
    let rig = Rig::flash("2+1", 3, 96 << 20);
    let content = |number: u16| Content { seed: u64::from(number), length: 90_000 + u64::from(number) };
    life(&rig, 3, move |engines| async move {
        let engine = &engines[0];
        let bucket = Work::new().bucket(engine).await;
        let id = engine.create_upload(&bucket, b"made", UploadInit::default()).await.unwrap();
        let mut named = Vec::new();
        for number in 1..=PARTS {
            let (content, engine) = (content(number), &engines[usize::from(number % 3)]);
            let body = send(engine, content).await.unwrap();
            engine.put_part(&bucket, b"made", id, number, body, content.md5(), None).await.unwrap();
            named.push(NamedPart { number, md5: content.md5() });
        }
        let etag = Etag { md5: [9; 16], parts: u32::from(PARTS) };
        let meta = ObjectMeta { etag, checksum: None, metadata: Vec::new() };
        let made = engine.complete_upload(&bucket, b"made", id, named, meta.clone(), Condition::default());
        made.await.unwrap();
        let bytes: u64 = (1..=PARTS).map(|number| content(number).length).sum();
        let source = engine.lookup(&bucket, b"made").await.unwrap().unwrap();
        engine.copy(&source, &bucket, b"copy", meta, Condition::default()).await.unwrap();
        drop(source);
        assert_live(engine, bytes).await;
        assert_eq!(engine.delete(&bucket, b"made", Condition::default()).await, Ok(true));
        assert_live(engine, bytes).await;
        let copy = engine.lookup(&bucket, b"copy").await.unwrap().unwrap();
        assert_eq!((copy.size(), copy.etag().parts), (bytes, u32::from(PARTS)));
        let part = engine.object_part(&copy, 33).await.unwrap().unwrap();
        assert_eq!((part.size, part.count), (content(33).length, u32::from(PARTS)));
        let seen = view(engine, &copy, Some(part.offset..part.offset + part.size)).await.unwrap();
        assert!(seen.bytes == content(33).all());
        drop(copy);
        assert_eq!(engine.delete(&bucket, b"copy", Condition::default()).await, Ok(true));
        assert_live(engine, 0).await;
    });
}

/// Too many devices die in the middle of copying: what was not acknowledged is there wholly or not at all when they are
/// back, and whatever steps it had got to, nothing leaks.
#[test]
fn what_a_refused_log_leaves_is_cleared_up() {
    let habits = Habits { operations: 100, keys: 6, copies: 5, deletes: 2, size_max: 150_000 };
    for seed in 0..40_u64 {
        eprintln!("seed {seed}");
        let rig = Rig::flash("2+1", 4, 96 << 20);
        let work = Work::new();
        let (own, disks) = (work.clone(), rig.disks.clone());
        life(&rig, 1 + u16::try_from(seed % 4).unwrap(), move |engines| {
            let (work, disks) = (own.clone(), disks.clone());
            async move {
                work.bucket(&engines[0]).await;
                let load = work.run(&engines, seed, 4, habits);
                let loss = async {
                    engines[0].runtime().sleep(Duration::from_micros(10_000 + 1300 * seed)).await;
                    disks.iter().take(3).for_each(|disk| disk.set_dead(true));
                };
                futures_util::future::join(load, loss).await;
                assert!(
                    !work.take_failures().is_empty(),
                    "seed {seed}: the load ended before the devices did"
                );
            }
        });
        rig.disks.iter().for_each(|disk| disk.set_dead(false));
        life(&rig, 2, move |engines| {
            let work = work.clone();
            async move {
                work.verify(&engines).await;
                work.empty(&engines[0]).await;
                // What the refused batches left is found at the start, in the background.
                engines[0].runtime().sleep(Duration::from_secs(5)).await;
                assert_live(&engines[0], 0).await;
            }
        });
    }
}

/// Many clients copy, overwrite and delete the same few keys at once.
#[test]
fn racing_copies_lose_nothing_and_leak_nothing() {
    let habits = Habits { operations: 40, keys: 5, copies: 5, deletes: 2, size_max: 200_000 };
    for cores in [1, 2, 5] {
        let rig = Rig::flash("1+1", 3, 96 << 20);
        life(&rig, cores, move |engines| async move {
            let work = Work::new();
            work.bucket(&engines[0]).await;
            work.run(&engines, u64::from(cores), 10, habits).await;
            assert_eq!(work.take_failures(), vec![]);
            work.verify(&engines).await;
            work.empty(&engines[0]).await;
            assert_live(&engines[0], 0).await;
        });
    }
}
