//! Virtual time and what is due when.
//!
//! Time stands still while an event fires. Events of one moment fire in the order in which they
//! were planned.

use crate::runtime::contract::Monotonic;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Moment and number of an event: its place in the order.
type Place = (u64, u64);

pub(crate) enum Action {
    Wake(Waker),
    Run(Box<dyn FnOnce()>),
}

/// The clock and the events ahead.
#[derive(Default)]
pub(crate) struct Timeline {
    now: Cell<u64>,
    planned: Cell<u64>,
    ahead: RefCell<BTreeMap<Place, Action>>,
}

impl std::fmt::Debug for Timeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timeline").field("now", &self.now).field("ahead", &self.ahead.borrow().len()).finish()
    }
}

impl Timeline {
    pub(crate) fn now(&self) -> Monotonic {
        Monotonic(self.now.get())
    }

    pub(crate) fn plan(&self, at: Monotonic, action: Action) -> Place {
        let number = self.planned.get();
        self.planned.set(number + 1);
        let place = (at.0.max(self.now.get()), number);
        self.ahead.borrow_mut().insert(place, action);
        place
    }

    /// Runs `action` so many nanoseconds from now.
    pub(crate) fn run_in(&self, nanoseconds: u64, action: impl FnOnce() + 'static) {
        let at = Monotonic(self.now.get().saturating_add(nanoseconds));
        self.plan(at, Action::Run(Box::new(action)));
    }

    /// Lets a little time pass, as a core does while it computes.
    pub(crate) fn pass(&self, nanoseconds: u64) {
        self.now.set(self.now.get().saturating_add(nanoseconds));
    }

    /// Takes the next event whose time has come.
    pub(crate) fn take_due(&self) -> Option<(u64, Action)> {
        let mut ahead = self.ahead.borrow_mut();
        let place = *ahead.first_key_value()?.0;
        if place.0 > self.now.get() {
            return None;
        }
        ahead.pop_first().map(|((_, number), action)| (number, action))
    }

    /// Jumps to the next event; false when there is none.
    pub(crate) fn jump(&self) -> bool {
        let next = self.ahead.borrow().first_key_value().map(|(place, _)| place.0);
        if let Some(next) = next {
            self.now.set(next.max(self.now.get()));
        }
        next.is_some()
    }

    /// Forgets every event.
    pub(crate) fn clear(&self) {
        let ahead = std::mem::take(&mut *self.ahead.borrow_mut());
        drop(ahead);
    }

    fn cancel(&self, place: Place) {
        let action = self.ahead.borrow_mut().remove(&place);
        drop(action);
    }
}

/// Resolves at a moment; dropped before, it leaves nothing behind on the timeline.
pub(crate) struct Timer {
    timeline: Rc<Timeline>,
    at: Monotonic,
    place: Option<Place>,
}

impl Timer {
    pub(crate) fn new(timeline: &Rc<Timeline>, at: Monotonic) -> Self {
        Self { timeline: Rc::clone(timeline), at, place: None }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.timeline.now() >= self.at {
            return Poll::Ready(());
        }
        if let Some(place) = self.place.take() {
            self.timeline.cancel(place);
        }
        // The end of time is "never": no event, so that a wait for ever can be seen as a deadlock.
        if self.at != Monotonic(u64::MAX) {
            self.place = Some(self.timeline.plan(self.at, Action::Wake(context.waker().clone())));
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.timeline.cancel(place);
        }
    }
}
