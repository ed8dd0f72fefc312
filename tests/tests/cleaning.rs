//! Groups that are partly dead give their space back: their live bodies are moved, whatever clients do meanwhile and
//! whenever the power goes, and nobody sees anything of it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may fail where it stands, and says where it is"
)]

use ashlar_engine::error::EngineError;
use ashlar_engine::runtime::sim::{CutAt, DiskSnapshot, FaultPlan, Loss, Outcome, Pick};
use ashlar_engine::runtime::{Runtime as _, TaskQueue};
use ashlar_engine::types::{Condition, Etag, Metadata, NamedPart, ObjectMeta, UploadInit};
use ashlar_engine::{CleaningStatus, Object};
use ashlar_tests::driver::{send, view};
use ashlar_tests::load::{BUCKET, Habits, Work, settle};
use ashlar_tests::model::{Content, Tag};
use ashlar_tests::rig::{Boot, Ended, Rig, SimEngine};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// What an empty store may still hold: its index and its last checkpoint.
const EMPTY_BYTES: u64 = 64 << 10;

const LOSSES: [Loss; 6] =
    [Loss::DropAll, Loss::KeepAll, Loss::Random, Loss::Torn, Loss::Prefix, Loss::Process];

fn life<F: Future<Output = ()> + 'static>(
    rig: &Rig,
    boot: &Boot,
    work: &Work,
    scenario: impl Fn(Vec<SimEngine>, Work) -> F + 'static,
) -> Ended {
    let work = work.clone();
    rig.boot(boot, move |engines| scenario(engines, work.clone()))
}

fn on(cores: u16) -> Boot {
    Boot { seed: u64::from(cores), cores, ..Boot::default() }
}

fn cleaning(engine: &SimEngine) -> CleaningStatus {
    engine.status().unwrap().cleaning
}

fn name(number: u64) -> Vec<u8> {
    format!("key/{number}").into_bytes()
}

/// As the front end puts: at the door it waits for space.
async fn put(engine: &SimEngine, work: &Work, number: u64, content: Content) -> bool {
    engine.wait_for_space().await;
    work.put(engine, &name(number), content).await
}

/// A body of a declared length, as nearly all are; the others take whole rows, which only moving makes dense.
fn declared(number: u64, length: u64) -> Content {
    Content { seed: number * 3 + 1, length }
}

/// Puts `count` objects of `length`; all of them are to be taken.
async fn fill(engines: &[SimEngine], work: &Work, count: u64, length: u64) {
    for (number, engine) in (0..count).zip(engines.iter().cycle()) {
        let taken = put(engine, work, number, declared(number, length)).await;
        let status = engine.status();
        assert!(taken, "{number} of {count}: {:?} {status:?}", work.take_failures());
    }
}

/// How many objects of `length` make `percent` of the pool.
fn share(engine: &SimEngine, length: u64, percent: u64) -> u64 {
    (engine.status().unwrap().capacity_bytes * percent).div_ceil(100 * length)
}

/// Bytes that live once all is settled.
async fn live(engine: &SimEngine) -> u64 {
    settle(engine).await;
    engine.status().unwrap().live_bytes
}

/// Several writers overwrite objects at random, all at once; how many of their puts were refused.
async fn overwrite(engines: &[SimEngine], work: &Work, objects: u64, puts: u64, length: u64) -> u64 {
    let refused = Rc::new(Cell::new(0));
    let writers: Vec<_> = (0..4_u64)
        .zip(engines.iter().cycle())
        .map(|(writer, engine)| {
            let (to, done) = ashlar_engine::sync::answer();
            let (engine, work, refused) = (engine.clone(), work.clone(), Rc::clone(&refused));
            engine.clone().runtime().spawn(TaskQueue::Foreground, async move {
                let mut random = ChaCha8Rng::seed_from_u64(writer);
                for turn in 0..puts.div_ceil(4) {
                    let number = random.random_range(0..objects);
                    let content = declared(1_000_000 + turn * 4 + writer, length);
                    if !put(&engine, &work, number, content).await {
                        refused.set(refused.get() + 1);
                    }
                }
                to.send(());
            });
            done
        })
        .collect();
    futures_util::future::join_all(writers).await;
    let failures = work.take_failures();
    assert!(failures.iter().all(|error| *error == EngineError::Full), "{failures:?}");
    refused.get()
}

