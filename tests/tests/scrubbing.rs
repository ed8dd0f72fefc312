//! Reading everything from time to time: what rots where nobody looks is mended before more rots.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands, and says where it is")]

use ashlar_disk_format::layout::{DeviceLayout, Media, default_segment_bytes};
use ashlar_disk_format::units::SegmentIndex;
use ashlar_engine::runtime::Runtime as _;
use ashlar_engine::runtime::sim::{CutAt, FaultPlan, Loss, Pick, SimDisk};
use ashlar_engine::types::UploadInit;
use ashlar_engine::{EngineOptions, ScrubStatus};
use ashlar_tests::driver::send;
use ashlar_tests::load::{BUCKET, Habits, Work, life, settle};
use ashlar_tests::model::Content;
use ashlar_tests::rig::{Boot, Rig, SimEngine};
use futures_util::future::{join, join_all};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

const DISK_BYTES: u64 = 64 << 20;
const SECTOR: u64 = 4096;

fn habits() -> Habits {
    Habits { operations: 10, deletes: 1, copies: 2, size_max: 400_000, ..Habits::default() }
}

async fn stock(engines: Vec<SimEngine>, work: Work) {
    for seed in 0..3 {
        work.run(&engines, seed, 3, habits()).await;
    }
    assert_eq!(work.take_failures(), vec![]);
}

/// One part of an object that is not complete.
async fn upload(engine: &SimEngine, key: &[u8]) {
    let bucket = engine.bucket(BUCKET).unwrap();
    let id = engine.create_upload(&bucket, key, UploadInit::default()).await.unwrap();
    let content = Content { seed: 7, length: 3_000_000 };
    let body = send(engine, content).await.unwrap();
    engine.put_part(&bucket, key, id, 1, body, content.md5(), None).await.unwrap();
}

/// Nobody scrubs unless a test says so.
fn alone(seed: u64) -> Boot {
    let options = EngineOptions { scrub_every: None, ..EngineOptions::default() };
    Boot { seed, options, ..Boot::default() }
}

fn status(engine: &SimEngine) -> ScrubStatus {
    engine.status().unwrap().scrubbing
}

/// One life in which nobody reads anything but the scrub; what that came to.
fn scrubbed(rig: &Rig, seed: u64) -> ScrubStatus {
    let found = Rc::new(Cell::new(ScrubStatus::default()));
    let own = Rc::clone(&found);
    let ended = rig.boot(&alone(seed), move |engines| {
        let found = Rc::clone(&own);
        async move {
            assert!(engines[0].scrub().await, "it comes to the end");
            found.set(status(&engines[0]));
        }
    });
    ended.assert_finished();
    found.get()
}

/// Where groups lie.
fn segments() -> Range<u64> {
    let layout = DeviceLayout::new(DISK_BYTES, default_segment_bytes(DISK_BYTES, Media::Flash)).unwrap();
    layout.segment_offset(SegmentIndex(0))..layout.label_offsets()[1]
}

/// Flips one bit in one of `every` sectors that hold anything.
fn rot(disk: &SimDisk, random: &mut ChaCha8Rng, every: u32) -> usize {
    let range = segments();
    let image = disk.image_bytes(range.clone());
    let mut count = 0;
    for (bytes, offset) in image.chunks(4096).zip(range.step_by(4096)) {
        if bytes.iter().any(|byte| *byte != 0) && random.random_range(0..every) == 0 {
            disk.flip(offset + random.random_range(0..SECTOR), 1 << random.random_range(0..8_u32));
            count += 1;
        }
    }
    count
}

/// All pairs of the first `count` devices.
fn pairs(count: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..count).flat_map(move |first| (first + 1..count).map(move |second| vec![first, second]))
}

