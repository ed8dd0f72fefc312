//! An event that several tasks of one core may wait for.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Debug, Default)]
struct Inner {
    fired: Cell<u64>,
    wakers: RefCell<Vec<Waker>>,
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
        let wakers = std::mem::take(&mut *self.inner.wakers.borrow_mut());
        for waker in wakers {
            waker.wake();
        }
    }

    /// Resolves at the first [`Event::fire`] after this call. Make the waiter first, then look at
    /// the condition, then await: so no firing is missed.
    #[must_use]
    pub fn wait(&self) -> EventWait {
        EventWait { inner: Rc::clone(&self.inner), seen: self.inner.fired.get() }
    }
}

/// See [`Event::wait`].
#[derive(Debug)]
pub struct EventWait {
    inner: Rc<Inner>,
    seen: u64,
}

impl Future for EventWait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.inner.fired.get() != self.seen {
            return Poll::Ready(());
        }
        let mut wakers = self.inner.wakers.borrow_mut();
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}
