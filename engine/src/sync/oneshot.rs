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

/// The receiving end: resolves to the value, or `None` when the other end was dropped.
#[derive(Debug)]
pub struct Answer<T> {
    inner: Rc<RefCell<Inner<T>>>,
}

/// The sending end.
#[derive(Debug)]
pub struct AnswerTo<T> {
    inner: Rc<RefCell<Inner<T>>>,
}

/// A fresh pair.
#[must_use]
pub fn answer<T>() -> (AnswerTo<T>, Answer<T>) {
    let inner = Rc::new(RefCell::new(Inner { value: None, closed: false, waker: None }));
    (AnswerTo { inner: Rc::clone(&inner) }, Answer { inner })
}

impl<T> AnswerTo<T> {
    /// Delivers the value; nobody may be listening any more, then it is dropped.
    pub fn send(self, value: T) {
        self.inner.borrow_mut().value = Some(value);
    }
}

impl<T> Drop for AnswerTo<T> {
    fn drop(&mut self) {
        let waker = {
            let mut inner = self.inner.borrow_mut();
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
        let mut inner = self.inner.borrow_mut();
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
