//! The bodies of one core, hashed side by side.
//!
//! A task that has bytes to be hashed hands their buffer in and waits until it comes back. The first of
//! those who wait leads: it lets every task that can run have a turn, so that whoever else has bytes now
//! joins, and then hashes a slice of all of them at once. Nobody waits for company that is not there
//! already: a body alone loses one turn of the scheduler, in which nothing else had to be done. When the
//! leader's own bytes are done, one of those who still wait leads on.
//!
//! The buffers are owned by the queue while they wait, so a task that is dropped takes its own away and
//! nothing points into them. A slice runs between two turns and is over before anyone else sees the queue.

use super::digests::{BodyDigests, Ends};
use super::simd::Kernel;
use super::stream::{Algorithm, OfMd5, OfSha256, Work, compress};
use crate::buffer::Buffer;
use crate::limits::{HASH_LANES_MAX, HASH_SLICE_BLOCKS, HASH_TURNS_MAX};
use crate::runtime::Runtime;
use arrayvec::ArrayVec;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Poll, Waker};

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

/// A task hands in one piece at a time, so there are never more places than tasks with a body.
#[derive(Debug, Default)]
struct Queue {
    places: Vec<Place>,
    free: Vec<usize>,
    /// Places with bytes to be hashed, in the order in which they came.
    waiting: VecDeque<usize>,
}

