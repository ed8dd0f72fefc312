//! Making a pool: labels on every device, then the first superblock.

use super::labels::write_label;
use super::superblocks::write_superblocks;
use super::view::{PoolFacts, PoolView};
use super::watched::{Watch, Watched};
use crate::error::EngineError;
use crate::number::to_u16;
use crate::runtime::{Device, DeviceError, DeviceInfo, Runtime};
use ashlar_disk_format::code::CodeShape;
use ashlar_disk_format::constants::{CHECKPOINT_GROUPS_MAX, SEGMENT_BYTES_MIN};
use ashlar_disk_format::label::Label;
use ashlar_disk_format::layout::{DeviceLayout, LayoutError, Media, default_segment_bytes};
use ashlar_disk_format::superblock::{DeviceEntry, DeviceState, ScrubProgress, Superblock};
use ashlar_disk_format::units::{DeviceId, DeviceIndex, Epoch, PoolId};
use ashlar_disk_format::version::FeatureFlags;
use std::rc::Rc;

/// What the operator chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOptions {
    /// A name for people.
    pub name: String,
    /// Data and parity chunks per row.
    pub shape: CodeShape,
    /// Bytes of a segment; by default what suits the smallest device.
    pub segment_bytes: Option<u64>,
}

/// Why no pool was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateError {
    /// Fewer devices than members of a row.
    TooFewDevices {
        /// Devices given.
        found: usize,
        /// Devices needed.
        needed: usize,
    },
    /// A device cannot be laid out.
    Layout {
        /// Its name.
        device: String,
        /// Why.
        error: LayoutError,
    },
    /// So many segments that a checkpoint, which lists them all, would not fit where it must.
    SegmentsTooSmall {
        /// Bytes of a segment as chosen.
        found: u64,
        /// Bytes that are enough.
        needed: u64,
    },
    /// A device failed.
    Device {
        /// Its name.
        device: String,
        /// Why.
        error: DeviceError,
    },
    /// Writing the first superblock failed.
    Engine(EngineError),
}

