//! A device that hangs, or answers a thousand times later than others: nobody waits for it for long, and nothing that
//! was acknowledged is lost. Times are the simulator's.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands, and says where it is")]

use ashlar_engine::EngineOptions;
use ashlar_engine::runtime::sim::{CutAt, FaultPlan, Loss, SimDisk};
use ashlar_engine::runtime::{DeviceError, Runtime as _};
use ashlar_tests::check::Outcome;
use ashlar_tests::load::{Habits, Work, life, settle};
use ashlar_tests::model::Content;
use ashlar_tests::rig::{Boot, Rig, SimEngine};
use futures_util::future::{join, join_all};
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// What flash is waited for before it is taken out of service, and some.
const PATIENCE: Duration = Duration::from_secs(13);
/// From here on a read of flash is late.
const LATE: Duration = Duration::from_millis(50);

fn habits() -> Habits {
    Habits { operations: 6, deletes: 1, copies: 2, size_max: 250_000, ..Habits::default() }
}

async fn pause(engine: &SimEngine, milliseconds: u64) {
    engine.runtime().sleep(Duration::from_millis(milliseconds)).await;
}

/// Objects that fill no memory of any kind: each read of one asks devices.
async fn stock(engine: &SimEngine, work: &Work, count: u32) -> Vec<Vec<u8>> {
    let keys: Vec<Vec<u8>> = (0..count).map(|number| format!("large-{number:03}").into_bytes()).collect();
    for (number, key) in (0..).zip(&keys) {
        assert!(work.put(engine, key, Content { seed: number, length: 900_000 }).await);
    }
    keys
}

/// How long it takes to read each of them, in turn.
async fn read_times(engine: &SimEngine, work: &Work, keys: &[Vec<u8>]) -> Vec<Duration> {
    let mut times = Vec::new();
    for key in keys {
        let begun = engine.runtime().now();
        assert!(matches!(work.look(engine, key).await, Ok(Outcome::Present(_))), "it is there and right");
        times.push(engine.runtime().now().since(begun));
    }
    times
}

fn slow(engine: &SimEngine) -> Vec<u16> {
    let devices = engine.status().unwrap().devices;
    devices.iter().filter(|device| device.is_slow).map(|device| device.index.0).collect()
}

fn failures(engine: &SimEngine) -> Vec<(u16, DeviceError)> {
    let devices = engine.status().unwrap().devices;
    devices.iter().filter_map(|device| Some((device.index.0, device.failure?))).collect()
}

fn slowed(disks: &[SimDisk], slowdown: u32) {
    disks.iter().for_each(|disk| disk.set_faults(FaultPlan { slowdown, ..FaultPlan::default() }));
}

#[test]
fn writes_go_elsewhere_when_a_device_hangs() {
    for (seed, hung) in [(1, 0), (2, 3), (3, 6)] {
        let rig = Rig::flash("4+2", 7, 64 * MIB);
        let work = Work::new();
        let disk = rig.disks[hung].clone();
        life(&rig, &Boot { seed, ..Boot::default() }, &work, move |engines, work| {
            let disk = disk.clone();
            async move {
                work.run(&engines, seed, 3, habits()).await;
                let begun = engines[0].runtime().now();
                let load = work.run(&engines, seed + 10, 3, habits());
                join(load, async {
                    pause(&engines[0], 1).await;
                    disk.set_hung(true);
                })
                .await;
                work.run(&engines, seed + 20, 3, habits()).await;
                assert_eq!(work.take_failures(), vec![], "no request fails");
                work.verify(&engines).await;
                let number = u16::try_from(hung).unwrap();
                assert_eq!(failures(&engines[0]), [(number, DeviceError::Late)]);
                assert!(engines[0].runtime().now().since(begun) < 2 * PATIENCE);
                assert_eq!(engines[0].checkpoint().await, Ok(()));
            }
        });
        rig.disks[hung].set_hung(false);
        life(&rig, &Boot { seed, ..Boot::default() }, &work, |_engines, _work| async {});
    }
}

