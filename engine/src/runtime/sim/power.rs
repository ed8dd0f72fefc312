//! When the power goes, counted in device writes and flushes, and what survives.

use crate::runtime::contract::Monotonic;
use std::cell::Cell;

/// The moment of a power cut. Writes and flushes are counted over all disks in the order in which
/// they complete, from 1; preparing a range counts as a write. Since a seed replays, a run without
/// a cut tells by [`Sim::writes`](super::Sim::writes) how many moments there are to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutAt {
    /// When this write has taken effect, before the host hears of it.
    Write(u64),
    /// While this write is still in flight: any part of it may be on the medium.
    InsideWrite(u64),
    /// Just before this flush takes effect.
    Flush(u64),
    /// When this flush has taken effect, before the host hears of it.
    AfterFlush(u64),
    /// At this moment.
    Time(Monotonic),
}

/// What a cut leaves of sectors (4096 bytes) written but not flushed, and of writes in flight.
/// Completed durable writes and flushed ones survive in every mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    DropAll,
    /// All of it.
    KeepAll,
    /// By lot, each sector on its own: the old content or any version written since.
    Random,
    /// As `Random`, and a sector may be a mixture of versions in pieces of 512 bytes.
    #[default]
    Torn,
    /// Everything that completed up to some write and nothing after it; of writes in flight, the
    /// first few sectors.
    Prefix,
    /// Only the process died: caches of devices live on (and may be lost by a later cut); writes
    /// in flight take place wholly or not at all.
    Process,
}

/// Which boundary a device has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boundary {
    Write,
    Flush,
}

/// What becomes of the operation at the boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Proceed,
    /// The power goes before it takes effect.
    CutBefore,
    /// It takes effect, then the power goes.
    CutAfter,
}

#[derive(Debug, Default)]
pub(crate) struct Power {
    at: Option<CutAt>,
    writes: Cell<u64>,
    flushes: Cell<u64>,
    gone: Cell<bool>,
}

impl Power {
    pub(crate) fn new(at: Option<CutAt>) -> Self {
        Self { at, ..Self::default() }
    }

    pub(crate) fn cut(&self) {
        self.gone.set(true);
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.get()
    }

    pub(crate) fn writes(&self) -> u64 {
        self.writes.get()
    }

    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.get()
    }

    /// Counts the boundary and says whether it is the one.
    pub(crate) fn reach(&self, boundary: Boundary) -> Verdict {
        let counter = match boundary {
            Boundary::Write => &self.writes,
            Boundary::Flush => &self.flushes,
        };
        let number = counter.get() + 1;
        counter.set(number);
        let (before, after) = match boundary {
            Boundary::Write => (CutAt::InsideWrite(number), CutAt::Write(number)),
            Boundary::Flush => (CutAt::Flush(number), CutAt::AfterFlush(number)),
        };
        let verdict = if self.at == Some(before) {
            Verdict::CutBefore
        } else if self.at == Some(after) {
            Verdict::CutAfter
        } else {
            return Verdict::Proceed;
        };
        self.cut();
        verdict
    }
}
