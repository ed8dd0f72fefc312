//! Devices die, come back, lie and refuse under load: no wrong byte is ever read, and nothing acknowledged is lost as
//! long as no more devices misbehave than the code survives.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands, and says where it is")]

use ashlar_engine::error::EngineError;
use ashlar_engine::runtime::Runtime as _;
use ashlar_engine::runtime::sim::{FaultPlan, Pick, SimDisk};
use ashlar_tests::load::{Habits, Work, life};
use ashlar_tests::model::Content;
use ashlar_tests::rig::{Boot, Rig, SimEngine};
use std::rc::Rc;
use std::time::Duration;

const MIB: u64 = 1 << 20;

fn habits() -> Habits {
    Habits { operations: 6, deletes: 1, copies: 2, size_max: 250_000, ..Habits::default() }
}

async fn pause(engine: &SimEngine, milliseconds: u64) {
    engine.runtime().sleep(Duration::from_millis(milliseconds)).await;
}

/// Loads the store, takes `disks` away in the middle, and sees that everything goes on.
async fn lose_in_the_middle(engines: Vec<SimEngine>, work: Work, disks: Vec<SimDisk>, seed: u64) {
    work.run(&engines, seed, 3, habits()).await;
    assert_eq!(work.take_failures(), vec![]);
    let load = work.run(&engines, seed + 1, 3, habits());
    let loss = async {
        for disk in disks {
            pause(&engines[0], 3).await;
            disk.set_dead(true);
        }
    };
    futures_util::future::join(load, loss).await;
    assert_eq!(work.take_failures(), vec![], "requests survive the loss of devices that the code survives");
    work.verify(&engines).await;
    work.run(&engines, seed + 2, 3, habits()).await;
    assert_eq!(work.take_failures(), vec![], "writes go on with narrower groups");
    work.verify(&engines).await;
    assert_eq!(engines[0].checkpoint().await, Ok(()));
}

#[test]
fn every_pair_of_devices_may_die_under_load() {
    for first in 0..6_usize {
        for second in first + 1..6 {
            let rig = Rig::flash("4+2", 6, 64 * MIB);
            let seed = u64::try_from(first * 10 + second).unwrap();
            println!("devices {first} and {second}");
            let work = Work::new();
            let pair = vec![rig.disks[first].clone(), rig.disks[second].clone()];
            let lost = pair.clone();
            life(&rig, &Boot { seed, ..Boot::default() }, &work, move |engines, work| {
                lose_in_the_middle(engines, work, lost.clone(), seed)
            });
            // Still gone, back again with what they missed, replaced by empty ones.
            let quiet = |_engines, _work| async {};
            life(&rig, &Boot { seed, unplugged: vec![first, second], ..Boot::default() }, &work, quiet);
            pair.iter().for_each(|disk| disk.set_dead(false));
            let busy = move |engines: Vec<SimEngine>, work: Work| async move {
                work.run(&engines, seed + 5, 3, habits()).await;
                assert_eq!(work.take_failures(), vec![]);
            };
            life(&rig, &Boot { seed: seed + 1, cores: 1, ..Boot::default() }, &work, busy);
            pair.iter().for_each(SimDisk::erase_all);
            life(&rig, &Boot { seed: seed + 2, cores: 3, ..Boot::default() }, &work, busy);
            life(&rig, &Boot { seed: seed + 3, ..Boot::default() }, &work, quiet);
        }
    }
}

#[test]
fn a_device_that_was_away_comes_back_while_another_leaves() {
    let rig = Rig::flash("2+1", 4, 64 * MIB);
    let work = Work::new();
    for seed in 0..12_u64 {
        let away = usize::try_from(seed * 3 % 4).unwrap();
        let busy = move |engines: Vec<SimEngine>, work: Work| async move {
            work.run(&engines, seed, 3, habits()).await;
            assert_eq!(work.take_failures(), vec![]);
            if seed % 2 == 0 {
                assert_eq!(engines[0].checkpoint().await, Ok(()));
            }
        };
        let cores = [1, 2, 3][usize::try_from(seed % 3).unwrap()];
        // What is written while a device is away lies on the others only, and each life misses another device:
        // nothing may rely on one that comes back with less.
        life(&rig, &Boot { seed, cores, unplugged: vec![away], ..Boot::default() }, &work, busy);
        life(&rig, &Boot { seed: seed + 100, ..Boot::default() }, &work, |_, _| async {});
    }
}

