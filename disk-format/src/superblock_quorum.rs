//! Pure choice: many superblock copies to the one to trust.
//!
//! The rule: the newest sequence that at least two copies agree on, counted over all copies of all devices.
//! One copy is not enough, because a single copy may be a torn commit that no one waited for, a misdirected
//! write or a forgery of rot that its checksum missed; two copies that say the same bytes are written by two
//! separate writes. More than two is not asked for, because a commit is acknowledged when its first wave is
//! flushed, and a pool of one device then has exactly two new copies. An older sequence is taken only when no
//! newer one is agreed on; then the newer was never acknowledged, because an acknowledged one has two copies
//! on each of more devices than may be lost.
//!
//! Whether enough devices of the chosen table are there is the engine's question, not this module's.

use crate::error::DecodeError;
use crate::superblock::Superblock;
use crate::units::{DeviceIndex, PoolId};
use std::fmt;

/// Why no superblock can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuorumError {
    /// Not one copy can be read.
    NoneReadable {
        /// Copies that were looked at.
        copies: usize,
    },
    /// Copies can be read, but no two agree.
    NoAgreement {
        /// Copies that can be read.
        readable: usize,
        /// The newest sequence among them.
        newest: u64,
    },
    /// Copies of two pools were given: a foreign device is attached.
    MixedPools {
        /// Pool of the first copy.
        expected: PoolId,
        /// Another pool.
        found: PoolId,
        /// The device that holds it.
        device: DeviceIndex,
    },
    /// Two pairs agree among themselves on the same sequence, but not with each other: two mounts wrote.
    Split {
        /// That sequence.
        sequence: u64,
    },
}

/// Chooses the superblock to trust. The `device` of the result is that of the copy it was taken from and not
/// part of the agreement.
///
/// # Errors
/// [`QuorumError`] says why none can be trusted.
pub fn choose(copies: &[(DeviceIndex, u8, Result<Superblock, DecodeError>)]) -> Result<Superblock, QuorumError> {
    let mut readable: Vec<(DeviceIndex, &Superblock)> = copies
        .iter()
        .filter_map(|(device, _, copy)| copy.as_ref().ok().map(|superblock| (*device, superblock)))
        .collect();
    let Some((_, first)) = readable.first() else {
        return Err(QuorumError::NoneReadable { copies: copies.len() });
    };
    let expected = first.pool;
    if let Some((device, other)) = readable.iter().find(|(_, other)| other.pool != expected) {
        return Err(QuorumError::MixedPools { expected, found: other.pool, device: *device });
    }
    // Stable, newest first, so that the answer depends only on the order of the input.
    readable.sort_by_key(|(_, superblock)| std::cmp::Reverse(superblock.sequence));
    for same in readable.chunk_by(|(_, a), (_, b)| a.sequence == b.sequence) {
        let mut agreed = same.iter().map(|(_, copy)| *copy).filter(|copy| {
            same.iter().filter(|(_, other)| copy.agrees(other)).count() >= AGREEING_COPIES
        });
        let Some(chosen) = agreed.next() else { continue };
        if agreed.any(|other| !other.agrees(chosen)) {
            return Err(QuorumError::Split { sequence: chosen.sequence });
        }
        return Ok(chosen.clone());
    }
    let newest = readable.first().map_or(0, |(_, superblock)| superblock.sequence);
    Err(QuorumError::NoAgreement { readable: readable.len(), newest })
}

/// Copies that must say the same. See the head of this file.
const AGREEING_COPIES: usize = 2;

impl fmt::Display for QuorumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneReadable { copies } => write!(f, "none of {copies} superblock copies can be read"),
            Self::NoAgreement { readable, newest } => {
                write!(f, "no two of {readable} superblock copies agree; the newest has sequence {newest}")
            }
            Self::MixedPools { expected, found, device } => {
                write!(f, "device {device} holds a superblock of pool {found}, others of pool {expected}")
            }
            Self::Split { sequence } => {
                write!(f, "superblock copies of sequence {sequence} disagree: two mounts wrote")
            }
        }
    }
}

impl std::error::Error for QuorumError {}
