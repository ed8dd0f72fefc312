//! Taking devices into a pool that no server uses: labels first, then a superblock that knows them.

use super::create::{enough_segment_bytes, random_id};
use super::identify::{Identified, IdentifyError, identify};
use super::labels::write_label;
use super::superblocks::write_superblocks;
use super::view::{PoolFacts, PoolView};
use super::watched::{Watch, Watched};
use crate::error::EngineError;
use crate::runtime::{Device, DeviceError, Runtime};
use ashlar_disk_format::constants::DEVICES_MAX;
use ashlar_disk_format::label::Label;
use ashlar_disk_format::layout::{DeviceLayout, LayoutError};
use ashlar_disk_format::superblock::{DeviceEntry, DeviceState, Superblock};
use ashlar_disk_format::units::{DeviceId, DeviceIndex};
use std::rc::Rc;

/// Why no device was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddError {
    /// There is no pool to take it into.
    Identify(IdentifyError),
    /// It is a member already.
    Member {
        /// Its name.
        device: String,
    },
    /// It cannot be laid out.
    Layout {
        /// Its name.
        device: String,
        /// Why.
        error: LayoutError,
    },
    /// The pool would have more devices than it has numbers for, those that are gone included.
    TooMany,
    /// A checkpoint could not list all segments any more.
    TooLarge,
    /// It failed.
    Device {
        /// Its name.
        device: String,
        /// Why.
        error: DeviceError,
    },
    /// The superblock could not be written.
    Engine(EngineError),
}

