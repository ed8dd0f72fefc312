//! Power cuts: what survives, what may be lost, what may be torn.

use super::{SECTOR, boot, config, disk, only, read, write};
use crate::runtime::contract::{Device as _, Durability, Runtime as _};
use crate::runtime::sim::{CutAt, DiskConfig, Loss, Outcome, Sim, SimConfig, SimDisk};
use std::collections::BTreeSet;
use std::time::Duration;

/// Writes sector 0 durably, 1 volatile with flush, 2 volatile twice without, then cuts.
fn cut_after_writes(seed: u64, loss: Loss) -> Vec<u8> {
    let disk = disk();
    let sim = Sim::new(SimConfig { loss, ..config(seed, &disk) });
    let control = sim.control();
    let outcome = sim.run(|runtime| {
        let control = control.clone();
        async move {
            write(&runtime, 0, 1, 1, Durability::Durable).await.unwrap();
            write(&runtime, 4096, 1, 1, Durability::Volatile).await.unwrap();
            only(&runtime).flush().await.unwrap();
            write(&runtime, 8192, 1, 1, Durability::Volatile).await.unwrap();
            write(&runtime, 8192, 1, 2, Durability::Volatile).await.unwrap();
            assert_eq!(read(&runtime, 8192, 1).await.unwrap(), [2; SECTOR]);
            control.cut_power();
            runtime.sleep(Duration::from_secs(1)).await;
            panic!("the machine is off");
        }
    });
    outcome.assert_cut();
    assert_eq!(disk.volatile_sectors(), usize::from(loss == Loss::Process));
    disk.image_bytes(0..3 * 4096)
}

#[test]
fn durable_and_flushed_writes_survive_every_cut() {
    for loss in [Loss::DropAll, Loss::KeepAll, Loss::Random, Loss::Torn, Loss::Prefix, Loss::Process] {
        for seed in 0..30 {
            let image = cut_after_writes(seed, loss);
            assert!(image[..2 * SECTOR].iter().all(|byte| *byte == 1), "{loss:?} {seed}");
        }
    }
}

#[test]
fn an_unflushed_sector_is_old_newer_newest_or_torn_as_the_mode_says() {
    let fates = |loss| -> BTreeSet<Vec<u8>> {
        (0..80)
            .map(|seed| {
                let mut kinds = cut_after_writes(seed, loss)[2 * SECTOR..].to_vec();
                kinds.dedup();
                kinds
            })
            .collect()
    };
    let whole: BTreeSet<Vec<u8>> = [vec![0], vec![1], vec![2]].into();
    assert_eq!(fates(Loss::DropAll), [vec![0]].into());
    assert_eq!(fates(Loss::KeepAll), [vec![2]].into());
    assert_eq!(fates(Loss::Process), [vec![2]].into());
    assert_eq!(fates(Loss::Random), whole);
    assert_eq!(fates(Loss::Prefix), whole);
    assert!(fates(Loss::Torn).len() > whole.len());
}

#[test]
fn a_torn_sector_is_made_of_pieces_of_512_bytes() {
    for seed in 0..40 {
        let image = cut_after_writes(seed, Loss::Torn);
        for piece in image.chunks(512) {
            assert!(piece.iter().all(|byte| *byte == piece[0]));
        }
    }
}

#[test]
fn sectors_are_lost_independently() {
    let fates: BTreeSet<Vec<u8>> = (0..60)
        .map(|seed| {
            let disk = disk();
            let sim =
                Sim::new(SimConfig { loss: Loss::Random, cut: Some(CutAt::Flush(1)), ..config(seed, &disk) });
            let outcome = sim.run(|runtime| async move {
                write(&runtime, 0, 2, 1, Durability::Volatile).await.unwrap();
                only(&runtime).flush().await.unwrap();
                panic!("nobody hears of this flush");
            });
            outcome.assert_cut();
            disk.image_bytes(0..8192).chunks(4096).map(|sector| sector[0]).collect()
        })
        .collect();
    assert_eq!(fates.len(), 4);
}

