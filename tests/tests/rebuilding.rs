//! Devices that stay away: what lay on them is rebuilt on others, and then more may be lost.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands, and says where it is")]

use ashlar_engine::StartError;
use ashlar_engine::runtime::Runtime as _;
use ashlar_engine::runtime::sim::{CutAt, DiskSnapshot, FaultPlan, Loss, Outcome, Pick, SimDisk};
use ashlar_tests::load::{Habits, Work, life, settle};
use ashlar_tests::model::Content;
use ashlar_tests::rig::{Boot, Ended, Rig, SimEngine};
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Longer than the engine waits for a device to come back.
const LONG: Duration = Duration::from_secs(1000);

fn habits() -> Habits {
    Habits { operations: 6, deletes: 1, copies: 2, size_max: 250_000, ..Habits::default() }
}

fn without(unplugged: &[usize]) -> Boot {
    Boot { unplugged: unplugged.to_vec(), ..Boot::default() }
}

fn lacking(engine: &SimEngine) -> u64 {
    engine.status().unwrap().redundancy[1..].iter().sum()
}

/// Objects that stay.
async fn stock(engines: Vec<SimEngine>, work: Work) {
    let lengths = [300_000, 3000, 150_000, 60_000, 400_000, 90_000, 700, 250_000];
    for (seed, (length, engine)) in (1000..).zip(lengths.iter().cycle().zip(engines.iter().cycle())).take(32)
    {
        let key = format!("kept/{seed}");
        assert!(work.put(engine, key.as_bytes(), Content { seed, length: *length }).await, "{key}");
    }
    assert!(work.copy(&engines[0], b"kept/1004", b"kept/copy").await);
    work.multipart(&engines[0], b"kept/parts", Content { seed: 9, length: 200_000 }, false).await;
    busy(engines, work).await;
}

async fn quiet(_engines: Vec<SimEngine>, _work: Work) {}

async fn busy(engines: Vec<SimEngine>, work: Work) {
    for seed in 0..3 {
        work.run(&engines, seed, 3, habits()).await;
        assert_eq!(work.take_failures(), vec![]);
    }
}

/// Every group has all its members after a while, and nothing was lost on the way.
async fn becomes_whole(engines: Vec<SimEngine>, work: Work) {
    let engine = &engines[0];
    let before = engine.status().unwrap();
    assert!(lacking(engine) > 0, "something is missing: {:?}", before.redundancy);
    engine.runtime().sleep(LONG).await;
    let after = engine.status().unwrap();
    assert_eq!(lacking(engine), 0, "{after:?}");
    assert!(after.rebuilding.members > 0 && !after.rebuilding.is_active, "{:?}", after.rebuilding);
    assert_eq!(after.rebuilding.failed, 0, "{:?}", after.rebuilding);
    work.verify(&engines).await;
    busy(engines, work).await;
}

#[test]
fn one_device_after_another_may_be_lost_when_the_pool_has_time_between() {
    for cores in 1..=3 {
        let rig = Rig::flash("2+2", 8, 64 * MIB);
        let work = Work::new();
        life(&rig, &Boot { cores, ..Boot::default() }, &work, stock);
        let mut unplugged = Vec::new();
        for lost in [3, 0, 6] {
            unplugged.push(lost);
            let boot = Boot { seed: 7, cores, unplugged: unplugged.clone(), ..Boot::default() };
            life(&rig, &boot, &work, becomes_whole);
        }
        // The code survives two more at once, and all may come back with what they had.
        unplugged.extend([1, 4]);
        life(&rig, &Boot { cores, unplugged, ..Boot::default() }, &work, quiet);
        life(&rig, &Boot { cores, ..Boot::default() }, &work, busy);
        life(&rig, &Boot { cores, ..Boot::default() }, &work, quiet);
    }
}

