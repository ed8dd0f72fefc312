//! Waiting that nearly always ends before its time, for next to nothing.
//!
//! Every transfer with a device is watched, and hardly any is late. A timer for each would be put into an ordered map
//! and taken out again; here it is a place in a list, at which a task looks every ten milliseconds while there are any.
//! So times are rough, and a process that stood still has seen one tick of it: nobody is late because of that.

use crate::limits::{TICK, TICKS_IDLE_MAX};
use crate::runtime::{Runtime, TaskQueue};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// One core's ticks, which are counted while somebody waits.
pub(crate) struct Ticks<R: Runtime> {
    runtime: R,
    count: Cell<u64>,
    waiting: RefCell<Slab<(u64, Waker)>>,
    is_running: Cell<bool>,
}

impl<R: Runtime> Ticks<R> {
    pub(super) fn new(runtime: R) -> Rc<Self> {
        Rc::new(Self {
            runtime,
            count: Cell::new(0),
            waiting: RefCell::default(),
            is_running: Cell::new(false),
        })
    }

    /// Resolves after `duration`, a tick or two later perhaps, never earlier.
    pub(super) fn after(self: &Rc<Self>, duration: Duration) -> Tick<R> {
        let ticks = duration.as_nanos().div_ceil(TICK.as_nanos()).saturating_add(1);
        let due = self.count.get().saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX));
        Tick { ticks: Rc::clone(self), due, place: None }
    }

    fn run(self: &Rc<Self>) {
        if self.is_running.replace(true) {
            return;
        }
        let ticks = Rc::clone(self);
        self.runtime.spawn(TaskQueue::Foreground, async move {
            let mut idle = 0;
            while idle < TICKS_IDLE_MAX {
                ticks.runtime.sleep(TICK).await;
                ticks.count.set(ticks.count.get() + 1);
                let waiting = ticks.waiting.borrow();
                idle = if waiting.is_empty() { idle + 1 } else { 0 };
                let due = waiting.iter().filter(|(_, (due, _))| *due <= ticks.count.get());
                due.for_each(|(_, (_, waker))| waker.wake_by_ref());
            }
            ticks.is_running.set(false);
        });
    }
}

/// See [`Ticks::after`].
pub(crate) struct Tick<R: Runtime> {
    ticks: Rc<Ticks<R>>,
    due: u64,
    place: Option<usize>,
}

impl<R: Runtime> Unpin for Tick<R> {}

impl<R: Runtime> Future for Tick<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.ticks.count.get() >= self.due {
            return Poll::Ready(());
        }
        let ticks = Rc::clone(&self.ticks);
        let mut waiting = ticks.waiting.borrow_mut();
        match self.place.and_then(|place| waiting.get_mut(place)) {
            Some((_, known)) => known.clone_from(context.waker()),
            None => self.place = Some(waiting.insert((self.due, context.waker().clone()))),
        }
        drop(waiting);
        ticks.run();
        Poll::Pending
    }
}

impl<R: Runtime> Drop for Tick<R> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let gone = self.ticks.waiting.borrow_mut().try_remove(place);
            drop(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::sim::{Sim, SimConfig};
    use futures_util::future::{join, select};
    use std::pin::pin;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn nobody_is_early_or_much_too_late() {
        let run = Sim::new(SimConfig::default()).run(|runtime| async move {
            let ticks = Ticks::new(runtime.clone());
            let took = async |duration: Duration| {
                let begun = runtime.now();
                ticks.after(duration).await;
                runtime.now().since(begun)
            };
            let (short, long) = join(took(15 * MS), took(500 * MS)).await;
            assert!((15 * MS..40 * MS).contains(&short), "{short:?}");
            assert!((500 * MS..530 * MS).contains(&long), "{long:?}");
            assert!(took(Duration::ZERO).await < 25 * MS);
        });
        run.assert_finished();
    }

    #[test]
    fn whoever_goes_leaves_nothing_and_nobody_counts_when_none_waits() {
        let run = Sim::new(SimConfig::default()).run(|runtime| async move {
            let ticks = Ticks::new(runtime.clone());
            for _ in 0..100 {
                select(pin!(ticks.after(500 * MS)), pin!(runtime.turn())).await;
            }
            assert!(ticks.waiting.borrow().is_empty() && ticks.is_running.get());
            runtime.sleep(TICK * (TICKS_IDLE_MAX + 2)).await;
            assert!(!ticks.is_running.get());
            ticks.after(20 * MS).await;
            assert!(ticks.is_running.get(), "it begins again");
        });
        run.assert_finished();
    }
}
