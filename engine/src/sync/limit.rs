//! A counting limit with a first-come-first-served queue.

use super::oneshot::{AnswerTo, answer};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

#[derive(Debug)]
struct Inner {
    free: usize,
    waiting: VecDeque<AnswerTo<Permit>>,
}

/// At most so many at once.
#[derive(Debug, Clone)]
pub struct Limit {
    inner: Rc<RefCell<Inner>>,
}

/// A place under a [`Limit`]; dropping it hands it to the next in line.
#[derive(Debug)]
pub struct Permit {
    inner: Rc<RefCell<Inner>>,
}

impl Limit {
    /// A limit of `places`.
    #[must_use]
    pub fn new(places: usize) -> Self {
        assert!(places > 0, "a limit of zero admits nobody");
        Self { inner: Rc::new(RefCell::new(Inner { free: places, waiting: VecDeque::new() })) }
    }

    /// Waits for a place.
    pub async fn enter(&self) -> Permit {
        loop {
            let place = {
                let mut inner = self.inner.borrow_mut();
                if inner.free > 0 {
                    inner.free -= 1;
                    return Permit { inner: Rc::clone(&self.inner) };
                }
                let (to, place) = answer();
                inner.waiting.push_back(to);
                place
            };
            if let Some(permit) = place.await {
                return permit;
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = {
            let mut inner = self.inner.borrow_mut();
            let next = inner.waiting.pop_front();
            if next.is_none() {
                inner.free += 1;
            }
            next
        };
        if let Some(next) = next {
            // A waiter that is gone drops the permit it was sent, which serves the one after it.
            next.send(Self { inner: Rc::clone(&self.inner) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn places_pass_to_who_waits_and_survive_who_left() {
        let limit = Limit::new(1);
        let first = limit.enter().now_or_never().unwrap();
        let mut second = Box::pin(limit.enter());
        let mut third = Box::pin(limit.enter());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        drop(first);
        let permit = third.as_mut().now_or_never().unwrap();
        assert!(limit.enter().now_or_never().is_none());
        drop(permit);
        assert!(limit.enter().now_or_never().is_some());
    }
}
