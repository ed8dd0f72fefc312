//! The seeded scheduler: replay, interleaving, time, deadlock.

use super::{boot, config, disk, only, write};
use crate::runtime::contract::{CoreId, Device as _, Durability, Monotonic, Runtime as _, TaskQueue};
use crate::runtime::sim::{CutAt, Outcome, Sim, SimConfig};
use crate::sync::Event;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Some tasks on two cores that write, sleep and yield; returns the trace and who ran when.
fn busy_run(seed: u64) -> (u64, Vec<(u16, u32)>) {
    let disk = disk();
    let order = Rc::new(RefCell::new(Vec::new()));
    let sim = Sim::new(SimConfig { cores: 2, ..config(seed, &disk) });
    let outcome = sim.run(|runtime| {
        let order = Rc::clone(&order);
        async move {
            for number in 0..6u32 {
                let (worker, order) = (runtime.clone(), Rc::clone(&order));
                let queue = if number % 2 == 0 { TaskQueue::Foreground } else { TaskQueue::Background };
                runtime.spawn(queue, async move {
                    order.borrow_mut().push((worker.core().0, number));
                    worker.turn().await;
                    write(&worker, u64::from(number) << 12, 1, 7, Durability::Volatile).await.unwrap();
                    order.borrow_mut().push((worker.core().0, number));
                });
            }
            runtime.sleep(Duration::from_millis(20)).await;
            only(&runtime).flush().await.unwrap();
        }
    });
    outcome.assert_finished();
    assert_eq!(sim.leaked_bytes(), 0);
    let order = order.borrow().clone();
    assert_eq!(order.len(), 24);
    (sim.trace(), order)
}

#[test]
fn the_same_seed_makes_the_same_run() {
    for seed in 0..20 {
        assert_eq!(busy_run(seed), busy_run(seed));
    }
}

#[test]
fn other_seeds_make_other_interleavings() {
    let runs: std::collections::BTreeSet<Vec<(u16, u32)>> = (0..20).map(|seed| busy_run(seed).1).collect();
    assert!(runs.len() > 15, "only {} different orders", runs.len());
}

#[test]
fn timers_fire_in_order_and_not_early() {
    let fired = Rc::new(RefCell::new(Vec::new()));
    let sim = Sim::new(config(1, &disk()));
    let outcome = sim.run(|runtime| {
        let fired = Rc::clone(&fired);
        async move {
            for milliseconds in [30, 10, 20] {
                let (sleeper, fired) = (runtime.clone(), Rc::clone(&fired));
                runtime.spawn(TaskQueue::Foreground, async move {
                    let start = sleeper.now();
                    sleeper.sleep(Duration::from_millis(milliseconds)).await;
                    assert!(sleeper.now().since(start) >= Duration::from_millis(milliseconds));
                    fired.borrow_mut().push(milliseconds);
                });
            }
            runtime.sleep(Duration::from_secs(3600)).await;
        }
    });
    outcome.assert_finished();
    assert_eq!(*fired.borrow(), [10, 20, 30]);
    assert!(sim.now() < Monotonic(3_601_000_000_000));
}

#[test]
fn a_yield_lets_every_ready_task_run_first() {
    for seed in 0..50 {
        let (outcome, ()) = (
            boot(config(seed, &disk()), |runtime| async move {
                let ran = Rc::new(Cell::new(0));
                for _ in 0..5 {
                    let ran = Rc::clone(&ran);
                    runtime.spawn(TaskQueue::Foreground, async move { ran.set(ran.get() + 1) });
                }
                runtime.turn().await;
                assert_eq!(ran.get(), 5);
            })
            .0,
            (),
        );
        outcome.assert_finished();
    }
}

#[test]
fn background_work_gets_a_share_while_the_foreground_spins() {
    let (outcome, _) = boot(config(3, &disk()), |runtime| async move {
        let done = Rc::new(Cell::new(false));
        let flag = Rc::clone(&done);
        runtime.spawn(TaskQueue::Background, async move { flag.set(true) });
        while !done.get() {
            runtime.turn().await;
        }
    });
    outcome.assert_finished();
}