#[test]
fn what_rots_unread_is_mended_before_more_rots() {
    for (seed, every) in [(1, 1), (2, 7), (3, 40)] {
        let rig = Rig::flash("4+2", 7, DISK_BYTES);
        let work = Work::new();
        life(&rig, &alone(seed), &work, stock);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for disk in &rig.disks[2..4] {
            assert!(rot(disk, &mut random, every) > 0);
        }
        let first = scrubbed(&rig, seed + 10);
        assert!(first.mended > 0 && first.bytes > 0, "{first:?}");
        assert_eq!((first.unmended, first.failed, first.left), (0, 0, 0), "{first:?}");
        let again = scrubbed(&rig, seed + 20);
        assert_eq!((again.mended, again.unmended, again.failed), (0, 0, 0), "{again:?}");
        for unplugged in pairs(7) {
            life(&rig, &Boot { unplugged, ..alone(seed + 30) }, &work, |_engines, _work| async {});
        }
    }
}

#[test]
fn groups_that_still_take_rows_are_read_too() {
    let rig = Rig::flash("4+2", 7, DISK_BYTES);
    let work = Work::new();
    let disks = rig.disks.clone();
    life(&rig, &alone(1), &work, move |engines, work| {
        let disks = disks.clone();
        async move {
            work.run(&engines, 1, 1, Habits { operations: 3, ..habits() }).await;
            let mut random = ChaCha8Rng::seed_from_u64(1);
            disks[..2].iter().for_each(|disk| assert!(rot(disk, &mut random, 1) > 0));
            assert!(engines[0].scrub().await);
            let found = status(&engines[0]);
            assert!(found.mended > 0 && found.unmended == 0, "{found:?}");
        }
    });
    for unplugged in pairs(7) {
        life(&rig, &Boot { unplugged, ..alone(2) }, &work, |_engines, _work| async {});
    }
}

#[test]
fn sectors_that_cannot_be_read_are_written_again() {
    let rig = Rig::flash("2+1", 4, DISK_BYTES);
    let work = Work::new();
    life(&rig, &alone(1), &work, stock);
    let plan = (segments().start..segments().end)
        .step_by(96 << 10)
        .fold(FaultPlan::default(), |plan, at| plan.unreadable_at(at..at + SECTOR));
    rig.disks[1].set_faults(plan);
    let first = scrubbed(&rig, 2);
    assert!(first.mended > 0 && first.unmended == 0, "{first:?}");
    let again = scrubbed(&rig, 3);
    assert_eq!((again.mended, again.unmended), (0, 0), "{again:?}");
    life(&rig, &Boot { unplugged: vec![3], ..alone(4) }, &work, |_engines, _work| async {});
}

#[test]
fn writes_that_never_came_to_the_disk_are_found() {
    for misdirected in [false, true] {
        let rig = Rig::flash("4+2", 7, DISK_BYTES);
        let work = Work::new();
        let disk = rig.disks[5].clone();
        life(&rig, &alone(1), &work, move |engines, work| {
            let disk = disk.clone();
            async move {
                work.run(&engines, 1, 3, habits()).await;
                let some = Pick::OneIn(9);
                disk.set_faults(if misdirected {
                    FaultPlan { misdirected_writes: some, ..FaultPlan::default() }
                } else {
                    FaultPlan { lost_writes: some, ..FaultPlan::default() }
                });
                work.run(&engines, 2, 3, habits()).await;
                work.run(&engines, 3, 3, habits()).await;
                disk.set_faults(FaultPlan::default());
                assert_eq!(work.take_failures(), vec![]);
            }
        });
        let first = scrubbed(&rig, 2);
        assert!(first.mended > 0 && first.unmended == 0, "{first:?}");
        for unplugged in pairs(7).filter(|pair| !pair.contains(&5)) {
            life(&rig, &Boot { unplugged, ..alone(3) }, &work, |_engines, _work| async {});
        }
    }
}

