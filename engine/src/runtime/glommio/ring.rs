//! One core's io_uring: takes operations from tasks, hands completions back.
//!
//! Invariants: only the thread that made the ring enters it (the kernel insists: SINGLE_ISSUER).
//! Each entry that reaches the kernel belongs to an occupied slot which owns every byte the entry
//! points at, or to no memory at all. Tasks only queue entries; the driver alone submits and reaps,
//! so nothing here runs inside a task's borrow. The completion ring has a place for everything that
//! is expected (see `limits`).

use super::enter::{assert_entered, errno};
use super::fixed::FixedMemory;
use super::held::{Flow, Held};
use super::limits::{
    CANCELS_IN_FLIGHT_MAX, COMPLETION_ENTRIES, DISK_OPERATIONS_MAX, SOCKET_OPERATIONS_MAX, SUBMISSION_ENTRIES,
};
use super::outbox::Outbox;
use super::slot::{Places, SlotTable, Token};
use crate::buffer::{Buffer, Region};
use crate::sync::{Limit, Permit};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue, types};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::task::{Context, Poll};
use std::time::Duration;

/// Low halves of the user data of completions that have no slot (generation 0).
const MAIL: u32 = 1;
const CANCEL: u32 = 2;
const SIGNAL: u32 = 3;
const EVENT: u32 = 4;
/// This bit and the target core: our own message to another ring has gone, or not.
const SENT: u32 = 1 << 31;

/// Which limit an operation counts under, and whether it can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A device transfer: bounded in time by the device, never cancelled.
    Disk,
    /// A socket operation: may take for ever, so it is cancelled when nobody waits any more.
    Socket,
}

/// How often what happened, for metrics and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RingCounters {
    /// Calls of `io_uring_enter`.
    pub enters: u64,
    /// Calls that were prepared to sleep.
    pub blocks: u64,
    /// Completions taken.
    pub completions: u64,
    /// Sends of which the kernel read the memory itself.
    pub lent: u64,
}

/// See the module's head.
pub(super) struct Ring {
    uring: RefCell<Option<IoUring>>,
    slots: RefCell<SlotTable>,
    queued: RefCell<Outbox>,
    cancels: RefCell<VecDeque<Token>>,
    cancels_in_flight: Cell<usize>,
    disk_places: Limit,
    socket_places: Limit,
    /// Empty when the kernel did not register the memory.
    fixed: FixedMemory,
    counters: Cell<RingCounters>,
    /// What reaping found that concerns the core and not a slot.
    mail: Cell<bool>,
    signal: Cell<bool>,
    /// An event descriptor that is watched.
    event: Cell<Option<RawFd>>,
    unsent: RefCell<Vec<u16>>,
}

impl Ring {
    /// A ring of the calling thread.
    pub(super) fn new() -> Result<Self, i32> {
        let mut builder = IoUring::builder();
        builder
            .setup_cqsize(COMPLETION_ENTRIES)
            .setup_submit_all()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .dontfork();
        let uring = builder.build(SUBMISSION_ENTRIES).map_err(|error| errno(&error))?;
        // Saves a table look-up per enter; a kernel that refuses it costs only that.
        let _registered = uring.submitter().register_ring_fd();
        Ok(Self {
            uring: RefCell::new(Some(uring)),
            slots: RefCell::default(),
            queued: RefCell::default(),
            cancels: RefCell::default(),
            cancels_in_flight: Cell::new(0),
            disk_places: Limit::new(DISK_OPERATIONS_MAX),
            socket_places: Limit::new(SOCKET_OPERATIONS_MAX),
            fixed: FixedMemory::default(),
            counters: Cell::default(),
            mail: Cell::new(false),
            signal: Cell::new(false),
            event: Cell::new(None),
            unsent: RefCell::default(),
        })
    }

