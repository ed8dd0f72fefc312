//! Stretches of a group in which no row is whole.

use crate::limits::SCRUB_GAPS_MAX;
use ashlar_disk_format::units::RowOffset;
use std::ops::Range;

/// At most [`SCRUB_GAPS_MAX`]: the last one may be longer than what it stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Gaps {
    ranges: Vec<Range<RowOffset>>,
    /// How many there were.
    count: u64,
}

impl Gaps {
    pub(crate) fn add(&mut self, range: Range<RowOffset>) {
        let is_full = self.ranges.len() >= SCRUB_GAPS_MAX;
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            Some(last) if is_full => {
                *last = last.start.min(range.start)..last.end.max(range.end);
                self.count += 1;
            }
            Some(_) | None => {
                self.ranges.push(range);
                self.count += 1;
            }
        }
    }

    pub(crate) fn contain(&self, row: RowOffset) -> bool {
        self.ranges.iter().any(|range| range.contains(&row))
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_in_the_last() {
        let row = |number: usize| RowOffset(u32::try_from(number).unwrap());
        let mut gaps = Gaps::default();
        gaps.add(row(1)..row(2));
        gaps.add(row(2)..row(4));
        assert_eq!((gaps.count(), gaps.contain(row(3)), gaps.contain(row(4))), (1, true, false));
        for number in 1..2 * SCRUB_GAPS_MAX {
            gaps.add(row(10 * number)..row(10 * number + 1));
        }
        assert_eq!((gaps.count(), gaps.ranges.len()), (2 * SCRUB_GAPS_MAX as u64, SCRUB_GAPS_MAX));
        assert!(!gaps.contain(row(15)), "between two of the first");
        assert!((1..2 * SCRUB_GAPS_MAX).all(|number| gaps.contain(row(10 * number))));
        assert!(!gaps.contain(row(20 * SCRUB_GAPS_MAX)));
        gaps.add(row(4)..row(6));
        assert!(gaps.contain(row(5)) && gaps.contain(row(20 * SCRUB_GAPS_MAX - 10)), "in whatever order");
    }
}