#[test]
fn what_a_device_does_not_keep_is_written_again() {
    for seed in 1..=4 {
        let rig = Rig::flash("4+2", 7, DISK_BYTES);
        let work = Work::new();
        life(&rig, &alone(seed), &work, stock);
        let disk = rig.disks[2].clone();
        assert!(rot(&disk, &mut ChaCha8Rng::seed_from_u64(seed), 2) > 0);
        let ended = rig.boot(&alone(seed + 10), move |engines| {
            let disk = disk.clone();
            async move {
                // It says that it has written, and has not.
                disk.set_faults(FaultPlan { lost_writes: Pick::OneIn(3), ..FaultPlan::default() });
                assert!(engines[0].scrub().await, "it comes to the end");
                disk.set_faults(FaultPlan::default());
                let first = status(&engines[0]);
                assert!(first.mended > 20, "{first:?}");
                assert!(engines[0].scrub().await);
                let again = status(&engines[0]);
                assert!(again.mended - first.mended <= first.unmended, "{first:?} {again:?}");
            }
        });
        ended.assert_finished();
        for unplugged in [vec![0, 1], vec![4, 5], vec![0, 6]] {
            life(&rig, &Boot { unplugged, ..alone(seed + 20) }, &work, |_engines, _work| async {});
        }
    }
}

#[test]
fn what_is_beyond_help_is_named_and_stays_as_it_is() {
    beyond_help(1..4, false);
}

#[test]
fn a_bad_index_is_told_of_while_it_is_in_memory() {
    beyond_help(1..6, true);
}

/// Nothing can be read from those devices for a while.
fn beyond_help(bad: Range<usize>, is_index_bad: bool) {
    let rig = Rig::flash("4+2", 6, DISK_BYTES);
    let work = Work::new();
    life(&rig, &alone(1), &work, |engines, work| async move {
        stock(engines.clone(), work.clone()).await;
        // Small ones share rows: of a row that is lost some can still be read.
        let names: Vec<Vec<u8>> = (0..60).map(|number: u64| format!("small-{number}").into_bytes()).collect();
        let content = |number: usize| Content { seed: number as u64, length: 9000 };
        let puts =
            names.iter().enumerate().map(|(number, name)| work.put(&engines[0], name, content(number)));
        assert!(join_all(puts).await.into_iter().all(|is_put| is_put));
    });
    let disks = rig.disks[bad].to_vec();
    let count = Rc::new(Cell::new((0, 0)));
    let (own, counted) = (work.clone(), Rc::clone(&count));
    let ended = rig.boot(&alone(2), move |engines| {
        let (disks, work, counted) = (disks.clone(), own.clone(), Rc::clone(&counted));
        async move {
            upload(&engines[0], b"half").await;
            // From here on: what a pool needs to open was read. What says whose a segment is can be written again.
            let segment = default_segment_bytes(DISK_BYTES, Media::Flash);
            let plan = segments()
                .step_by(usize::try_from(segment).unwrap())
                .fold(FaultPlan::default(), |plan, at| plan.unreadable_at(at + SECTOR..at + segment));
            disks.iter().for_each(|disk| disk.set_faults(plan.clone()));
            assert!(engines[0].scrub().await, "it comes to the end");
            let found = status(&engines[0]);
            // Rows of up to three data chunks need no more than three good ones.
            assert!(found.torn > 0 && found.mended > 0 && found.failed == 0, "{found:?}");
            let mut named = engines[0].lost();
            let uploads = named.extract_if(.., |lost| lost.is_upload).count();
            assert_eq!(found.lost, (named.len() + uploads) as u64);
            assert!(named.iter().all(|lost| lost.bucket == BUCKET));
            assert_eq!((found.is_index_damaged, found.may_be_more_lost), (is_index_bad, is_index_bad));
            let keys: Vec<Vec<u8>> = named.into_iter().map(|lost| lost.key).collect();
            let damaged = work.damaged(&engines[1]).await;
            if is_index_bad {
                assert!(keys.iter().all(|key| damaged.contains(key)), "only those that are lost");
            } else {
                assert_eq!(keys, damaged);
            }
            counted.set((keys.len(), uploads));
            disks.iter().for_each(|disk| disk.set_faults(FaultPlan::default()));
            assert!(engines[0].scrub().await, "it comes to the end");
            assert_eq!(engines[0].lost(), vec![]);
            let found = status(&engines[0]);
            assert_eq!(
                (found.lost, found.torn, found.is_index_damaged),
                (0, 0, false),
                "nothing is bad any more"
            );
        }
    });
    ended.assert_finished();
    let (objects, uploads) = count.get();
    assert!(is_index_bad || (objects > 3 && uploads == 1), "{objects} objects, {uploads} parts");
    life(&rig, &alone(3), &work, |_engines, _work| async {});
}

