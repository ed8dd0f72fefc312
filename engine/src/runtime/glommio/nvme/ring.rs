//! A core's ring for commands: takes them from tasks, hands completions back.
//!
//! The invariants are those of the core's own ring (`super::super::ring`): one thread enters it, the slot of an
//! entry owns every byte that the entry points at until its completion, tasks only queue, and the driver alone
//! submits and reaps. The completion ring cannot overflow, as there are no more slots in flight than it has
//! entries.

use super::super::enter::{assert_entered, errno};
use super::super::fixed::FixedMemory;
use super::super::held::Held;
use super::super::limits::{
    COMMAND_SUBMISSION_ENTRIES, COMMANDS_MAX, POLL_PAUSE_MAX, POLL_PAUSE_PART, POLL_SPIN,
};
use super::super::slot::{Places, SlotTable, Token};
use super::super::timer::Clock;
use super::command::{COMMAND_BYTES, URING_COMMAND};
use super::namespace::{CommandRing, build};
use crate::buffer::{Buffer, Region};
use crate::runtime::Monotonic;
use crate::sync::{Limit, Permit};
use io_uring::{EnterFlags, opcode, squeue, types};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::task::{Context, Poll};
use std::time::Duration;

/// See the module's head.
pub(in super::super) struct NvmeRing {
    uring: RefCell<Option<CommandRing>>,
    slots: RefCell<SlotTable>,
    queued: RefCell<VecDeque<squeue::Entry128>>,
    places: Limit,
    /// Empty when the kernel did not register the memory.
    fixed: FixedMemory,
    /// Becomes readable with each completion; `None` on a ring that is polled.
    event: Option<OwnedFd>,
    clock: Clock,
    /// When something last moved: a first command was queued, or a completion came.
    moved: Cell<Monotonic>,
}

impl NvmeRing {
    /// A ring of the calling thread for commands to `files`.
    pub(super) fn new(files: &[RawFd], polled: bool, clock: Clock) -> Result<Self, i32> {
        let completions = u32::try_from(COMMANDS_MAX).unwrap_or(u32::MAX);
        let uring = build(COMMAND_SUBMISSION_ENTRIES, completions, polled).map_err(|error| errno(&error))?;
        let submitter = uring.submitter();
        submitter.register_files(files).map_err(|error| errno(&error))?;
        let event = if polled { None } else { Some(event()?) };
        if let Some(event) = &event {
            submitter.register_eventfd(event.as_raw_fd()).map_err(|error| errno(&error))?;
        }
        Ok(Self {
            uring: RefCell::new(Some(uring)),
            slots: RefCell::default(),
            queued: RefCell::default(),
            places: Limit::new(COMMANDS_MAX),
            fixed: FixedMemory::default(),
            event,
            moved: Cell::new(clock.now()),
            clock,
        })
    }

    /// What the core's own ring has to watch so that completions end its sleep.
    pub(in super::super) fn event(&self) -> Option<RawFd> {
        self.event.as_ref().map(|event| event.as_raw_fd())
    }

    /// Registers every region, taking over what the core's own ring has registered where the kernel can
    /// (Linux 6.12).
    pub(super) fn register_regions(&mut self, regions: &[Region], core_ring: RawFd) -> Result<(), i32> {
        let (fixed, pieces) = FixedMemory::of(regions)?;
        {
            let uring = self.uring.borrow();
            let Some(uring) = uring.as_ref() else { return Err(libc::EBADF) };
            let submitter = uring.submitter();
            if submitter.register_buffers_clone(core_ring).is_err() {
                // SAFETY: each vector lies inside a region, which stays mapped at least as long as this
                // ring: `fixed` holds it.
                unsafe { submitter.register_buffers(&pieces) }.map_err(|error| errno(&error))?;
            }
        }
        self.fixed = fixed;
        Ok(())
    }

    /// The entry that gives `command` to the registered `file`; `buffer` is the memory that it names, if it is
    /// one of ours.
    pub(super) fn entry(
        &self,
        file: u32,
        command: [u8; COMMAND_BYTES],
        buffer: Option<&Buffer>,
    ) -> squeue::Entry128 {
        opcode::UringCmd80::new(types::Fixed(file), URING_COMMAND)
            .cmd(command)
            .buf_index(buffer.and_then(|buffer| self.fixed.index_of(buffer)))
            .build()
    }

