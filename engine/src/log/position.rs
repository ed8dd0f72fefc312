//! Where a log is to be read from.

use ashlar_disk_format::checkpoint::LogPosition;
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::units::{Epoch, GroupId, RowOffset};
use std::rc::Rc;

/// A log's position with the group it lies in and the mount that wrote from there.
#[derive(Debug, Clone)]
pub(crate) struct LogStart {
    pub(crate) position: LogPosition,
    pub(crate) descriptor: Rc<GroupDescriptor>,
    /// Rows of other mounts at these places are leftovers.
    pub(crate) epoch: Epoch,
    /// Groups of this log that were opened behind the position, oldest first, by the headers of their
    /// segments: where it goes on when a link is lost.
    pub(crate) young: Vec<Rc<GroupDescriptor>>,
    /// Where it ended when it was read before.
    pub(crate) end: Option<(GroupId, RowOffset)>,
}