#[test]
fn under_load_nothing_else_is_written_over() {
    for seed in 1..=2 {
        let rig = Rig::flash("4+2", 7, DISK_BYTES);
        let work = Work::new();
        let disks = rig.disks.clone();
        life(&rig, &alone(seed), &work, move |engines, work| {
            let disks = disks.clone();
            async move {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                let is_done = Cell::new(false);
                let load = async {
                    for round in 0..6 {
                        let habits = Habits { deletes: 3, ..habits() };
                        work.run(&engines, seed * 100 + round, 3, habits).await;
                        settle(&engines[0]).await;
                        assert_eq!(engines[0].clean().await, Ok(()));
                    }
                    is_done.set(true);
                };
                let scrubs = async {
                    let mut mended = 0;
                    // Always the same one: whatever is wrong on another one was written there.
                    let disk = &disks[4];
                    while !is_done.get() {
                        rot(disk, &mut random, 20);
                        disk.set_faults(FaultPlan { slowdown: 20, ..FaultPlan::default() });
                        engines[0].scrub().await;
                        disk.set_faults(FaultPlan::default());
                        mended = status(&engines[0]).mended;
                        engines[0].runtime().sleep(Duration::from_millis(50)).await;
                    }
                    mended
                };
                let ((), mended) = join(load, scrubs).await;
                assert!(mended > 0);
                assert_eq!(work.take_failures(), vec![]);
                work.verify(&engines).await;
            }
        });
        for other in [0, 1, 2, 3, 5, 6] {
            let boot = Boot { unplugged: vec![4, other], ..alone(seed) };
            life(&rig, &boot, &work, |_engines, _work| async {});
        }
    }
}

#[test]
fn what_a_loss_of_power_tore_hides_nothing_behind_it() {
    for seed in 1..=6 {
        let rig = Rig::flash("4+2", 7, DISK_BYTES);
        let work = Work::new();
        for number in 0..4 {
            let cut = Some(CutAt::Write(150 + 90 * number));
            let boot = Boot { cut, loss: Loss::DropAll, ..alone(seed * 10 + number) };
            let own = work.clone();
            let ended = rig.boot(&boot, move |engines| {
                let work = own.clone();
                async move {
                    work.bucket(&engines[0]).await;
                    work.run(&engines, seed * 10 + number, 6, Habits { operations: 100, ..habits() }).await;
                }
            });
            ended.outcome.assert_cut();
        }
        life(&rig, &alone(seed), &work, |engines, work| async move {
            work.run(&engines, 99, 3, habits()).await;
        });
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        rig.disks[1..3].iter().for_each(|disk| assert!(rot(disk, &mut random, 2) > 0));
        let found = scrubbed(&rig, seed);
        assert!(found.mended > 0 && found.failed == 0, "{found:?}");
        let is_lost = (found.lost, found.may_be_more_lost, found.is_index_damaged);
        assert_eq!(is_lost, (0, false, false), "nobody needs what was torn");
        for unplugged in pairs(7) {
            life(&rig, &Boot { unplugged, ..alone(seed) }, &work, |_engines, _work| async {});
        }
    }
}

#[test]
fn places_that_were_claimed_in_vain_hide_nothing_behind_them() {
    let mut gaps = 0;
    for seed in 1..=4 {
        let rig = Rig::flash("4+2", 6, DISK_BYTES);
        let work = Work::new();
        let dying = rig.disks[5].clone();
        life(&rig, &alone(seed), &work, move |engines, work| {
            let dying = dying.clone();
            async move {
                let key = |number: u64| format!("large-{number}").into_bytes();
                let put = async |number: u64| {
                    let content = Content { seed: number, length: 2_500_000 };
                    assert!(work.put(&engines[0], &key(number), content).await);
                };
                // Rows under way are cut for six devices when only five are left.
                let death = async {
                    engines[0].runtime().sleep(Duration::from_micros(seed * 700)).await;
                    dying.set_dead(true);
                };
                join(join_all((0..6).map(put)), death).await;
                join_all((6..9).map(put)).await;
            }
        });
        rig.disks[5].set_dead(false);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        rig.disks[..2].iter().for_each(|disk| assert!(rot(disk, &mut random, 1) > 0));
        let found = scrubbed(&rig, seed);
        gaps += found.torn;
        assert!(found.mended > 0 && (found.failed, found.unmended) == (0, 0), "{found:?}");
        let is_lost = (found.lost, found.may_be_more_lost, found.is_index_damaged);
        assert_eq!(is_lost, (0, false, false), "nobody needs what lay there");
        for unplugged in [vec![2, 3], vec![2, 4], vec![3, 4]] {
            life(&rig, &Boot { unplugged, ..alone(seed) }, &work, |_engines, _work| async {});
        }
    }
    assert!(gaps > 0, "some place was left as it was");
}

