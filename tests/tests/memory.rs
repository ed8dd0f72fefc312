//! Little memory and many requests: they wait for each other, but never for ever. (The simulator ends a run in which
//! nobody can go on.)

use ashlar_engine::error::EngineError;
use ashlar_engine::runtime::sim::FaultPlan;
use ashlar_engine::types::{Condition, Etag, NamedPart, ObjectMeta, UploadInit};
use ashlar_tests::driver::send;
use ashlar_tests::load::{BUCKET, Work};
use ashlar_tests::model::Content;
use ashlar_tests::rig::{Boot, Rig, SimEngine};
use futures_util::future::join_all;

const MIB: u64 = 1 << 20;

async fn put_all(engine: &SimEngine, work: &Work, count: u64, length: u64) {
    let puts = (0..count).map(|number| async move {
        let content = Content { seed: number, length };
        work.put(engine, format!("key/{number}").as_bytes(), content).await
    });
    let stored = join_all(puts).await;
    assert!(stored.iter().all(|stored| *stored), "{:?}", work.take_failures());
}

#[test]
fn many_readers_of_devices_that_do_not_give_their_bytes() {
    let rig = Rig::flash("4+2", 6, 64 * MIB);
    let work = Work::new();
    let own = work.clone();
    let ended = rig.boot(&Boot { cores: 1, ..Boot::default() }, move |engines| {
        let work = own.clone();
        async move {
            work.bucket(&engines[0]).await;
            put_all(&engines[0], &work, 8, 3 * MIB).await;
        }
    });
    ended.assert_finished();
    for disk in [1_usize, 4] {
        rig.disks[disk].set_faults(FaultPlan::default().unreadable_at(MIB..63 * MIB));
    }
    for seed in 0..3 {
        let own = work.clone();
        let boot = Boot { cores: 1, seed, arena_bytes: 8 << 20, ..Boot::default() };
        let ended = rig.boot(&boot, move |engines| {
            let work = own.clone();
            async move {
                let (engine, work) = (&engines[0], &work);
                let reads = (0..40_u64).map(|reader| async move {
                    let found = work.look(engine, format!("key/{}", reader % 8).as_bytes()).await;
                    assert!(found.is_ok(), "{found:?}");
                });
                join_all(reads).await;
            }
        });
        ended.assert_finished();
    }
}

/// An object of so many small parts that its record holds a page of extents.
async fn complete(engine: &SimEngine, number: u64) -> Result<(), EngineError> {
    let Some(bucket) = engine.bucket(BUCKET) else { return Err(EngineError::NoSuchBucket) };
    let key = format!("upload/{number}").into_bytes();
    let id = engine.create_upload(&bucket, &key, UploadInit::default()).await?;
    let mut named = Vec::new();
    for part in 1..10 {
        // Of a declared length, and so in rows of the log: the pages have the data group for themselves.
        let content = Content { seed: (number * 10 + u64::from(part)) * 3 + 1, length: 100 };
        let body = send(engine, content).await?;
        engine.put_part(&bucket, &key, id, part, body, content.md5(), None).await?;
        named.push(NamedPart { number: part, md5: content.md5() });
    }
    let meta = ObjectMeta { etag: Etag { md5: [0; 16], parts: 9 }, checksum: None, metadata: Vec::new() };
    engine.complete_upload(&bucket, &key, id, named, meta, Condition::default()).await?;
    Ok(())
}

#[test]
fn many_pages_of_bodies_meet_the_end_of_a_group() {
    let rig = Rig::flash("2+1", 3, 64 * MIB);
    let boot = Boot { cores: 1, reserve_bytes: 1 << 20, ..Boot::default() };
    let ended = rig.boot(&boot, |engines| async move {
        Work::new().bucket(&engines[0]).await;
        let done = join_all((0..600).map(|number| complete(&engines[0], number))).await;
        assert_eq!(done, vec![Ok(()); 600]);
    });
    ended.assert_finished();
}