#[derive(Debug, Default)]
struct Place {
    job: Option<Job>,
    is_done: bool,
    is_chosen: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Job {
    buffer: Buffer,
    range: Range<usize>,
    digests: BodyDigests,
    ends: Ends,
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
        assert!(!digests.is_ended(), "nothing follows the end of a body or chunk");
        let ticket = Ticket::new(&self.inner, Job { buffer, range, digests, ends });
        loop {
            if let Some(job) = ticket.collect() {
                return (job.buffer, job.digests);
            }
            match Lead::take(&self.inner) {
                Some(_lead) => {
                    while !ticket.is_done() {
                        self.inner.gather(runtime).await;
                        self.inner.hash_slice();
                    }
                }
                None => ticket.woken().await,
            }
        }
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    /// Lets others run as long as that brings more bodies.
    async fn gather<R: Runtime>(&self, runtime: &R) {
        let mut before = self.queue.borrow().waiting.len();
        for _ in 0..HASH_TURNS_MAX {
            runtime.turn().await;
            let now = self.queue.borrow().waiting.len();
            if now <= before || now >= HASH_LANES_MAX {
                return;
            }
            before = now;
        }
    }

    /// Hashes a slice of those who came first, and wakes those who are done.
    fn hash_slice(&self) {
        let wakers = {
            let mut queue = self.queue.borrow_mut();
            let bodies = queue.choose();
            let served = self.served.get();
            self.served.set(LanesServed { slices: served.slices + 1, bodies: served.bodies + bodies });
            queue.hash_chosen(self.kernel);
            queue.settle()
        };
        for waker in wakers {
            waker.wake();
        }
    }

    /// Lets one of those who wait lead, if nobody does.
    fn pass_lead(&self) {
        if self.is_led.get() {
            return;
        }
        let waker = {
            let mut queue = self.queue.borrow_mut();
            let first = queue.waiting.front().copied();
            first.and_then(|index| queue.places.get_mut(index)?.waker.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Queue {
    fn add(&mut self, job: Job) -> usize {
        let index = self.free.pop().unwrap_or(self.places.len());
        if index == self.places.len() {
            self.places.push(Place::default());
        }
        self.places[index] = Place { job: Some(job), ..Place::default() };
        self.waiting.push_back(index);
        index
    }

    fn remove(&mut self, index: usize) -> Option<Job> {
        let place = std::mem::take(&mut self.places[index]);
        if !place.is_done {
            self.waiting.retain(|waiting| *waiting != index);
        }
        self.free.push(index);
        place.job
    }

    /// Marks as many of the first as fit one slice; says how many.
    fn choose(&mut self) -> u64 {
        let mut count = 0;
        for index in self.waiting.iter().take(HASH_LANES_MAX) {
            self.places[*index].is_chosen = true;
            count += 1;
        }
        count
    }

    /// Hashes a slice of the chosen ones.
    fn hash_chosen(&mut self, kernel: Kernel) {
        let mut md5: ArrayVec<Work<'_, OfMd5>, HASH_LANES_MAX> = ArrayVec::new();
        let mut whole: ArrayVec<Work<'_, OfSha256>, HASH_LANES_MAX> = ArrayVec::new();
        let mut chunks: ArrayVec<Work<'_, OfSha256>, HASH_LANES_MAX> = ArrayVec::new();
        for place in self.places.iter_mut().filter(|place| place.is_chosen) {
            let Some(Job { buffer, range, digests, ends }) = &mut place.job else { continue };
            let piece = &buffer.bytes()[range.clone()];
            md5.push(Work { stream: &mut digests.md5, piece, is_last: ends.body });
            if let Some(stream) = &mut digests.sha256 {
                whole.push(Work { stream, piece, is_last: ends.body });
            }
            if let Some(stream) = &mut digests.chunk {
                chunks.push(Work { stream, piece, is_last: ends.chunk });
            }
        }
        slice(kernel, &mut md5);
        if whole.len() + chunks.len() <= HASH_LANES_MAX {
            whole.extend(chunks);
            slice(kernel, &mut whole);
        } else {
            slice(kernel, &mut whole);
            slice(kernel, &mut chunks);
        }
    }

    /// Ends the round of the chosen ones; gives the wakers of those that are done.
    fn settle(&mut self) -> ArrayVec<Waker, HASH_LANES_MAX> {
        let mut wakers = ArrayVec::new();
        for place in self.places.iter_mut().filter(|place| place.is_chosen) {
            place.is_chosen = false;
            place.is_done = place.job.as_mut().is_none_or(Job::settle);
            if place.is_done {
                wakers.extend(place.waker.take());
            }
        }
        let places = &self.places;
        self.waiting.retain(|index| !places[*index].is_done);
        wakers
    }
}

impl Job {
    /// Whether the piece is used up; then the streams are ready for another.
    fn settle(&mut self) -> bool {
        let Self { buffer, range, digests, ends } = self;
        let piece = &buffer.bytes()[range.clone()];
        let is_done = Work { stream: &mut digests.md5, piece, is_last: ends.body }.is_done()
            && digests
                .sha256
                .as_mut()
                .is_none_or(|stream| Work { stream, piece, is_last: ends.body }.is_done())
            && digests
                .chunk
                .as_mut()
                .is_none_or(|stream| Work { stream, piece, is_last: ends.chunk }.is_done());
        if is_done {
            digests.md5.finish_piece();
            for stream in [&mut digests.sha256, &mut digests.chunk].into_iter().flatten() {
                stream.finish_piece();
            }
        }
        is_done
    }
}

/// Where a kernel takes its lanes one after the other, a slice is shorter, so that the core is not held longer.
fn slice<A: Algorithm>(kernel: Kernel, works: &mut [Work<'_, A>]) {
    let rounds = works.len().div_ceil(kernel.width()).max(1);
    compress(kernel, works, HASH_SLICE_BLOCKS.div_ceil(rounds));
}

/// A place in the queue, given back when dropped.
struct Ticket<'l> {
    inner: &'l Inner,
    index: Cell<Option<usize>>,
}

impl<'l> Ticket<'l> {
    fn new(inner: &'l Inner, job: Job) -> Self {
        let index = inner.queue.borrow_mut().add(job);
        Self { inner, index: Cell::new(Some(index)) }
    }

    fn is_done(&self) -> bool {
        let queue = self.inner.queue.borrow();
        self.index.get().is_none_or(|index| queue.places[index].is_done)
    }

    /// The job, if it is done.
    fn collect(&self) -> Option<Job> {
        let index = self.index.get().filter(|_| self.is_done())?;
        self.index.set(None);
        self.inner.queue.borrow_mut().remove(index)
    }

    /// Resolves when the job is done, or nobody leads.
    async fn woken(&self) {
        poll_fn(|context| {
            let Some(index) = self.index.get() else { return Poll::Ready(()) };
            let mut queue = self.inner.queue.borrow_mut();
            let place = &mut queue.places[index];
            if place.is_done || !self.inner.is_led.get() {
                return Poll::Ready(());
            }
            match &mut place.waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => place.waker = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Some(index) = self.index.take() {
            let job = self.inner.queue.borrow_mut().remove(index);
            drop(job);
            // It may have been the one that was woken to lead.
            self.inner.pass_lead();
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
