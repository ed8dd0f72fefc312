//! Which device is which: reads labels and superblocks, chooses the superblock to trust, says what
//! is missing, damaged or foreign. Writes nothing.

use super::watched::{Watch, Watched};
use crate::number::to_usize;
use crate::runtime::{Device, DeviceError, Runtime};
use ashlar_disk_format::constants::{SUPERBLOCK_SLOT_BYTES, WRITE_UNIT};
use ashlar_disk_format::error::{DecodeError, Field, Structure};
use ashlar_disk_format::label::{Label, Probe};
use ashlar_disk_format::layout::DeviceLayout;
use ashlar_disk_format::superblock::{DeviceEntry, DeviceState, Superblock};
use ashlar_disk_format::superblock_quorum::{QuorumError, choose};
use ashlar_disk_format::units::{DeviceId, DeviceIndex, PoolId};
use ashlar_disk_format::version::{Access, check};
use std::rc::Rc;
use std::time::Duration;

/// Segments have this size when only the offsets of labels and superblocks are wanted: those do
/// not depend on it.
const ANY_SEGMENT_BYTES: u64 = 1 << 20;

/// What a device turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceStanding {
    /// A member, in its place.
    Member(DeviceIndex),
    /// A member whose label or superblocks are partly damaged; they are rewritten when the pool opens.
    Damaged(DeviceIndex),
    /// Belongs to another pool.
    Foreign(PoolId),
    /// Nothing of ours can be read from it: not used.
    Unknown,
}

/// One device as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceReport {
    /// The path it was opened by.
    pub name: String,
    /// What it is.
    pub standing: DeviceStanding,
}

/// A pool as found on its devices.
#[derive(Debug, Clone)]
pub struct Identified {
    /// The superblock to trust; its `device` field means nothing here.
    pub superblock: Superblock,
    /// The pool's name, for people.
    pub name: String,
    /// Members present: their index in the pool and their position among the runtime's devices.
    pub present: Vec<(DeviceIndex, usize)>,
    /// Members that are not there, and that something may lie on.
    pub missing: Vec<DeviceIndex>,
    /// One line per device given.
    pub reports: Vec<DeviceReport>,
    /// Present members whose labels must be rewritten.
    pub(crate) relabel: Vec<(DeviceIndex, Label)>,
}

/// Why no pool was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentifyError {
    /// No superblock can be trusted.
    Quorum(QuorumError),
    /// More members are missing than the code survives.
    TooFewDevices {
        /// Members present.
        present: usize,
        /// Members of the pool.
        total: usize,
        /// Members that may be missing.
        tolerated: usize,
    },
    /// A newer version of the format: this build must not touch it.
    NewerFormat,
}

impl std::fmt::Display for IdentifyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Quorum(error) => write!(f, "no pool on these devices: {error}"),
            Self::TooFewDevices { present, total, tolerated } => write!(
                f,
                "only {present} of {total} devices are there, and this code survives the loss of {tolerated}: \
                 attach the others and start again"
            ),
            Self::NewerFormat => write!(f, "the pool was written by a newer version: use that one"),
        }
    }
}

impl std::error::Error for IdentifyError {}

struct Found {
    name: String,
    label: Option<Label>,
    label_damaged: bool,
    copies: Vec<(u8, Result<Superblock, DecodeError>)>,
    bytes: u64,
}

impl Found {
    /// The device's identity, from its label or, when both copies are gone, from its superblocks.
    fn identity(&self) -> Option<(PoolId, DeviceId)> {
        let from_label = self.label.as_ref().map(|label| (label.pool, label.device));
        let readable = self.copies.iter().filter_map(|(_, copy)| copy.as_ref().ok());
        from_label.or_else(|| readable.map(|copy| (copy.pool, copy.device)).next())
    }

    fn damaged(&self) -> bool {
        self.label_damaged || self.copies.iter().any(|(_, copy)| copy.is_err())
    }
}

/// Reads every device of `runtime` and recognises the pool on them. A device that does not answer for as long as
/// `patience`, or what suits it, counts as not there.
///
/// # Errors
/// [`IdentifyError`] says what to do.
pub async fn identify<R: Runtime>(
    runtime: &R,
    patience: Option<Duration>,
) -> Result<Identified, IdentifyError> {
    let mut found = Vec::new();
    let devices = runtime.devices();
    // Whoever hangs is not there.
    let watch = Watch::new(runtime.clone(), devices.len(), 0);
    watch.wait_for(patience);
    for (number, device) in (0..).zip(devices) {
        let watched = Watched::new(runtime.clone(), device, number, Rc::clone(&watch));
        found.push(Box::pin(inspect(runtime, &watched)).await);
    }
    let pool = majority(&found);
    let copies: Vec<_> = found
        .iter()
        .filter(|device| device.identity().is_some_and(|(own, _)| Some(own) == pool))
        .flat_map(|device| device.copies.iter())
        .map(|(copy, superblock)| (DeviceIndex(0), *copy, superblock.clone()))
        .collect();
    let superblock = choose(&copies).map_err(IdentifyError::Quorum)?;
    match check(superblock.features) {
        Access::ReadWrite => {}
        Access::ReadOnly { .. } | Access::Refused { .. } => return Err(IdentifyError::NewerFormat),
    }
    let identified = assign(superblock, &found);
    let tolerated = usize::from(identified.superblock.shape.m);
    if identified.missing.len() > tolerated {
        let total = identified.present.len() + identified.missing.len();
        return Err(IdentifyError::TooFewDevices { present: identified.present.len(), total, tolerated });
    }
    Ok(identified)
}

