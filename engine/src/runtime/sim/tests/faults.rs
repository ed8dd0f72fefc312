//! Each fault of a simulated disk does what it says, and nothing else.

use super::{SECTOR, boot, config, disk, only, read, write};
use crate::runtime::contract::{Device as _, DeviceError, Durability, Runtime as _, TaskQueue};
use crate::runtime::sim::{CutAt, DiskConfig, FaultPlan, Outcome, Pick, Sim, SimConfig, SimDisk, SimRuntime};
use std::future::Future;
use std::time::Duration;

const EIO: DeviceError = DeviceError::Io { errno: 5 };

fn with<T: 'static, F: Future<Output = T> + 'static>(
    seed: u64,
    plan: FaultPlan,
    work: impl Fn(SimRuntime, SimDisk) -> F,
) -> (SimDisk, T) {
    let disk = disk();
    disk.set_faults(plan);
    let (outcome, value) = boot(config(seed, &disk), |runtime| work(runtime, disk.clone()));
    outcome.assert_finished();
    (disk, value.unwrap())
}

#[test]
fn a_latent_error_stays_until_the_sector_is_written() {
    let plan = FaultPlan::default().unreadable_at(4096..8192);
    with(0, plan, |runtime, _| async move {
        assert_eq!(read(&runtime, 0, 1).await.unwrap(), [0; SECTOR]);
        assert_eq!(read(&runtime, 0, 2).await, Err(EIO));
        assert_eq!(read(&runtime, 4096, 1).await, Err(EIO));
        write(&runtime, 4096, 1, 3, Durability::Volatile).await.unwrap();
        assert_eq!(read(&runtime, 4096, 1).await.unwrap(), [3; SECTOR]);
    });
}

#[test]
fn corruption_is_silent() {
    let plan = FaultPlan::default().corrupt_at(4096..4097);
    with(0, plan, |runtime, disk| async move {
        assert_eq!(read(&runtime, 0, 1).await.unwrap(), [0; SECTOR]);
        let wrong = read(&runtime, 4096, 1).await.unwrap();
        assert_eq!(wrong.iter().filter(|byte| **byte != 0).count(), 1);
        write(&runtime, 4096, 1, 3, Durability::Volatile).await.unwrap();
        disk.flip(4097, 0x80);
        let wrong = read(&runtime, 4096, 1).await.unwrap();
        assert_eq!(wrong[..3], [3, 0x83, 3]);
    });
}

#[test]
fn a_lost_write_is_acknowledged_and_never_stored() {
    let plan = FaultPlan { lost_writes: Pick::At(vec![2]), ..FaultPlan::default() };
    let (disk, ()) = with(0, plan, |runtime, _| async move {
        for number in 0..3u64 {
            write(&runtime, number << 12, 1, 1, Durability::Durable).await.unwrap();
        }
        only(&runtime).flush().await.unwrap();
        assert_eq!(read(&runtime, 4096, 1).await.unwrap(), [0; SECTOR]);
        assert_eq!(read(&runtime, 8192, 1).await.unwrap(), [1; SECTOR]);
    });
    assert_eq!(disk.log().lost.first(), Some(&(4096..8192)));
}

#[test]
fn a_misdirected_write_hits_a_neighbour() {
    for seed in 0..20 {
        let plan = FaultPlan { misdirected_writes: Pick::At(vec![1]), ..FaultPlan::default() };
        let (disk, ()) = with(seed, plan, |runtime, _| async move {
            write(&runtime, 1 << 20, 1, 1, Durability::Durable).await.unwrap();
        });
        let log = disk.log();
        let [(range, target)] = log.misdirected.as_slice() else { panic!("{log:?}") };
        assert_ne!(range.start, *target);
        assert_eq!(disk.image_bytes(range.clone()), [0; SECTOR]);
        assert_eq!(disk.image_bytes(*target..*target + 4096), [1; SECTOR]);
    }
}

#[test]
fn a_misdirected_read_returns_a_neighbour() {
    let plan = FaultPlan { misdirected_reads: Pick::Always, ..FaultPlan::default() };
    with(0, plan, |runtime, _| async move {
        write(&runtime, 1 << 20, 1, 1, Durability::Durable).await.unwrap();
        assert_eq!(read(&runtime, 1 << 20, 1).await.unwrap(), [0; SECTOR]);
    });
}

#[test]
fn a_failed_write_leaves_any_mixture() {
    let mut mixtures = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let plan = FaultPlan { failed_writes: Pick::At(vec![2]), ..FaultPlan::default() };
        let (disk, ()) = with(seed, plan, |runtime, _| async move {
            write(&runtime, 0, 2, 1, Durability::Durable).await.unwrap();
            assert_eq!(write(&runtime, 0, 2, 2, Durability::Durable).await, Err(EIO));
            write(&runtime, 8192, 2, 2, Durability::Durable).await.unwrap();
        });
        mixtures.insert((disk.image_bytes(0..1)[0], disk.image_bytes(4096..4097)[0]));
    }
    assert_eq!(mixtures, [(1, 1), (1, 2), (2, 1), (2, 2)].into());
}

#[test]
fn a_failed_flush_is_reported_once_and_may_lose_data() {
    let mut lost = 0;
    for seed in 0..40 {
        let plan = FaultPlan { failed_flushes: Pick::At(vec![1]), ..FaultPlan::default() };
        let (disk, ()) = with(seed, plan, |runtime, _| async move {
            write(&runtime, 0, 1, 1, Durability::Volatile).await.unwrap();
            assert_eq!(only(&runtime).flush().await, Err(EIO));
            assert_eq!(only(&runtime).flush().await, Ok(()));
        });
        lost += usize::from(disk.image_bytes(0..1) == [0]);
    }
    assert!((5..35).contains(&lost), "lost {lost} of 40");
}

