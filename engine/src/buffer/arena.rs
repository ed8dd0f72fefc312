//! One core's share of DMA memory: takes blocks, waits for blocks, gets blocks back.
//!
//! Freed blocks come home by two ways. On the arena's own thread they are given back at once. On
//! another thread they are queued, lock-free, and the arena takes them in at its next allocation
//! or when the core handles its mail ([`Arena::reclaim`]).

use super::block::Buffer;
use super::buddy::{Buddy, ORDER_MAX};
use super::region::Region;
use super::{BUFFER_BYTES_MAX, BUFFER_BYTES_MIN};
use crossbeam_queue::ArrayQueue;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};
use std::task::{Context, Poll, Waker};

/// Waiters an arena queues before it refuses: beyond that the caller must shed load.
const ARENA_WAITERS_MAX: usize = 8192;

static NEXT_ARENA: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The arenas that live on this thread, by id, so that a dropped buffer finds its home.
    static ARENAS: RefCell<Vec<(usize, Weak<Inner>)>> = const { RefCell::new(Vec::new()) };
}

/// Why no buffer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllocationError {
    /// More than the arena will ever have.
    TooLarge {
        /// Bytes asked for, over all blocks.
        asked: usize,
        /// Bytes the arena has in all.
        capacity: usize,
    },
    /// Too many are waiting already.
    Crowded,
}

impl std::fmt::Display for AllocationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge { asked, capacity } => {
                write!(f, "{asked} bytes of buffers asked of an arena of {capacity}")
            }
            Self::Crowded => write!(f, "too many requests wait for buffer memory"),
        }
    }
}

impl std::error::Error for AllocationError {}

/// Holds buffers that nobody asked it to hold, and gives them up when memory is short.
pub trait Relief {
    /// Lets go of one more buffer; false when it holds none. The memory comes back when the last who uses it
    /// has let go, too.
    fn relieve(&self) -> bool;
}

/// The part of an arena that foreign threads may touch.
#[derive(Debug)]
pub(super) struct Home {
    id: usize,
    memory: Region,
    /// Under which index the rings know it.
    region: u16,
    returned: ArrayQueue<u32>,
    /// How many handles there are to the buffer that begins at a page.
    sharers: Box<[AtomicU32]>,
}

impl Home {
    pub(super) fn region(&self) -> u16 {
        self.region
    }

    fn count(&self, page: u32) -> &AtomicU32 {
        &self.sharers[page as usize]
    }

    /// A buffer has its first handle.
    pub(super) fn share_first(&self, page: u32) {
        self.count(page).store(1, Ordering::Relaxed);
    }

    /// A buffer has one handle more, made from another.
    pub(super) fn share(&self, page: u32) {
        let before = self.count(page).fetch_add(1, Ordering::Relaxed);
        assert!(before < u32::MAX, "a buffer has fewer handles than there is memory for");
    }

    /// A handle lets go; with the last the buffer comes home.
    pub(super) fn let_go(&self, page: u32) {
        // Who has the only one need not tell others.
        if self.sharers(page) > 1 && self.count(page).fetch_sub(1, Ordering::Release) > 1 {
            return;
        }
        // What the others read, they read before.
        fence(Ordering::Acquire);
        self.give(page);
    }

    /// How many handles a buffer has.
    pub(super) fn sharers(&self, page: u32) -> u32 {
        self.count(page).load(Ordering::Acquire)
    }

    fn give(&self, page: u32) {
        let local = ARENAS.try_with(|arenas| {
            let arenas = arenas.borrow();
            arenas.iter().find(|(id, _)| *id == self.id).and_then(|(_, inner)| inner.upgrade())
        });
        if let Ok(Some(inner)) = local {
            inner.give(page);
            return;
        }
        let queued = self.returned.push(page);
        assert!(queued.is_ok(), "the return queue has a place for every page of the arena");
    }
}

#[derive(Debug)]
struct Waiter {
    count: usize,
    order: usize,
    ready: RefCell<Option<Vec<Buffer>>>,
    waker: RefCell<Option<Waker>>,
    abandoned: Cell<bool>,
}

struct Inner {
    home: Arc<Home>,
    buddy: RefCell<Buddy>,
    waiters: RefCell<VecDeque<Rc<Waiter>>>,
    relief: RefCell<Option<Weak<dyn Relief>>>,
    is_relieving: Cell<bool>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("home", &self.home).finish_non_exhaustive()
    }
}

/// A bounded source of [`Buffer`]s for one core. Clones name the same arena.
#[derive(Debug, Clone)]
pub struct Arena {
    inner: Rc<Inner>,
}

