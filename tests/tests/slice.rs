//! The thinnest way through the engine: put, get, kill, reopen; on one core and on several.

#![expect(clippy::unwrap_used, clippy::integer_division, reason = "a test may fail where it stands")]

use ashlar_engine::runtime::sim::Loss;
use ashlar_engine::types::{Condition, Etag, ObjectMeta};
use ashlar_engine::{Body, Object};
use ashlar_tests::rig::{Boot, Rig, SimEngine};
use futures_util::FutureExt as _;
use futures_util::future::join_all;

fn meta(tag: u8) -> ObjectMeta {
    ObjectMeta { etag: Etag { md5: [tag; 16], parts: 0 }, checksum: None, metadata: Vec::new() }
}

fn content(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 31 + i / 251 + usize::from(seed)) % 251).unwrap()).collect()
}

async fn store(engine: &SimEngine, bytes: &[u8]) -> Body {
    let mut writer = engine.begin_body(Some(bytes.len() as u64)).unwrap();
    writer.write(bytes).await.unwrap();
    writer.finish().await.unwrap()
}

async fn put(engine: &SimEngine, key: &[u8], bytes: &[u8]) {
    let bucket = engine.bucket("bucket").unwrap();
    let body = store(engine, bytes).await;
    engine.publish(&bucket, key, body, meta(1), Condition::default()).await.unwrap();
}

async fn read(engine: &SimEngine, object: &Object) -> Vec<u8> {
    let mut reader = engine.read(object, 0..object.size());
    let mut bytes = Vec::new();
    while let Some(slice) = reader.next().await.unwrap() {
        bytes.extend_from_slice(slice.bytes());
    }
    bytes
}

async fn get(engine: &SimEngine, key: &[u8]) -> Option<Vec<u8>> {
    let bucket = engine.bucket("bucket").unwrap();
    let object = engine.lookup(&bucket, key).await.unwrap()?;
    Some(read(engine, &object).await)
}

const SIZES: [usize; 9] = [0, 1, 4096, 65_536, 65_537, 200_000, 1 << 20, 3_000_001, 12_345_678];

async fn put_all(engines: &[SimEngine]) {
    engines[0].create_bucket("bucket", "owner", "").await.unwrap();
    for (number, size) in SIZES.into_iter().enumerate() {
        let engine = &engines[number % engines.len()];
        put(engine, format!("key-{number}").as_bytes(), &content(size, 7)).await;
    }
}

async fn check_all(engines: &[SimEngine]) {
    for engine in engines {
        for (number, size) in SIZES.into_iter().enumerate() {
            let found = get(engine, format!("key-{number}").as_bytes()).await;
            assert!(found == Some(content(size, 7)), "object of {size} bytes");
        }
    }
}

#[test]
fn what_is_put_can_be_read_on_every_core() {
    for cores in [1, 2, 8] {
        let rig = Rig::flash("4+2", 6, 64 << 20);
        let boot = Boot { cores, ..Boot::default() };
        let ended = rig.boot(&boot, |engines| async move {
            put_all(&engines).await;
            check_all(&engines).await;
        });
        ended.assert_finished();
    }
}

#[test]
fn it_is_there_after_a_kill_and_with_another_number_of_cores() {
    let rig = Rig::flash("4+2", 6, 64 << 20);
    let first = Boot { cores: 2, loss: Loss::DropAll, ..Boot::default() };
    rig.boot(&first, |engines| async move { put_all(&engines).await }).assert_finished();
    for cores in [2, 1, 8, 3, 2] {
        let boot = Boot { cores, seed: u64::from(cores), ..Boot::default() };
        let ended = rig.boot(&boot, |engines| async move { check_all(&engines).await });
        ended.assert_finished();
    }
}

