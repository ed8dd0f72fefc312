//! How quickly a device answers, and from when on it is late.
//!
//! Pure: durations in, judgement out. A device is compared with its peers, never with its own past, so one that grows
//! slow does not become its own measure; and when all of them are slow, none is late.

use crate::limits::{LATE_FACTOR, LATE_IN_A_ROW_MAX, LATE_MAX};
use std::cell::Cell;
use std::time::Duration;

/// Of how many reads the mean is, about.
const MEAN_OVER: u64 = 16;

/// What one core has seen of one device.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Mean time of a read, ns; 0 if there was none.
    mean: Cell<u64>,
    late_reads: Cell<u32>,
    late_writes: Cell<u32>,
    is_slow: Cell<bool>,
}

/// One more in a row that was late; whether that is too many, said again after as many: the owner may have had no use
/// for it before.
fn is_one_too_many(in_a_row: &Cell<u32>) -> bool {
    in_a_row.set(in_a_row.get().saturating_add(1));
    in_a_row.get().is_multiple_of(LATE_IN_A_ROW_MAX)
}

impl Pace {
    pub(super) fn mean(&self) -> u64 {
        self.mean.get()
    }

    pub(super) fn is_slow(&self) -> bool {
        self.is_slow.get()
    }

    /// The owner says so.
    pub(super) fn set_slow(&self, is_slow: bool) {
        self.is_slow.set(is_slow);
        self.late_reads.set(0);
        self.late_writes.set(0);
    }

    /// A read came in time.
    pub(super) fn read_took(&self, time: Duration) {
        self.late_read_took(time);
        self.late_reads.set(0);
    }

    /// A read came at last. When all devices are slow, this is how they become the measure.
    pub(super) fn late_read_took(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let mean = self.mean.get();
        let others = mean.saturating_sub(mean.div_euclid(MEAN_OVER));
        self.mean.set(if mean == 0 {
            time
        } else {
            others.saturating_add(time.div_euclid(MEAN_OVER)).max(1)
        });
    }

    /// A read did not come in time. True when the device is to be called slow.
    pub(super) fn read_is_late(&self) -> bool {
        is_one_too_many(&self.late_reads)
    }

    /// A write took as long as others, or so much longer.
    pub(super) fn write_was(&self, is_late: bool) -> bool {
        if !is_late {
            self.late_writes.set(0);
        }
        is_late && is_one_too_many(&self.late_writes)
    }
}

/// From when on a read is late, by the mean times of all devices, those without one left out. At least `least`.
pub(super) fn late_after(means: &mut [u64], least: Duration) -> Duration {
    let middle = means.len() >> 1;
    if means.is_empty() {
        return least;
    }
    let (_, median, _) = means.select_nth_unstable(middle);
    Duration::from_nanos(median.saturating_mul(u64::from(LATE_FACTOR))).clamp(least, LATE_MAX.max(least))
}

/// Whether a write that took so long was late, by the times of those that began with it.
pub(super) fn is_write_late(time: Duration, all: &mut [Duration], least: Duration) -> bool {
    if time < least || all.is_empty() {
        return false;
    }
    let middle = all.len() >> 1;
    let (_, median, _) = all.select_nth_unstable(middle);
    time >= median.saturating_mul(LATE_FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_slow_device_is_not_its_own_measure() {
        let least = 5 * MS;
        assert_eq!(late_after(&mut [], least), least);
        let mut means = [1_000_000, 2_000_000, 900_000_000, 1_500_000, 1_800_000];
        assert_eq!(late_after(&mut means, least), Duration::from_nanos(1_800_000 * u64::from(LATE_FACTOR)));
        assert_eq!(late_after(&mut [1000, 2000, 3000], least), least);
        assert_eq!(late_after(&mut [u64::MAX, u64::MAX], least), LATE_MAX);
    }

    #[test]
    fn a_write_is_late_beside_those_that_began_with_it() {
        let row = |slowest: u32| [MS, 2 * MS, MS, 3 * MS, slowest * MS];
        assert!(is_write_late(200 * MS, &mut row(200), 50 * MS));
        assert!(!is_write_late(40 * MS, &mut row(40), 50 * MS), "quick enough for anybody");
        let slow = 200 * MS;
        assert!(!is_write_late(slow, &mut [slow; 5], 50 * MS), "all are slow");
    }

    #[test]
    fn late_in_a_row_is_said_and_forgotten_when_one_is_in_time() {
        let pace = Pace::default();
        let late = |count: u32| (0..count).filter(|_| pace.read_is_late()).count();
        assert_eq!(late(LATE_IN_A_ROW_MAX - 1), 0);
        pace.read_took(MS);
        assert_eq!(late(LATE_IN_A_ROW_MAX + 1), 1);
        assert_eq!(late(LATE_IN_A_ROW_MAX), 1, "again");
        pace.set_slow(false);
        assert_eq!(late(LATE_IN_A_ROW_MAX), 1);
        assert!((1..LATE_IN_A_ROW_MAX).all(|_| !pace.write_was(true)));
        assert!(!pace.write_was(false) && !pace.write_was(true));
    }

    #[test]
    fn the_mean_follows_slowly() {
        let pace = Pace::default();
        pace.read_took(MS);
        assert_eq!(pace.mean(), 1_000_000);
        pace.read_took(17 * MS);
        assert_eq!(pace.mean(), 2_000_000);
    }
}