#[test]
fn a_device_that_dies_under_load_is_rebuilt_under_load() {
    let rig = Rig::flash("4+2", 8, 64 * MIB);
    let work = Work::new();
    let disk = rig.disks[5].clone();
    life(&rig, &Boot::default(), &work, move |engines, work| {
        let disk = disk.clone();
        async move {
            Box::pin(stock(engines.clone(), work.clone())).await;
            disk.set_dead(true);
            for seed in 10..40 {
                work.run(&engines, seed, 2, habits()).await;
                engines[0].runtime().sleep(LONG / 30).await;
            }
            assert_eq!(work.take_failures(), vec![]);
            assert_eq!(lacking(&engines[0]), 0, "{:?}", engines[0].status());
            assert!(engines[0].status().unwrap().rebuilding.members > 0);
        }
    });
    life(&rig, &without(&[5, 0, 7]), &work, busy);
    rig.disks[5].set_dead(false);
    life(&rig, &without(&[2, 6]), &work, quiet);
}

#[test]
fn a_device_that_is_taken_in_takes_what_another_had() {
    let mut rig = Rig::flash("2+1", 3, 64 * MIB);
    let work = Work::new();
    life(&rig, &Boot::default(), &work, stock);
    life(&rig, &without(&[1]), &work, |engines, work| async move {
        busy(engines.clone(), work).await;
        engines[0].runtime().sleep(LONG).await;
        let status = engines[0].status().unwrap();
        assert!(
            status.redundancy[1] > 0 && status.rebuilding.members == 0,
            "there is no room for it: {status:?}"
        );
    });
    rig.add(SimDisk::flash("new", 96 * MIB));
    life(&rig, &without(&[1]), &work, becomes_whole);
    life(&rig, &without(&[1, 0]), &work, quiet);
    life(&rig, &without(&[2]), &work, busy);
    life(&rig, &without(&[3]), &work, quiet);
}

/// What is dead lacks members until it is taken back.
async fn rebuild_all(engine: &SimEngine) {
    engine.rebuild().await;
    settle(engine).await;
    engine.rebuild().await;
    assert_eq!(lacking(engine), 0, "{:?}", engine.status());
}

#[test]
fn what_nobody_writes_to_is_rebuilt_too() {
    let rig = Rig::flash("2+2", 6, 64 * MIB);
    let work = Work::new();
    let disk = rig.disks[2].clone();
    life(&rig, &Boot::default(), &work, move |engines, work| {
        let disk = disk.clone();
        async move {
            Box::pin(stock(engines.clone(), work.clone())).await;
            disk.set_dead(true);
            // Somebody must meet it. Whatever else is open on it stays untouched.
            while engines[0].status().unwrap().devices.iter().all(|device| device.in_service) {
                let content = Content { seed: 1, length: 1000 };
                assert!(work.put(&engines[0], b"small", content).await);
            }
            engines[0].runtime().sleep(LONG).await;
            assert_eq!(lacking(&engines[0]), 0, "{:?}", engines[0].status());
        }
    });
    life(&rig, &without(&[2, 0, 1]), &work, quiet);
}

#[test]
fn what_is_lost_is_missed_until_it_is_rebuilt() {
    let rig = Rig::flash("2+1", 5, 64 * MIB);
    let work = Work::new();
    life(&rig, &Boot::default(), &work, stock);
    life(&rig, &without(&[4]), &work, busy);
    let refused = rig.boot(&without(&[4, 1]), |_engines| async {});
    assert!(matches!(refused.error, Some(StartError::Identify(_))), "{refused:?}");
    life(&rig, &without(&[4]), &work, |engines, _| async move {
        rebuild_all(&engines[0]).await;
        assert_eq!(engines[0].checkpoint().await, Ok(()));
    });
    life(&rig, &without(&[4, 1]), &work, quiet);
}

const LOSSES: [Loss; 5] = [Loss::Torn, Loss::DropAll, Loss::Random, Loss::Prefix, Loss::KeepAll];

