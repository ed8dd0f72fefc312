//! Bodies that take long: they keep the groups that they were written to and no others, and wait on their way for space
//! that is being made.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands, and says where it is")]

use ashlar_disk_format::chunk::header_bytes;
use ashlar_engine::error::EngineError;
use ashlar_engine::hash::{BodyDigests, BodyHasher, Ends, Lanes};
use ashlar_engine::runtime::Runtime as _;
use ashlar_engine::runtime::sim::SimRuntime;
use ashlar_engine::types::{Condition, Etag, NamedPart, ObjectMeta, UploadInit};
use ashlar_engine::{Body, BodyWriter};
use ashlar_tests::driver::view;
use ashlar_tests::load::{Work, settle};
use ashlar_tests::model::Content;
use ashlar_tests::rig::{Boot, Rig, SimEngine};
use std::time::Duration;

const DISK_BYTES: u64 = 24 << 20;
const SLOW: Content = Content { seed: 7, length: 3_000_000 };
const LENGTH: u64 = 900_000;

type SimWriter = BodyWriter<SimRuntime>;

fn on_a_small_pool<F: Future<Output = ()> + 'static>(scenario: fn(Vec<SimEngine>, Work) -> F) {
    for cores in [1, 2] {
        let rig = Rig::flash("2+1", 3, DISK_BYTES);
        let work = Work::new();
        let boot = Boot { seed: u64::from(cores), cores, ..Boot::default() };
        rig.boot(&boot, move |engines| scenario(engines, work.clone())).assert_finished();
    }
}

/// Puts until the pool is full; how many objects.
async fn fill(engines: &[SimEngine], work: &Work) -> u64 {
    for (number, engine) in (0..1000).zip(engines.iter().cycle()) {
        let content = Content { seed: 50 + number, length: LENGTH };
        if !work.put(engine, format!("fill/{number}").as_bytes(), content).await {
            assert_eq!(work.take_failures(), vec![EngineError::Full]);
            return number;
        }
    }
    panic!("the pool never gets full");
}

async fn delete(engine: &SimEngine, work: &Work, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert!(work.delete(engine, format!("fill/{number}").as_bytes()).await);
    }
}

/// Writes a part of a body.
async fn write(writer: &mut SimWriter, content: Content, range: std::ops::Range<u64>) {
    assert_eq!(writer.write(&content.bytes(range)).await, Ok(()));
}

fn meta() -> ObjectMeta {
    ObjectMeta { etag: Etag { md5: [0; 16], parts: 0 }, checksum: None, metadata: Vec::new() }
}

async fn publish(engine: &SimEngine, work: &Work, key: &[u8], body: Body) {
    let bucket = work.bucket(engine).await;
    engine.publish(&bucket, key, body, meta(), Condition::default()).await.unwrap();
}

async fn assert_stored(engine: &SimEngine, work: &Work, key: &[u8], content: Content) {
    let bucket = work.bucket(engine).await;
    let object = engine.lookup(&bucket, key).await.unwrap().unwrap();
    assert!(view(engine, &object, None).await.unwrap().bytes == content.all(), "the bytes that were sent");
}

/// The pool is filled and emptied three times while a body is on its way.
async fn others_come_and_go(engines: Vec<SimEngine>, work: Work) {
    let engine = &engines[0];
    work.bucket(engine).await;
    let mut writer = engine.begin_body(Some(SLOW.length)).unwrap();
    write(&mut writer, SLOW, 0..2_000_000).await;
    let first = fill(&engines, &work).await;
    assert!(first > 5, "{first}");
    for round in 0..3 {
        work.empty(engine).await;
        engine.runtime().sleep(Duration::from_secs(10)).await;
        let stored = fill(&engines, &work).await;
        assert!(stored * 2 >= first, "round {round}: room for {stored}, it was {first}");
    }
    work.empty(engine).await;
    engine.runtime().sleep(Duration::from_secs(10)).await;
    write(&mut writer, SLOW, 2_000_000..SLOW.length).await;
    publish(engine, &work, b"slow", writer.finish().await.unwrap()).await;
    fill(&engines, &work).await;
    assert_stored(engine, &work, b"slow", SLOW).await;
    assert_eq!(engine.checkpoint().await, Ok(()));
    assert_stored(engine, &work, b"slow", SLOW).await;
}

#[test]
fn a_slow_body_holds_up_its_own_groups_only() {
    on_a_small_pool(others_come_and_go);
}