impl Arena {
    /// An arena over `region`, registered with the rings under `index`. Lives on this thread.
    #[must_use]
    pub fn new(region: Region, index: u16) -> Self {
        let pages = pages_of(region.bytes());
        let id = NEXT_ARENA.fetch_add(1, Ordering::Relaxed);
        let sharers = std::iter::repeat_with(AtomicU32::default).take(pages).collect();
        let returned = ArrayQueue::new(pages);
        let home = Arc::new(Home { id, memory: region, region: index, returned, sharers });
        let inner = Rc::new(Inner {
            home,
            buddy: RefCell::new(Buddy::new(pages)),
            waiters: RefCell::new(VecDeque::new()),
            relief: RefCell::new(None),
            is_relieving: Cell::new(false),
        });
        ARENAS.with(|arenas| {
            let mut arenas = arenas.borrow_mut();
            arenas.retain(|(_, inner)| inner.strong_count() > 0);
            arenas.push((id, Rc::downgrade(&inner)));
        });
        Self { inner }
    }

    /// Bytes in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.inner.home.memory.bytes()
    }

    /// Has `relief` give up its buffers from now on, one by one, before anyone waits or goes without.
    pub fn relieve_by(&self, relief: Weak<dyn Relief>) {
        *self.inner.relief.borrow_mut() = Some(relief);
    }

    /// Whether somebody waits for memory. Then nothing may be held for later: what is not given back now might
    /// be all that they wait for.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        !self.inner.waiters.borrow().is_empty()
    }

    /// Whether the buffer is one of this arena.
    #[must_use]
    pub(crate) fn owns(&self, buffer: &Buffer) -> bool {
        buffer.is_of(&self.inner.home)
    }

    /// Bytes free now, in whatever pieces.
    #[must_use]
    pub fn available(&self) -> usize {
        self.reclaim();
        self.inner.buddy.borrow().free_pages() * BUFFER_BYTES_MIN
    }

    /// One buffer of at least `bytes` at once, or `None` when memory is short or others wait.
    #[must_use]
    pub fn try_take(&self, bytes: usize) -> Option<Buffer> {
        self.reclaim();
        if self.is_awaited() {
            return None;
        }
        let order = order_of(bytes);
        self.inner.or_relieve(|inner| inner.take(order))
    }

    /// As [`Arena::try_take`], before those who wait: for whoever holds what they wait for until it has this.
    pub(crate) fn take_first(&self, bytes: usize) -> Option<Buffer> {
        self.reclaim();
        let order = order_of(bytes);
        self.inner.or_relieve(|inner| inner.take(order))
    }

    /// One buffer of at least `bytes` (at most 1 MiB), waiting in turn.
    ///
    /// # Errors
    /// When too many wait.
    pub async fn take(&self, bytes: usize) -> Result<Buffer, AllocationError> {
        if let Some(buffer) = self.try_take(bytes) {
            return Ok(buffer);
        }
        let mut taken = self.take_many(1, bytes).await?;
        let Some(buffer) = taken.pop() else { return Err(AllocationError::Crowded) };
        Ok(buffer)
    }

    /// `count` buffers of at least `bytes` each, all or none, waiting in turn: whoever needs
    /// several takes them together, so that two half-served tasks cannot wait for each other.
    ///
    /// # Errors
    /// When the arena can never hold so many, or too many wait.
    pub async fn take_many(&self, count: usize, bytes: usize) -> Result<Vec<Buffer>, AllocationError> {
        let mut taken = Vec::new();
        self.take_into(&mut taken, count, bytes).await?;
        Ok(taken)
    }

    /// As [`Arena::take_many`], to the end of `list`: one that has room for them takes no memory for it.
    ///
    /// # Errors
    /// As there.
    pub async fn take_into(
        &self,
        list: &mut Vec<Buffer>,
        count: usize,
        bytes: usize,
    ) -> Result<(), AllocationError> {
        let order = order_of(bytes);
        let asked = count * (BUFFER_BYTES_MIN << order);
        if asked > self.capacity() {
            return Err(AllocationError::TooLarge { asked, capacity: self.capacity() });
        }
        self.reclaim();
        if !self.is_awaited() && self.inner.or_relieve(|inner| inner.take_into(list, count, order)).is_some()
        {
            return Ok(());
        }
        if self.inner.waiters.borrow().len() >= ARENA_WAITERS_MAX {
            return Err(AllocationError::Crowded);
        }
        let waiter = Rc::new(Waiter {
            count,
            order,
            ready: RefCell::new(None),
            waker: RefCell::new(None),
            abandoned: Cell::new(false),
        });
        self.inner.waiters.borrow_mut().push_back(Rc::clone(&waiter));
        list.append(&mut Waiting { waiter, inner: Rc::clone(&self.inner) }.await);
        Ok(())
    }

    /// Takes in what other threads gave back, and serves who waits. Cheap when there is nothing.
    pub fn reclaim(&self) {
        let mut any = false;
        while let Some(page) = self.inner.home.returned.pop() {
            self.inner.buddy.borrow_mut().give(page as usize);
            any = true;
        }
        if any {
            self.inner.serve();
        }
    }
}

