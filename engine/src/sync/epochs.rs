//! Which operations began before a moment, and when the last of them has ended.
//!
//! Segments are reused only after every operation that could still hold an address in them has
//! ended: readers that looked an object up, writers whose rows are not published yet.

use super::Event;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

#[derive(Debug, Default)]
struct Inner {
    now: Cell<u64>,
    begun: Cell<u64>,
    running: RefCell<BTreeMap<u64, usize>>,
    ended: Event,
}

/// The operations of one core by the epoch in which they began.
#[derive(Debug, Clone, Default)]
pub struct Epochs {
    inner: Rc<Inner>,
}

/// Held by an operation while it may use addresses.
#[derive(Debug)]
pub struct OpGuard {
    inner: Rc<Inner>,
    epoch: u64,
}

impl Epochs {
    /// An operation begins.
    pub fn enter(&self) -> OpGuard {
        self.inner.begun.set(self.inner.begun.get() + 1);
        let epoch = self.inner.now.get();
        *self.inner.running.borrow_mut().entry(epoch).or_insert(0) += 1;
        OpGuard { inner: Rc::clone(&self.inner), epoch }
    }

    /// Operations that have begun so far.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.inner.begun.get()
    }

    /// Operations running now.
    #[cfg(test)]
    fn running(&self) -> usize {
        self.inner.running.borrow().values().sum()
    }

    /// Begins a new epoch and waits until every operation of earlier ones has ended.
    pub async fn pass(&self) {
        let border = self.inner.now.get() + 1;
        self.inner.now.set(border);
        loop {
            let wait = self.inner.ended.wait();
            let oldest = self.inner.running.borrow().keys().next().copied();
            if oldest.is_none_or(|oldest| oldest >= border) {
                return;
            }
            wait.await;
        }
    }
}

impl Clone for OpGuard {
    /// Another guard of the same operation: space waits for both.
    fn clone(&self) -> Self {
        *self.inner.running.borrow_mut().entry(self.epoch).or_insert(0) += 1;
        Self { inner: Rc::clone(&self.inner), epoch: self.epoch }
    }
}

impl Drop for OpGuard {
    fn drop(&mut self) {
        let mut running = self.inner.running.borrow_mut();
        if let Some(count) = running.get_mut(&self.epoch) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.epoch);
                drop(running);
                self.inner.ended.fire();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn a_border_waits_for_those_before_it_only() {
        let epochs = Epochs::default();
        let before = epochs.enter();
        let mut pass = Box::pin(epochs.pass());
        assert!(pass.as_mut().now_or_never().is_none());
        let after = epochs.enter();
        let too = before.clone();
        drop(before);
        assert!(pass.as_mut().now_or_never().is_none(), "its clone began as early");
        drop(too);
        assert!(pass.as_mut().now_or_never().is_some());
        drop(after);
        assert_eq!((epochs.running(), epochs.begun()), (0, 2));
    }
}
