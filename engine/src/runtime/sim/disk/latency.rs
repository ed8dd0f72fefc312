//! How long a device takes.

use crate::runtime::sim::random::Dice;
use std::ops::RangeInclusive;

/// One operation in so many takes [`TAIL_FACTOR`] times as long, so that completions overtake.
const TAIL_ONE_IN: u64 = 50;
const TAIL_FACTOR: u64 = 10;
/// Nanoseconds one byte takes, as a shift: 2^-2 ns, which is 4 GB/s.
const BYTES_PER_NANOSECOND_LOG2: u32 = 2;

/// Ranges of latencies in nanoseconds, before the time the bytes take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    /// Of a read.
    pub read: RangeInclusive<u64>,
    /// Of a write into the cache, or to the medium where there is none.
    pub write: RangeInclusive<u64>,
    /// Of a flush, and what a durable write takes longer on a disk with a volatile cache.
    pub flush: RangeInclusive<u64>,
}

impl Latency {
    /// A flash drive.
    #[must_use]
    pub const fn flash() -> Self {
        Self { read: 60_000..=120_000, write: 10_000..=40_000, flush: 50_000..=500_000 }
    }

    /// A spinning drive.
    #[must_use]
    pub const fn spinning() -> Self {
        Self { read: 2_000_000..=14_000_000, write: 1_000_000..=12_000_000, flush: 4_000_000..=20_000_000 }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::flash()
    }
}

pub(crate) fn draw(range: &RangeInclusive<u64>, bytes: u64, dice: &mut Dice) -> u64 {
    let base = dice.between(*range.start(), *range.end());
    let tail = if dice.below(TAIL_ONE_IN) == 0 { TAIL_FACTOR } else { 1 };
    base.saturating_mul(tail).saturating_add(bytes >> BYTES_PER_NANOSECOND_LOG2)
}