/// One life in which everything is rebuilt, unless the power goes.
fn rebuild_once(rig: &Rig, boot: &Boot) -> Ended {
    rig.boot(boot, |engines| async move {
        engines[0].rebuild().await;
    })
}

#[test]
fn the_power_may_go_while_members_are_rebuilt() {
    let rig = Rig::flash("2+1", 5, 64 * MIB);
    let work = Work::new();
    life(&rig, &Boot::default(), &work, stock);
    let fresh: Vec<DiskSnapshot> = rig.disks.iter().map(|disk| disk.snapshot()).collect();
    let restore = || rig.disks.iter().zip(&fresh).for_each(|(disk, snapshot)| disk.restore(snapshot));
    let whole = rebuild_once(&rig, &without(&[3]));
    whole.assert_finished();
    assert!(whole.writes > 60, "something is rebuilt: {} writes", whole.writes);
    for (number, position) in (1..=whole.writes).zip(0_usize..).step_by(5) {
        let cut = if position % 2 == 0 { CutAt::Write(number) } else { CutAt::InsideWrite(number) };
        let loss = LOSSES[position % LOSSES.len()];
        restore();
        let ended = rebuild_once(&rig, &Boot { cut: Some(cut), loss, seed: number, ..without(&[3]) });
        assert!(matches!(ended.outcome, Outcome::PowerCut { .. }), "{cut:?}: {:?}", ended.outcome);
        let other = [0, 1, 2, 4][position % 4];
        if position % 3 == 0 {
            // It comes back, and another one is away: what counts is where the last checkpoint says.
            life(&rig, &without(&[other]), &work, quiet);
        }
        life(
            &rig,
            &Boot { cores: 1 + u16::from(position % 2 == 0), ..without(&[3]) },
            &work,
            |engines, work| async move {
                rebuild_all(&engines[0]).await;
                work.verify(&engines).await;
            },
        );
        life(&rig, &without(&[3, other]), &work, quiet);
    }
}

#[test]
fn what_was_rebuilt_is_really_there() {
    for (seed, plan) in [
        FaultPlan { lost_writes: Pick::OneIn(4), ..FaultPlan::default() },
        FaultPlan { lost_writes: Pick::OneIn(9), ..FaultPlan::default() },
    ]
    .into_iter()
    .enumerate()
    {
        let rig = Rig::flash("2+1", 4, 64 * MIB);
        let work = Work::new();
        life(&rig, &Boot::default(), &work, stock);
        let disk = rig.disks[3].clone();
        let seed = u64::try_from(seed).unwrap();
        life(&rig, &Boot { seed, ..without(&[0]) }, &work, move |engines, _| {
            let (disk, plan) = (disk.clone(), plan.clone());
            async move {
                settle(&engines[0]).await;
                disk.set_faults(plan);
                engines[0].rebuild().await;
                disk.set_faults(FaultPlan::default());
                rebuild_all(&engines[0]).await;
                settle(&engines[0]).await;
            }
        });
        life(&rig, &without(&[0, 1]), &work, quiet);
        life(&rig, &without(&[0, 2]), &work, quiet);
    }
}

#[test]
fn what_cannot_be_read_for_a_while_is_tried_again() {
    let rig = Rig::flash("2+1", 5, 64 * MIB);
    let work = Work::new();
    life(&rig, &Boot::default(), &work, stock);
    let others: Vec<SimDisk> = rig.disks[1..].to_vec();
    life(&rig, &without(&[0]), &work, move |engines, work| {
        let others = others.clone();
        async move {
            let failing = FaultPlan { failed_reads: Pick::OneIn(3), ..FaultPlan::default() };
            others.iter().for_each(|disk| disk.set_faults(failing.clone()));
            engines[0].rebuild().await;
            others.iter().for_each(|disk| disk.set_faults(FaultPlan::default()));
            let status = engines[0].status().unwrap();
            assert!(status.rebuilding.broken > 0, "{status:?}");
            engines[0].runtime().sleep(LONG).await;
            settle(&engines[0]).await;
            assert_eq!(lacking(&engines[0]), 0, "{:?}", engines[0].status());
            assert_eq!(engines[0].status().unwrap().rebuilding.broken, 0);
            work.verify(&engines).await;
        }
    });
    life(&rig, &without(&[0, 2]), &work, quiet);
}

