//! Where a log is to be read from.

use ashlar_disk_format::checkpoint::LogPosition;
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::units::Epoch;
use std::rc::Rc;

/// A log's position with the group it lies in and the mount that wrote from there.
#[derive(Debug, Clone)]
pub(crate) struct LogStart {
    pub(crate) position: LogPosition,
    pub(crate) descriptor: Rc<GroupDescriptor>,
    /// Rows of other mounts at these places are leftovers.
    pub(crate) epoch: Epoch,
}