/// A pool with so much live data is written over at random, twice.
fn written_over(shape: &'static str, (disks, bytes): (usize, u64), cores: u16, length: u64, percent: u64) {
    let rig = Rig::flash(shape, disks, bytes);
    let work = Work::new();
    let ended = life(&rig, &on(cores), &work, move |engines, work| async move {
        work.bucket(&engines[0]).await;
        let objects = share(&engines[0], length, percent);
        fill(&engines, &work, objects, length).await;
        let before = cleaning(&engines[0]);
        println!("after filling: {before:?}");
        let refused = overwrite(&engines, &work, objects, 2 * objects, length).await;
        let done = cleaning(&engines[0]);
        println!("{shape} of {length} on {cores} cores: {objects} objects, {refused} refused, {done:?}");
        assert!(refused * 100 <= 2 * objects, "{refused} of {} puts refused: {done:?}", 2 * objects);
        assert!(done.groups > 5, "{done:?}");
        assert_eq!(work.verify(&engines).await, usize::try_from(objects).unwrap());
        let bodies = objects * length;
        let live = live(&engines[0]).await;
        assert!((bodies..bodies + bodies.div_ceil(20)).contains(&live), "{live} live, {bodies} in bodies");
        work.empty(&engines[0]).await;
        settle(&engines[0]).await;
        let status = engines[0].status().unwrap();
        // The index still holds what says that so many keys are gone.
        assert!(status.live_bytes < MIB, "{status:?}");
        // Each core has four groups open.
        assert!(status.free_bytes * 10 > status.capacity_bytes * 7, "{status:?}");
    });
    ended.assert_finished();
}

#[test]
fn random_overwrites_of_a_pool_that_is_nearly_full_go_on() {
    written_over("1+1", (2, 320 * MIB), 1, 250_000, 80);
    // Of so few groups the reserves take more.
    written_over("4+2", (6, 128 * MIB), 1, 256 << 10, 70);
    written_over("2+1", (4, 96 * MIB), 3, 150_000, 60);
}

#[test]
fn random_overwrites_of_bodies_in_the_log_go_on() {
    written_over("2+1", (3, 96 * MIB), 2, 64_000, 60);
}

#[test]
fn overwriting_in_turn_needs_hardly_any_moving() {
    let rig = Rig::flash("2+1", 3, 96 * MIB);
    life(&rig, &on(1), &Work::new(), |engines, work| async move {
        const LENGTH: u64 = 200_000;
        work.bucket(&engines[0]).await;
        let objects = share(&engines[0], LENGTH, 75);
        fill(&engines, &work, objects, LENGTH).await;
        for turn in 1..4 {
            for number in 0..objects {
                let content = declared(turn * 100_000 + number, LENGTH);
                assert!(put(&engines[0], &work, number, content).await, "{:?}", cleaning(&engines[0]));
            }
        }
        let done = cleaning(&engines[0]);
        assert!(done.bytes * 4 < 2 * objects * LENGTH, "groups die as a whole: {done:?}");
        work.verify(&engines).await;
    })
    .assert_finished();
}