/// Where a disk holds these bytes.
fn find(disk: &SimDisk, bytes: &[u8]) -> Option<u64> {
    let image = disk.image_bytes(0..64 * MIB);
    let at = image.windows(bytes.len()).position(|window| window == bytes)?;
    u64::try_from(at).ok()
}

/// Two disks that hold different chunks of one row of an object, and where the first one does.
fn two_of_a_row(rig: &Rig, content: Content) -> (usize, u64, usize) {
    let bytes = content.bytes(0..content.length);
    let place = |at: usize| {
        let needle = &bytes[at..at + 64];
        rig.disks.iter().enumerate().find_map(|(disk, own)| Some((disk, find(own, needle)?))).unwrap()
    };
    // Rows of 2+1 hold 512 KiB in two chunks.
    let ((first, at), (second, _)) = (place(5000), place(300_000));
    assert_ne!(first, second);
    (first, at, second)
}

const VICTIM: Content = Content { seed: 77, length: 700_000 };

async fn put_victim(engines: Vec<SimEngine>, work: Work) {
    for seed in 2000..2006 {
        // Behind one that stays, so that their group does.
        let content = Content { seed, ..VICTIM };
        assert!(work.put(&engines[0], format!("kept/{seed}").as_bytes(), content).await);
        if seed == 2000 {
            assert!(work.put(&engines[0], b"torn between two", VICTIM).await);
        }
    }
}

#[test]
fn who_may_come_back_with_the_only_copy_keeps_its_place() {
    let rig = Rig::flash("2+1", 4, 64 * MIB);
    let work = Work::new();
    life(&rig, &Boot::default(), &work, stock);
    life(&rig, &Boot::default(), &work, put_victim);
    // One device goes away, another loses some of what it has of the same row.
    let (rotten, at, away) = two_of_a_row(&rig, VICTIM);
    rig.disks[rotten].flip(at, 0x10);
    let ended = rig.boot(&without(&[away]), move |engines| async move {
        engines[0].rebuild().await;
        let status = engines[0].status().unwrap();
        assert!(status.rebuilding.members > 0 && status.rebuilding.broken > 0, "{status:?}");
        engines[0].runtime().sleep(LONG).await;
        settle(&engines[0]).await;
        assert!(lacking(&engines[0]) > 0, "{:?}", engines[0].status());
    });
    ended.assert_finished();
    life(&rig, &Boot::default(), &work, busy);
    life(&rig, &without(&[rotten]), &work, quiet);
}

#[test]
fn groups_with_rows_that_nobody_can_complete_and_nobody_needs_are_emptied() {
    let rig = Rig::flash("2+1", 4, 64 * MIB);
    let work = Work::new();
    life(&rig, &Boot::default(), &work, stock);
    life(&rig, &Boot::default(), &work, put_victim);
    let (rotten, at, away) = two_of_a_row(&rig, VICTIM);
    life(&rig, &Boot::default(), &work, |engines, work| async move {
        assert!(work.delete(&engines[0], b"torn between two").await);
    });
    rig.disks[rotten].flip(at, 0x10);
    life(&rig, &without(&[away]), &work, |engines, work| async move {
        rebuild_all(&engines[0]).await;
        let status = engines[0].status().unwrap();
        assert!(status.rebuilding.broken == 0 && status.cleaning.groups > 0, "{status:?}");
        work.verify(&engines).await;
    });
    life(&rig, &without(&[away, rotten]), &work, quiet);
}
