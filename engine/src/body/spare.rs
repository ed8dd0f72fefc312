//! The lists that bodies collect their entries in, for the next ones. A list goes with its body, also to another core, and
//! stays where the record is made.

use crate::limits::{INLINE_EXTENTS_MAX, SPARE_ENTRIES_MAX};
use ashlar_disk_format::value::{Body, BodyEntry};
use std::cell::RefCell;
use std::rc::Rc;

/// One core's. Clones name the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpareEntries(Rc<RefCell<Vec<Vec<BodyEntry>>>>);

impl SpareEntries {
    /// An empty list.
    pub(super) fn take(&self) -> Vec<BodyEntry> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// What a record holds of these entries. Their list is kept.
    pub(crate) fn body_of(&self, entries: Vec<BodyEntry>) -> Body {
        let mut entries = entries;
        let body = Body(entries.drain(..).collect());
        let mut spare = self.0.borrow_mut();
        if (1..=INLINE_EXTENTS_MAX).contains(&entries.capacity()) && spare.len() < SPARE_ENTRIES_MAX {
            spare.push(entries);
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_disk_format::key::SharedId;

    fn entry(length: u64) -> BodyEntry {
        BodyEntry::Shared { id: SharedId([1; 16]), token: 0, offset: 0, length }
    }

    #[test]
    fn a_list_serves_again_and_brings_nothing_along() {
        let spare = SpareEntries::default();
        for length in 1..4 {
            let mut list = spare.take();
            assert!(list.is_empty());
            list.extend([entry(length), entry(10)]);
            assert_eq!(&*spare.body_of(list).0, [entry(length), entry(10)]);
            assert_eq!(spare.0.borrow().len(), 1);
        }
    }

    #[test]
    fn so_many_are_kept_and_none_that_is_long() {
        let spare = SpareEntries::default();
        for capacity in [0, INLINE_EXTENTS_MAX + 1] {
            spare.body_of(Vec::with_capacity(capacity));
            assert!(spare.0.borrow().is_empty());
        }
        (0..2 * SPARE_ENTRIES_MAX).for_each(|_| drop(spare.body_of(Vec::with_capacity(4))));
        assert_eq!(spare.0.borrow().len(), SPARE_ENTRIES_MAX);
    }
}