impl std::fmt::Display for AddError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Identify(error) => write!(f, "{error}"),
            Self::Member { device } => write!(f, "{device}: is a device of this pool already"),
            Self::Layout { device, error } => write!(f, "{device}: {error}"),
            Self::TooMany => {
                write!(f, "a pool has {DEVICES_MAX} devices at most, those that are gone included")
            }
            Self::TooLarge => {
                write!(f, "the segments of this pool are too small for so much: make another pool")
            }
            Self::Device { device, error } => write!(f, "{device}: {error}"),
            Self::Engine(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for AddError {}

/// Takes the devices at the positions `new` of the runtime's devices into the pool that the others hold; their
/// numbers in it. What they held is lost: the caller has asked first. They are used from the next start on.
///
/// # Errors
/// [`AddError`]: the pool is then as it was, but after [`AddError::Engine`], which may come when some devices know the
/// new ones already: the pool's status says whether they are in it.
pub async fn add_devices<R: Runtime>(runtime: &R, new: &[usize]) -> Result<Vec<DeviceIndex>, AddError> {
    let identified = identify(runtime, None).await.map_err(AddError::Identify)?;
    let devices = runtime.devices();
    let superblock = &identified.superblock;
    let mut slots = Vec::new();
    for &(index, position) in &identified.present {
        let Some(device) = devices.get(position) else { continue };
        if new.contains(&position) {
            return Err(AddError::Member { device: device.info().name.clone() });
        }
        slots.push((index, device.clone(), layout(device, superblock.segment_bytes)?));
    }
    let next = superblock.devices.last().map_or(0, |entry| entry.index.0 + 1);
    let mut entries: Vec<DeviceEntry> = Vec::new();
    for (number, position) in (next..).zip(new) {
        let Some(device) = devices.get(*position) else { continue };
        let index = DeviceIndex(number);
        let bytes = device.info().bytes;
        slots.push((index, device.clone(), layout(device, superblock.segment_bytes)?));
        entries.push(DeviceEntry {
            id: DeviceId(random_id(runtime)),
            index,
            bytes,
            state: DeviceState::Present,
        });
    }
    let mut larger = superblock.clone();
    larger.devices.extend(entries.iter().cloned());
    larger.sequence += 1;
    check_size(&larger)?;
    let watch = Watch::new(runtime.clone(), slots.len(), 0);
    for (entry, (index, device, layout)) in entries.iter().zip(slots.iter().skip(identified.present.len())) {
        let device = Watched::new(runtime.clone(), device.clone(), index.0, Rc::clone(&watch));
        let label = label(&identified, entry, runtime.wall().0);
        for offset in layout.label_offsets() {
            let written = write_label(runtime, &device, offset, &label).await;
            written.map_err(|error| AddError::Device { device: device.info().name.clone(), error })?;
        }
    }
    let facts = PoolFacts {
        pool: superblock.pool,
        epoch: superblock.epoch,
        shape: superblock.shape,
        segment_bytes: superblock.segment_bytes,
        missing: 0,
    };
    let view = PoolView::new(runtime.clone(), facts, slots);
    let failures = write_superblocks(&view, &larger).await.map_err(AddError::Engine)?;
    if let Some((device, error)) = failures.into_iter().next() {
        return Err(AddError::Engine(EngineError::Device { device, error }));
    }
    Ok(entries.into_iter().map(|entry| entry.index).collect())
}

fn layout<D: Device>(device: &D, segment_bytes: u64) -> Result<DeviceLayout, AddError> {
    DeviceLayout::new(device.info().bytes, segment_bytes)
        .map_err(|error| AddError::Layout { device: device.info().name.clone(), error })
}

fn check_size(superblock: &Superblock) -> Result<(), AddError> {
    if superblock.devices.len() > DEVICES_MAX {
        return Err(AddError::TooMany);
    }
    let bytes = superblock.devices.iter().map(|entry| entry.bytes).fold(0, u64::saturating_add);
    let enough = enough_segment_bytes(bytes, superblock.shape, superblock.segment_bytes);
    if enough > superblock.segment_bytes { Err(AddError::TooLarge) } else { Ok(()) }
}

fn label(identified: &Identified, entry: &DeviceEntry, created_ms: u64) -> Label {
    let superblock = &identified.superblock;
    Label {
        pool: superblock.pool,
        device: entry.id,
        index: entry.index,
        device_bytes: entry.bytes,
        segment_bytes: superblock.segment_bytes,
        shape: superblock.shape,
        created_ms,
        features: superblock.features,
        pool_name: identified.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::create::{CreateOptions, create_pool};
    use super::*;
    use crate::runtime::sim::{Sim, SimConfig, SimDisk, SimRuntime};
    use ashlar_disk_format::code::CodeShape;
    use std::cell::RefCell;
    use std::rc::Rc;

    fn on_disks<T: 'static, F: Future<Output = T> + 'static>(
        disks: &[SimDisk],
        task: impl Fn(SimRuntime) -> F + Copy + 'static,
    ) -> T {
        // Another seed whenever there are other disks, or new devices would draw the identities of old ones.
        let seed = u64::try_from(disks.len()).unwrap();
        let sim = Sim::new(SimConfig { seed, cores: 1, disks: disks.to_vec(), ..SimConfig::default() });
        let to = Rc::new(RefCell::new(None));
        let from = Rc::clone(&to);
        let outcome = sim.run(move |runtime| {
            let to = Rc::clone(&to);
            async move {
                let done = task(runtime).await;
                *to.borrow_mut() = Some(done);
            }
        });
        outcome.assert_finished();
        let done = from.borrow_mut().take();
        done.unwrap()
    }

    fn add(disks: &[SimDisk], new: &'static [usize]) -> Result<Vec<DeviceIndex>, AddError> {
        on_disks(disks, move |runtime| async move { add_devices(&runtime, new).await })
    }

    #[test]
    fn what_is_taken_in_gets_the_next_numbers_and_nothing_is_taken_in_twice() {
        let mut disks: Vec<SimDisk> =
            (0..3).map(|number| SimDisk::flash(&format!("d{number}"), 64 << 20)).collect();
        assert!(matches!(add(&disks, &[2]), Err(AddError::Identify(_))), "there is no pool");
        let made = on_disks(&disks, |runtime| async move {
            let shape = CodeShape::new(2, 1).unwrap();
            let options = CreateOptions { name: "test".to_owned(), shape, segment_bytes: None };
            create_pool(&runtime, &options).await
        });
        assert!(made.is_ok());
        disks.extend([SimDisk::flash("d3", 64 << 20), SimDisk::flash("d4", 96 << 20)]);
        assert_eq!(add(&disks, &[3, 4]), Ok(vec![DeviceIndex(3), DeviceIndex(4)]));
        assert_eq!(add(&disks, &[4]), Err(AddError::Member { device: "d4".to_owned() }));
        let identified =
            on_disks(&disks[1..], |runtime| async move { identify(&runtime, None).await.unwrap() });
        assert_eq!(identified.missing, [DeviceIndex(0)]);
        assert_eq!(identified.superblock.devices.len(), 5);
        disks.push(SimDisk::flash("d5", 2 << 20));
        let small = add(&disks, &[5]);
        assert!(matches!(small, Err(AddError::Layout { .. })), "{small:?}");
    }
}
