//! An event that several tasks of one core may wait for.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Debug, Default)]
struct Inner {
    fired: Cell<u64>,
    places: RefCell<Places>,
}

/// Those who wait, each at a place of its own, so that coming and going takes the same time however many wait.
#[derive(Debug, Default)]
struct Places {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Places {
    fn take(&mut self, waker: &Waker) -> usize {
        let waker = Some(waker.clone());
        if let Some(place) = self.free.pop() {
            self.wakers[place] = waker;
            return place;
        }
        self.wakers.push(waker);
        self.wakers.len() - 1
    }

    fn leave(&mut self, place: usize) -> Option<Waker> {
        self.free.push(place);
        self.wakers[place].take()
    }
}

/// Counts how often it fired; a waiter resolves once it fired after the waiter was made.
#[derive(Debug, Clone, Default)]
pub struct Event {
    inner: Rc<Inner>,
}

impl Event {
    /// An event that has not fired.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes everyone who waits now.
    pub fn fire(&self) {
        self.inner.fired.set(self.inner.fired.get() + 1);
        let count = self.inner.places.borrow().wakers.len();
        for place in 0..count {
            // One at a time: a waker may run code that comes to this event.
            let waker = self.inner.places.borrow_mut().wakers[place].take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Resolves at the first [`Event::fire`] after this call. Make the waiter first, then look at
    /// the condition, then await: so no firing is missed.
    #[must_use]
    pub fn wait(&self) -> EventWait {
        EventWait { inner: Rc::clone(&self.inner), seen: self.inner.fired.get(), place: None }
    }
}

/// See [`Event::wait`].
#[derive(Debug)]
pub struct EventWait {
    inner: Rc<Inner>,
    seen: u64,
    place: Option<usize>,
}

impl Future for EventWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.inner.fired.get() != self.seen {
            return Poll::Ready(());
        }
        match self.place {
            Some(place) => {
                let mut places = self.inner.places.borrow_mut();
                match &mut places.wakers[place] {
                    Some(waker) => waker.clone_from(context.waker()),
                    empty @ None => *empty = Some(context.waker().clone()),
                }
            }
            None => {
                let place = self.inner.places.borrow_mut().take(context.waker());
                self.place = Some(place);
            }
        }
        Poll::Pending
    }
}

impl Drop for EventWait {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waker = self.inner.places.borrow_mut().leave(place);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn firing_resolves_who_waited_before_and_nobody_else() {
        let event = Event::new();
        let mut first = event.wait();
        assert!((&mut first).now_or_never().is_none());
        event.fire();
        let mut second = event.wait();
        assert!((&mut first).now_or_never().is_some());
        assert!((&mut second).now_or_never().is_none());
    }

    #[test]
    fn who_leaves_makes_room() {
        let event = Event::new();
        for _ in 0..100 {
            let mut wait = event.wait();
            assert!((&mut wait).now_or_never().is_none());
            assert!((&mut wait).now_or_never().is_none());
        }
        assert_eq!(event.inner.places.borrow().wakers.len(), 1);
        event.fire();
    }
}