#[test]
fn nothing_is_cleaned_for_nothing() {
    // A pool that is mostly empty, and one that is full of live data.
    for percent in [30, 100] {
        let rig = Rig::flash("2+1", 3, 64 * MIB);
        life(&rig, &on(2), &Work::new(), move |engines, work| async move {
            work.bucket(&engines[0]).await;
            for number in 0..share(&engines[0], 300_000, percent) {
                put(&engines[0], &work, number, declared(number, 300_000)).await;
            }
            let failures = work.take_failures();
            assert!(failures.iter().all(|error| *error == EngineError::Full), "{failures:?}");
            assert_eq!(failures.is_empty(), percent == 30);
            engines[0].runtime().sleep(Duration::from_secs(5)).await;
            let (before, checkpoints) = (cleaning(&engines[0]), engines[0].status().unwrap().checkpoints);
            engines[0].runtime().sleep(Duration::from_secs(1000)).await;
            assert_eq!(cleaning(&engines[0]), before);
            assert_eq!(engines[0].status().unwrap().checkpoints, checkpoints, "a quiet pool is left alone");
            assert!(!before.is_active && before.bytes < 20 * MIB, "{before:?}");
            // A writer is told at once, and not after ten seconds.
            let asked = engines[0].runtime().now();
            engines[0].wait_for_space().await;
            assert!(engines[0].runtime().now().since(asked) < Duration::from_secs(1));
            work.verify(&engines).await;
        })
        .assert_finished();
    }
}

/// Everything that has a body, with what is to be seen of it.
struct Zoo {
    seen: Vec<(Vec<u8>, Content, Etag, u64, u64)>,
    parts: Vec<Content>,
    upload: ashlar_engine::types::UploadId,
}

fn meta(content: Content, number: u64) -> ObjectMeta {
    let header = Metadata { name: "x-amz-meta-number".to_owned(), value: number.to_string().into_bytes() };
    let etag = Etag { md5: content.md5(), parts: 0 };
    ObjectMeta { etag, checksum: None, metadata: vec![header] }
}

async fn object(engine: &SimEngine, key: &[u8]) -> Object {
    let bucket = engine.bucket(BUCKET).unwrap();
    engine.lookup(&bucket, key).await.unwrap().unwrap()
}

async fn put_object(engine: &SimEngine, key: &[u8], content: Content) {
    let bucket = engine.bucket(BUCKET).unwrap();
    let body = send(engine, content).await.unwrap();
    let meta = meta(content, content.seed);
    Box::pin(engine.publish(&bucket, key, body, meta, Condition::default())).await.unwrap();
}

/// An object of many parts, whose table of parts is a page, and whose extents are in pages.
async fn put_parts(engine: &SimEngine, key: &[u8], parts: &[Content]) {
    let bucket = engine.bucket(BUCKET).unwrap();
    let id = engine.create_upload(&bucket, key, UploadInit::default()).await.unwrap();
    let mut named = Vec::new();
    for (number, content) in (1..).zip(parts) {
        let body = send(engine, *content).await.unwrap();
        engine.put_part(&bucket, key, id, number, body, content.md5(), None).await.unwrap();
        named.push(NamedPart { number, md5: content.md5() });
    }
    let md5s: Vec<[u8; 16]> = parts.iter().map(Content::md5).collect();
    let tag = Tag::of_parts(&md5s);
    let etag = Etag { md5: tag.md5, parts: u32::from(tag.part_count) };
    let meta = ObjectMeta { etag, ..meta(parts[0], 99) };
    engine.complete_upload(&bucket, key, id, named, meta, Condition::default()).await.unwrap();
}

