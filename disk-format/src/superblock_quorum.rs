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
pub fn choose(
    copies: &[(DeviceIndex, u8, Result<Superblock, DecodeError>)],
) -> Result<Superblock, QuorumError> {
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
        let mut agreed = same
            .iter()
            .map(|(_, copy)| *copy)
            .filter(|copy| same.iter().filter(|(_, other)| copy.agrees(other)).count() >= AGREEING_COPIES);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::CodeShape;
    use crate::error::Structure;
    use crate::units::{DeviceId, Epoch};
    use crate::version::FeatureFlags;

    type Copy = (DeviceIndex, u8, Result<Superblock, DecodeError>);

    fn superblock(device: u8, sequence: u64, cores: u16) -> Superblock {
        Superblock {
            pool: PoolId([1; 16]),
            device: DeviceId([device; 16]),
            sequence,
            epoch: Epoch(1),
            shape: CodeShape::parse("1+1").unwrap(),
            segment_bytes: 1 << 20,
            features: FeatureFlags::default(),
            devices: vec![],
            checkpoint: vec![],
            checkpoint_bytes: 0,
            checkpoint_groups: vec![],
            scrub: crate::superblock::ScrubProgress::default(),
            cores,
            clean: false,
        }
    }

    /// One line per device: each copy is a sequence, `x` unreadable, `'` another content of that sequence.
    fn copies(lines: &[&str]) -> Vec<Copy> {
        let mut copies = Vec::new();
        for (device, line) in (0u8..).zip(lines) {
            for (copy, text) in (0u8..).zip(line.split(' ')) {
                let bad = DecodeError::Checksum { structure: Structure::Superblock, expected: 1, found: 2 };
                let content = text.trim_end_matches('\'').parse().ok().ok_or(bad);
                let cores = if text.ends_with('\'') { 9 } else { 4 };
                let content = content.map(|sequence| superblock(device, sequence, cores));
                copies.push((DeviceIndex(u16::from(device)), copy, content));
            }
        }
        copies
    }

    fn chosen(lines: &[&str]) -> Result<u64, QuorumError> {
        choose(&copies(lines)).map(|superblock| superblock.sequence)
    }

    #[test]
    fn each_crash_gives_the_old_or_the_new_one() {
        assert_eq!(chosen(&["7 7 7 7", "7 7 7 7"]), Ok(7));
        // In the first wave, nothing flushed; one copy written; all of the wave torn.
        assert_eq!(chosen(&["8 7 7 7", "7 7 7 7"]), Ok(7));
        assert_eq!(chosen(&["x 7 x 7", "x 7 x 7"]), Ok(7));
        // Behind the first wave, and inside the second.
        assert_eq!(chosen(&["8 7 8 7", "8 7 8 7"]), Ok(8));
        assert_eq!(chosen(&["8 x 8 x", "8 x 8 x"]), Ok(8));
        // One device, either wave.
        assert_eq!(chosen(&["x 7 x 7"]), Ok(7));
        assert_eq!(chosen(&["8 x 8 x"]), Ok(8));
        // Agreement across devices counts.
        assert_eq!(chosen(&["8 x x x", "8 x x x"]), Ok(8));
        // A device that was away is outvoted by newer ones however many copies it has.
        assert_eq!(chosen(&["3 3 3 3", "8 8 x x"]), Ok(8));
    }

    #[test]
    fn without_agreement_nothing_is_trusted() {
        assert_eq!(chosen(&[]), Err(QuorumError::NoneReadable { copies: 0 }));
        assert_eq!(chosen(&["x x x x"]), Err(QuorumError::NoneReadable { copies: 4 }));
        assert_eq!(chosen(&["8 x x x"]), Err(QuorumError::NoAgreement { readable: 1, newest: 8 }));
        assert_eq!(chosen(&["8 7 6 5"]), Err(QuorumError::NoAgreement { readable: 4, newest: 8 }));
        assert_eq!(chosen(&["8 8' 7 7"]), Ok(7));
        assert_eq!(chosen(&["8 8 8' 8'"]), Err(QuorumError::Split { sequence: 8 }));
    }

    #[test]
    fn a_foreign_device_is_named() {
        let mut copies = copies(&["7 7 7 7", "7 7 7 7"]);
        let foreign = PoolId([2; 16]);
        if let Some((_, _, Ok(superblock))) = copies.get_mut(5) {
            superblock.pool = foreign;
        }
        let expected = PoolId([1; 16]);
        let error = QuorumError::MixedPools { expected, found: foreign, device: DeviceIndex(1) };
        assert_eq!(choose(&copies), Err(error));
    }
}
