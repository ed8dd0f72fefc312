//! Task queues, timers, notifications between cores, idling.

use super::super::super::contract::{CoreId, Monotonic, Runtime as _, TaskQueue};
use super::super::limits::SPARE_TASKS_MAX;
use super::{config, run, yield_now};
use crate::sync::{Event, answer};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

#[test]
fn timers_fire_in_order_and_not_early() {
    run(config(1, Vec::new()), |runtime| async move {
        let order = Rc::new(RefCell::new(Vec::new()));
        for milliseconds in [30_u64, 5, 15, 5] {
            let (own, order) = (runtime.clone(), Rc::clone(&order));
            runtime.spawn(TaskQueue::Foreground, async move {
                let before = own.now();
                own.sleep(Duration::from_millis(milliseconds)).await;
                assert!(own.now().since(before) >= Duration::from_millis(milliseconds));
                order.borrow_mut().push(milliseconds);
            });
        }
        let dropped = runtime.sleep(Duration::from_millis(1));
        drop(dropped);
        runtime.sleep(Duration::ZERO).await;
        runtime.sleep(Duration::from_millis(60)).await;
        assert_eq!(*order.borrow(), [5, 5, 15, 30]);
        assert_eq!(runtime.task_panics().0, 0);
        assert!(runtime.now() > Monotonic::default());
        assert!(runtime.wall().0 > 1_700_000_000_000);
    });
}

#[test]
fn an_idle_core_stays_asleep() {
    run(config(1, Vec::new()), |runtime| async move {
        let own = runtime.clone();
        runtime.spawn(TaskQueue::Background, async move { own.notified().await });
        runtime.sleep(Duration::from_millis(20)).await;
        let before = runtime.ring_counters();
        runtime.sleep(Duration::from_millis(1000)).await;
        let after = runtime.ring_counters();
        // Ten bounded sleeps per second, and a few for luck.
        assert!(after.enters - before.enters < 30, "{before:?} {after:?}");
        runtime.notify(CoreId(0));
    });
}

#[test]
fn a_panic_ends_one_task_only() {
    static REPORTED: AtomicU64 = AtomicU64::new(0);
    let mut config = config(1, Vec::new());
    config.on_task_panic = Some(|core, message| {
        assert_eq!(core, CoreId(0));
        assert!(message.starts_with("on purpose"));
        REPORTED.fetch_add(1, Ordering::SeqCst);
    });
    run(config, |runtime| async move {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("on purpose, late");
            }
        }
        let (to, done) = answer::<()>();
        runtime.spawn(TaskQueue::Foreground, async move {
            let _to = to;
            panic!("on purpose, {}", 1);
        });
        assert!(done.await.is_none(), "the unwinding drops what the task held");
        runtime.spawn(TaskQueue::Background, async move {
            let bomb = Bomb;
            std::future::poll_fn(|_context| Poll::Ready(())).await;
            drop(bomb);
        });
        runtime.sleep(Duration::from_millis(5)).await;
        assert_eq!(runtime.task_panics(), (2, Some("on purpose, late".to_owned())));
    });
    assert_eq!(REPORTED.load(Ordering::SeqCst), 2);
}

#[test]
fn both_queues_progress_and_requests_get_more() {
    run(config(1, Vec::new()), |runtime| async move {
        // Time and not turns: a turn during which the machine did something else is a long one.
        let spent = Rc::new([Cell::new(Duration::ZERO), Cell::new(Duration::ZERO)]);
        let end = runtime.now().after(Duration::from_millis(300));
        for (index, queue) in [TaskQueue::Foreground, TaskQueue::Background].into_iter().enumerate() {
            for _task in 0..3 {
                let (own, spent) = (runtime.clone(), Rc::clone(&spent));
                runtime.spawn(queue, async move {
                    while own.now() < end {
                        let begun = own.now();
                        while own.now().since(begun) < Duration::from_micros(50) {}
                        spent[index].set(spent[index].get() + own.now().since(begun));
                        yield_now().await;
                    }
                });
            }
        }
        // The timer fires although tasks are always runnable.
        runtime.sleep(Duration::from_millis(20)).await;
        assert!(runtime.now() < end, "a timer starved");
        runtime.sleep(Duration::from_millis(400)).await;
        let (foreground, background) = (spent[0].get(), spent[1].get());
        assert!(background > Duration::from_millis(5), "{foreground:?} {background:?}");
        assert!(foreground > 3 * background, "{foreground:?} {background:?}");
    });
}

#[test]
fn background_alone_is_not_slowed_down() {
    run(config(1, Vec::new()), |runtime| async move {
        let own = runtime.clone();
        let (to, done) = answer();
        runtime.spawn(TaskQueue::Background, async move {
            let begun = own.now();
            for _turn in 0..10_000 {
                yield_now().await;
            }
            to.send(own.now().since(begun));
        });
        let took = done.await.unwrap();
        // Some 1 µs each; the driver's sleep must not come between.
        assert!(took < Duration::from_secs(2), "{took:?}");
    });
}

#[test]
fn cores_notify_each_other() {
    const ROUNDS: u64 = 2000;
    let ball = Arc::new(AtomicU64::new(0));
    run(config(2, Vec::new()), move |runtime| {
        let ball = Arc::clone(&ball);
        async move {
            let me = u64::from(runtime.core().0);
            let other = CoreId(1 - runtime.core().0);
            loop {
                let at = ball.load(Ordering::Acquire);
                if at >= ROUNDS {
                    runtime.notify(other);
                    return;
                }
                if at % 2 == me {
                    ball.store(at + 1, Ordering::Release);
                    runtime.notify(other);
                } else {
                    runtime.notified().await;
                }
            }
        }
    });
}