#[test]
fn rows_of_bodies_that_a_hung_device_kept_are_whole_elsewhere() {
    let rig = Rig::flash("4+2", 7, 64 * MIB);
    let work = Work::new();
    let disk = rig.disks[1].clone();
    life(&rig, &Boot { cores: 1, ..Boot::default() }, &work, move |engines, work| {
        let disk = disk.clone();
        async move {
            stock(&engines[0], &work, 2).await;
            disk.set_hung(true);
            let key = |number: u64| format!("body-{number}").into_bytes();
            let puts = (0..6).map(|number| {
                let (engine, work) = (&engines[0], &work);
                async move { work.put(engine, &key(number), Content { seed: number, length: 700_000 }).await }
            });
            assert_eq!(join_all(puts).await, [true; 6]);
            assert_eq!(failures(&engines[0]), [(1, DeviceError::Late)]);
        }
    });
    rig.disks[1].set_hung(false);
    for pair in (0..7).flat_map(|first| (first + 1..7).map(move |second| vec![first, second])) {
        let boot = Boot { unplugged: pair, ..Boot::default() };
        life(&rig, &boot, &work, |_engines, _work| async {});
    }
}

#[test]
fn reads_are_served_by_others_when_a_device_hangs() {
    let rig = Rig::flash("4+2", 6, 64 * MIB);
    let work = Work::new();
    let disk = rig.disks[2].clone();
    life(&rig, &Boot { cores: 1, ..Boot::default() }, &work, move |engines, work| {
        let disk = disk.clone();
        async move {
            let keys = stock(&engines[0], &work, 40).await;
            settle(&engines[0]).await;
            disk.set_hung(true);
            let times = read_times(&engines[0], &work, &keys).await;
            let longest = times.iter().max().unwrap();
            assert!(*longest < 3 * LATE, "{times:?}");
            assert!(times.iter().filter(|time| **time > LATE).count() < 10, "few have to wait: {times:?}");
            // Nobody writes. It is found out all the same.
            engines[0].runtime().sleep(2 * PATIENCE).await;
            assert_eq!(failures(&engines[0]), [(2, DeviceError::Late)]);
        }
    });
}

#[test]
fn a_device_that_is_slow_is_avoided_until_it_is_not() {
    let rig = Rig::flash("4+2", 8, 64 * MIB);
    let work = Work::new();
    let disk = rig.disks[5].clone();
    life(&rig, &Boot { cores: 2, ..Boot::default() }, &work, move |engines, work| {
        let disk = disk.clone();
        async move {
            let keys = stock(&engines[0], &work, 60).await;
            settle(&engines[0]).await;
            slowed(std::slice::from_ref(&disk), 1000);
            let first = read_times(&engines[0], &work, &keys).await;
            assert!(*first.iter().max().unwrap() < 3 * LATE, "{first:?}");
            assert_eq!(slow(&engines[0]), [5]);
            let later = read_times(&engines[0], &work, &keys).await;
            assert!(*later.iter().max().unwrap() < LATE, "nobody waits any more: {later:?}");
            // What was open there is left, and what is opened lies elsewhere: writes do not wait either.
            pause(&engines[0], 2000).await;
            for number in 0..10_u64 {
                let begun = engines[0].runtime().now();
                let key = format!("new-{number}").into_bytes();
                assert!(work.put(&engines[0], &key, Content { seed: number, length: 900_000 }).await);
                assert!(engines[0].runtime().now().since(begun) < LATE);
            }
            assert_eq!(failures(&engines[0]), [], "it is still in service");
            slowed(std::slice::from_ref(&disk), 1);
            engines[0].runtime().sleep(Duration::from_secs(15)).await;
            assert_eq!(slow(&engines[0]), [0_u16; 0], "it is as quick as others");
            work.verify(&engines).await;
        }
    });
}

#[test]
fn when_all_devices_are_slow_none_is() {
    let rig = Rig::flash("4+2", 6, 64 * MIB);
    let work = Work::new();
    let disks = rig.disks.clone();
    life(&rig, &Boot { cores: 1, ..Boot::default() }, &work, move |engines, work| {
        let disks = disks.clone();
        async move {
            let keys = stock(&engines[0], &work, 100).await;
            settle(&engines[0]).await;
            slowed(&disks, 1000);
            for _ in 0..3 {
                read_times(&engines[0], &work, &keys).await;
            }
            engines[0].runtime().sleep(Duration::from_secs(30)).await;
            assert_eq!(slow(&engines[0]), [0_u16; 0]);
            let times = read_times(&engines[0], &work, &keys).await;
            assert!(times.iter().filter(|time| **time > LATE).count() > 50, "they are: {times:?}");
            assert_eq!((slow(&engines[0]), failures(&engines[0])), (vec![], vec![]));
        }
    });
}