impl std::fmt::Display for CreateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooFewDevices { found, needed } => {
                write!(f, "{found} devices given, this code needs at least {needed}")
            }
            Self::Layout { device, error } => write!(f, "{device}: {error}"),
            Self::SegmentsTooSmall { found, needed } => write!(
                f,
                "segments of {found} bytes are too many on these devices: choose at least {needed} bytes, or \
                 leave the size out"
            ),
            Self::Device { device, error } => write!(f, "{device}: {error}"),
            Self::Engine(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for CreateError {}

/// Bytes of a checkpoint for each group, beside its members, and for each member: more than they take.
const CHECKPOINT_GROUP_BYTES: u64 = 96;
const CHECKPOINT_MEMBER_BYTES: u64 = 16;
/// Of the groups that a checkpoint may lie in, those that the list of groups may fill: the rest is for the
/// list of runs, and for groups that are partly used already.
const CHECKPOINT_GROUPS: u64 = 8;
const _: () = assert!(CHECKPOINT_GROUPS < CHECKPOINT_GROUPS_MAX as u64);

/// The smallest power of two times `segment_bytes` with which a checkpoint fits into the groups that it may
/// lie in, for devices of `bytes` together.
pub(super) fn enough_segment_bytes(bytes: u64, shape: CodeShape, segment_bytes: u64) -> u64 {
    let members = to_u64(shape.members());
    let mut enough = segment_bytes;
    loop {
        let segments = bytes.div_ceil(enough);
        let table = segments.div_ceil(members) * (CHECKPOINT_GROUP_BYTES + members * CHECKPOINT_MEMBER_BYTES);
        let room = CHECKPOINT_GROUPS.saturating_mul(enough).saturating_mul(u64::from(shape.k));
        if table + segments.div_ceil(8) <= room {
            return enough;
        }
        enough *= 2;
    }
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The size that was asked for, or the usual one for these devices.
fn choose_segment_bytes(devices: &[&DeviceInfo], options: &CreateOptions) -> Result<u64, CreateError> {
    let smallest = devices.iter().map(|info| info.bytes).min().unwrap_or(0);
    let media = if devices.iter().any(|info| info.rotational) { Media::Disk } else { Media::Flash };
    let chosen = options.segment_bytes.unwrap_or_else(|| default_segment_bytes(smallest, media));
    let bytes = devices.iter().map(|info| info.bytes).fold(0, u64::saturating_add);
    let enough = enough_segment_bytes(bytes, options.shape, chosen.max(SEGMENT_BYTES_MIN));
    if chosen >= SEGMENT_BYTES_MIN && enough > chosen {
        return Err(CreateError::SegmentsTooSmall { found: chosen, needed: enough });
    }
    Ok(chosen)
}

/// Makes a pool of all the devices that the runtime opened, in their order. Whatever they held is
/// lost: the caller has asked first.
///
/// # Errors
/// [`CreateError`] names the device; a half-made pool is not recognised as one, because the
/// superblocks come last.
pub async fn create_pool<R: Runtime>(runtime: &R, options: &CreateOptions) -> Result<PoolId, CreateError> {
    let devices = runtime.devices();
    let needed = options.shape.members();
    if devices.len() < needed {
        return Err(CreateError::TooFewDevices { found: devices.len(), needed });
    }
    let infos: Vec<&DeviceInfo> = devices.iter().map(Device::info).collect();
    let segment_bytes = choose_segment_bytes(&infos, options)?;
    let pool = PoolId(random_id(runtime));
    let mut slots = Vec::new();
    let mut entries = Vec::new();
    for (position, device) in devices.into_iter().enumerate() {
        let name = device.info().name.clone();
        let layout = DeviceLayout::new(device.info().bytes, segment_bytes)
            .map_err(|error| CreateError::Layout { device: name, error })?;
        let index = DeviceIndex(to_u16(position));
        let entry = DeviceEntry {
            id: DeviceId(random_id(runtime)),
            index,
            bytes: device.info().bytes,
            state: DeviceState::Present,
        };
        entries.push(entry);
        slots.push((index, device, layout));
    }
    let watch = Watch::new(runtime.clone(), slots.len(), 0);
    for ((index, device, layout), entry) in slots.iter().zip(&entries) {
        let label = Label {
            pool,
            device: entry.id,
            index: *index,
            device_bytes: entry.bytes,
            segment_bytes,
            shape: options.shape,
            created_ms: runtime.wall().0,
            features: FeatureFlags::default(),
            pool_name: options.name.clone(),
        };
        let watched = Watched::new(runtime.clone(), device.clone(), index.0, Rc::clone(&watch));
        for offset in layout.label_offsets() {
            write_label(runtime, &watched, offset, &label)
                .await
                .map_err(|error| CreateError::Device { device: device.info().name.clone(), error })?;
        }
    }
    let superblock = Superblock {
        pool,
        device: DeviceId([0; 16]),
        sequence: 1,
        epoch: Epoch(0),
        shape: options.shape,
        segment_bytes,
        features: FeatureFlags::default(),
        devices: entries,
        checkpoint: Vec::new(),
        checkpoint_bytes: 0,
        checkpoint_groups: Vec::new(),
        scrub: ScrubProgress::default(),
        cores: 0,
        clean: true,
    };
    let facts = PoolFacts { pool, epoch: Epoch(0), shape: options.shape, segment_bytes, missing: 0 };
    let view = PoolView::new(runtime.clone(), facts, slots);
    let failures = write_superblocks(&view, &superblock).await.map_err(CreateError::Engine)?;
    if let Some((device, error)) = failures.into_iter().next() {
        return Err(CreateError::Engine(EngineError::Device { device, error }));
    }
    Ok(pool)
}

pub(super) fn random_id<R: Runtime>(runtime: &R) -> [u8; 16] {
    let mut id = [0; 16];
    runtime.fill_random(&mut id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::sim::{Sim, SimConfig, SimDisk};
    use std::cell::RefCell;
    use std::rc::Rc;

    fn create(disk_bytes: u64, segment_bytes: Option<u64>) -> Result<PoolId, CreateError> {
        let disks = (0..3).map(|number| SimDisk::flash(&format!("d{number}"), disk_bytes)).collect();
        let sim = Sim::new(SimConfig { cores: 1, disks, ..SimConfig::default() });
        let made = Rc::new(RefCell::new(None));
        let result = Rc::clone(&made);
        let outcome = sim.run(|runtime| {
            let result = Rc::clone(&result);
            async move {
                let shape = CodeShape::new(2, 1).unwrap();
                let options = CreateOptions { name: "test".to_owned(), shape, segment_bytes };
                *result.borrow_mut() = Some(create_pool(&runtime, &options).await);
            }
        });
        outcome.assert_finished();
        made.borrow_mut().take().unwrap()
    }

    #[test]
    fn segments_are_not_too_many_for_a_checkpoint() {
        const TIB: u64 = 1 << 40;
        assert_eq!(
            create(4 * TIB, Some(1 << 20)),
            Err(CreateError::SegmentsTooSmall { found: 1 << 20, needed: 8 << 20 })
        );
        assert!(create(4 * TIB, Some(8 << 20)).is_ok());
        assert!(create(1 << 30, Some(1 << 20)).is_ok());
        assert!(matches!(create(1 << 30, Some(0)), Err(CreateError::Layout { .. })));
        assert!(create(60 * TIB, None).is_ok());
    }

    #[test]
    fn what_is_chosen_by_default_is_enough_for_a_shelf() {
        for shape in ["1+1", "1+2", "4+2", "8+3", "20+4", "60+4"] {
            let shape = CodeShape::parse(shape).unwrap();
            let segment = default_segment_bytes(32 << 40, Media::Flash);
            assert_eq!(enough_segment_bytes(60 * (32 << 40), shape, segment), segment, "{shape:?}");
        }
    }
}