/// Beside bodies that are to die: half of what is in every group.
async fn put_zoo(engines: &[SimEngine]) -> Zoo {
    let engine = &engines[0];
    let bucket = Work::new().bucket(engine).await;
    let mut contents = Vec::new();
    let parts: Vec<Content> = (0..40).map(|part| Content { seed: 300 + part, length: 70_000 }).collect();
    put_parts(engine, b"parts", &parts).await;
    let upload = engine.create_upload(&bucket, b"unfinished", UploadInit::default()).await.unwrap();
    for (number, length) in [(1, 400_000), (2, 100)] {
        let content = Content { seed: 500 + u64::from(number), length };
        let body = send(engine, content).await.unwrap();
        engine.put_part(&bucket, b"unfinished", upload, number, body, content.md5(), None).await.unwrap();
    }
    for round in 0..8 {
        for (kind, length) in [3000, 60_000, 90_000, 700_000, 5_000_000].into_iter().enumerate() {
            // In rows of one core's groups each.
            let engine = &engines[kind % engines.len()];
            let kept = Content { seed: round * 10 + kind as u64, length };
            put_object(engine, format!("kept/{round}/{kind}").as_bytes(), kept).await;
            contents.push((format!("kept/{round}/{kind}").into_bytes(), kept));
            let other = Content { seed: 1000 + kept.seed, length };
            put_object(engine, format!("other/{round}/{kind}").as_bytes(), other).await;
        }
    }
    for (source, target) in [("kept/0/3", "copy/a"), ("copy/a", "copy/b"), ("kept/1/4", "copy/c")] {
        let source = object(engine, source.as_bytes()).await;
        let meta =
            ObjectMeta { etag: source.etag().clone(), checksum: None, metadata: source.metadata().to_vec() };
        engine.copy(&source, &bucket, target.as_bytes(), meta, Condition::default()).await.unwrap();
    }
    contents.push((b"copy/a".to_vec(), contents[3].1));
    contents.push((b"copy/b".to_vec(), contents[3].1));
    contents.push((b"copy/c".to_vec(), contents[9].1));
    let mut seen = Vec::new();
    for (key, content) in contents {
        let found = object(engine, &key).await;
        seen.push((key, content, found.etag().clone(), found.modified().0, content.seed));
    }
    for round in 0..8 {
        for kind in 0..5 {
            let key = format!("other/{round}/{kind}");
            assert!(engine.delete(&bucket, key.as_bytes(), Condition::default()).await.unwrap());
        }
    }
    Zoo { seen, parts, upload }
}

async fn check_zoo(engines: &[SimEngine], zoo: &Zoo) {
    for ((key, content, etag, modified, number), engine) in zoo.seen.iter().zip(engines.iter().cycle()) {
        let key_name = String::from_utf8_lossy(key).into_owned();
        let found = object(engine, key).await;
        assert_eq!((found.etag(), found.modified().0), (etag, *modified), "{key_name}");
        let seen = view(engine, &found, None).await.unwrap_or_else(|error| panic!("{key_name}: {error}"));
        assert_eq!((seen.metadata, seen.size), (*number, content.length), "{key_name}");
        assert!(seen.bytes == content.all(), "bytes of {key_name}");
        let middle = content.length.div_euclid(3)..content.length.div_euclid(2);
        let part = view(engine, &found, Some(middle.clone())).await.unwrap();
        assert!(part.bytes == content.bytes(middle), "a range of {key_name}");
    }
    let found = object(&engines[0], b"parts").await;
    let whole = view(&engines[0], &found, None).await.unwrap();
    let expected: Vec<u8> = zoo.parts.iter().flat_map(Content::all).collect();
    assert!(whole.bytes == expected, "bytes of parts");
    for (number, content) in (1..).zip(&zoo.parts) {
        let part = engines[0].object_part(&found, number).await.unwrap().unwrap();
        assert_eq!((part.size, part.count), (content.length, 40), "part {number}");
    }
}

/// Moves what can be moved, again and again; how many groups there are in the end.
async fn clean_all(engine: &SimEngine, rounds: u32) {
    for _ in 0..rounds {
        assert_eq!(engine.clean().await, Ok(()));
        engine.runtime().sleep(Duration::from_secs(1)).await;
    }
}

