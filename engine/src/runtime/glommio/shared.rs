//! What all cores of a process see.

use super::open::OpenDevice;
use super::timer::Clock;
use super::warning::LaunchWarning;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize};

/// One flag per core on its own cache lines, since all cores write all of them.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(super) struct MailFlag {
    /// A message is under way to the core: no second one is needed until it has looked.
    pub(super) under_way: AtomicBool,
}

/// What all cores see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) mail: Vec<MailFlag>,
    /// Cores whose main future has not returned.
    pub(super) mains_left: AtomicUsize,
    /// Cores that have ended their tasks and transfers.
    pub(super) drained: AtomicUsize,
    pub(super) shutdown: AtomicBool,
    pub(super) devices: Vec<OpenDevice>,
}

/// What the cores learn of each other once all rings exist.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) ring_fds: Vec<RawFd>,
    pub(super) warnings: Vec<LaunchWarning>,
}
