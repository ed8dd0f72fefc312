//! A set of disjoint byte ranges.

use std::collections::BTreeMap;
use std::ops::Range;

#[derive(Debug, Clone, Default)]
pub(crate) struct RangeSet {
    /// Start to end; no two touch or overlap.
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    pub(crate) fn of(ranges: &[Range<u64>]) -> Self {
        let mut set = Self::default();
        for range in ranges {
            set.insert(range.clone());
        }
        set
    }

    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        while let Some((&from, &to)) = self.ranges.range(..=end).next_back() {
            if to < start {
                break;
            }
            self.ranges.remove(&from);
            start = start.min(from);
            end = end.max(to);
        }
        self.ranges.insert(start, end);
    }

    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&from, &to)) = self.ranges.range(..range.end).next_back() {
            if to <= range.start {
                break;
            }
            self.ranges.remove(&from);
            if to > range.end {
                self.ranges.insert(range.end, to);
            }
            if from < range.start {
                self.ranges.insert(from, range.start);
            }
        }
    }

    pub(crate) fn touches(&self, range: Range<u64>) -> bool {
        !range.is_empty()
            && self.ranges.range(..range.end).next_back().is_some_and(|(_, &to)| to > range.start)
    }

    pub(crate) fn covers(&self, range: Range<u64>) -> bool {
        range.is_empty()
            || self.ranges.range(..=range.start).next_back().is_some_and(|(_, &to)| to >= range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_set_of_numbers(steps in proptest::collection::vec((any::<bool>(), 0u64..40, 0u64..12), 1..60)) {
            let mut set = RangeSet::default();
            let mut model = std::collections::BTreeSet::new();
            for (insert, start, length) in steps {
                let range = start..start + length;
                if insert {
                    set.insert(range.clone());
                    model.extend(range);
                } else {
                    set.remove(range.clone());
                    model.retain(|number| !range.contains(number));
                }
                for probe in 0..50 {
                    for length in [1, 3] {
                        let mut numbers = probe..probe + length;
                        prop_assert_eq!(set.touches(numbers.clone()), numbers.clone().any(|n| model.contains(&n)));
                        prop_assert_eq!(set.covers(numbers.clone()), numbers.all(|n| model.contains(&n)));
                    }
                }
            }
        }
    }
}