#[test]
fn everything_that_has_a_body_is_moved_and_stays_what_it_is() {
    for (shape, disks, cores) in [("2+1", 3, 1), ("4+2", 7, 3), ("1+1", 2, 2)] {
        let rig = Rig::flash(shape, disks, 256 * MIB);
        let work = Work::new();
        let ended = life(&rig, &on(cores), &work, |engines, _| async move {
            let zoo = Box::pin(put_zoo(&engines)).await;
            let before = live(&engines[0]).await;
            let free = engines[0].status().unwrap().free_bytes;
            clean_all(&engines[0], 6).await;
            let done = cleaning(&engines[0]);
            println!("{done:?}");
            assert_eq!((done.set_aside, done.dropped), (0, 0), "{done:?}");
            assert!(done.bytes * 3 > before, "most groups were half dead: {done:?}, {before} live");
            let status = engines[0].status().unwrap();
            assert!(status.free_bytes > free, "{free} bytes were free, {status:?}");
            // Pages of the index and extent pages come and go; bodies count as before.
            let after = live(&engines[0]).await;
            assert!(after.abs_diff(before) < EMPTY_BYTES, "{before} bytes lived, now {after}");
            check_zoo(&engines, &zoo).await;
            // The upload goes on with its moved parts.
            let bucket = engines[0].bucket(BUCKET).unwrap();
            let named = [1, 2].map(|number| NamedPart {
                number,
                md5: Content {
                    seed: 500 + u64::from(number),
                    length: [400_000, 100][usize::from(number) - 1],
                }
                .md5(),
            });
            let meta = meta(Content { seed: 1, length: 1 }, 7);
            engines[0]
                .complete_upload(
                    &bucket,
                    b"unfinished",
                    zoo.upload,
                    named.to_vec(),
                    meta,
                    Condition::default(),
                )
                .await
                .unwrap();
            let made = object(&engines[0], b"unfinished").await;
            let bytes = view(&engines[0], &made, None).await.unwrap().bytes;
            let first = Content { seed: 501, length: 400_000 };
            assert!(bytes[..400_000] == first.all() && bytes.len() == 400_100);
            // Everything is let go of by what it is now.
            let query = ashlar_engine::types::ListQuery { max: 1000, ..Default::default() };
            for entry in engines[0].list(&bucket, query).await.unwrap().entries {
                assert!(engines[0].delete(&bucket, entry.name(), Condition::default()).await.unwrap());
            }
            let left = live(&engines[0]).await;
            assert!(left < EMPTY_BYTES, "{left} bytes live in an empty store");
        });
        ended.assert_finished();
    }
}

#[test]
fn what_was_moved_is_found_after_a_crash_and_with_other_cores() {
    let rig = Rig::flash("2+2", 5, 256 * MIB);
    let zoo = Rc::new(std::cell::RefCell::new(None));
    let own = Rc::clone(&zoo);
    let ended = rig.boot(&on(2), move |engines| {
        let zoo = Rc::clone(&own);
        async move {
            let made = Box::pin(put_zoo(&engines)).await;
            // The last moves stand in the log only.
            clean_all(&engines[0], 1).await;
            check_zoo(&engines, &made).await;
            zoo.replace(Some(made));
        }
    });
    ended.assert_finished();
    for (cores, unplugged) in [(3, vec![]), (1, vec![1, 4]), (4, vec![])] {
        let own = Rc::clone(&zoo);
        let boot = Boot { unplugged, ..on(cores) };
        let ended = rig.boot(&boot, move |engines| {
            let zoo = own.borrow_mut().take().unwrap();
            let own = Rc::clone(&own);
            async move {
                check_zoo(&engines, &zoo).await;
                clean_all(&engines[0], 2).await;
                check_zoo(&engines, &zoo).await;
                own.replace(Some(zoo));
            }
        });
        ended.assert_finished();
    }
}

/// What is there to be moved while the power may go: overwritten at random, a copy, parts.
async fn half_dead(engines: Vec<SimEngine>, work: Work) {
    work.bucket(&engines[0]).await;
    for round in 0..2_u64 {
        for number in 0..12 {
            // The second time every other one: each group keeps something.
            if round == 0 || number % 2 == 0 {
                let length = [90_000, 150_000, 30_000, 400_000][usize::try_from(number % 4).unwrap()];
                let content = Content { seed: round * 100 + number, length };
                assert!(work.put(&engines[0], &name(number), content).await);
            }
        }
    }
    assert!(work.copy(&engines[0], &name(1), b"key/copy").await);
    // Too many extents for a record.
    assert!(work.put(&engines[0], b"key/tree", Content { seed: 7, length: 1_500_000 }).await);
    work.multipart(&engines[0], b"key/parts", Content { seed: 8, length: 200_000 }, false).await;
    assert!(work.put(&engines[0], &name(3), Content { seed: 9, length: 400_000 }).await);
    settle(&engines[0]).await;
}