#[test]
fn who_goes_away_while_publishing_keeps_nobody_waiting() {
    for size in [4096, 200_000] {
        let rig = Rig::flash("4+2", 6, 64 << 20);
        let boot = Boot { cores: 1, ..Boot::default() };
        let ended = rig.boot(&boot, move |engines| async move {
            let engine = &engines[0];
            engine.create_bucket("bucket", "owner", "").await.unwrap();
            let bucket = engine.bucket("bucket").unwrap();
            for key in [b"first", b"other", b"third"] {
                let bodies = [1, 2, 3].map(|seed| content(size, seed));
                let stored = [store(engine, &bodies[0]).await, store(engine, &bodies[1]).await];
                let publish = |body| engine.publish(&bucket, key, body, meta(1), Condition::default());
                let mut asked = stored.map(|body| Box::pin(publish(body)));
                // The first is on its way to the devices, the second waits for the key.
                assert!(asked.iter_mut().all(|one| one.now_or_never().is_none()));
                drop(asked);
                put(engine, b"another key", &bodies[0]).await;
                let found = get(engine, key).await;
                assert!(
                    bodies[..2].iter().any(|body| found.as_ref() == Some(body)),
                    "the first was on its way"
                );
                put(engine, key, &bodies[2]).await;
                assert!(get(engine, key).await.as_ref() == Some(&bodies[2]));
            }
        });
        ended.assert_finished();
    }
}

/// The sums of two bodies and their records that just exceed what one chunk may hold alone: such rows have k chunks so
/// short that a body lies in more of them than anywhere else, and its record is longer than in any other row.
#[test]
fn records_have_room_where_a_body_lies_in_many_short_chunks() {
    for (shape, devices) in [("4+2", 6), ("8+2", 10)] {
        let rig = Rig::flash(shape, devices, 256 << 20);
        let boot = Boot { cores: 1, ..Boot::default() };
        let ended = rig.boot(&boot, |engines| async move {
            let engine = &engines[0];
            engine.create_bucket("bucket", "owner", "").await.unwrap();
            let bucket = engine.bucket("bucket").unwrap();
            for (first, second) in (0..250_usize).map(|step| (65_536 - 8 * step, 16_000)) {
                let bodies = [content(1, 1), content(first, 2), content(second, 3)];
                // The first goes alone, the others share the next row.
                let stored = [&bodies[0], &bodies[1], &bodies[2]].map(|body| store(engine, body));
                let stored = join_all(stored).await;
                let publish = |(key, body)| engine.publish(&bucket, key, body, meta(1), Condition::default());
                let keys: [&[u8]; 3] = [b"a", b"b", b"c"];
                let published = join_all(keys.into_iter().zip(stored).map(publish)).await;
                assert!(published.iter().all(Result::is_ok), "{first} bytes beside {second}: {published:?}");
                for (key, body) in keys.into_iter().zip(&bodies) {
                    assert!(get(engine, key).await.as_ref() == Some(body), "{first} bytes beside {second}");
                }
            }
        });
        ended.assert_finished();
    }
}

#[test]
fn two_of_six_devices_may_be_missing() {
    let rig = Rig::flash("4+2", 6, 64 << 20);
    rig.boot(&Boot::default(), |engines| async move { put_all(&engines).await }).assert_finished();
    for unplugged in [vec![0, 1], vec![2, 5], vec![3], vec![4, 5]] {
        let boot = Boot { unplugged: unplugged.clone(), ..Boot::default() };
        let ended = rig.boot(&boot, |engines| async move { check_all(&engines).await });
        assert_eq!(ended.assert_finished().missing.len(), unplugged.len());
    }
    let boot = Boot { unplugged: vec![0, 1, 2], ..Boot::default() };
    let ended = rig.boot(&boot, |_| async {});
    assert!(ended.error.is_some(), "below quorum the pool refuses to open");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let rig = Rig::flash("2+1", 4, 64 << 20);
        let boot = Boot { seed, ..Boot::default() };
        rig.boot(&boot, |engines| async move { put_all(&engines).await }).trace
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}