    /// Queues one command, waiting for a place when the ring is full. Everything that `entry` points at must be
    /// owned by `held`. When this is dropped before it is ready, nothing was queued.
    pub(super) async fn queue(&self, entry: squeue::Entry128, held: Held, device: Option<Permit>) -> Token {
        let ring = self.places.enter().await;
        if self.in_flight() == 0 {
            self.moved.set(self.clock.now());
        }
        let token = self.slots.borrow_mut().occupy(held, Places { ring, device });
        self.queued.borrow_mut().push_back(entry.user_data(token.user_data()));
        token
    }

    pub(super) fn poll_slot(&self, token: Token, context: &Context<'_>) -> Poll<(i32, Held, Option<Places>)> {
        self.slots.borrow_mut().poll(token, context)
    }

    pub(super) fn orphan_slot(&self, token: Token) -> Option<(i32, Held, Option<Places>)> {
        self.slots.borrow_mut().orphan(token)
    }

    /// Commands that the controller has not finished.
    pub(in super::super) fn in_flight(&self) -> usize {
        self.slots.borrow().in_flight()
    }

    /// How long the core may sleep in its own ring at most, or `None` when this ring says nothing about it.
    ///
    /// Nothing wakes a core for a polled completion. So the core looks again at once while transfers are as
    /// quick as they should be, and after that waits a part of the time that they have taken already: a slow
    /// device gets a little slower and costs next to no CPU.
    pub(in super::super) fn patience(&self) -> Option<Duration> {
        if self.event.is_some() || self.in_flight() == 0 {
            return None;
        }
        Some(pause_after(self.clock.now().since(self.moved.get())))
    }

    /// Submits what is queued, looks for completions, and hands them out.
    pub(in super::super) fn turn(&self) {
        loop {
            let filled = self.fill();
            self.enter();
            self.reap();
            if filled == 0 || self.queued.borrow().is_empty() {
                return;
            }
        }
    }

    fn fill(&self) -> usize {
        let mut queued = self.queued.borrow_mut();
        if queued.is_empty() {
            return 0;
        }
        let mut uring = self.uring.borrow_mut();
        let Some(uring) = uring.as_mut() else { return 0 };
        let mut submission = uring.submission();
        let mut filled = 0;
        while let Some(entry) = queued.front() {
            // SAFETY: by the invariant of the module, what the entry points at is owned by its slot until its
            // completion is reaped.
            let pushed = unsafe { submission.push(entry) };
            if pushed.is_err() {
                return filled;
            }
            queued.pop_front();
            filled += 1;
        }
        filled
    }

    /// Enters the kernel when there is something to submit or to collect; never sleeps.
    fn enter(&self) {
        let mut uring = self.uring.borrow_mut();
        let Some(uring) = uring.as_mut() else { return };
        let submission = uring.submission();
        let count = u32::try_from(submission.len()).unwrap_or(COMMAND_SUBMISSION_ENTRIES);
        let deferred = submission.taskrun() || submission.cq_overflow();
        drop(submission);
        let polls = self.event.is_none() && self.in_flight() > 0;
        if count == 0 && !deferred && !polls {
            return;
        }
        // On a polled ring this looks once at the queues, as no completion is waited for.
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: no argument is passed, and the flags announce none.
        let entered = unsafe { uring.submitter().enter::<libc::sigset_t>(count, 0, flags, None) };
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
            self.moved.set(self.clock.now());
            let Ok(token) = Token::of(completion.user_data()) else {
                unreachable!("every command has a slot")
            };
            let after = self.slots.borrow_mut().complete(token, completion.result());
            after.finish(completion.result());
        }
    }

    /// Ends the ring; only after everything is drained.
    pub(super) fn close(&self) {
        assert!(self.in_flight() == 0, "no ring closes with commands in flight");
        drop(self.uring.borrow_mut().take());
    }
}

fn pause_after(waited: Duration) -> Duration {
    if waited < POLL_SPIN {
        return Duration::ZERO;
    }
    (waited.div_f64(POLL_PAUSE_PART)).min(POLL_PAUSE_MAX)
}

fn event() -> Result<OwnedFd, i32> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(errno(&io::Error::last_os_error()));
    }
    // SAFETY: the call just opened this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_device_is_looked_at_ever_less_often() {
        assert_eq!(pause_after(Duration::ZERO), Duration::ZERO);
        assert_eq!(pause_after(POLL_SPIN / 2), Duration::ZERO);
        assert_eq!(pause_after(Duration::from_micros(400)), Duration::from_micros(100));
        assert_eq!(pause_after(Duration::from_secs(30)), POLL_PAUSE_MAX);
    }
}
