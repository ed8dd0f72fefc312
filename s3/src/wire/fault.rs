//! What may befall a connection.

use ashlar_engine::buffer::AllocationError;
use ashlar_engine::runtime::NetError;

/// Why no more bytes came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireFault {
    /// The peer was too slow; it may still read an answer.
    TimedOut,
    /// The peer sends no more; it may still read an answer.
    Ended,
    /// The connection is no more.
    Gone,
    /// No memory: too many wait for it already.
    Crowded,
}

impl From<NetError> for WireFault {
    fn from(error: NetError) -> Self {
        match error {
            NetError::TimedOut => Self::TimedOut,
            NetError::Closed | NetError::Io { .. } => Self::Gone,
        }
    }
}

impl From<AllocationError> for WireFault {
    fn from(error: AllocationError) -> Self {
        match error {
            AllocationError::TooLarge { .. } | AllocationError::Crowded => Self::Crowded,
        }
    }
}