#[test]
fn a_write_in_flight_may_be_applied_in_part() {
    let run = |seed, loss| {
        let disk = disk();
        let cut = Some(CutAt::InsideWrite(2));
        let sim = Sim::new(SimConfig { loss, cut, ..config(seed, &disk) });
        let outcome = sim.run(|runtime| async move {
            write(&runtime, 0, 4, 1, Durability::Durable).await.unwrap();
            write(&runtime, 0, 4, 2, Durability::Durable).await.unwrap();
            panic!("nobody hears of this write");
        });
        outcome.assert_cut();
        let image = disk.image_bytes(0..4 * 4096);
        assert!(image.iter().all(|byte| *byte == 1 || *byte == 2), "old or new, nothing else");
        image.chunks(512).map(|piece| piece[0]).collect::<Vec<u8>>()
    };
    let torn: BTreeSet<Vec<u8>> = (0..60).map(|seed| run(seed, Loss::Torn)).collect();
    assert!(torn.contains(&vec![1; 32]), "not at all");
    assert!(torn.contains(&vec![2; 32]), "wholly");
    assert!(
        torn.iter().any(|pieces| pieces.chunks(8).any(|sector| sector != [sector[0]; 8])),
        "inside a sector"
    );
    for pieces in (0..60).map(|seed| run(seed, Loss::Random)) {
        assert!(pieces.chunks(8).all(|sector| sector == [sector[0]; 8]), "sectors stay whole");
    }
    for pieces in (0..60).map(|seed| run(seed, Loss::Prefix)) {
        assert!(pieces.is_sorted_by(|left, right| left >= right), "new ones first");
    }
    assert_eq!(run(0, Loss::DropAll), vec![1; 32]);
    assert_eq!(run(0, Loss::KeepAll), vec![2; 32]);
}

#[test]
fn every_boundary_can_be_cut_and_what_was_acknowledged_stays() {
    let workload = |runtime: crate::runtime::sim::SimRuntime| async move {
        for number in 1..=6u8 {
            write(&runtime, u64::from(number) << 12, 1, number, Durability::Durable).await.unwrap();
            write(&runtime, 0, 1, number, Durability::Durable).await.unwrap();
        }
    };
    let sim = Sim::new(config(9, &disk()));
    sim.run(workload).assert_finished();
    assert_eq!(sim.writes(), 12);
    for number in 1..=sim.writes() {
        for cut in [CutAt::Write(number), CutAt::InsideWrite(number)] {
            let disk = disk();
            Sim::new(SimConfig { cut: Some(cut), ..config(9, &disk) }).run(workload).assert_cut();
            let acknowledged = u8::try_from((number - 1) >> 1).unwrap();
            for sector in 1..=acknowledged {
                let start = u64::from(sector) << 12;
                assert_eq!(disk.image_bytes(start..start + 4096), [sector; SECTOR]);
            }
            let register = disk.image_bytes(0..1)[0];
            assert!(register == acknowledged || register == acknowledged + 1, "{register} at {cut:?}");
        }
    }
}

#[test]
fn a_flush_covers_only_what_was_complete_when_it_started() {
    let mut lost = 0;
    for seed in 0..40 {
        let disk = disk();
        let sim = Sim::new(SimConfig {
            loss: Loss::DropAll,
            cut: Some(CutAt::AfterFlush(1)),
            ..config(seed, &disk)
        });
        let outcome = sim.run(|runtime| async move {
            let device = only(&runtime);
            write(&runtime, 0, 1, 1, Durability::Volatile).await.unwrap();
            let other = runtime.clone();
            let late = async move { write(&other, 4096, 1, 1, Durability::Volatile).await };
            let (_, _) = futures_util::future::join(device.flush(), late).await;
        });
        outcome.assert_cut();
        assert_eq!(disk.image_bytes(0..1), [1]);
        lost += usize::from(disk.image_bytes(4096..4097) == [0]);
    }
    assert_eq!(lost, 40);
}