#[test]
fn who_waits_for_ever_is_found() {
    let sim = Sim::new(SimConfig { cores: 2, ..config(0, &disk()) });
    let outcome = sim.run(|runtime| async move {
        if runtime.core() == CoreId(1) {
            Event::new().wait().await;
        }
    });
    let Outcome::Deadlock { mains, tasks, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(mains, [CoreId(1)]);
    assert_eq!(tasks, 1);
}

#[test]
fn who_spins_is_given_up() {
    let sim = Sim::new(SimConfig { steps_max: 1000, ..config(0, &disk()) });
    let outcome = sim.run(|runtime| async move {
        loop {
            runtime.turn().await;
        }
    });
    assert!(matches!(outcome, Outcome::StepLimit { .. }), "{outcome:?}");
}

#[test]
fn who_only_sleeps_is_given_up() {
    let sim = Sim::new(SimConfig { time_max: Duration::from_secs(10), ..config(0, &disk()) });
    let outcome = sim.run(|runtime| async move {
        loop {
            runtime.sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(outcome, Outcome::TimeLimit { mains: vec![CoreId(0)] });
}

#[test]
fn a_panic_fails_the_run_and_names_the_seed() {
    let (outcome, _) = boot(config(77, &disk()), |runtime| async move {
        runtime.spawn(TaskQueue::Background, async { panic!("a bug {}", 1) });
        runtime.sleep(Duration::from_secs(1)).await;
    });
    assert_eq!(outcome, Outcome::Panicked { seed: 77, message: "a bug 1".to_owned() });
}

#[test]
fn notifications_reach_other_cores_and_are_not_lost() {
    for seed in 0..20 {
        let sim = Sim::new(SimConfig { cores: 2, ..config(seed, &disk()) });
        let letters = Rc::new(Cell::new(0));
        let outcome = sim.run(|runtime| {
            let letters = Rc::clone(&letters);
            async move {
                if runtime.core() == CoreId(0) {
                    for _ in 0..10 {
                        letters.set(letters.get() + 1);
                        runtime.notify(CoreId(1));
                        runtime.turn().await;
                    }
                } else {
                    while letters.get() < 10 {
                        runtime.notified().await;
                    }
                }
            }
        });
        outcome.assert_finished();
    }
}

#[test]
fn shutdown_and_the_wall_clock_obey_the_test() {
    let sim = Sim::new(config(0, &disk()));
    let control = sim.control();
    sim.client(|runtime| async move {
        runtime.sleep(Duration::from_millis(5)).await;
        control.jump_wall(-60_000);
        control.request_shutdown();
    });
    let outcome = sim.run(|runtime| async move {
        let (wall, start) = (runtime.wall(), runtime.now());
        runtime.shutdown().await;
        assert!(runtime.now() > start);
        assert_eq!(runtime.wall().0, wall.0 - 60_000 + 5);
        runtime.shutdown().await;
    });
    outcome.assert_finished();
}

#[test]
fn identifiers_follow_from_the_seed() {
    let draw = |seed| {
        boot(config(seed, &disk()), |runtime| async move {
            let mut bytes = [0; 16];
            runtime.fill_random(&mut bytes);
            bytes
        })
        .1
        .unwrap()
    };
    assert_eq!(draw(5), draw(5));
    assert_ne!(draw(5), draw(6));
}

#[test]
fn a_run_can_be_stopped_between_steps_or_at_a_moment() {
    let sim = Sim::new(config(0, &disk()));
    let forever = |runtime: crate::runtime::sim::SimRuntime| async move {
        loop {
            runtime.sleep(Duration::from_millis(1)).await;
        }
    };
    let outcome = sim.run_until(forever, |control| control.now() > Monotonic(5_000_000));
    assert_eq!(outcome, Outcome::Stopped);
    let at = Monotonic(3_500_000);
    let sim = Sim::new(SimConfig { cut: Some(CutAt::Time(at)), ..config(0, &disk()) });
    assert_eq!(sim.run(forever), Outcome::PowerCut { at });
}

#[test]
fn buffers_held_by_dropped_transfers_come_home() {
    let sim = Sim::new(config(0, &disk()));
    let outcome = sim.run(|runtime| async move {
        let device = only(&runtime);
        let buffer = runtime.arena().try_take(4096).unwrap();
        let writing = device.write(0, buffer, 4096, Durability::Durable);
        futures_util::future::select(Box::pin(writing), Box::pin(runtime.turn())).await;
        assert_eq!(runtime.arena().available(), runtime.arena().capacity() - 4096);
        runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!(runtime.arena().available(), runtime.arena().capacity());
    });
    outcome.assert_finished();
    assert_eq!(sim.leaked_bytes(), 0);
}