#[test]
fn a_flood_of_notifications_is_one_and_none_is_lost() {
    const MESSAGES: u64 = 100_000;
    let sent = Arc::new(AtomicU64::new(0));
    run(config(2, Vec::new()), move |runtime| {
        let sent = Arc::clone(&sent);
        async move {
            if runtime.core() == CoreId(0) {
                for number in 1..=MESSAGES {
                    sent.store(number, Ordering::Release);
                    runtime.notify(CoreId(1));
                    if number % 64 == 0 {
                        yield_now().await;
                    }
                }
                return;
            }
            while sent.load(Ordering::Acquire) < MESSAGES {
                runtime.notified().await;
            }
        }
    });
}

#[test]
fn a_task_may_have_many_wakers() {
    run(config(1, Vec::new()), |_runtime| async move {
        // Scheduler wakers are counted in 16 bits; ours are not.
        let mut wakers = Vec::new();
        std::future::poll_fn(|context| {
            wakers.extend((0..100_000).map(|_index| context.waker().clone()));
            Poll::Ready(())
        })
        .await;
        wakers.drain(..).for_each(Waker::wake);
        yield_now().await;
    });
}

#[test]
fn tasks_of_one_queue_take_turns() {
    run(config(1, Vec::new()), |runtime| async move {
        let start = Event::new();
        let log = Rc::new(RefCell::new(Vec::new()));
        for name in 0..3 {
            let (log, begun) = (Rc::clone(&log), start.wait());
            runtime.spawn(TaskQueue::Foreground, async move {
                begun.await;
                for _turn in 0..2 {
                    log.borrow_mut().push(name);
                    yield_now().await;
                }
            });
        }
        yield_now().await;
        start.fire();
        runtime.sleep(Duration::from_millis(5)).await;
        assert_eq!(*log.borrow(), [0, 1, 2, 0, 1, 2]);
    });
}

#[test]
fn a_task_that_is_over_runs_the_next_of_its_kind() {
    async fn twice(ran: Rc<Cell<usize>>) {
        ran.set(ran.get() + 1);
        assert!(ran.get() != 10, "on purpose");
        yield_now().await;
        ran.set(ran.get() + 1);
    }
    run(config(1, Vec::new()), |runtime| async move {
        let (before, ran) = (runtime.core.tasks.live(), Rc::new(Cell::new(1)));
        for round in 0..50 {
            runtime.spawn(TaskQueue::Foreground, twice(Rc::clone(&ran)));
            runtime.sleep(Duration::from_millis(1)).await;
            assert_eq!((runtime.core.tasks.live(), Rc::strong_count(&ran)), (before + 1, 1), "{round}");
        }
        assert_eq!((ran.get(), runtime.task_panics().0), (100, 1), "one panicked half way");
        // The one of another queue is no use to this one.
        runtime.spawn(TaskQueue::Background, twice(Rc::clone(&ran)));
        runtime.sleep(Duration::from_millis(1)).await;
        assert_eq!(runtime.core.tasks.live(), before + 2);
        for _task in 0..2 * SPARE_TASKS_MAX {
            runtime.spawn(TaskQueue::Foreground, twice(Rc::clone(&ran)));
        }
        runtime.sleep(Duration::from_millis(20)).await;
        assert_eq!((ran.get(), Rc::strong_count(&ran)), (102 + 4 * SPARE_TASKS_MAX, 1));
        assert_eq!(runtime.core.tasks.live(), before + SPARE_TASKS_MAX, "so many are kept");
    });
}

#[test]
fn a_waker_of_a_task_that_is_over_wakes_no_other() {
    async fn task(polls: Rc<Cell<usize>>, kept: Option<Rc<RefCell<Option<Waker>>>>) {
        std::future::poll_fn(|context| {
            polls.set(polls.get() + 1);
            let Some(kept) = &kept else { return Poll::Pending };
            *kept.borrow_mut() = Some(context.waker().clone());
            Poll::Ready(())
        })
        .await;
    }
    run(config(1, Vec::new()), |runtime| async move {
        let (first, second, kept) = (Rc::default(), Rc::default(), Rc::default());
        runtime.spawn(TaskQueue::Foreground, task(Rc::clone(&first), Some(Rc::clone(&kept))));
        runtime.sleep(Duration::from_millis(1)).await;
        runtime.spawn(TaskQueue::Foreground, task(Rc::clone(&second), None));
        runtime.sleep(Duration::from_millis(1)).await;
        let waker: Option<Waker> = kept.take();
        waker.unwrap().wake();
        runtime.sleep(Duration::from_millis(1)).await;
        assert_eq!((first.get(), second.get()), (1, 1));
    });
}

#[test]
fn random_bytes_differ() {
    run(config(1, Vec::new()), |runtime| async move {
        let (mut first, mut second) = ([0; 300], [0; 300]);
        runtime.fill_random(&mut first);
        runtime.fill_random(&mut second);
        assert_ne!(first, second);
        assert!(first[256..].iter().any(|byte| *byte != 0));
    });
}
