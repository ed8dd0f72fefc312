//! What one body holds that another does not. Two trees of which one was made from the other have most pages in common;
//! those are not read.

use super::relocate::push_all;
use super::space::{BodySpace, read_page};
use crate::error::EngineError;
use crate::pool::PoolView;
use crate::runtime::Runtime;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::value::BodyEntry;
use std::rc::Rc;

/// The difference between two bodies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Only the old one holds this.
    pub(crate) removed: BodySpace,
    /// Only the new one holds this.
    pub(crate) added: BodySpace,
    /// Pages that could not be read: what they led to cannot be reached by anyone.
    pub(crate) unreadable: u64,
}

/// A walk in the order of the bytes; the stack is about as long as a page per level.
struct Walk {
    pending: Vec<(u64, BodyEntry)>,
}

impl Walk {
    fn new(entries: &[BodyEntry]) -> Self {
        let mut pending = Vec::new();
        push_all(&mut pending, 0, entries);
        Self { pending }
    }

    /// The first byte of what comes next, and how many levels are below it; behind everything at the end.
    fn next(&self) -> (u64, Option<u8>) {
        match self.pending.last() {
            Some((start, BodyEntry::Page { depth, .. })) => (*start, Some(*depth)),
            Some((start, BodyEntry::Data(_) | BodyEntry::Shared { .. })) => (*start, None),
            None => (u64::MAX, None),
        }
    }

    /// Takes what comes next, counts it, and goes down below it.
    async fn take<R: Runtime>(
        &mut self,
        view: &Rc<PoolView<R>>,
        space: &mut BodySpace,
        unreadable: &mut u64,
    ) -> Result<(), EngineError> {
        let Some((start, entry)) = self.pending.pop() else { return Ok(()) };
        match entry {
            BodyEntry::Data(extent) => space.add(&extent),
            BodyEntry::Page { page, .. } => {
                space.add(&page);
                self.descend(view, &page, start, unreadable).await?;
            }
            // Counted at the shared record, where its addresses stand.
            BodyEntry::Shared { .. } => {}
        }
        Ok(())
    }

    async fn descend<R: Runtime>(
        &mut self,
        view: &Rc<PoolView<R>>,
        page: &Extent,
        start: u64,
        unreadable: &mut u64,
    ) -> Result<(), EngineError> {
        match read_page(view, page).await {
            Ok(below) => push_all(&mut self.pending, start, &below.entries),
            Err(error) if error.is_damage() => *unreadable += 1,
            Err(other) => return Err(other),
        }
        Ok(())
    }
}

/// Compares the body that `old` makes up with that of `new`.
///
/// # Errors
/// When the walk itself cannot go on: memory, closing.
pub(crate) async fn difference<R: Runtime>(
    view: &Rc<PoolView<R>>,
    old: &[BodyEntry],
    new: &[BodyEntry],
) -> Result<Difference, EngineError> {
    let mut found = Difference::default();
    let (mut before, mut after) = (Walk::new(old), Walk::new(new));
    while !(before.pending.is_empty() && after.pending.is_empty()) {
        if before.pending.last() == after.pending.last() {
            before.pending.pop();
            after.pending.pop();
            continue;
        }
        let ((old_start, old_depth), (new_start, new_depth)) = (before.next(), after.next());
        // Of two pages the one with more below it is opened first, or none of its own would be met again.
        let old_first = old_start < new_start || (old_start == new_start && old_depth >= new_depth);
        let new_first = new_start < old_start || (old_start == new_start && new_depth >= old_depth);
        if old_first {
            before.take(view, &mut found.removed, &mut found.unreadable).await?;
        }
        if new_first {
            after.take(view, &mut found.added, &mut found.unreadable).await?;
        }
    }
    Ok(found)
}