impl Inner {
    fn give(&self, page: u32) {
        self.buddy.borrow_mut().give(page as usize);
        self.serve();
    }

    fn take(&self, order: usize) -> Option<Buffer> {
        let page = self.buddy.borrow_mut().take(order)?;
        assert!(page * BUFFER_BYTES_MIN < self.home.memory.bytes(), "a block lies inside its region");
        // SAFETY: the page's offset is smaller than the region's length, so the address stays
        // inside one mapping.
        let start = unsafe { self.home.memory.base().add(page * BUFFER_BYTES_MIN) };
        let id = u32::try_from(page).unwrap_or(u32::MAX);
        Some(Buffer::new(start, BUFFER_BYTES_MIN << order, id, Arc::clone(&self.home)))
    }

    /// `count` buffers to the end of `list`, or none.
    fn take_into(&self, list: &mut Vec<Buffer>, count: usize, order: usize) -> Option<()> {
        if self.buddy.borrow().free_pages() < count << order {
            return None;
        }
        let before = list.len();
        list.reserve_exact(count);
        for _ in 0..count {
            // A shortage half way (fragments) gives back what was taken, through the queue-free
            // path below, because `serve` must not run in the middle of this.
            let Some(buffer) = self.take(order) else {
                self.put_back(list, before);
                return None;
            };
            list.push(buffer);
        }
        Some(())
    }

    /// What `take` takes, at the price of what is only held for later.
    fn or_relieve<T>(&self, take: impl FnMut(&Self) -> Option<T>) -> Option<T> {
        let mut take = take;
        loop {
            let taken = take(self);
            if taken.is_some() || !self.relieve() {
                return taken;
            }
        }
    }

    /// Has one more buffer given up; false when there is none. What comes back is served at once to those who
    /// wait, which must not ask for more in the middle of this.
    fn relieve(&self) -> bool {
        if self.is_relieving.replace(true) {
            return false;
        }
        let relief = self.relief.borrow().as_ref().and_then(Weak::upgrade);
        let is_relieved = relief.is_some_and(|relief| relief.relieve());
        self.is_relieving.set(false);
        is_relieved
    }

    fn put_back(&self, list: &mut Vec<Buffer>, from: usize) {
        // Dropping would call `serve` again for each block; park the queue meanwhile.
        let parked = std::mem::take(&mut *self.waiters.borrow_mut());
        list.truncate(from);
        *self.waiters.borrow_mut() = parked;
    }

    /// Serves waiters in order while there is enough for the first.
    fn serve(&self) {
        loop {
            let Some(first) = self.waiters.borrow().front().cloned() else { return };
            if first.abandoned.get() {
                self.waiters.borrow_mut().pop_front();
                continue;
            }
            let mut taken = Vec::new();
            if self.or_relieve(|inner| inner.take_into(&mut taken, first.count, first.order)).is_none() {
                return;
            }
            self.waiters.borrow_mut().pop_front();
            *first.ready.borrow_mut() = Some(taken);
            if let Some(waker) = first.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}

struct Waiting {
    waiter: Rc<Waiter>,
    inner: Rc<Inner>,
}

impl Future for Waiting {
    type Output = Vec<Buffer>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(taken) = self.waiter.ready.borrow_mut().take() {
            return Poll::Ready(taken);
        }
        *self.waiter.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waiter.abandoned.set(true);
        let unclaimed = self.waiter.ready.borrow_mut().take();
        drop(unclaimed);
        // Whoever stood behind it may be served now.
        self.inner.serve();
    }
}

fn pages_of(bytes: usize) -> usize {
    assert!(bytes.is_multiple_of(BUFFER_BYTES_MAX), "a region is whole largest blocks");
    bytes.div_ceil(BUFFER_BYTES_MIN)
}

fn order_of(bytes: usize) -> usize {
    assert!(bytes <= BUFFER_BYTES_MAX, "no buffer is larger than BUFFER_BYTES_MAX");
    let pages = bytes.max(1).div_ceil(BUFFER_BYTES_MIN).next_power_of_two();
    let order = pages.trailing_zeros() as usize;
    assert!(order <= ORDER_MAX, "block order is at most ORDER_MAX");
    order
}

#[cfg(test)]
mod tests {
    use super::super::SharedBuffer;
    use super::*;
    use futures_util::task::noop_waker;

    fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&noop_waker()))
    }

    /// Holds buffers for later.
    struct Shelf(RefCell<Vec<SharedBuffer>>);

    impl Relief for Shelf {
        fn relieve(&self) -> bool {
            self.0.borrow_mut().pop().is_some()
        }
    }

    #[test]
    fn what_is_held_for_later_is_given_up_before_anyone_waits() {
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let shelf = Rc::new(Shelf(RefCell::default()));
        let relief: Weak<Shelf> = Rc::downgrade(&shelf);
        arena.relieve_by(relief);
        *shelf.0.borrow_mut() = std::iter::from_fn(|| arena.inner.take(0)).map(SharedBuffer::from).collect();
        let count = shelf.0.borrow().len();
        assert_eq!((count, arena.available()), (512, 0));
        let mut three = Box::pin(arena.take_many(3, 4096));
        let Poll::Ready(Ok(three)) = poll_once(three.as_mut()) else { panic!("there is enough to give up") };
        assert_eq!(shelf.0.borrow().len(), count - 3, "no more than was wanted");
        // One of those on the shelf is in use: what needs its memory waits for that user alone.
        let used = shelf.0.borrow()[0].clone();
        let mut all = Box::pin(arena.take_many(2, 1 << 20));
        assert!(poll_once(all.as_mut()).is_pending());
        assert!(arena.is_awaited() && shelf.0.borrow().is_empty());
        drop(three);
        assert!(poll_once(all.as_mut()).is_pending());
        drop(used);
        assert!(poll_once(all.as_mut()).is_ready());
    }

    #[test]
    fn exhaustion_waits_in_turn_and_never_allocates() {
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let first = arena.try_take(1 << 20).unwrap();
        let second = arena.try_take(1 << 20).unwrap();
        assert!(arena.try_take(1).is_none());
        let mut large = Box::pin(arena.take_many(2, 1 << 20));
        let mut small = Box::pin(arena.take(4096));
        assert!(poll_once(large.as_mut()).is_pending());
        assert!(poll_once(small.as_mut()).is_pending());
        drop(first);
        assert!(poll_once(small.as_mut()).is_pending(), "the small one must not overtake");
        drop(second);
        let Poll::Ready(Ok(both)) = poll_once(large.as_mut()) else { panic!("served in turn") };
        assert_eq!(both.len(), 2);
        drop(both);
        assert!(poll_once(small.as_mut()).is_ready());
    }

    #[test]
    fn a_list_is_filled_where_it_is_or_left_as_it_was() {
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let mut list = Vec::with_capacity(3);
        list.push(arena.try_take(4096).unwrap());
        let place = list.as_ptr();
        assert!(poll_once(Box::pin(arena.take_into(&mut list, 2, 8192)).as_mut()).is_ready());
        assert_eq!((list.as_ptr(), list.len(), list.capacity()), (place, 3, 3));
        // Enough in all, but one pair apart from that in pieces.
        let pair = arena.try_take(8192);
        let mut rest: Vec<_> = std::iter::from_fn(|| arena.try_take(4096)).collect();
        let mut every_other = 0..;
        rest.retain(|_| every_other.next().is_some_and(|number: usize| number.is_multiple_of(2)));
        drop(pair);
        let free = arena.available();
        assert!(poll_once(Box::pin(arena.take_into(&mut list, 3, 8192)).as_mut()).is_pending());
        assert_eq!((list.len(), arena.available()), (3, free));
    }

    #[test]
    fn an_abandoned_wait_gives_its_place_and_buffers_back() {
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let held = arena.try_take(1 << 20).unwrap();
        let rest = arena.try_take(1 << 20).unwrap();
        let mut waiting = Box::pin(arena.take(1 << 20));
        assert!(poll_once(waiting.as_mut()).is_pending());
        drop(held);
        drop(waiting);
        drop(rest);
        assert_eq!(arena.available(), arena.capacity());
    }

    #[test]
    fn who_stood_behind_an_abandoned_wait_is_served_at_once() {
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let _held = arena.try_take(1 << 20).unwrap();
        let mut large = Box::pin(arena.take_many(2, 1 << 20));
        let mut small = Box::pin(arena.take(4096));
        assert!(poll_once(large.as_mut()).is_pending());
        assert!(poll_once(small.as_mut()).is_pending());
        drop(large);
        assert!(poll_once(small.as_mut()).is_ready());
        assert!(arena.try_take(4096).is_some());
    }

    #[test]
    fn a_buffer_dropped_on_another_thread_comes_home() {
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let buffer = arena.try_take(4096).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || drop(buffer));
        });
        assert_eq!(arena.available(), arena.capacity());
    }

    #[test]
    fn more_than_everything_is_refused() {
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let mut asked = Box::pin(arena.take_many(3, 1 << 20));
        let Poll::Ready(Err(AllocationError::TooLarge { .. })) = poll_once(asked.as_mut()) else {
            panic!("must be refused")
        };
    }
}