#[test]
fn a_durable_write_fails_with_its_flush() {
    let mut lost = 0;
    for seed in 0..40 {
        let plan = FaultPlan { failed_flushes: Pick::At(vec![1]), ..FaultPlan::default() };
        let (disk, ()) = with(seed, plan, |runtime, _| async move {
            assert_eq!(write(&runtime, 0, 1, 1, Durability::Durable).await, Err(EIO));
            assert_eq!(write(&runtime, 4096, 1, 1, Durability::Durable).await, Ok(()));
        });
        lost += usize::from(disk.image_bytes(0..1) == [0]);
    }
    assert!((5..35).contains(&lost), "lost {lost} of 40");
}

#[test]
fn a_slow_disk_is_slow() {
    let time = |slowdown| {
        let plan = FaultPlan { slowdown, ..FaultPlan::default() };
        let work = |runtime: SimRuntime, _| async move {
            read(&runtime, 0, 1).await.unwrap();
            runtime.now().0
        };
        with(4, plan, work).1
    };
    assert!(time(1000) > 500 * time(1));
}

#[test]
fn a_hanging_disk_answers_when_it_is_unplugged() {
    let plan = FaultPlan { hang_after: Some(1), ..FaultPlan::default() };
    let run = |unplug: bool| {
        let disk = disk();
        disk.set_faults(plan.clone());
        boot(config(0, &disk), move |runtime| {
            let disk = disk.clone();
            async move {
                write(&runtime, 0, 1, 1, Durability::Durable).await.unwrap();
                if unplug {
                    let sleeper = runtime.clone();
                    runtime.spawn(TaskQueue::Foreground, async move {
                        sleeper.sleep(Duration::from_secs(30)).await;
                        disk.set_dead(true);
                    });
                }
                let result = read(&runtime, 0, 1).await;
                assert!(runtime.now().0 >= 30_000_000_000);
                result.is_err()
            }
        })
    };
    assert!(matches!(run(false).0, Outcome::Deadlock { .. }));
    assert_eq!(run(true), (Outcome::Finished, Some(true)));
}

#[test]
fn a_dead_disk_fails_and_an_absent_one_is_not_there() {
    let plan = FaultPlan { die_after: Some(1), ..FaultPlan::default() };
    let (disk, ()) = with(0, plan, |runtime, _| async move {
        write(&runtime, 0, 1, 1, Durability::Durable).await.unwrap();
        assert!(read(&runtime, 0, 1).await.is_err());
        assert!(write(&runtime, 0, 1, 1, Durability::Durable).await.is_err());
        assert_eq!(only(&runtime).flush().await, Err(EIO));
    });
    disk.set_dead(false);
    disk.set_faults(FaultPlan { absent: true, ..FaultPlan::default() });
    let (_, count) = boot(config(0, &disk), |runtime| async move { runtime.devices().len() });
    assert_eq!(count, Some(0));
}

#[test]
fn unprepared_durable_writes_are_counted_on_a_strict_file() {
    let disk = SimDisk::new(DiskConfig::strict_file("file0", 1 << 30));
    let (outcome, _) = boot(config(0, &disk), |runtime| async move {
        let device = only(&runtime);
        write(&runtime, 0, 1, 1, Durability::Volatile).await.unwrap();
        device.prepare(0, 1 << 20).await.unwrap();
        assert_eq!(read(&runtime, 0, 1).await.unwrap(), [0; SECTOR]);
        write(&runtime, 0, 256, 1, Durability::Durable).await.unwrap();
        write(&runtime, (1 << 20) - 4096, 2, 1, Durability::Durable).await.unwrap();
        device.discard(0, 4096).await;
        write(&runtime, 0, 1, 1, Durability::Durable).await.unwrap();
    });
    outcome.assert_finished();
    let offsets: Vec<u64> = disk.violations().iter().map(|violation| violation.offset).collect();
    assert_eq!(offsets, [(1 << 20) - 4096, 0]);
}

#[test]
fn beyond_the_end_is_refused_and_reordering_happens() {
    with(0, FaultPlan::default(), |runtime, _| async move {
        let beyond = read(&runtime, 1 << 40, 1).await;
        assert_eq!(beyond, Err(DeviceError::OutOfRange { offset: 1 << 40, bytes: SECTOR }));
    });
    let overtaken = (0..40).filter(|seed| {
        let disk = disk();
        let cut = Some(CutAt::Write(1));
        let sim =
            Sim::new(SimConfig { cut, loss: crate::runtime::sim::Loss::DropAll, ..config(*seed, &disk) });
        let outcome = sim.run(|runtime| async move {
            let first = write(&runtime, 0, 1, 1, Durability::Durable);
            let second = write(&runtime, 4096, 1, 1, Durability::Durable);
            let (_, _) = futures_util::future::join(first, second).await;
        });
        outcome.assert_cut();
        disk.image_bytes(0..1) == [0]
    });
    let overtaken = overtaken.count();
    assert!((5..35).contains(&overtaken), "{overtaken} of 40 overtook");
}

#[test]
fn a_snapshot_brings_everything_back() {
    let disk = disk();
    let fill = |byte| {
        let (outcome, _) = boot(config(0, &disk), move |runtime| async move {
            write(&runtime, 0, 1, byte, Durability::Volatile).await.unwrap();
        });
        outcome.assert_finished();
    };
    fill(1);
    let snapshot = disk.snapshot();
    fill(2);
    disk.restore(&snapshot);
    assert_eq!(disk.image_bytes(4090..4100), [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
    assert_eq!(disk.image_bytes(10..12), [1, 1]);
    disk.erase_all();
    assert_eq!(disk.image_bytes(0..4096), [0; SECTOR]);
    assert_eq!(disk.writes(), 2);
}
