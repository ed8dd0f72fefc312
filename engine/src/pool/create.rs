//! Making a pool: labels on every device, then the first superblock.

use super::labels::write_label;
use super::superblocks::write_superblocks;
use super::view::{PoolFacts, PoolView};
use crate::error::EngineError;
use crate::number::to_u16;
use crate::runtime::{Device, DeviceError, Runtime};
use ashlar_disk_format::code::CodeShape;
use ashlar_disk_format::label::Label;
use ashlar_disk_format::layout::{DeviceLayout, LayoutError, Media, default_segment_bytes};
use ashlar_disk_format::superblock::{DeviceEntry, DeviceState, Superblock};
use ashlar_disk_format::units::{DeviceId, DeviceIndex, Epoch, PoolId};
use ashlar_disk_format::version::FeatureFlags;

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
            Self::Device { device, error } => write!(f, "{device}: {error}"),
            Self::Engine(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for CreateError {}

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
    let smallest = devices.iter().map(|device| device.info().bytes).min().unwrap_or(0);
    let media =
        if devices.iter().any(|device| device.info().rotational) { Media::Disk } else { Media::Flash };
    let segment_bytes = options.segment_bytes.unwrap_or_else(|| default_segment_bytes(smallest, media));
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
        for offset in layout.label_offsets() {
            write_label(runtime, device, offset, &label)
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
        cores: 0,
        clean: true,
    };
    let facts = PoolFacts { pool, epoch: Epoch(0), shape: options.shape, segment_bytes };
    let view = PoolView::new(runtime.clone(), facts, slots);
    let failures = write_superblocks(&view, &superblock).await.map_err(CreateError::Engine)?;
    if let Some((device, error)) = failures.into_iter().next() {
        return Err(CreateError::Engine(EngineError::Device { device, error }));
    }
    Ok(pool)
}

fn random_id<R: Runtime>(runtime: &R) -> [u8; 16] {
    let mut id = [0; 16];
    runtime.fill_random(&mut id);
    id
}
