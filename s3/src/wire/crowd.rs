//! Memory that connections and heads of requests hold: of connections that are attended to, of those of which a head has
//! begun to come, and of those that are being answered. Anybody may open many of them, so each kind has a bounded part of the buffers.
//! Whatever is left answers the requests that were let in, but for what was lent to sockets with answers before: the
//! runtime lends an eighth of the buffers at most, so that with all kinds at their bounds three eighths are left.

use crate::limits::{
    CROWD_SHARE, CROWDED_MAX, HEAD_BYTES_MAX, IDLE_BUFFER_BYTES, LINGERING_SHARE, REQUEST_SHARE,
};
use ashlar_engine::runtime::Monotonic;
use ashlar_engine::sync::{Answer, AnswerTo, Quota, Seat, Seats, Share, answer};
use core::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// One core's connections without a proven request.
#[derive(Debug)]
pub(crate) struct Crowd {
    seats: Seats,
    lingering: RefCell<BTreeMap<u64, (Monotonic, AnswerTo<()>)>>,
    lingering_max: usize,
    next: Cell<u64>,
    admitted: Quota,
}

/// Buffers held for a peer that takes its time.
#[derive(Debug)]
pub(crate) struct Lingering<'c> {
    crowd: &'c Crowd,
    number: u64,
    cut: Answer<()>,
}

impl Crowd {
    /// Bounds for buffers of `arena_bytes` in all, and `attended_max` connections that may have what it takes to serve one.
    #[must_use]
    pub(crate) fn new(arena_bytes: usize, attended_max: usize) -> Self {
        let part = arena_bytes.div_euclid(CROWD_SHARE);
        // Whoever is attended to may hold the smallest buffer.
        let seats = attended_max.min(part.div_euclid(IDLE_BUFFER_BYTES)).max(1);
        // A head may grow while it comes, and a rest that is dropped has a buffer of its own.
        let lingering = part.div_euclid(HEAD_BYTES_MAX + IDLE_BUFFER_BYTES);
        Self {
            seats: Seats::new(seats),
            lingering: RefCell::default(),
            lingering_max: lingering.min(seats.div_euclid(LINGERING_SHARE)).max(1),
            next: Cell::new(0),
            admitted: Quota::new(arena_bytes.div_euclid(REQUEST_SHARE).max(HEAD_BYTES_MAX)),
        }
    }

    /// What it takes to serve a connection, in turn. Idle ones are asked to give it up.
    pub(crate) async fn seat(&self) -> Seat {
        self.seats.enter().await
    }

    /// Lets a request with a head of so many bytes in, in turn. Whoever waits holds no buffer, or one that is bounded
    /// in another way: those that are let in need more to be answered, and nobody else may take that.
    pub(crate) async fn admit(&self, bytes: usize) -> Share {
        self.admitted.take(bytes).await
    }

    /// A place for a peer that keeps us waiting from `now` on. There is always one; if there are many, the one that
    /// waits the longest is cut, unless that is not long yet.
    #[must_use]
    pub(crate) fn linger(&self, now: Monotonic) -> Lingering<'_> {
        let number = self.next.get();
        self.next.set(number + 1);
        let (to, cut) = answer();
        self.lingering.borrow_mut().insert(number, (now, to));
        let longest = {
            let mut lingering = self.lingering.borrow_mut();
            let is_crowded = self.is_crowded_by(lingering.len());
            let first = lingering.first_entry().filter(|first| first.get().0.after(CROWDED_MAX) <= now);
            first.filter(|_| is_crowded).map(|first| first.remove())
        };
        if let Some((_, to)) = longest {
            to.send(());
        }
        Lingering { crowd: self, number, cut }
    }

    /// So many linger that none may do so for long.
    #[must_use]
    pub(crate) fn is_crowded(&self) -> bool {
        self.is_crowded_by(self.lingering.borrow().len())
    }

    const fn is_crowded_by(&self, count: usize) -> bool {
        count > self.lingering_max
    }
}

impl Lingering<'_> {
    /// Resolves when others need the place.
    pub(crate) fn cut(&mut self) -> &mut Answer<()> {
        &mut self.cut
    }
}

impl Drop for Lingering<'_> {
    fn drop(&mut self) {
        self.crowd.lingering.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::{CROWDED_MAX, Crowd, Monotonic};
    use futures_util::FutureExt as _;

    #[test]
    fn no_more_are_attended_to_than_is_allowed_and_than_have_a_buffer() {
        for crowd in [Crowd::new(8 * 100 * 4096, 2), Crowd::new(8 * 2 * 4096, 100)] {
            let first = crowd.seat().now_or_never();
            let second = crowd.seat().now_or_never();
            assert!(first.is_some() && second.is_some());
            assert!(crowd.seat().now_or_never().is_none());
            drop(first);
            assert!(crowd.seat().now_or_never().is_some());
        }
    }

    #[test]
    fn who_lingers_longest_makes_room() {
        let crowd = Crowd::new(8 * 2 * 20 * 1024, 100);
        let start = Monotonic::default();
        let mut first = crowd.linger(start);
        let mut second = crowd.linger(start);
        assert!(!crowd.is_crowded());
        let third = crowd.linger(start);
        assert!(crowd.is_crowded() && first.cut().now_or_never().is_none(), "none did so for long");
        drop(third);
        let late = start.after(CROWDED_MAX);
        let third = crowd.linger(late);
        assert!(first.cut().now_or_never().is_some());
        assert!(second.cut().now_or_never().is_none());
        drop(third);
        let third = crowd.linger(late);
        assert!(second.cut().now_or_never().is_none());
        drop(third);
        drop(first);
    }
}