/// The client of a body stalls behind its first row, while another body keeps its lanes from being full.
async fn a_stalled_body(engines: Vec<SimEngine>, work: Work) {
    let engine = &engines[0];
    work.bucket(engine).await;
    let arena = engine.runtime().arena();
    let (lanes, digests) = (Lanes::new(), || BodyDigests::new(false, false));
    let _absent = BodyHasher::new(&lanes, digests());
    let free = arena.available();
    let mut writer = engine.begin_body(Some(SLOW.length)).unwrap();
    assert!(writer.hash_with(&lanes, digests()).is_none());
    // Two whole rows of two chunks, and a byte of the third.
    let row = 2 * ((256 << 10) - header_bytes(3)) as u64;
    write(&mut writer, SLOW, 0..2 * row + 1).await;
    engine.runtime().sleep(Duration::from_secs(1)).await;
    assert_eq!(arena.available(), free - 3 * (256 << 10), "it holds the row that it fills, and no other");
    write(&mut writer, SLOW, 2 * row + 1..SLOW.length).await;
    let (body, digests) = writer.finish_hashed().await.unwrap();
    let mut digests = digests.unwrap();
    digests.take_alone(b"", Ends { body: true, chunk: false });
    assert_eq!(digests.md5(), SLOW.md5());
    publish(engine, &work, b"slow", body).await;
    assert_stored(engine, &work, b"slow", SLOW).await;
}

#[test]
fn a_stalled_body_holds_no_memory_but_of_the_row_it_fills() {
    on_a_small_pool(a_stalled_body);
}

/// A body of more extents than a record holds, whose last row ends with its group: the page of its extents comes to lie
/// in a group of its own.
fn with_a_page() -> Content {
    let chunk = |bytes: usize| u64::try_from(bytes - header_bytes(3)).unwrap();
    // To a segment of 1 MiB belong its header, three whole rows of two chunks, and what is left beside them.
    let (full, last) = (2 * chunk(256 << 10), 2 * chunk(252 << 10));
    Content { seed: 7, length: 6 * full + last }
}

/// As a part of an upload, which another core may own.
async fn a_slow_part(engines: Vec<SimEngine>, work: Work, content: Content) {
    let engine = &engines[0];
    let bucket = work.bucket(engine).await;
    let id = engine.create_upload(&bucket, b"parts", UploadInit::default()).await.unwrap();
    let mut writer = engine.begin_body(Some(content.length)).unwrap();
    write(&mut writer, content, 0..content.length).await;
    let body = writer.finish().await.unwrap();
    for _ in 0..2 {
        let stored = fill(&engines, &work).await;
        assert!(stored > 5, "{stored}");
        delete(engine, &work, 0..stored).await;
        engine.runtime().sleep(Duration::from_secs(10)).await;
    }
    let part = engine.put_part(&bucket, b"parts", id, 1, body, content.md5(), None).await.unwrap();
    assert_eq!(part.size, content.length);
    let stored = fill(&engines, &work).await;
    delete(engine, &work, 0..stored).await;
    engine.runtime().sleep(Duration::from_secs(10)).await;
    let named = vec![NamedPart { number: 1, md5: content.md5() }];
    engine.complete_upload(&bucket, b"parts", id, named, meta(), Condition::default()).await.unwrap();
    fill(&engines, &work).await;
    assert_stored(engine, &work, b"parts", content).await;
}

#[test]
fn a_finished_body_is_kept_until_it_is_a_part() {
    on_a_small_pool(|engines, work| a_slow_part(engines, work, SLOW));
    on_a_small_pool(|engines, work| a_slow_part(engines, work, with_a_page()));
}

/// A body takes most of the pool and is given up.
async fn given_up(engines: Vec<SimEngine>, work: Work) {
    let engine = &engines[0];
    work.bucket(engine).await;
    let large = Content { seed: 8, length: 10_000_000 };
    let mut writer = engine.begin_body(None).unwrap();
    write(&mut writer, large, 0..10_000_000).await;
    fill(&engines, &work).await;
    delete(engine, &work, 0..1).await;
    engine.runtime().sleep(Duration::from_secs(10)).await;
    drop(writer);
    // Nothing else happens that would make anyone count.
    engine.runtime().sleep(Duration::from_secs(10)).await;
    let other = Content { seed: 10, length: 8_000_000 };
    let mut writer = engine.begin_body(Some(other.length)).unwrap();
    write(&mut writer, other, 0..other.length).await;
    publish(engine, &work, b"other", writer.finish().await.unwrap()).await;
    assert_stored(engine, &work, b"other", other).await;
}

