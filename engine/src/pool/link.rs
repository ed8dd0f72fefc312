//! What a core asks of the pool's owner, what it is answered, and the way there.

use crate::error::EngineError;
use crate::runtime::DeviceError;
use ashlar_disk_format::group::{GroupDescriptor, GroupKind};
use ashlar_disk_format::units::{DeviceIndex, GroupId, LogId, RowOffset};
use futures_util::future::LocalBoxFuture;
use std::rc::Rc;

/// What a group is opened for. Who may have the last ones depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Records, and small bodies beside them.
    Log,
    /// Pages of the index, checkpoints.
    Index,
    /// Bodies that clients send, and their pages.
    Bodies,
    /// Bodies that are moved so that space comes back.
    Cleaning,
}

impl Purpose {
    /// The kind of its groups.
    pub(crate) fn kind(self) -> GroupKind {
        match self {
            Self::Log => GroupKind::Log,
            Self::Index => GroupKind::Index,
            Self::Bodies | Self::Cleaning => GroupKind::Data,
        }
    }
}

/// What a core asks of the pool's owner.
#[derive(Debug, Clone)]
pub(crate) enum PoolRequest {
    /// A group to write to.
    Open { purpose: Purpose, log: LogId },
    /// The members of a group that this core has not met.
    Describe { group: GroupId },
    /// The group's segments are allocated and written once.
    Prepared { group: GroupId },
    /// Nothing more will be written to the group behind `tail`.
    Seal { group: GroupId, tail: RowOffset },
    /// A checkpoint is due.
    Due,
    /// A device answers much later than others.
    Slow { device: DeviceIndex },
    /// A device failed a write or a flush: take it out of service.
    Failed { device: DeviceIndex, error: DeviceError },
}

/// A group that a core may append to.
#[derive(Debug, Clone)]
pub(crate) struct OpenedGroup {
    pub(crate) descriptor: Rc<GroupDescriptor>,
    /// Where the next row goes.
    pub(crate) tail: RowOffset,
    /// Members whose segment was never written: it must be prepared before use.
    pub(crate) unprepared: Vec<usize>,
}

/// What the owner answers.
#[derive(Debug, Clone)]
pub(crate) enum PoolReply {
    Opened { descriptor: GroupDescriptor, tail: RowOffset, unprepared: Vec<usize> },
    Described(Option<GroupDescriptor>),
    Done,
}

/// The way to the pool's owner, wherever it runs. Not on the data path, hence a trait object.
pub(crate) trait PoolLink {
    fn ask(&self, request: PoolRequest) -> LocalBoxFuture<'static, Result<PoolReply, EngineError>>;
}
