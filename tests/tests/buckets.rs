//! Buckets while others write to them.

use ashlar_engine::error::EngineError;
use ashlar_tests::load::{BUCKET, Habits, Work};
use ashlar_tests::model::Content;
use ashlar_tests::rig::{Boot, Rig, SimEngine};
use futures_util::future::{join, join_all};

async fn try_to_delete(engine: &SimEngine) {
    for _ in 0..40 {
        assert_eq!(engine.delete_bucket(BUCKET).await, Err(EngineError::BucketNotEmpty));
    }
}

#[test]
fn who_writes_to_a_bucket_does_not_notice_that_its_deletion_is_refused() {
    for seed in 0..4 {
        let rig = Rig::flash("2+1", 3, 64 << 20);
        let boot = Boot { seed, ..Boot::default() };
        let ended = rig.boot(&boot, move |engines| async move {
            let work = Work::new();
            work.bucket(&engines[0]).await;
            assert!(work.put(&engines[0], b"stays", Content { seed: 1, length: 10 }).await);
            let habits = Habits { operations: 10, deletes: 2, size_max: 5000, ..Habits::default() };
            join(work.run(&engines, seed, 4, habits), try_to_delete(&engines[1])).await;
            assert_eq!(work.take_failures(), vec![]);
        });
        ended.assert_finished();
    }
}

#[test]
fn a_bucket_that_stays_is_never_said_to_be_absent() {
    let mut busy = 0;
    for seed in 0..40 {
        let rig = Rig::flash("2+1", 3, 64 << 20);
        let boot = Boot { seed, ..Boot::default() };
        let seen = std::rc::Rc::new(std::cell::Cell::new(0));
        let count = std::rc::Rc::clone(&seen);
        let ended = rig.boot(&boot, move |engines| {
            let count = std::rc::Rc::clone(&count);
            async move {
                let work = Work::new();
                work.bucket(&engines[0]).await;
                let puts = (0..6_u64).zip(engines.iter().cycle()).map(|(number, engine)| {
                    let work = work.clone();
                    async move {
                        let content = Content { seed: number, length: 10 };
                        work.put(engine, format!("key/{number}").as_bytes(), content).await
                    }
                });
                let (_, deleted) = join(join_all(puts), engines[0].delete_bucket(BUCKET)).await;
                let failures = work.take_failures();
                count.set(failures.iter().filter(|error| **error == EngineError::BucketBusy).count());
                let absent = failures.contains(&EngineError::NoSuchBucket);
                assert!(deleted.is_ok() || !absent, "{deleted:?}: {failures:?}");
            }
        });
        ended.assert_finished();
        busy += seen.get();
    }
    assert!(busy > 0, "some of these meet a frozen bucket");
}
