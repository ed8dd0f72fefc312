//! The bodies of one core, hashed side by side.
//!
//! Bytes come in one of two ways. A task that has some and needs their hash to go on hands in their buffer and waits
//! until it comes back ([`Lanes::take`]). A body that is written to devices has its rows hashed behind its back
//! ([`BodyHasher`]): the task that writes a row hands its bytes in, sees to the devices, and asks for the hash when
//! they are done. So while devices work, bytes of many bodies come together.
//!
//! The first of those who wait leads: it lets every task that can run have a turn, so that whoever else has bytes now
//! joins, and then hashes a slice of all of them at once. Bytes that nobody waits for yet fill the lanes that are left.
//! Nobody waits for company that is not there already: a body alone loses one turn of the scheduler, in which nothing
//! else had to be done. When the leader's own bytes are done, one of those who still wait leads on.
//!
//! The queue holds the bytes while they wait, so nothing points into a task that was dropped. A slice runs between two
//! turns and is over before anyone else sees the queue.

use super::digests::{BodyDigests, Ends};
use super::queue::{Bytes, Queue, Waiters};
use super::simd::Kernel;
use crate::buffer::{Buffer, BufferSlice};
use crate::limits::{HASH_LANES_MAX, HASH_TURNS_MAX};
use crate::runtime::Runtime;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::Range;
use std::rc::Rc;
use std::task::Poll;

/// One core's hasher. Cheap to clone; never leaves its core.
#[derive(Debug, Clone)]
pub struct Lanes {
    inner: Rc<Inner>,
}

/// How well company was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LanesServed {
    /// Slices that were hashed.
    pub slices: u64,
    /// Bodies in all of them together.
    pub bodies: u64,
}

#[derive(Debug)]
struct Inner {
    kernel: Kernel,
    is_led: Cell<bool>,
    served: Cell<LanesServed>,
    queue: RefCell<Queue>,
}

impl Lanes {
    /// A hasher with the fastest kernel there is.
    #[must_use]
    pub fn new() -> Self {
        let inner = Inner {
            kernel: Kernel::best(),
            is_led: Cell::new(false),
            served: Cell::new(LanesServed::default()),
            queue: RefCell::new(Queue::default()),
        };
        Self { inner: Rc::new(inner) }
    }

    /// What was hashed so far.
    #[must_use]
    pub fn served(&self) -> LanesServed {
        self.inner.served.get()
    }

    /// Takes the bytes `range` of `buffer` into `digests`; both come back when that is done. If this future
    /// is dropped, so are they.
    ///
    /// # Panics
    /// The range does not lie in the buffer, or the body had ended.
    pub async fn take<R: Runtime>(
        &self,
        runtime: &R,
        (buffer, range): (Buffer, Range<usize>),
        digests: BodyDigests,
        ends: Ends,
    ) -> (Buffer, BodyDigests) {
        assert!(range.start <= range.end, "a range does not end before it starts");
        assert!(range.end <= buffer.capacity(), "a range lies in its buffer");
        let body = BodyHasher::new(self, digests);
        let batch = body.promise();
        batch.keep(std::iter::once(Bytes::Own(buffer, range)), ends);
        batch.hashed(runtime).await;
        let (digests, buffer) = self.inner.queue.borrow_mut().collect(body.place.index);
        let (Some(digests), Some(buffer)) = (digests, buffer) else {
            unreachable!("what was handed in comes back")
        };
        (buffer, digests)
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new()
    }
}

/// A body that is hashed row by row, in the order in which the rows were promised, whenever there is company. Dropping
/// it gives the body up.
#[derive(Debug)]
pub struct BodyHasher {
    place: PlaceHandle,
}

/// The bytes of one row of a body, to be handed in later. Whoever holds one may wait until they were hashed.
#[derive(Debug)]
pub struct RowHash {
    place: PlaceHandle,
    batch: u64,
}

impl BodyHasher {
    /// A body whose next bytes go to `digests`.
    ///
    /// # Panics
    /// The body had ended.
    #[must_use]
    pub fn new(lanes: &Lanes, digests: BodyDigests) -> Self {
        assert!(!digests.is_ended(), "nothing follows the end of a body or chunk");
        let index = lanes.inner.queue.borrow_mut().open(digests);
        Self { place: PlaceHandle { inner: Rc::clone(&lanes.inner), index } }
    }

    /// The next row.
    #[must_use]
    pub fn promise(&self) -> RowHash {
        let batch = self.place.inner.queue.borrow_mut().promise(self.place.index);
        RowHash { place: self.place.clone(), batch }
    }

    /// The digests of all rows, which were hashed.
    ///
    /// # Panics
    /// A row was not.
    #[must_use]
    pub fn finish(self) -> BodyDigests {
        let (digests, _buffer) = self.place.inner.queue.borrow_mut().collect(self.place.index);
        let Some(digests) = digests else { unreachable!("digests are there until they are collected") };
        digests
    }
}