/// The pool that most devices say they belong to.
fn majority(found: &[Found]) -> Option<PoolId> {
    let pools: Vec<PoolId> = found.iter().filter_map(|device| Some(device.identity()?.0)).collect();
    pools.iter().copied().max_by_key(|pool| pools.iter().filter(|other| *other == pool).count())
}

fn assign(superblock: Superblock, found: &[Found]) -> Identified {
    let mut present = Vec::new();
    let mut reports = Vec::new();
    let mut relabel = Vec::new();
    let mut name = String::new();
    let created_ms =
        found.iter().filter_map(|device| device.label.as_ref()).map(|label| label.created_ms).next();
    for (position, device) in found.iter().enumerate() {
        if let Some(label) = device.label.as_ref().filter(|label| label.pool == superblock.pool) {
            name.clone_from(&label.pool_name);
        }
        let entry = device.identity().and_then(|(pool, id)| {
            superblock.devices.iter().find(|entry| pool == superblock.pool && entry.id == id)
        });
        let standing = match (entry, device.identity()) {
            (Some(entry), _) if present.iter().any(|(index, _)| *index == entry.index) => {
                DeviceStanding::Unknown
            }
            (Some(entry), _) => {
                present.push((entry.index, position));
                if device.label_damaged {
                    let label = Label {
                        pool: superblock.pool,
                        device: entry.id,
                        index: entry.index,
                        device_bytes: device.bytes,
                        segment_bytes: superblock.segment_bytes,
                        shape: superblock.shape,
                        created_ms: created_ms.unwrap_or(0),
                        features: superblock.features,
                        pool_name: String::new(),
                    };
                    relabel.push((entry.index, label));
                }
                if device.damaged() {
                    DeviceStanding::Damaged(entry.index)
                } else {
                    DeviceStanding::Member(entry.index)
                }
            }
            (None, Some((pool, _))) => DeviceStanding::Foreign(pool),
            (None, None) => DeviceStanding::Unknown,
        };
        reports.push(DeviceReport { name: device.name.clone(), standing });
    }
    for (_, label) in &mut relabel {
        label.pool_name.clone_from(&name);
    }
    let here = |index: DeviceIndex| present.iter().any(|(found, _)| *found == index);
    let is_vacant = |entry: &DeviceEntry| matches!(entry.state, DeviceState::Vacant { .. });
    let missing = superblock
        .devices
        .iter()
        .filter(|entry| !here(entry.index) && !is_vacant(entry))
        .map(|entry| entry.index)
        .collect();
    Identified { superblock, name, present, missing, reports, relabel }
}

async fn inspect<R: Runtime>(runtime: &R, device: &Watched<R>) -> Found {
    let info = device.info();
    let nothing = || Found {
        name: info.name.clone(),
        label: None,
        label_damaged: false,
        copies: Vec::new(),
        bytes: info.bytes,
    };
    let mut found = nothing();
    let Ok(layout) = DeviceLayout::new(info.bytes, ANY_SEGMENT_BYTES) else { return found };
    for offset in layout.label_offsets() {
        let bytes = read_bytes(runtime, device, offset, to_usize(u64::from(WRITE_UNIT))).await;
        let Ok(bytes) = bytes else { return nothing() };
        match bytes.map(|bytes| Label::probe(&bytes)) {
            Some(Probe::Ours(label)) => found.label = Some(*label),
            Some(Probe::Damaged(_) | Probe::NotOurs) | None => found.label_damaged = true,
        }
    }
    for copy in 0..4 {
        let slot = SUPERBLOCK_SLOT_BYTES;
        let bytes = read_bytes(runtime, device, layout.superblock_offset(copy), slot).await;
        let Ok(bytes) = bytes else { return nothing() };
        let decoded = bytes.map_or_else(unreadable, |bytes| Superblock::decode(&bytes));
        found.copies.push((copy, decoded));
    }
    found
}

fn unreadable() -> Result<Superblock, DecodeError> {
    let structure = Structure::Superblock;
    Err(DecodeError::Short { structure, field: Field::Header, offset: 0, needed: 1, found: 0 })
}

/// `None` is what cannot be read.
///
/// # Errors
/// [`DeviceError::Late`], and no other: the device hangs.
async fn read_bytes<R: Runtime>(
    runtime: &R,
    device: &Watched<R>,
    offset: u64,
    length: usize,
) -> Result<Option<Vec<u8>>, DeviceError> {
    let Ok(buffer) = runtime.reserve().take(length).await else { return Ok(None) };
    let (result, buffer) = device.read(offset, buffer, length).await;
    match result {
        Ok(()) => Ok(Some(buffer.bytes()[..length].to_vec())),
        Err(error @ DeviceError::Late) => Err(error),
        Err(_unreadable) => Ok(None),
    }
}
