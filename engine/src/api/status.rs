//! What the engine knows of itself.

use super::Engine;
use crate::lifecycle::{CleaningStatus, RebuildStatus, ScrubStatus};
use crate::pool::data_bytes;
use crate::runtime::{DeviceError, Runtime};
use ashlar_disk_format::code::CodeShape;
use ashlar_disk_format::superblock::DeviceState;
use ashlar_disk_format::units::DeviceIndex;

/// One member of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceStatus {
    /// Its number.
    pub index: DeviceIndex,
    /// Its size, bytes.
    pub bytes: u64,
    /// In service.
    pub in_service: bool,
    /// It answers much later than others: what can be is read and written elsewhere.
    pub is_slow: bool,
    /// Why it was taken out of service in this run.
    pub failure: Option<DeviceError>,
}

/// The pool as core 0 sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineStatus {
    /// The pool's code.
    pub shape: CodeShape,
    /// Its devices.
    pub devices: Vec<DeviceStatus>,
    /// Groups by the number of members that are out of service: index 0 counts the whole ones.
    pub redundancy: Vec<u64>,
    /// Bytes of data that could be stored in all, at the width that the devices carry now.
    pub capacity_bytes: u64,
    /// Of these, bytes in groups that are not open yet.
    pub free_bytes: u64,
    /// Live bytes by the last checkpoint.
    pub live_bytes: u64,
    /// Checkpoints made in this run.
    pub checkpoints: u64,
    /// Checkpoints that failed in this run.
    pub failed_checkpoints: u64,
    /// Parts of the index (runs) that have lost pages, by the last checkpoint. What lies in those pages
    /// cannot be read; everything else can.
    pub damaged_runs: u64,
    /// Chunks written back by this core after they were found missing or bad.
    pub repaired: u64,
    /// Moving live data out of partly dead groups.
    pub cleaning: CleaningStatus,
    /// Rebuilding what lay on devices out of service.
    pub rebuilding: RebuildStatus,
    /// Reading everything to find what rots.
    pub scrubbing: ScrubStatus,
}

impl<R: Runtime> Engine<R> {
    /// The pool's state; only core 0 has it.
    #[must_use]
    pub fn status(&self) -> Option<EngineStatus> {
        let coordinator = self.node.coordinator.borrow().clone()?;
        let superblock = coordinator.owner.superblock();
        let failures = coordinator.failures.borrow().clone();
        let slow = coordinator.owner.slow();
        let devices: Vec<DeviceStatus> = superblock
            .devices
            .iter()
            .map(|entry| DeviceStatus {
                index: entry.index,
                bytes: entry.bytes,
                in_service: entry.state == DeviceState::Present,
                is_slow: slow.contains(&entry.index),
                failure: failures.iter().find(|(index, _)| *index == entry.index).map(|(_, error)| *error),
            })
            .collect();
        let live_bytes = coordinator.owner.groups().iter().map(|group| group.live).sum();
        let (free, all) = coordinator.owner.room();
        Some(EngineStatus {
            shape: superblock.shape,
            devices,
            redundancy: coordinator.owner.redundancy(),
            capacity_bytes: data_bytes(all, superblock.shape, superblock.segment_bytes),
            free_bytes: data_bytes(free, superblock.shape, superblock.segment_bytes),
            live_bytes,
            checkpoints: coordinator.checkpoints.get(),
            failed_checkpoints: coordinator.failed_checkpoints.get(),
            damaged_runs: coordinator.damaged_runs.get(),
            repaired: self.shard.view.repaired(),
            cleaning: coordinator.cleaning(),
            rebuilding: coordinator.rebuilding(),
            scrubbing: coordinator.scrubbing(),
        })
    }
}