impl Drop for BodyHasher {
    fn drop(&mut self) {
        let waiters = self.place.inner.queue.borrow_mut().close(self.place.index);
        // One of its rows may have been woken to lead.
        self.place.inner.release(waiters);
    }
}

impl RowHash {
    /// Hands the row's bytes in, in order. They must not be none. Once they were hashed this does nothing.
    pub fn hand_in(&self, bytes: impl Iterator<Item = BufferSlice>) {
        self.keep(bytes.map(Bytes::Shared), Ends::default());
    }

    fn keep(&self, bytes: impl Iterator<Item = Bytes>, ends: Ends) {
        self.place.inner.queue.borrow_mut().keep(self.place.index, self.batch, bytes, ends);
        // A later row of the body may wait already.
        self.place.inner.pass_lead();
    }

    /// Whether there is something to be led for. Not while an earlier row of the body has not been handed in.
    fn is_queued(&self) -> bool {
        self.place.inner.queue.borrow().is_queued(self.place.index)
    }

    fn is_taken(&self) -> bool {
        self.place.inner.queue.borrow().is_taken(self.place.index, self.batch)
    }

    /// Hashes as long as waiting would bring no more company, while nobody waits for this row.
    pub async fn help<R: Runtime>(&self, runtime: &R) {
        runtime.turn().await;
        let Some(_lead) = Lead::take(&self.place.inner) else { return };
        while !self.is_taken() && self.place.inner.has_company() {
            self.place.inner.hash_slice();
            runtime.turn().await;
        }
    }

    /// Resolves when the row was hashed, or never will be: its body was given up, or a row before it.
    pub async fn hashed<R: Runtime>(&self, runtime: &R) {
        let inner = &self.place.inner;
        inner.queue.borrow_mut().hurry(self.place.index, self.batch);
        while !self.is_taken() {
            self.lead_needed().await;
            let Some(_lead) = Lead::take(inner).filter(|_| !self.is_taken()) else { continue };
            while !self.is_taken() && self.is_queued() {
                inner.gather(runtime).await;
                inner.hash_slice();
            }
        }
    }

    /// Resolves when the row was hashed, or when its bytes are there and nobody leads.
    async fn lead_needed(&self) {
        poll_fn(|context| {
            let inner = &self.place.inner;
            if self.is_taken() || (!inner.is_led.get() && self.is_queued()) {
                return Poll::Ready(());
            }
            inner.queue.borrow_mut().wake_at(self.place.index, self.batch, context.waker());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for RowHash {
    fn drop(&mut self) {
        let waiters = self.place.inner.queue.borrow_mut().forget(self.place.index, self.batch);
        // It may have been the one that was woken to lead, or was to be.
        self.place.inner.release(waiters);
    }
}

/// One use of a place in the queue.
#[derive(Debug)]
struct PlaceHandle {
    inner: Rc<Inner>,
    index: usize,
}

impl Clone for PlaceHandle {
    fn clone(&self) -> Self {
        self.inner.queue.borrow_mut().share(self.index);
        Self { inner: Rc::clone(&self.inner), index: self.index }
    }
}

impl Drop for PlaceHandle {
    fn drop(&mut self) {
        self.inner.queue.borrow_mut().let_go(self.index);
    }
}

impl Inner {
    fn has_company(&self) -> bool {
        self.queue.borrow().has_company()
    }

    /// Lets others run as long as that brings more bodies.
    async fn gather<R: Runtime>(&self, runtime: &R) {
        let mut before = self.queue.borrow().waiting();
        for _ in 0..HASH_TURNS_MAX {
            runtime.turn().await;
            let now = self.queue.borrow().waiting();
            if now <= before || now >= HASH_LANES_MAX {
                return;
            }
            before = now;
        }
    }

    /// Hashes a slice, and wakes those whose row is done.
    fn hash_slice(&self) {
        let (bodies, wakers) = self.queue.borrow_mut().hash_slice(self.kernel);
        let served = self.served.get();
        self.served.set(LanesServed { slices: served.slices + 1, bodies: served.bodies + bodies });
        for waker in wakers {
            waker.wake();
        }
    }

    /// Wakes those who wait in vain, and lets somebody lead.
    fn release(&self, waiters: Waiters) {
        for (_batch, waker) in waiters {
            waker.wake();
        }
        self.pass_lead();
    }

    /// Lets one of those who wait lead, if nobody does.
    fn pass_lead(&self) {
        if self.is_led.get() {
            return;
        }
        let waker = self.queue.borrow_mut().next_lead();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Held by the one who hashes for all.
struct Lead<'l> {
    inner: &'l Inner,
}

impl<'l> Lead<'l> {
    fn take(inner: &'l Inner) -> Option<Self> {
        // Lazily: a lead that is dropped ends the leading.
        (!inner.is_led.replace(true)).then(|| Self { inner })
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.inner.is_led.set(false);
        self.inner.pass_lead();
    }
}
