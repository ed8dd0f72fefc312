//! One value from one task to another of the same core.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Debug)]
struct Inner<T> {
    value: Option<T>,
    closed: bool,
    waker: Option<Waker>,
}

impl<T> Default for Inner<T> {
    fn default() -> Self {
        Self { value: None, closed: false, waker: None }
    }
}

type Shared<T> = Rc<RefCell<Inner<T>>>;

/// The receiving end: resolves to the value, or `None` when the other end was dropped.
#[derive(Debug)]
pub struct Answer<T> {
    end: End<T>,
}

/// The sending end.
#[derive(Debug)]
pub struct AnswerTo<T> {
    end: End<T>,
}

/// What both ends have in common.
#[derive(Debug)]
struct End<T> {
    inner: Shared<T>,
    /// Where the memory goes when the other end is gone too.
    spare: Option<Answers<T>>,
}

/// A fresh pair.
#[must_use]
pub fn answer<T>() -> (AnswerTo<T>, Answer<T>) {
    pair(Rc::default(), None)
}

fn pair<T>(inner: Shared<T>, spare: Option<Answers<T>>) -> (AnswerTo<T>, Answer<T>) {
    let to = End { inner: Rc::clone(&inner), spare: spare.clone() };
    (AnswerTo { end: to }, Answer { end: End { inner, spare } })
}

/// Makes pairs in memory that earlier ones left.
#[derive(Debug)]
pub struct Answers<T> {
    spare: Rc<RefCell<Vec<Shared<T>>>>,
    spare_max: usize,
}

impl<T> Clone for Answers<T> {
    fn clone(&self) -> Self {
        Self { spare: Rc::clone(&self.spare), spare_max: self.spare_max }
    }
}

impl<T> Answers<T> {
    /// Keeps the memory of at most `spare_max` pairs that nobody has any more.
    #[must_use]
    pub fn keeping(spare_max: usize) -> Self {
        Self { spare: Rc::default(), spare_max }
    }

    /// As [`answer`].
    #[must_use]
    pub fn pair(&self) -> (AnswerTo<T>, Answer<T>) {
        let inner = self.spare.borrow_mut().pop().unwrap_or_default();
        pair(inner, Some(self.clone()))
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        let Some(answers) = &self.spare else { return };
        if Rc::strong_count(&self.inner) > 1 {
            return;
        }
        // What nobody took goes before its memory is anyone else's.
        drop(self.inner.take());
        let mut spare = answers.spare.borrow_mut();
        if spare.len() < answers.spare_max {
            spare.push(Rc::clone(&self.inner));
        }
    }
}

impl<T> AnswerTo<T> {
    /// Whether somebody has the receiving end.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        Rc::strong_count(&self.end.inner) > 1
    }

    /// Delivers the value; nobody may be listening any more, then it is dropped.
    pub fn send(self, value: T) {
        self.end.inner.borrow_mut().value = Some(value);
    }
}

impl<T> Drop for AnswerTo<T> {
    fn drop(&mut self) {
        let waker = {
            let mut inner = self.end.inner.borrow_mut();
            inner.closed = true;
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut inner = self.end.inner.borrow_mut();
        if let Some(value) = inner.value.take() {
            return Poll::Ready(Some(value));
        }
        if inner.closed {
            return Poll::Ready(None);
        }
        inner.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn a_pair_in_memory_of_another_is_as_a_fresh_one() {
        let answers = Answers::keeping(8);
        let (to, answer) = answers.pair();
        to.send(1);
        assert_eq!(answer.now_or_never(), Some(Some(1)));
        for _ in 0..3 {
            // One whose value nobody took, and one that was never sent.
            let (to, answer) = answers.pair();
            drop(answer);
            to.send(2);
            let (to, mut answer) = answers.pair();
            assert_eq!((&mut answer).now_or_never(), None);
            drop(to);
            assert_eq!(answer.now_or_never(), Some(None));
        }
        assert_eq!(answers.spare.borrow().len(), 1);
    }

    #[test]
    fn memory_is_kept_for_so_many() {
        let answers = Answers::<()>::keeping(3);
        drop((0..5).map(|_| answers.pair()).collect::<Vec<_>>());
        assert_eq!(answers.spare.borrow().len(), 3);
    }
}
