//! An amount that is shared out in turn: bytes of memory, say. Each caller takes what it will probably need, and says
//! later what it really holds; if that is more than there was, nobody is served until so much is back.

use super::oneshot::{AnswerTo, answer};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

#[derive(Debug)]
struct Inner {
    total: usize,
    held: usize,
    waiting: VecDeque<(usize, AnswerTo<Share>)>,
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
        Self { inner: Rc::new(RefCell::new(Inner { total, held: 0, waiting: VecDeque::new() })) }
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        self.inner.borrow().total
    }

    /// Waits, in turn, for `amount`. Who asks for more than there is gets all of it, and so is alone.
    pub async fn take(&self, amount: usize) -> Share {
        let amount = amount.min(self.total());
        loop {
            let share = {
                let mut inner = self.inner.borrow_mut();
                if inner.waiting.is_empty() && inner.admits(amount) {
                    inner.held += amount;
                    return Share { amount, inner: Rc::clone(&self.inner) };
                }
                let (to, share) = answer();
                inner.waiting.push_back((amount, to));
                share
            };
            if let Some(share) = share.await {
                return share;
            }
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
        loop {
            let (amount, to) = {
                let mut inner = self.inner.borrow_mut();
                let is_next = inner.waiting.front().is_some_and(|(amount, _)| inner.admits(*amount));
                let Some(next) = inner.waiting.pop_front_if(|_| is_next) else { return };
                inner.held += next.0;
                next
            };
            // A waiter that is gone drops the share it was sent, which serves those after it.
            to.send(Self { amount, inner: Rc::clone(&self.inner) });
        }
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
}
