//! Why the engine did not do it, by culprit.

use crate::buffer::AllocationError;
use crate::runtime::DeviceError;
use ashlar_disk_format::error::DecodeError;
use ashlar_disk_format::key::SharedId;
use ashlar_disk_format::units::{DeviceIndex, Generation, GroupId, RowOffset};

/// An engine operation failed and changed nothing that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// A device failed and no other could stand in.
    Device {
        /// Which one.
        device: DeviceIndex,
        /// What it said.
        error: DeviceError,
    },
    /// More members of a row are damaged or missing than its code can mend.
    Unrecoverable {
        /// The row's group.
        group: GroupId,
        /// Its generation.
        generation: Generation,
        /// The row.
        row: RowOffset,
        /// Good members needed.
        needed: usize,
        /// Good members found.
        found: usize,
    },
    /// Bytes that passed their checksum do not decode: written wrongly, or by a newer version.
    Decode(DecodeError),
    /// An extent names a group that the pool does not have.
    UnknownGroup {
        /// The group.
        group: GroupId,
        /// The generation asked for.
        generation: Generation,
    },
    /// A record names a shared body that does not exist: a log row that was acknowledged is lost.
    SharedBodyMissing {
        /// The body.
        id: SharedId,
    },
    /// No free segments are left for this kind of write. Reads and deletes go on.
    Full,
    /// Too many requests wait for memory: shed load.
    Overloaded(AllocationError),
    /// A checkpoint would lie in more groups than the superblock can name.
    CheckpointTooLarge {
        /// Groups it needs.
        found: usize,
        /// Groups that can be named.
        limit: usize,
    },
    /// Fewer devices are in service than a durable write needs.
    ReadOnly {
        /// Devices in service.
        present: usize,
        /// Devices needed.
        needed: usize,
    },
    /// The engine is shutting down.
    Closing,
    /// The task that was to answer panicked. What it was asked for may have happened or not.
    Panicked,
    /// The bucket does not exist.
    NoSuchBucket,
    /// The bucket is just being deleted, or turns out not to be: try again.
    BucketBusy,
    /// The bucket exists already.
    BucketExists,
    /// The bucket holds objects.
    BucketNotEmpty,
    /// The object was deleted or replaced while it was read, too long ago to keep its bytes.
    Superseded,
    /// The key does not exist.
    NoSuchKey,
    /// The upload does not exist, or is finished.
    NoSuchUpload,
    /// A part named at completion does not exist or is not the one that was meant.
    InvalidPart,
    /// A condition of the request does not hold.
    PreconditionFailed,
    /// A record would exceed the bound that keeps the log readable.
    RecordTooLarge {
        /// Its length, bytes.
        found: usize,
        /// The bound, bytes.
        limit: usize,
    },
}

impl EngineError {
    /// True when stored bytes are lost or wrong: what lies elsewhere is none the worse for it.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Unrecoverable { .. } | Self::Decode(_) | Self::UnknownGroup { .. })
    }
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device { device, error } => write!(f, "device {}: {error}", device.0),
            Self::Unrecoverable { group, generation, row, needed, found } => write!(
                f,
                "row {} of group {} (generation {:#x}) has {found} good members and needs {needed}",
                row.0, group.0, generation.0
            ),
            Self::Decode(error) => write!(f, "stored bytes do not decode: {error}"),
            Self::UnknownGroup { group, generation } => {
                write!(f, "no group {} of generation {:#x}", group.0, generation.0)
            }
            Self::SharedBodyMissing { id } => write!(f, "shared body {:02x?} does not exist", id.0),
            Self::Full => write!(f, "no free segments are left"),
            Self::Overloaded(error) => write!(f, "overloaded: {error}"),
            Self::CheckpointTooLarge { found, limit } => {
                write!(f, "a checkpoint needs {found} groups and may lie in {limit}: segments are too small")
            }
            Self::ReadOnly { present, needed } => {
                write!(f, "{present} devices in service, {needed} needed to write")
            }
            Self::Closing => write!(f, "shutting down"),
            Self::Panicked => write!(f, "the task that was to answer panicked"),
            Self::NoSuchBucket => write!(f, "no such bucket"),
            Self::BucketBusy => write!(f, "bucket is being deleted"),
            Self::BucketExists => write!(f, "bucket exists"),
            Self::BucketNotEmpty => write!(f, "bucket is not empty"),
            Self::Superseded => write!(f, "the object was deleted or replaced a good while ago"),
            Self::NoSuchKey => write!(f, "no such key"),
            Self::NoSuchUpload => write!(f, "no such upload"),
            Self::InvalidPart => write!(f, "a named part is missing or another"),
            Self::PreconditionFailed => write!(f, "a precondition does not hold"),
            Self::RecordTooLarge { found, limit } => write!(f, "record of {found} bytes exceeds {limit}"),
        }
    }
}

impl std::error::Error for EngineError {}

impl From<AllocationError> for EngineError {
    fn from(error: AllocationError) -> Self {
        Self::Overloaded(error)
    }
}

impl From<DecodeError> for EngineError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}