#[test]
fn the_groups_of_a_body_that_is_given_up_come_back() {
    on_a_small_pool(given_up);
}

/// A body needs more groups than there are, while a reader keeps the dead ones.
async fn on_its_way(engines: Vec<SimEngine>, work: Work) {
    let engine = engines[0].clone();
    let bucket = work.bucket(&engine).await;
    let stored = fill(&engines, &work).await;
    let full = engine.status().unwrap().free_bytes;
    delete(&engine, &work, 0..stored.div_euclid(2)).await;
    settle(&engine).await;
    let left = engine.status().unwrap().free_bytes - full;
    let reader = engine.lookup(&bucket, format!("fill/{}", stored - 1).as_bytes()).await.unwrap().unwrap();
    let large = Content { seed: 8, length: left + 4_000_000 };
    let mut writer = engine.begin_body(Some(large.length)).unwrap();
    delete(&engine, &work, stored.div_euclid(2)..stored).await;
    assert_eq!(engine.checkpoint().await, Ok(()));
    let began = engine.runtime().now();
    let clock = engine.runtime().clone();
    engine.runtime().spawn(ashlar_engine::runtime::TaskQueue::Foreground, async move {
        clock.sleep(Duration::from_secs(3)).await;
        drop(reader);
    });
    write(&mut writer, large, 0..large.length).await;
    let body = writer.finish().await.unwrap();
    let waited = engine.runtime().now().since(began);
    assert!(waited >= Duration::from_secs(3), "it had to wait: {waited:?}");
    publish(&engine, &work, b"large", body).await;
    assert_stored(&engine, &work, b"large", large).await;
}

#[test]
fn a_body_waits_on_its_way_for_space_that_is_being_made() {
    on_a_small_pool(on_its_way);
}

/// Nothing is being made: it is refused at once, and what it took comes back.
async fn hopeless(engines: Vec<SimEngine>, work: Work) {
    let engine = &engines[0];
    work.bucket(engine).await;
    let stored = fill(&engines, &work).await;
    delete(engine, &work, 0..stored.div_euclid(2)).await;
    settle(engine).await;
    let large = Content { seed: 8, length: 30_000_000 };
    let mut writer = engine.begin_body(Some(large.length)).unwrap();
    assert_eq!(writer.write(&large.all()).await, Err(EngineError::Full));
    drop(writer);
    engine.runtime().sleep(Duration::from_secs(20)).await;
    assert!(work.put(engine, b"other", Content { seed: 9, length: LENGTH }).await);
    work.verify(&engines).await;
}

#[test]
fn a_body_without_hope_is_refused_and_leaves_nothing() {
    on_a_small_pool(hopeless);
}

/// The engine ends while a body is on its way.
async fn the_end_comes(engines: Vec<SimEngine>, work: Work) {
    let engine = &engines[0];
    work.bucket(engine).await;
    let mut writer = engine.begin_body(None).unwrap();
    write(&mut writer, SLOW, 0..2_500_000).await;
    assert_eq!(engine.shutdown().await, Ok(()));
    let rest = writer.write(&SLOW.bytes(2_500_000..SLOW.length)).await;
    assert_eq!(writer.finish().await.map(|body| body.length()), Err(EngineError::Closing), "{rest:?}");
    assert_eq!(engine.begin_body(None).map(drop), Err(EngineError::Closing));
}

#[test]
fn a_body_on_its_way_does_not_hold_up_the_end() {
    for cores in [1, 2] {
        let rig = Rig::flash("2+1", 3, DISK_BYTES);
        let work = Work::new();
        let own = work.clone();
        let boot = Boot { cores, ..Boot::default() };
        rig.boot(&boot, move |engines| the_end_comes(engines, own.clone())).assert_finished();
        let boot = Boot { seed: 1, ..boot };
        let ended = rig.boot(&boot, move |engines| {
            let work = work.clone();
            async move {
                assert_eq!(work.verify(&engines).await, 0);
                assert!(fill(&engines, &work).await > 5, "what came of the body takes no space");
            }
        });
        assert_eq!(ended.assert_finished().rows_replayed, 0, "it ended in order");
    }
}
