//! An amount that is shared out in turn: bytes of memory, say. Each caller takes what it will probably need, and says
//! later what it really holds; if that is more than there was, nobody is served until so much is back.

use super::oneshot::{AnswerTo, answer};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// One who waits.
#[derive(Debug)]
struct Waiter {
    number: u64,
    amount: usize,
    to: AnswerTo<Share>,
}

#[derive(Debug)]
struct Inner {
    total: usize,
    held: usize,
    /// In the order of their numbers. Who gives up leaves: the queue is never longer than those who wait.
    waiting: VecDeque<Waiter>,
    next: u64,
}

impl Inner {
    fn admits(&self, amount: usize) -> bool {
        self.held.saturating_add(amount) <= self.total
    }
}

/// At most so much at once.
#[derive(Debug, Clone)]
pub struct Quota {
    inner: Rc<RefCell<Inner>>,
}

/// A part of a [`Quota`]; dropping it hands it to the next in line.
#[derive(Debug)]
pub struct Share {
    amount: usize,
    inner: Rc<RefCell<Inner>>,
}

impl Quota {
    /// A quota of `total`.
    #[must_use]
    pub fn new(total: usize) -> Self {
        assert!(total > 0, "a quota of zero admits nobody");
        let inner = Inner { total, held: 0, waiting: VecDeque::new(), next: 0 };
        Self { inner: Rc::new(RefCell::new(inner)) }
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        self.inner.borrow().total
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inner.borrow().waiting.len()
    }

    /// Waits, in turn, for `amount`. Who asks for more than there is gets all of it, and so is alone.
    pub async fn take(&self, amount: usize) -> Share {
        loop {
            let (share, _place) = {
                let mut inner = self.inner.borrow_mut();
                let amount = amount.min(inner.total);
                if inner.waiting.is_empty() && inner.admits(amount) {
                    inner.held += amount;
                    return Share { amount, inner: Rc::clone(&self.inner) };
                }
                let (to, share) = answer();
                let number = inner.next;
                inner.next += 1;
                inner.waiting.push_back(Waiter { number, amount, to });
                (share, Place { number, inner: &self.inner })
            };
            if let Some(share) = share.await {
                return share;
            }
        }
    }
}

/// Serves those who wait, in turn, while there is enough for the first.
fn serve(inner: &Rc<RefCell<Inner>>) {
    loop {
        let Waiter { amount, to, .. } = {
            let mut inner = inner.borrow_mut();
            let is_next = inner.waiting.front().is_some_and(|waiter| inner.admits(waiter.amount));
            let Some(next) = inner.waiting.pop_front_if(|_| is_next) else { return };
            inner.held += next.amount;
            next
        };
        // A waiter that has just gone drops the share it was sent, which serves those after it.
        to.send(Share { amount, inner: Rc::clone(inner) });
    }
}

/// The place in the queue of one who waits, left when dropped.
struct Place<'q> {
    number: u64,
    inner: &'q Rc<RefCell<Inner>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let left = {
            let mut inner = self.inner.borrow_mut();
            let position = inner.waiting.binary_search_by_key(&self.number, |waiter| waiter.number);
            position.ok().and_then(|position| inner.waiting.remove(position))
        };
        if left.is_some() {
            serve(self.inner);
        }
    }
}

impl Share {
    /// Says how much it really is.
    pub fn resize(&mut self, amount: usize) {
        let before = std::mem::replace(&mut self.amount, amount);
        self.settle(before, amount);
    }

    fn settle(&self, before: usize, now: usize) {
        {
            let mut inner = self.inner.borrow_mut();
            inner.held = (inner.held - before).saturating_add(now);
        }
        serve(&self.inner);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.settle(self.amount, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn shares_are_given_in_turn_and_what_is_not_needed_goes_on() {
        let quota = Quota::new(10);
        let mut first = quota.take(8).now_or_never().unwrap();
        let mut large = Box::pin(quota.take(9));
        let mut small = Box::pin(quota.take(1));
        assert!(large.as_mut().now_or_never().is_none());
        assert!(small.as_mut().now_or_never().is_none(), "the small one must not overtake");
        first.resize(1);
        let large = large.as_mut().now_or_never().unwrap();
        assert!(small.as_mut().now_or_never().is_none());
        drop(large);
        assert!(small.as_mut().now_or_never().is_some());
        drop((first, small));
        assert!(quota.take(10).now_or_never().is_some(), "everything came back");
    }

    #[test]
    fn who_holds_more_than_there_is_keeps_others_waiting() {
        let quota = Quota::new(10);
        let mut first = quota.take(2).now_or_never().unwrap();
        first.resize(30);
        let mut second = Box::pin(quota.take(1));
        assert!(second.as_mut().now_or_never().is_none());
        first.resize(10);
        assert!(second.as_mut().now_or_never().is_none());
        first.resize(9);
        assert!(second.as_mut().now_or_never().is_some());
    }

    #[test]
    fn who_asks_for_too_much_gets_all_and_who_left_is_passed_over() {
        let quota = Quota::new(10);
        let all = quota.take(1000).now_or_never().unwrap();
        let mut second = Box::pin(quota.take(5));
        let mut third = Box::pin(quota.take(6));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        drop(all);
        assert!(third.as_mut().now_or_never().is_some());
    }

    #[test]
    fn who_leaves_leaves_nothing_and_holds_nobody_up() {
        let quota = Quota::new(10);
        let held = quota.take(8).now_or_never().unwrap();
        for _ in 0..1000 {
            assert!(quota.take(5).now_or_never().is_none());
        }
        assert!(quota.inner.borrow().waiting.is_empty(), "those who left are gone");
        let mut large = Box::pin(quota.take(5));
        let mut small = Box::pin(quota.take(2));
        assert!(large.as_mut().now_or_never().is_none() && small.as_mut().now_or_never().is_none());
        drop(large);
        assert!(small.as_mut().now_or_never().is_some(), "nobody is in front any more");
        drop(held);
    }
}