#[test]
fn below_quorum_writes_are_refused_and_nothing_wrong_is_read() {
    let rig = Rig::flash("4+2", 6, 64 * MIB);
    let work = Work::new();
    let disks = rig.disks.clone();
    life(&rig, &Boot::default(), &work, move |engines, work| {
        let disks = disks.clone();
        async move {
            work.run(&engines, 1, 3, habits()).await;
            for disk in &disks[..4] {
                disk.set_dead(true);
            }
            for seed in 0..10 {
                let content = Content { seed, length: 1000 + seed * 20_000 };
                assert!(!work.put(&engines[0], b"new", content).await, "two devices are no quorum of 4+2");
            }
            let failures = work.take_failures();
            let refused = |error: &EngineError| matches!(error, EngineError::ReadOnly { .. });
            assert!(failures.iter().skip(4).all(refused), "{failures:?}");
            for key in 0..12 {
                // Readable or not, but never wrong: `look` checks every byte.
                let _found = work.look(&engines[1], format!("key/{key}").as_bytes()).await;
            }
        }
    });
    rig.disks.iter().for_each(|disk| disk.set_dead(false));
    life(&rig, &Boot { seed: 2, ..Boot::default() }, &work, |_, _| async {});
}

/// Runs the load with a plan of faults on as many devices as the code survives, then without.
fn with_faults(shape: &str, faulty: usize, seed: u64, plan: &FaultPlan) {
    let rig = Rig::flash(shape, 6, 64 * MIB);
    let work = Work::new();
    let disks: Vec<SimDisk> =
        rig.disks.iter().skip(usize::try_from(seed % 3).unwrap()).take(faulty).cloned().collect();
    let (own, plan) = (Rc::new(disks.clone()), plan.clone());
    let busy = move |engines: Vec<SimEngine>, work: Work| {
        let (disks, plan) = (Rc::clone(&own), plan.clone());
        async move {
            disks.iter().for_each(|disk| disk.set_faults(plan.clone()));
            work.run(&engines, seed, 3, habits()).await;
            assert_eq!(work.take_failures(), vec![], "faults on {faulty} devices");
            let _made = engines[0].checkpoint().await;
            work.run(&engines, seed + 1, 3, habits()).await;
            work.verify(&engines).await;
            assert_eq!(work.take_failures(), vec![], "faults on {faulty} devices");
        }
    };
    life(&rig, &Boot { seed, ..Boot::default() }, &work, busy);
    disks.iter().for_each(|disk| disk.set_faults(FaultPlan::default()));
    life(&rig, &Boot { seed: seed + 1, cores: 1, ..Boot::default() }, &work, |_, _| async {});
    life(&rig, &Boot { seed: seed + 2, cores: 3, ..Boot::default() }, &work, |_, _| async {});
}

#[test]
fn a_write_may_fail_at_any_moment() {
    for number in (1..50).step_by(5) {
        let plan = FaultPlan { failed_writes: Pick::At(vec![number, number + 1]), ..FaultPlan::default() };
        with_faults("4+2", 2, number, &plan);
    }
}

#[test]
fn writes_may_be_lost_or_go_astray() {
    for seed in 0..6 {
        let lost = FaultPlan { lost_writes: Pick::OneIn(4), ..FaultPlan::default() };
        with_faults("4+2", 2, seed, &lost);
        let astray = FaultPlan { misdirected_writes: Pick::OneIn(4), ..FaultPlan::default() };
        with_faults("4+2", 2, seed, &astray);
    }
}

#[test]
fn reads_may_fail_or_bring_something_else() {
    for seed in 0..4 {
        let failing = FaultPlan { failed_reads: Pick::OneIn(3), ..FaultPlan::default() };
        with_faults("2+1", 1, seed, &failing);
        let astray = FaultPlan { misdirected_reads: Pick::OneIn(3), ..FaultPlan::default() };
        with_faults("4+2", 2, seed, &astray);
    }
}

#[test]
fn a_device_may_refuse_to_flush_or_be_slow() {
    for seed in 0..2 {
        let flush = FaultPlan { failed_flushes: Pick::OneIn(2), slowdown: 100, ..FaultPlan::default() };
        with_faults("4+2", 2, seed, &flush);
    }
}