/// The power goes at every write of two passes, and once more at some write of the life after.
fn cut_while_cleaning(shape: &str, disks: usize, cores: u16, stride: usize) {
    let rig = Rig::flash(shape, disks, 64 * MIB);
    let work = Work::new();
    life(&rig, &on(cores), &work, half_dead).assert_finished();
    let fresh: Vec<DiskSnapshot> = rig.disks.iter().map(|disk| disk.snapshot()).collect();
    let restore = || rig.disks.iter().zip(&fresh).for_each(|(disk, snapshot)| disk.restore(snapshot));
    let clean = |boot: &Boot| {
        life(&rig, boot, &Work::new(), |engines, _| async move {
            clean_all(&engines[0], 2).await;
            println!("{:?}", cleaning(&engines[0]));
        })
    };
    let whole = clean(&on(cores));
    whole.assert_finished();
    assert!(whole.writes > 60, "something is moved: {} writes", whole.writes);
    restore();
    let mut moments = 0;
    for (number, position) in (1..=whole.writes).zip(0_usize..).step_by(stride) {
        for (cut, turn) in [(CutAt::Write(number), 0), (CutAt::InsideWrite(number), 1)] {
            restore();
            let loss = LOSSES[(position + turn) % LOSSES.len()];
            let what = format!("{shape} on {cores} cores: {cut:?} {loss:?}");
            let ended = clean(&Boot { cut: Some(cut), loss, ..on(cores) });
            assert!(matches!(ended.outcome, Outcome::PowerCut { .. }), "{what}: {:?}", ended.outcome);
            let again = CutAt::InsideWrite(10 + number % 90);
            let ended = clean(&Boot { cut: Some(again), loss, ..on(cores + 1) });
            let is_cut = matches!(ended.outcome, Outcome::PowerCut { .. } | Outcome::Finished);
            assert!(is_cut && ended.error.is_none(), "{what}, {again:?}: {:?}", ended.outcome);
            // And without a device: the copies have all their parity.
            let unplugged = vec![position % disks];
            let boot = Boot { unplugged, ..on([cores, 1][position % 2]) };
            let own = work.clone();
            let ended = life(&rig, &boot, &own, |engines, work| async move {
                let count = work.verify(&engines).await;
                assert_eq!(count, 15, "objects");
                clean_all(&engines[0], 1).await;
                work.verify(&engines).await;
            });
            assert_eq!(ended.outcome, Outcome::Finished, "{what}, then {again:?}");
            assert_eq!(ended.report.map(|report| report.rows_lost), Some(0), "{what}");
            moments += 1;
        }
    }
    println!("{shape} on {cores} cores: {moments} cuts in {} writes", whole.writes);
}

#[test]
fn a_cut_at_every_write_of_cleaning_with_one_core() {
    cut_while_cleaning("1+1", 3, 1, 1);
}

#[test]
fn a_cut_at_many_writes_of_cleaning_with_a_wide_code() {
    cut_while_cleaning("4+2", 6, 2, 4);
}

