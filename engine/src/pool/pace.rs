//! How quickly a device answers, and from when on it is late.
//!
//! Pure: durations in, judgement out. A device is compared with its peers, never with its own past, so one that grows
//! slow does not become its own measure; and when all of them are slow, none is late.

use crate::limits::{LATE_FACTOR, LATE_IN_A_ROW_MAX, LATE_MAX, LATE_MIN, LATE_MIN_SLOW};
use crate::runtime::{DeviceInfo, Monotonic};
use std::cell::Cell;
use std::time::Duration;

/// Of how many reads the mean is, about.
const MEAN_OVER: u64 = 16;

/// What one core has seen of one device.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Mean time of a read, ns; 0 if there was none.
    mean: Cell<u64>,
    late_reads: InARow,
    late_writes: InARow,
    is_slow: Cell<bool>,
}

/// Answers that were late, one after the other. Those that were waited for at the same time are one: what held up one held
/// up all of them.
#[derive(Debug, Default)]
struct InARow {
    count: Cell<u32>,
    /// When the last of them was found late.
    last: Cell<Monotonic>,
}

impl InARow {
    /// One more; whether that is too many, said again after as many: the owner may have had no use for it before.
    fn is_one_too_many(&self, begun: Monotonic, now: Monotonic) -> bool {
        if self.count.get() > 0 && begun < self.last.get() {
            return false;
        }
        self.last.set(now);
        self.count.set(self.count.get().saturating_add(1));
        self.count.get().is_multiple_of(LATE_IN_A_ROW_MAX)
    }

    fn end(&self) {
        self.count.set(0);
    }
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
        self.late_reads.end();
        self.late_writes.end();
    }

    /// A read came in time.
    pub(super) fn read_took(&self, time: Duration) {
        self.late_read_took(time);
        self.late_reads.end();
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

    /// A read that began then did not come in time. True when the device is to be called slow.
    pub(super) fn read_is_late(&self, begun: Monotonic, now: Monotonic) -> bool {
        self.late_reads.is_one_too_many(begun, now)
    }

    /// A write took as long as others, or so much longer.
    pub(super) fn write_was(&self, is_late: bool, begun: Monotonic, now: Monotonic) -> bool {
        if !is_late {
            self.late_writes.end();
        }
        is_late && self.late_writes.is_one_too_many(begun, now)
    }
}

/// No transfer of this device is late before, whatever the others do.
pub(super) fn least_late(device: &DeviceInfo) -> Duration {
    if device.rotational { LATE_MIN_SLOW } else { LATE_MIN }
}

/// From when on a read is late, by the mean times of all devices, those without one left out. At least `least`.
pub(super) fn late_after(means: &mut [u64], least: Duration) -> Duration {
    let Some(median) = median(means) else { return least };
    Duration::from_nanos(median.saturating_mul(u64::from(LATE_FACTOR))).clamp(least, LATE_MAX.max(least))
}

/// Whether a write that took so long was late, by the times of those that began with it.
pub(super) fn is_write_late(time: Duration, all: &mut [Duration], least: Duration) -> bool {
    time >= least && median(all).is_some_and(|median| time >= median.saturating_mul(LATE_FACTOR))
}

/// Of an even number the smaller one: of two devices the slow one is not its own measure.
fn median<T: Ord + Copy>(all: &mut [T]) -> Option<T> {
    let middle = all.len().checked_sub(1)? >> 1;
    Some(*all.select_nth_unstable(middle).1)
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
        let clock = Cell::new(0);
        let moment = || {
            clock.set(clock.get() + 1);
            Monotonic(clock.get())
        };
        let late = |count: u32| (0..count).filter(|_| pace.read_is_late(moment(), moment())).count();
        assert_eq!(late(LATE_IN_A_ROW_MAX - 1), 0);
        pace.read_took(MS);
        assert_eq!(late(LATE_IN_A_ROW_MAX + 1), 1);
        assert_eq!(late(LATE_IN_A_ROW_MAX), 1, "again");
        pace.set_slow(false);
        assert_eq!(late(LATE_IN_A_ROW_MAX), 1);
        let write = |is_late| pace.write_was(is_late, moment(), moment());
        assert!((1..LATE_IN_A_ROW_MAX).all(|_| !write(true)));
        assert!(!write(false) && !write(true));
    }

    #[test]
    fn what_was_late_at_the_same_time_was_late_once() {
        let pace = Pace::default();
        let begun = Monotonic(5);
        assert!((0..50).all(|number| !pace.read_is_late(begun, Monotonic(100 + number))));
        assert_eq!(late_after(&mut [1_000_000, 900_000_000], MS), Duration::from_nanos(8_000_000), "of two");
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