    /// The descriptor under which other rings reach this one.
    pub(super) fn raw_fd(&self) -> RawFd {
        self.uring.borrow().as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    pub(super) fn register_files(&self, files: &[RawFd]) -> Result<(), i32> {
        let uring = self.uring.borrow();
        let Some(uring) = uring.as_ref() else { return Err(libc::EBADF) };
        if files.is_empty() {
            return Ok(());
        }
        uring.submitter().register_files(files).map_err(|error| errno(&error))
    }

    /// Registers every region of every core, so that a buffer of one may be written by any ring.
    /// When another core's ring has done so, takes its registration over: then the memory is
    /// pinned, and counted against the limit of locked memory, only once (Linux 6.12).
    pub(super) fn register_regions(
        &mut self,
        regions: &[Region],
        registered_by: Option<RawFd>,
    ) -> Result<(), i32> {
        let (fixed, pieces) = FixedMemory::of(regions)?;
        {
            let uring = self.uring.borrow();
            let Some(uring) = uring.as_ref() else { return Err(libc::EBADF) };
            let submitter = uring.submitter();
            let shared = registered_by.is_some_and(|fd| submitter.register_buffers_clone(fd).is_ok());
            if !shared {
                // SAFETY: each vector lies inside a region, which stays mapped at least as long as
                // this ring: `fixed` holds it.
                unsafe { submitter.register_buffers(&pieces) }.map_err(|error| errno(&error))?;
            }
        }
        self.fixed = fixed;
        Ok(())
    }

    /// A read of `length` bytes at `offset` of the registered `file` into the front of `buffer`.
    pub(super) fn read_entry(&self, file: u32, buffer: &Buffer, length: u32, offset: u64) -> squeue::Entry {
        let start = buffer.start().as_ptr();
        assert!(length as usize <= buffer.capacity(), "a read fits its buffer");
        match self.fixed.index_of(buffer) {
            Some(index) => {
                opcode::ReadFixed::new(types::Fixed(file), start, length, index).offset(offset).build()
            }
            None => opcode::Read::new(types::Fixed(file), start, length).offset(offset).build(),
        }
    }

    /// A write of the first `length` bytes of `buffer`; `flags` are `RWF_…`.
    pub(super) fn write_entry(
        &self,
        file: u32,
        buffer: &Buffer,
        length: u32,
        offset: u64,
        flags: i32,
    ) -> squeue::Entry {
        let start = buffer.start().as_ptr().cast_const();
        assert!(length as usize <= buffer.capacity(), "a write lies inside its buffer");
        match self.fixed.index_of(buffer) {
            Some(index) => opcode::WriteFixed::new(types::Fixed(file), start, length, index)
                .offset(offset)
                .rw_flags(flags)
                .build(),
            None => {
                opcode::Write::new(types::Fixed(file), start, length).offset(offset).rw_flags(flags).build()
            }
        }
    }

    /// Queues one operation, waiting for a place when the ring is full. Everything that `entry`
    /// points at must be owned by `held` (or never go away); so the caller builds both together.
    pub(super) async fn queue(
        &self,
        kind: Kind,
        entry: squeue::Entry,
        held: Held,
        device: Option<Permit>,
    ) -> Token {
        let limit = match kind {
            Kind::Disk => &self.disk_places,
            Kind::Socket => &self.socket_places,
        };
        let ring = limit.enter().await;
        let bytes = held.copied_at_submission();
        let token = self.slots.borrow_mut().occupy(held, Places { ring, device });
        self.queued.borrow_mut().push(entry.user_data(token.user_data()), bytes);
        token
    }

    /// Queues a message to another core's ring; one per core and turn.
    pub(super) fn send_mail(&self, ring_fd: RawFd, core: u16) {
        let entry = opcode::MsgRingData::new(types::Fd(ring_fd), 0, u64::from(MAIL), None).build();
        self.queued.borrow_mut().push(entry.user_data(u64::from(SENT | u32::from(core))), 0);
    }

    /// Waits for `fd` (the process's signals) to become readable, once.
    pub(super) fn watch_signals(&self, fd: RawFd) {
        let entry = opcode::PollAdd::new(types::Fd(fd), POLL_IN).build();
        self.queued.borrow_mut().push(entry.user_data(u64::from(SIGNAL)), 0);
    }

    /// Lets each signal of the event descriptor `fd` end the core's sleep, from now on. It is never read, so
    /// only its edges count.
    pub(super) fn watch_events(&self, fd: RawFd) {
        self.event.set(Some(fd));
        let entry = opcode::PollAdd::new(types::Fd(fd), POLL_IN).multi(true).build();
        self.queued.borrow_mut().push(entry.user_data(u64::from(EVENT)), 0);
    }

    /// True once after a message of another core came.
    pub(super) fn take_mail(&self) -> bool {
        self.mail.replace(false)
    }

    /// True once after the watched descriptor became readable.
    pub(super) fn take_signal(&self) -> bool {
        self.signal.replace(false)
    }

    /// A core that a message could not be delivered to, and has to be tried again.
    pub(super) fn take_unsent(&self) -> Option<u16> {
        self.unsent.borrow_mut().pop()
    }

    /// Operations that the kernel has not finished.
    pub(super) fn in_flight(&self) -> usize {
        self.slots.borrow().in_flight()
    }

    /// Sends that are done, but for memory that the kernel still reads.
    #[cfg(test)]
    pub(super) fn lent(&self) -> usize {
        self.slots.borrow().lent()
    }

    /// True when nothing waits to be submitted, and nothing has to be finished. Memory that is lent does not count:
    /// a peer may keep it for long, and the kernel keeps its pages however long that is.
    pub(super) fn is_drained(&self) -> bool {
        self.queued.borrow().is_empty() && self.in_flight() == 0
    }

    pub(super) fn counters(&self) -> RingCounters {
        self.counters.get()
    }

    fn count(&self, change: impl FnOnce(&mut RingCounters)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }

    /// Submits what is queued, runs the kernel's deferred work, and hands out completions.
    pub(super) fn turn(&self) {
        loop {
            let filled = self.fill();
            self.enter(None);
            self.reap();
            // A full submission ring leaves the rest queued: go round until it has gone. When the
            // kernel took nothing (out of memory for requests), let completions free some first.
            if filled == 0 || !self.queued.borrow().is_prompt_waiting() {
                return;
            }
        }
    }

    /// Sleeps until a completion or until `timeout` passed; not at all while bulk waits for the next batch. Only when
    /// nothing is runnable.
    pub(super) fn block(&self, timeout: Duration) {
        self.fill();
        let may_sleep = self.queued.borrow().is_empty();
        self.enter(may_sleep.then_some(timeout));
        self.reap();
    }

    /// For the operation's future: its result, when it is there.
    pub(super) fn poll_slot(&self, token: Token, context: &Context<'_>) -> Poll<(i32, Held, Option<Places>)> {
        self.slots.borrow_mut().poll(token, context)
    }

    /// For the operation's future: nobody waits any more; see [`SlotTable::orphan`].
    pub(super) fn orphan_slot(&self, token: Token) -> Option<(i32, Held, Option<Places>)> {
        self.slots.borrow_mut().orphan(token)
    }

    /// For the operation's future: asks the kernel at the next turn to end it.
    pub(super) fn want_cancel(&self, token: Token) {
        self.cancels.borrow_mut().push_back(token);
    }

    /// Moves queued entries into the submission ring; returns how many.
    fn fill(&self) -> usize {
        let mut uring = self.uring.borrow_mut();
        let Some(uring) = uring.as_mut() else { return 0 };
        let mut queued = self.queued.borrow_mut();
        let mut cancels = self.cancels.borrow_mut();
        cancels.iter().for_each(|token| queued.hasten(token.user_data()));
        let mut submission = uring.submission();
        let mut batch = queued.begin();
        let mut filled = 0;
        while !submission.is_full() {
            let Some(entry) = queued.next(&mut batch) else { break };
            // SAFETY: by the invariant of the module, what the entry points at is owned by its slot
            // until its completion is reaped, or the entry points at no memory.
            let pushed = unsafe { submission.push(&entry) };
            assert!(pushed.is_ok(), "a ring that is not full takes an entry");
            filled += 1;
        }
        if queued.is_prompt_waiting() {
            return filled;
        }
        while self.cancels_in_flight.get() < CANCELS_IN_FLIGHT_MAX
            && let Some(token) = cancels.front().copied()
        {
            if self.slots.borrow().is_in_flight(token) {
                let entry = opcode::AsyncCancel::new(token.user_data()).build();
                // SAFETY: a cancellation points at no memory.
                let pushed = unsafe { submission.push(&entry.user_data(u64::from(CANCEL))) };
                if pushed.is_err() {
                    return filled;
                }
                self.cancels_in_flight.set(self.cancels_in_flight.get() + 1);
                filled += 1;
            }
            cancels.pop_front();
        }
        filled
    }

    /// Enters the kernel when there is something to submit or to collect, or to sleep.
    fn enter(&self, sleep: Option<Duration>) {
        let mut uring = self.uring.borrow_mut();
        let Some(uring) = uring.as_mut() else { return };
        let submission = uring.submission();
        let count = u32::try_from(submission.len()).unwrap_or(SUBMISSION_ENTRIES);
        let deferred = submission.taskrun() || submission.cq_overflow();
        drop(submission);
        if count == 0 && !deferred && sleep.is_none() {
            return;
        }
        self.count(|counters| counters.enters += 1);
        // GETEVENTS always: only then the kernel runs this ring's deferred completions.
        let mut flags = EnterFlags::GETEVENTS;
        let entered = if let Some(timeout) = sleep {
            self.count(|counters| counters.blocks += 1);
            flags |= EnterFlags::EXT_ARG;
            if uring.params().is_feature_no_iowait() {
                // A sleeping core is idle, not waiting for a disk.
                flags |= EnterFlags::NO_IOWAIT;
            }
            let timeout = types::Timespec::from(timeout);
            let arguments = types::SubmitArgs::new().timespec(&timeout);
            // SAFETY: the flags announce an extended argument, `arguments` is one, and the time it
            // points at lives until the call returns.
            unsafe { uring.submitter().enter(count, 1, flags.bits(), Some(&arguments)) }
        } else {
            // SAFETY: no argument is passed, and the flags announce none.
            unsafe { uring.submitter().enter::<libc::sigset_t>(count, 0, flags.bits(), None) }
        };
        assert_entered(entered);
    }

    fn reap(&self) {
        loop {
            // One at a time: waking a task must not happen inside a borrow of the ring.
            let next = {
                let mut uring = self.uring.borrow_mut();
                let Some(uring) = uring.as_mut() else { return };
                uring.completion().next()
            };
            let Some(completion) = next else { return };
            self.count(|counters| counters.completions += 1);
            self.complete(&completion);
        }
    }

    fn complete(&self, completion: &cqueue::Entry) {
        let token = match Token::of(completion.user_data()) {
            Ok(token) => token,
            Err(EVENT) if cqueue::more(completion.flags()) => return,
            Err(kind) => return self.complete_own(kind, completion.result()),
        };
        let result = completion.result();
        if cqueue::more(completion.flags()) {
            let (after, flow) = self.slots.borrow_mut().pass_on(token, result);
            match flow {
                Flow::On => {}
                Flow::Enough => self.want_cancel(token),
                Flow::Lent => self.count(|counters| counters.lent += 1),
            }
            return after.finish(result);
        }
        let after = self.slots.borrow_mut().complete(token, result);
        after.finish(result);
    }

    fn complete_own(&self, kind: u32, result: i32) {
        match kind {
            MAIL => self.mail.set(true),
            SIGNAL => self.signal.set(true),
            // The kernel ended the watch, for want of memory.
            EVENT => self.event.get().into_iter().for_each(|fd| self.watch_events(fd)),
            CANCEL => self.cancels_in_flight.set(self.cancels_in_flight.get() - 1),
            sent => {
                assert!(sent & SENT != 0, "no other kind of completion exists");
                let retry = [-libc::EOVERFLOW, -libc::ENOMEM, -libc::EAGAIN].contains(&result);
                if retry && let Ok(core) = u16::try_from(sent & !SENT) {
                    self.unsent.borrow_mut().push(core);
                }
            }
        }
    }

    /// Unregisters everything and gives the kernel's ring away; only after everything is drained.
    pub(super) fn close(&self) -> Option<IoUring> {
        assert!(self.in_flight() == 0, "no ring closes with transfers in flight");
        let uring = self.uring.borrow_mut().take()?;
        // Without these the files' locks would linger until the kernel gets round to the ring.
        let _files = uring.submitter().unregister_files();
        let _buffers = uring.submitter().unregister_buffers();
        Some(uring)
    }
}

const POLL_IN: u32 = 1;
const _: () = assert!(libc::POLLIN == 1);