/// Clients that put, delete, copy and make objects of parts, while every pass is followed by the next.
fn clients_meanwhile(seed: u64, shape: &str, disks: usize, cores: u16, unplugged: &[usize]) {
    let rig = Rig::flash(shape, disks, 256 * MIB);
    let work = Work::new();
    let passes = Rc::new(Cell::new(0));
    for round in 0..3 {
        let seen = Rc::clone(&passes);
        let unplugged = if round == 0 { Vec::new() } else { unplugged.to_vec() };
        let boot = Boot { seed: seed * 10 + round, cores, unplugged, ..Boot::default() };
        let ended = life(&rig, &boot, &work, move |engines, work| {
            let seen = Rc::clone(&seen);
            async move {
                work.bucket(&engines[0]).await;
                work.verify(&engines).await;
                let stop = Rc::new(Cell::new(false));
                let stopping = Rc::clone(&stop);
                let cleaner = engines[0].clone();
                let cleaning_on = async move {
                    while !stopping.get() {
                        cleaner.clean().await.unwrap();
                        cleaner.runtime().sleep(Duration::from_millis(1)).await;
                    }
                };
                let habits = Habits { operations: 60, keys: 25, copies: 2, deletes: 2, size_max: 2_000_000 };
                let load = async {
                    work.run(&engines, seed * 100 + round, 6, habits).await;
                    stop.set(true);
                };
                futures_util::future::join(cleaning_on, load).await;
                assert_eq!(work.take_failures(), vec![], "nothing fails");
                let done = cleaning(&engines[0]);
                println!("seed {seed} round {round}: {done:?}");
                seen.set(seen.get() + done.records);
                work.verify(&engines).await;
            }
        });
        ended.assert_finished();
    }
    assert!(passes.get() > 30, "{} records were moved", passes.get());
    let ended = life(&rig, &on(2), &work, |engines, work| async move {
        work.verify(&engines).await;
        work.empty(&engines[0]).await;
        let left = live(&engines[0]).await;
        assert!(left < EMPTY_BYTES, "{left} bytes live in an empty store");
        let status = engines[0].status().unwrap();
        assert!(status.free_bytes * 10 > status.capacity_bytes * 8, "{status:?}");
    });
    ended.assert_finished();
}

#[test]
fn clients_see_nothing_of_it() {
    for seed in 1..4 {
        clients_meanwhile(seed, "2+1", 4, 3, &[]);
    }
    clients_meanwhile(5, "1+1", 2, 1, &[]);
}

#[test]
fn clients_see_nothing_of_it_with_devices_missing() {
    clients_meanwhile(7, "2+2", 5, 2, &[1]);
    clients_meanwhile(8, "4+2", 6, 2, &[0, 3]);
}

#[test]
fn a_slow_reader_goes_on_where_the_bytes_are_now() {
    const LENGTH: u64 = 6_000_000;
    for copied in [false, true] {
        let rig = Rig::flash("2+1", 3, 96 * MIB);
        life(&rig, &on(2), &Work::new(), move |engines, work| async move {
            let engine = &engines[0];
            let bucket = work.bucket(engine).await;
            let slow = Content { seed: 7, length: LENGTH };
            put_object(engine, b"slow", slow).await;
            for number in 0..20 {
                assert!(put(engine, &work, number, Content { seed: number, length: 300_000 }).await);
            }
            let source = object(engine, b"slow").await;
            if copied {
                let target = engine.copy(&source, &bucket, b"other", meta(slow, 1), Condition::default());
                target.await.unwrap();
            }
            drop(source);
            for number in 0..20 {
                assert!(work.delete(engine, &name(number)).await);
            }
            let read = object(engine, if copied { b"other" } else { b"slow" }).await;
            let mut reader = engine.read(&read, 0..LENGTH);
            let mut bytes = reader.next().await.unwrap().unwrap().bytes().to_vec();
            // Everything is moved twice, so that nothing is where it was, and what it took is written over.
            for round in 0..3 {
                clean_all(engine, 2).await;
                let filler = share(engine, 300_000, 50);
                for number in 0..filler {
                    let content = Content { seed: 1000 * round + number, length: 300_000 };
                    put(engine, &work, 100 + number, content).await;
                }
                for number in 0..filler {
                    work.delete(engine, &name(100 + number)).await;
                }
                engine.runtime().sleep(Duration::from_secs(6)).await;
                let slice = reader.next().await.unwrap().unwrap();
                bytes.extend_from_slice(slice.bytes());
                drop(slice);
                engine.runtime().sleep(Duration::from_secs(6)).await;
            }
            while let Some(slice) = reader.next().await.unwrap() {
                bytes.extend_from_slice(slice.bytes());
            }
            assert!(bytes == slow.all(), "{} bytes", bytes.len());
            assert!(work.take_failures().iter().all(|error| *error == EngineError::Full));
        })
        .assert_finished();
    }
}

