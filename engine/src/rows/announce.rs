//! Groups that the log must name before any record may refer to them.
//!
//! The record of a body stands in the log of its key's owner, its rows in a group of the connection's
//! core. So a group is announced durably, in the log of the core that opened it, before its first row
//! is written: whichever log a record is read from, its groups are known.

use crate::sync::{Answer, AnswerTo, Event, answer};
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::record::{Record, encoded_len};
use std::cell::RefCell;

/// A group, and who waits until the log has it.
#[derive(Debug)]
pub(crate) struct Announcement {
    pub(crate) descriptor: GroupDescriptor,
    pub(crate) done: AnswerTo<()>,
}

/// The announcements that the next log row takes with it.
#[derive(Debug)]
pub(crate) struct Announcements {
    waiting: RefCell<Vec<Announcement>>,
    filled: Event,
}

impl Announcements {
    /// `filled` wakes the committer.
    pub(crate) fn new(filled: Event) -> Self {
        Self { waiting: RefCell::default(), filled }
    }

    /// Asks for an announcement; the answer comes when it is durable, and none when it failed.
    pub(crate) fn announce(&self, descriptor: GroupDescriptor) -> Answer<()> {
        let (done, durable) = answer();
        self.waiting.borrow_mut().push(Announcement { descriptor, done });
        self.filled.fire();
        durable
    }

    /// Nothing is waiting.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Bytes of a row that they take.
    pub(crate) fn bytes(&self) -> usize {
        let waiting = self.waiting.borrow();
        let length = |one: &Announcement| encoded_len(&Record::GroupOpen(one.descriptor.clone()));
        waiting.iter().map(length).sum()
    }

    /// Everything that is waiting.
    pub(crate) fn take(&self) -> Vec<Announcement> {
        std::mem::take(&mut *self.waiting.borrow_mut())
    }
}
