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
use std::collections::BTreeMap;
use std::rc::Rc;

/// Live bytes per group, and where each group's last row of this body ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BodySpace {
    groups: BTreeMap<GroupId, (u64, RowOffset)>,
}

impl BodySpace {
    /// Adds one extent.
    pub(crate) fn add(&mut self, extent: &Extent) {
        let entry = self.groups.entry(extent.group).or_insert((0, RowOffset(0)));
        entry.0 += u64::from(extent.length);
        entry.1 = entry.1.max(extent.row.after(extent.height));
    }

    /// Adds everything of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (group, (bytes, end)) in &other.groups {
            let entry = self.groups.entry(*group).or_insert((0, RowOffset(0)));
            entry.0 += bytes;
            entry.1 = entry.1.max(*end);
        }
    }

    /// Bytes per group.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = (GroupId, u64)> {
        self.groups.iter().map(|(group, (bytes, _))| (*group, *bytes))
    }

    /// Where each group's last row of this body ends.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (GroupId, RowOffset)> {
        self.groups.iter().map(|(group, (_, end))| (*group, *end))
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