/// A copy that is not what was read is no copy: devices that lose what they acknowledge.
#[test]
fn a_copy_that_cannot_be_read_back_takes_nobodys_place() {
    let rig = Rig::flash("2+1", 3, 64 * MIB);
    let work = Work::new();
    life(&rig, &on(1), &work, half_dead).assert_finished();
    let disks = rig.disks.clone();
    life(&rig, &on(1), &work, move |engines, work| {
        let disks = disks.clone();
        async move {
            disks[1].set_faults(FaultPlan { lost_writes: Pick::Always, ..FaultPlan::default() });
            clean_all(&engines[0], 3).await;
            disks[1].set_faults(FaultPlan::default());
            let done = cleaning(&engines[0]);
            assert!(done.passes > 0 && done.records == 0, "no copy was good: {done:?}");
            assert!(done.set_aside > 0, "{done:?}");
            work.verify(&engines).await;
            engines[0].runtime().sleep(Duration::from_secs(61)).await;
            clean_all(&engines[0], 3).await;
            assert!(cleaning(&engines[0]).records > 5, "{:?}", cleaning(&engines[0]));
            work.verify(&engines).await;
        }
    })
    .assert_finished();
}

#[test]
fn little_memory_and_many_requests_meanwhile() {
    let rig = Rig::flash("4+2", 6, 96 * MIB);
    let work = Work::new();
    let boot = Boot { arena_bytes: 8 << 20, reserve_bytes: 4 << 20, ..on(1) };
    life(&rig, &boot, &work, |engines, work| async move {
        const LENGTH: u64 = 400_000;
        work.bucket(&engines[0]).await;
        let objects = share(&engines[0], LENGTH, 60);
        fill(&engines, &work, objects, LENGTH).await;
        let (engine, own) = (&engines[0], &work);
        let reads = (0..60_u64).map(|reader| async move {
            for turn in 0..6 {
                let found = own.look(engine, &name((reader * 7 + turn) % objects)).await;
                assert!(found.is_ok(), "{found:?}");
            }
        });
        let reading = futures_util::future::join_all(reads);
        let writing = overwrite(&engines, &work, objects, objects, LENGTH);
        let (_, refused) = futures_util::future::join(reading, writing).await;
        assert!(refused * 20 <= objects, "{refused} refused: {:?}", cleaning(engine));
        work.verify(&engines).await;
    })
    .assert_finished();
}

#[test]
fn a_stop_does_not_wait_for_the_end_of_it() {
    let rig = Rig::flash("2+1", 3, 256 * MIB);
    let work = Work::new();
    let own = work.clone();
    life(&rig, &on(2), &own, |engines, work| async move {
        work.bucket(&engines[0]).await;
        fill(&engines, &work, 400, 200_000).await;
        for number in 0..400 {
            if number % 3 != 0 {
                assert!(work.delete(&engines[0], &name(number)).await);
            }
        }
        let (to, done) = ashlar_engine::sync::answer();
        let engine = engines[0].clone();
        engines[0].runtime().spawn(TaskQueue::Background, async move { to.send(engine.clean().await) });
        engines[0].runtime().sleep(Duration::from_millis(30)).await;
        assert_eq!(engines[0].shutdown().await, Ok(()));
        assert!(done.await.is_some());
    })
    .assert_finished();
    life(&rig, &on(2), &work, |engines, work| async move {
        assert_eq!(work.verify(&engines).await, 134);
    })
    .assert_finished();
}