#[test]
fn a_pass_may_be_cut_at_any_write() {
    for write in [12, 20, 35, 60, 90, 130] {
        let rig = Rig::flash("4+2", 7, DISK_BYTES);
        let work = Work::new();
        life(&rig, &alone(1), &work, stock);
        let mut random = ChaCha8Rng::seed_from_u64(write);
        rig.disks[2..4].iter().for_each(|disk| assert!(rot(disk, &mut random, 1) > 0));
        let boot = Boot { cut: Some(CutAt::Write(write)), ..alone(write) };
        let ended = rig.boot(&boot, |engines| async move {
            engines[0].scrub().await;
            engines[0].runtime().sleep(Duration::from_secs(100_000)).await;
        });
        ended.outcome.assert_cut();
        scrubbed(&rig, 2);
        for unplugged in pairs(7) {
            life(&rig, &Boot { unplugged, ..alone(3) }, &work, |_engines, _work| async {});
        }
    }
}

#[test]
fn passes_are_made_when_they_are_due_and_go_on_in_the_next_life() {
    let rig = Rig::flash("4+2", 7, DISK_BYTES);
    let work = Work::new();
    let every = Duration::from_secs(5000);
    let options = EngineOptions { scrub_every: Some(every), ..EngineOptions::default() };
    let boot = Boot { options, ..Boot::default() };
    let all = Rc::new(Cell::new(0));
    let own = Rc::clone(&all);
    life(&rig, &boot, &work, move |engines, work| {
        let all = Rc::clone(&own);
        async move {
            stock(engines.clone(), work).await;
            engines[0].runtime().sleep(every / 2).await;
            assert_eq!(status(&engines[0]).groups, 0, "a new pool has time");
            engines[0].runtime().sleep(every).await;
            let first = status(&engines[0]);
            assert!(first.groups > 0 && first.bytes > 0 && !first.is_active, "{first:?}");
            all.set(first.groups);
            engines[0].runtime().sleep(every / 4).await;
            assert_eq!(status(&engines[0]).groups, first.groups, "once is enough");
        }
    });
    // It is stopped in order while it is at work.
    let disks = rig.disks.clone();
    let some = Rc::new(Cell::new(0));
    let own = Rc::clone(&some);
    life(&rig, &alone(2), &work, move |engines, _work| {
        let (disks, some) = (disks.clone(), Rc::clone(&own));
        async move {
            disks.iter().for_each(|disk| {
                disk.set_faults(FaultPlan { slowdown: 50, ..FaultPlan::default() });
            });
            let stop = async {
                while status(&engines[0]).groups < 3 {
                    engines[0].runtime().sleep(Duration::from_millis(1)).await;
                }
                engines[0].shutdown().await.unwrap();
            };
            let (is_over, ()) = join(engines[0].scrub(), stop).await;
            assert!(!is_over);
            some.set(status(&engines[0]).groups);
            disks.iter().for_each(|disk| disk.set_faults(FaultPlan::default()));
        }
    });
    let (all, some) = (all.get(), some.get());
    assert!(some < all, "{some} of {all}");
    life(&rig, &boot, &work, move |engines, _work| async move {
        // Behind the start, at once.
        engines[0].runtime().sleep(Duration::from_secs(60)).await;
        let rest = status(&engines[0]);
        assert!(!rest.is_active && rest.groups > 0 && rest.groups < all, "{rest:?} of {all}");
    });
}
