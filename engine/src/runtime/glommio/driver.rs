//! The driver: submits, reaps, fires timers, and puts the core to sleep when nothing can run.
//!
//! It has a task queue of its own, because glommio charges a queue for the time its tasks take,
//! and the driver's sleep must not be charged to requests. (A queue that fell idle is charged
//! nothing when it wakes again.) Whenever tasks are runnable the driver waits until one of them was
//! polled; whenever none is, it blocks in the ring until the next completion, message or timer.
//!
//! Why blocking is safe: `Tasks` counts each runnable task exactly; all wakers are called on this
//! thread; the only code that runs while the driver runs is its own. So between reading zero and
//! entering the kernel nothing becomes runnable, and everything that could make a task runnable
//! later ends the sleep. glommio's reactor is not served meanwhile, nor at any other time: while the
//! driver waits, some task is runnable, and so glommio always finds a queue to run and never parks.

use super::super::contract::Monotonic;
use super::core::Core;
use super::limits::{DRAIN_MAX, IDLE_BLOCK_MAX};
use super::task::message_of;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

struct Driver {
    core: Rc<Core>,
    stopped: Cell<bool>,
    drained: Cell<bool>,
    /// When nothing was left to wait for but transfers.
    waits_since: Cell<Option<(usize, Monotonic)>>,
    /// Transfers were not waited for.
    gave_up: Cell<bool>,
}

/// Drives `core` until every core of the process has come to its end.
pub(super) fn drive(core: Rc<Core>) -> impl Future<Output = ()> {
    let driver = Driver {
        core,
        stopped: Cell::new(false),
        drained: Cell::new(false),
        waits_since: Cell::new(None),
        gave_up: Cell::new(false),
    };
    poll_fn(move |context| {
        let turned = catch_unwind(AssertUnwindSafe(|| driver.turn(context)));
        match turned {
            Ok(polled) => polled,
            // A core whose ring is broken cannot serve, and others wait for its answers.
            Err(panic) => super::abort("the driver of a core panicked", message_of(&*panic)),
        }
    })
}

impl Driver {
    fn turn(&self, context: &Context<'_>) -> Poll<()> {
        let core = &self.core;
        loop {
            self.pump();
            self.stop_when_mains_returned();
            if !core.tasks.is_idle() {
                core.tasks.park_driver(context.waker());
                return Poll::Pending;
            }
            if self.has_ended() {
                return Poll::Ready(());
            }
            if core.tasks.is_idle() && !core.post.is_wanted() {
                self.rest();
            }
        }
    }

    /// Sleeps until something happens. What happens on a ring that is polled wakes nobody, so while such
    /// transfers are under way the sleep is short, or none at all.
    fn rest(&self) {
        let core = &self.core;
        match core.nvme.patience() {
            None => core.ring.block(core.timers.wait(IDLE_BLOCK_MAX)),
            Some(Duration::ZERO) => std::hint::spin_loop(),
            Some(pause) => core.ring.block(core.timers.wait(pause)),
        }
    }

    fn pump(&self) {
        let core = &self.core;
        core.post_mail();
        core.ring.turn();
        core.nvme.turn();
        if core.ring.take_mail() {
            core.open_mail();
        }
        if core.ring.take_signal() {
            core.begin_shutdown();
        }
        core.timers.fire();
        core.arena.reclaim();
        core.reserve.reclaim();
        core.turned.fire();
    }

    /// The way down begins when every main has returned: tasks are dropped, also those that are
    /// always runnable, which orphans their transfers.
    fn stop_when_mains_returned(&self) {
        let core = &self.core;
        if !self.stopped.get() && core.shared.mains_left.load(Ordering::Acquire) == 0 {
            self.stopped.set(true);
            core.tasks.stop();
        }
    }

    /// The way down, when no task is runnable: the transfers run out; then all cores wait for each
    /// other, so that no ring closes while another core may still send to it. Nobody wants what is still under way, so a
    /// device that hangs does not keep the process; but no memory that it may still write to is given back.
    fn has_ended(&self) -> bool {
        let core = &self.core;
        if !self.stopped.get() {
            return false;
        }
        if !self.drained.get() {
            if core.tasks.live() > 0 || !core.ring.is_drained() || !core.nvme.is_drained() {
                if !self.is_held_back() {
                    return false;
                }
                self.gave_up.set(true);
                super::say(
                    "a device or a peer holds back transfers that nobody wants any more: they are not waited for",
                );
            }
            self.drained.set(true);
            core.shared.drained.fetch_add(1, Ordering::AcqRel);
            core.notify_others();
        }
        core.shared.drained.load(Ordering::Acquire) == core.shared.mail.len()
            && !core.post.is_wanted()
            && (core.ring.is_drained() || self.gave_up.get())
    }

    /// Nothing but transfers is waited for, and none of them has ended for long.
    fn is_held_back(&self) -> bool {
        let core = &self.core;
        let left = core.tasks.live() + core.ring.in_flight() + core.nvme.in_flight();
        let now = core.shared.clock.now();
        match self.waits_since.get() {
            Some((before, since)) if before == left => {
                core.tasks.live() == 0 && now.since(since) >= DRAIN_MAX
            }
            Some(_) | None => {
                self.waits_since.set(Some((left, now)));
                false
            }
        }
    }
}
