//! Which bytes of which groups a body holds. A large body's extents are in extent pages, so the
//! answer is read from the devices.

use crate::error::EngineError;
use crate::pool::PoolView;
use crate::rows::read_extent;
use crate::runtime::Runtime;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::extent_page::ExtentPage;
use ashlar_disk_format::units::{GroupId, RowOffset};
use ashlar_disk_format::value::BodyEntry;
use smallvec::SmallVec;
use std::rc::Rc;

/// Live bytes per group, and where each group's last row of this body ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BodySpace {
    /// In the order of their groups. Most bodies lie in one.
    groups: SmallVec<[(GroupId, RowOffset, u64); 1]>,
}

impl BodySpace {
    /// Adds one extent.
    pub(crate) fn add(&mut self, extent: &Extent) {
        self.add_bytes(extent.group, extent.row.after(extent.height), u64::from(extent.length));
    }

    /// Adds everything of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (group, end, bytes) in &other.groups {
            self.add_bytes(*group, *end, *bytes);
        }
    }

    fn add_bytes(&mut self, group: GroupId, end: RowOffset, bytes: u64) {
        match self.groups.binary_search_by_key(&group, |(group, ..)| *group) {
            Ok(place) => {
                let (_, known_end, known_bytes) = &mut self.groups[place];
                *known_end = (*known_end).max(end);
                *known_bytes += bytes;
            }
            Err(place) => self.groups.insert(place, (group, end, bytes)),
        }
    }

    /// Bytes per group.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = (GroupId, u64)> {
        self.groups.iter().map(|(group, _, bytes)| (*group, *bytes))
    }

    /// Where each group's last row of this body ends.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (GroupId, RowOffset)> {
        self.groups.iter().map(|(group, end, _)| (*group, *end))
    }
}

/// Everything that a body's entries hold, its extent pages included, and how many of its pages
/// could not be read: what they led to cannot be reached by anyone.
///
/// # Errors
/// When the walk itself cannot go on: memory, closing.
pub(crate) async fn walk_body<R: Runtime>(
    view: &Rc<PoolView<R>>,
    entries: &[BodyEntry],
) -> Result<(BodySpace, u64), EngineError> {
    let mut space = BodySpace::default();
    let mut unreadable = 0;
    let mut pending: Vec<BodyEntry> = entries.to_vec();
    // Depth first, so the list stays about as long as one page per level.
    while let Some(entry) = pending.pop() {
        match entry {
            BodyEntry::Data(extent) => space.add(&extent),
            BodyEntry::Page { page, .. } => {
                space.add(&page);
                match read_page(view, &page).await {
                    Ok(below) => pending.extend(below.entries),
                    Err(
                        EngineError::Unrecoverable { .. }
                        | EngineError::Decode(_)
                        | EngineError::UnknownGroup { .. },
                    ) => unreadable += 1,
                    Err(other) => return Err(other),
                }
            }
            // Counted at the shared record, where its addresses stand.
            BodyEntry::Shared { .. } => {}
        }
    }
    Ok((space, unreadable))
}

pub(super) async fn read_page<R: Runtime>(
    view: &Rc<PoolView<R>>,
    page: &Extent,
) -> Result<ExtentPage, EngineError> {
    let bytes = read_extent(view, view.runtime.reserve(), page, 0..page.length).await?;
    Ok(ExtentPage::decode(bytes.bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_in_order_each_with_all_its_bytes_and_its_last_end() {
        let mut space = BodySpace::default();
        for (group, end, bytes) in [(5, 3, 10), (2, 9, 20), (5, 8, 1), (7, 1, 5), (2, 4, 2)] {
            space.add_bytes(GroupId(group), RowOffset(end), bytes);
        }
        assert_eq!(space.bytes().collect::<Vec<_>>(), [(GroupId(2), 22), (GroupId(5), 11), (GroupId(7), 5)]);
        let ends = [(GroupId(2), RowOffset(9)), (GroupId(5), RowOffset(8)), (GroupId(7), RowOffset(1))];
        assert_eq!(space.ends().collect::<Vec<_>>(), ends);
        let mut twice = space.clone();
        twice.merge(&space);
        assert!(twice.bytes().zip(space.bytes()).all(|(twice, once)| twice.1 == 2 * once.1));
        assert_eq!(twice.ends().collect::<Vec<_>>(), ends);
    }
}
