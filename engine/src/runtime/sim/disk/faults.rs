//! What goes wrong with a disk.

use crate::runtime::sim::random::Pick;
use std::ops::Range;

/// Faults of one disk. Numbers count from the moment the plan was set, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultPlan {
    /// Reads that touch these bytes fail with EIO until the sectors are written again.
    pub unreadable: Vec<Range<u64>>,
    /// Reads return wrong bytes here, one in each sector touched, until the sectors are written again.
    pub corrupt: Vec<Range<u64>>,
    /// These reads fail with EIO.
    pub failed_reads: Pick,
    /// These reads return the content of another place nearby.
    pub misdirected_reads: Pick,
    /// These writes are acknowledged, and flushed, but never stored.
    pub lost_writes: Pick,
    /// These writes are acknowledged but land in another place nearby.
    pub misdirected_writes: Pick,
    /// These writes fail with EIO and leave any of their sectors old or new.
    pub failed_writes: Pick,
    /// These flushes fail with EIO; any un-flushed sector may be lost, and later flushes say nothing of it.
    /// A durable write on a disk with a volatile cache is a write and a flush.
    pub failed_flushes: Pick,
    /// Factor on every latency.
    pub slowdown: u32,
    /// After so many operations nothing completes any more until the disk is unplugged or freed.
    pub hang_after: Option<u64>,
    /// After so many operations every one fails.
    pub die_after: Option<u64>,
    /// The process does not find the disk when it starts.
    pub absent: bool,
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self {
            unreadable: Vec::new(),
            corrupt: Vec::new(),
            failed_reads: Pick::Never,
            misdirected_reads: Pick::Never,
            lost_writes: Pick::Never,
            misdirected_writes: Pick::Never,
            failed_writes: Pick::Never,
            failed_flushes: Pick::Never,
            slowdown: 1,
            hang_after: None,
            die_after: None,
            absent: false,
        }
    }
}

impl FaultPlan {
    /// This plan, and `range` unreadable.
    #[must_use]
    pub fn unreadable_at(mut self, range: Range<u64>) -> Self {
        self.unreadable.push(range);
        self
    }

    /// This plan, and `range` corrupt.
    #[must_use]
    pub fn corrupt_at(mut self, range: Range<u64>) -> Self {
        self.corrupt.push(range);
        self
    }
}