#[test]
fn when_more_devices_hang_than_can_be_missed_everybody_waits_for_them() {
    let rig = Rig::flash("4+2", 7, 64 * MIB);
    let work = Work::new();
    let disks = rig.disks[1..4].to_vec();
    life(&rig, &Boot::default(), &work, move |engines, work| {
        let disks = disks.clone();
        async move {
            work.run(&engines, 1, 3, habits()).await;
            let load = work.run(&engines, 2, 3, habits());
            join(load, async {
                pause(&engines[0], 1).await;
                disks.iter().for_each(|disk| disk.set_hung(true));
                engines[0].runtime().sleep(5 * PATIENCE).await;
                disks.iter().for_each(|disk| disk.set_hung(false));
            })
            .await;
            assert_eq!(work.take_failures(), vec![]);
            assert_eq!(failures(&engines[0]), [], "they were away together, and are back");
            work.verify(&engines).await;
        }
    });
}

#[test]
fn a_device_that_hangs_at_the_start_is_not_there() {
    let rig = Rig::flash("4+2", 7, 64 * MIB);
    let work = Work::new();
    life(&rig, &Boot::default(), &work, move |engines, work| async move {
        work.run(&engines, 1, 3, habits()).await;
    });
    rig.disks[3].set_hung(true);
    // Those of the configuration, and those that suit the device.
    for (device_patience, limit) in [(Some(Duration::from_secs(2)), PATIENCE / 2), (None, 3 * PATIENCE)] {
        let options = EngineOptions { device_patience, ..EngineOptions::default() };
        let boot = Boot { options, ..Boot::default() };
        life(&rig, &boot, &work, move |engines, _work| async move {
            assert!(engines[0].runtime().now().0 < u64::try_from(limit.as_nanos()).unwrap());
        });
    }
    life(&rig, &Boot::default(), &work, move |engines, work| async move {
        let status = engines[0].status().unwrap();
        assert_eq!(status.devices.iter().filter(|device| !device.in_service).count(), 1);
        work.run(&engines, 2, 3, habits()).await;
        assert_eq!(work.take_failures(), vec![]);
    });
}

#[test]
fn a_device_that_begins_to_hang_while_the_pool_opens_is_not_waited_for_again_and_again() {
    for after in [8, 14, 20, 30, 60] {
        let rig = Rig::flash("4+2", 7, 64 * MIB);
        let work = Work::new();
        life(&rig, &Boot { seed: after, ..Boot::default() }, &work, move |engines, work| async move {
            work.run(&engines, 1, 3, habits()).await;
        });
        // A start that has much to read: the process was killed.
        let boot = Boot { seed: after, cut: Some(CutAt::Write(900)), loss: Loss::Process, ..Boot::default() };
        let own = work.clone();
        let ended = rig.boot(&boot, move |engines| {
            let work = own.clone();
            async move {
                work.bucket(&engines[0]).await;
                work.run(&engines, 2, 3, Habits { operations: 1000, ..habits() }).await;
            }
        });
        ended.outcome.assert_cut();
        rig.disks[3].set_faults(FaultPlan { hang_after: Some(after), ..FaultPlan::default() });
        life(&rig, &Boot { seed: after, ..Boot::default() }, &work, move |engines, work| async move {
            work.run(&engines, 3, 3, habits()).await;
            assert_eq!(work.take_failures(), vec![]);
            work.verify(&engines).await;
            assert!(
                engines[0].runtime().now().0 < u64::try_from(6 * PATIENCE.as_nanos()).unwrap(),
                "{after}"
            );
            assert_eq!(engines[0].status().unwrap().devices.iter().filter(|d| !d.in_service).count(), 1);
        });
    }
}

#[test]
fn a_device_that_was_rebuilt_is_not_missed_when_another_hangs() {
    let rig = Rig::flash("2+1", 6, 64 * MIB);
    let work = Work::new();
    let (dead, hung) = (rig.disks[0].clone(), rig.disks[1].clone());
    life(&rig, &Boot::default(), &work, move |engines, work| {
        let (dead, hung) = (dead.clone(), hung.clone());
        async move {
            stock(&engines[0], &work, 4).await;
            dead.set_dead(true);
            stock(&engines[0], &work, 4).await;
            engines[0].runtime().sleep(Duration::from_secs(1000)).await;
            settle(&engines[0]).await;
            assert_eq!(engines[0].status().unwrap().redundancy.iter().skip(1).sum::<u64>(), 0);
            hung.set_hung(true);
            let begun = engines[0].runtime().now();
            stock(&engines[0], &work, 4).await;
            assert!(engines[0].runtime().now().since(begun) < 2 * PATIENCE);
            assert_eq!(failures(&engines[0]).last(), Some(&(1, DeviceError::Late)));
            work.verify(&engines).await;
        }
    });
}
