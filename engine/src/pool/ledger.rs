//! Live bytes per group, as changed by this core.
//!
//! The sum of all cores' ledgers and of the checkpoint they started from is the exact number of
//! bytes that records and index refer to. A ledger is in two layers while a checkpoint is being
//! made: changes of records that the checkpoint covers go below, later ones above, also when they
//! are worked out late (the extents of a replaced large object are read from its extent pages).

use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::units::GroupId;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Which side of a checkpoint a change belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Side(u64);

#[derive(Debug, Default)]
struct Inner {
    settled: BTreeMap<GroupId, i64>,
    newer: BTreeMap<GroupId, i64>,
    side: u64,
    split: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    inner: RefCell<Inner>,
}

impl Ledger {
    /// The side that changes made now belong to.
    pub(crate) fn side(&self) -> Side {
        Side(self.inner.borrow().side)
    }

    /// Adds `bytes` (negative: removes) of `group` on `side`.
    pub(crate) fn add(&self, side: Side, group: GroupId, bytes: i64) {
        let mut inner = self.inner.borrow_mut();
        assert!(side.0 <= inner.side, "a side is not of the future");
        let above = inner.split && side.0 == inner.side;
        let layer = if above { &mut inner.newer } else { &mut inner.settled };
        let entry = layer.entry(group).or_insert(0);
        *entry += bytes;
        if *entry == 0 {
            layer.remove(&group);
        }
    }

    /// Adds or removes the index's own pages: they belong to no side, because a checkpoint counts
    /// them from the manifests that it names.
    pub(crate) fn settle_pages(&self, extents: &[Extent], live: bool) {
        let mut inner = self.inner.borrow_mut();
        for extent in extents {
            let bytes = i64::from(extent.length);
            let entry = inner.settled.entry(extent.group).or_insert(0);
            *entry += if live { bytes } else { -bytes };
            if *entry == 0 {
                inner.settled.remove(&extent.group);
            }
        }
    }

    /// Adds extents that became live.
    pub(crate) fn hold<'a>(&self, side: Side, extents: impl IntoIterator<Item = &'a Extent>) {
        for extent in extents {
            self.add(side, extent.group, i64::from(extent.length));
        }
    }

    /// Removes extents that died.
    pub(crate) fn release<'a>(&self, side: Side, extents: impl IntoIterator<Item = &'a Extent>) {
        for extent in extents {
            self.add(side, extent.group, -i64::from(extent.length));
        }
    }

    /// From now on changes go above; those of earlier sides still go below.
    pub(crate) fn split(&self) {
        let mut inner = self.inner.borrow_mut();
        assert!(!inner.split, "one checkpoint at a time");
        inner.split = true;
        inner.side += 1;
    }

    /// What lies below, when every change of earlier sides has been worked out.
    pub(crate) fn settled(&self) -> BTreeMap<GroupId, i64> {
        self.inner.borrow().settled.clone()
    }

    /// The checkpoint is over: both layers are one again.
    pub(crate) fn join(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.split = false;
        let newer = std::mem::take(&mut inner.newer);
        for (group, bytes) in newer {
            let entry = inner.settled.entry(group).or_insert(0);
            *entry += bytes;
            if *entry == 0 {
                inner.settled.remove(&group);
            }
        }
    }

    /// Both layers together, for one group.
    pub(crate) fn total(&self, group: GroupId) -> i64 {
        let inner = self.inner.borrow();
        inner.settled.get(&group).copied().unwrap_or(0) + inner.newer.get(&group).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_changes_of_a_covered_record_go_below_the_split() {
        let ledger = Ledger::default();
        let before = ledger.side();
        ledger.add(before, GroupId(1), 100);
        ledger.split();
        let after = ledger.side();
        ledger.add(before, GroupId(1), -40);
        ledger.add(after, GroupId(1), 7);
        assert_eq!(ledger.settled().get(&GroupId(1)), Some(&60));
        assert_eq!(ledger.total(GroupId(1)), 67);
        ledger.join();
        assert_eq!(ledger.settled().get(&GroupId(1)), Some(&67));
    }
}