#[test]
fn a_durable_write_is_not_undone_by_an_older_cached_version() {
    for seed in 0..40 {
        let disk = disk();
        let sim = Sim::new(SimConfig { cut: Some(CutAt::Write(2)), ..config(seed, &disk) });
        let outcome = sim.run(|runtime| async move {
            write(&runtime, 0, 1, 1, Durability::Volatile).await.unwrap();
            write(&runtime, 0, 1, 2, Durability::Durable).await.unwrap();
        });
        outcome.assert_cut();
        assert_eq!(disk.image_bytes(0..4096), [2; SECTOR]);
    }
}

#[test]
fn without_a_volatile_cache_completed_writes_stay() {
    let disk = SimDisk::new(DiskConfig { volatile_cache: false, ..DiskConfig::flash("plp", 1 << 30) });
    let sim = Sim::new(SimConfig { loss: Loss::DropAll, cut: Some(CutAt::Write(1)), ..config(0, &disk) });
    let outcome =
        sim.run(|runtime| async move { write(&runtime, 0, 1, 1, Durability::Volatile).await.unwrap() });
    outcome.assert_cut();
    assert_eq!(disk.image_bytes(0..4096), [1; SECTOR]);
}

#[test]
fn a_killed_process_loses_its_cache_only_at_the_next_cut() {
    let disk = disk();
    let (outcome, _) = boot(config(0, &disk), |runtime| async move {
        write(&runtime, 0, 1, 1, Durability::Volatile).await.unwrap();
    });
    outcome.assert_finished();
    assert_eq!(disk.volatile_sectors(), 1);
    let sim = Sim::new(SimConfig { loss: Loss::DropAll, ..config(1, &disk) });
    let control = sim.control();
    let outcome = sim.run(|runtime| {
        let control = control.clone();
        async move {
            assert_eq!(read(&runtime, 0, 1).await.unwrap(), [1; SECTOR]);
            control.cut_power();
            runtime.turn().await;
        }
    });
    assert!(matches!(outcome, Outcome::PowerCut { .. }));
    assert_eq!(disk.image_bytes(0..4096), [0; SECTOR]);
}

#[test]
fn a_write_in_flight_when_the_process_dies_is_whole_or_absent_and_then_stays() {
    let mut applied = 0;
    for seed in 0..40 {
        let disk = disk();
        let sim = Sim::new(config(seed, &disk));
        let writing = |runtime: crate::runtime::sim::SimRuntime| async move {
            write(&runtime, 0, 2, 1, Durability::Durable).await.unwrap();
        };
        assert_eq!(sim.run_until(writing, |_| true), Outcome::Stopped);
        assert_eq!(disk.volatile_sectors(), 0);
        let image = disk.image_bytes(0..8192);
        assert!(image.iter().all(|byte| *byte == image[0]));
        applied += usize::from(image[0] == 1);
    }
    assert!((5..35).contains(&applied), "{applied} of 40");
}

#[test]
fn destructors_after_the_cut_reach_no_device() {
    struct WritesWhenDropped(crate::runtime::sim::SimRuntime);
    impl Drop for WritesWhenDropped {
        fn drop(&mut self) {
            let runtime = self.0.clone();
            let task = runtime.clone();
            runtime.spawn(crate::runtime::contract::TaskQueue::Foreground, async move {
                write(&task, 0, 1, 9, Durability::Durable).await.unwrap();
            });
        }
    }
    let disk = disk();
    let sim = Sim::new(SimConfig { cut: Some(CutAt::Write(1)), ..config(0, &disk) });
    let outcome = sim.run(|runtime| async move {
        let _guard = WritesWhenDropped(runtime.clone());
        write(&runtime, 4096, 1, 1, Durability::Durable).await.unwrap();
    });
    outcome.assert_cut();
    assert_eq!(disk.image_bytes(0..1), [0]);
    assert_eq!(sim.leaked_bytes(), 0);
}
