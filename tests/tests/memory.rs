//! Little memory and many requests: they wait for each other, but never for ever. (The simulator ends a run in which
//! nobody can go on.)

use ashlar_tests::load::Work;
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
fn many_readers_of_a_degraded_pool() {
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
    for seed in 0..4 {
        let own = work.clone();
        let boot = Boot { cores: 1, seed, arena_bytes: 8 << 20, unplugged: vec![1, 4], ..Boot::default() };
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

#[test]
fn many_bodies_whose_pages_meet_the_end_of_a_group() {
    for seed in 0..4 {
        let rig = Rig::flash("2+1", 3, 256 * MIB);
        let work = Work::new();
        let boot = Boot { cores: 1, seed, arena_bytes: 64 << 20, reserve_bytes: 4 << 20, ..Boot::default() };
        let ended = rig.boot(&boot, move |engines| {
            let work = work.clone();
            async move {
                work.bucket(&engines[0]).await;
                // More extents than a record holds itself.
                put_all(&engines[0], &work, 60, 5 * MIB / 2).await;
                assert_eq!(work.verify(&engines).await, 60);
            }
        });
        ended.assert_finished();
    }
}
