//! A core's way to a simulated disk.

use super::operation::{Moved, Operation, wide};
use super::unit::SimDisk;
use crate::buffer::Buffer;
use crate::runtime::contract::{Device, DeviceError, DeviceInfo, Durability};
use crate::runtime::sim::world::World;
use crate::sync::{Answer, answer};
use std::rc::Rc;

/// See [`SimDisk`].
#[derive(Debug, Clone)]
pub struct SimDevice {
    disk: SimDisk,
    info: Rc<DeviceInfo>,
    world: Rc<World>,
}

impl SimDevice {
    pub(crate) fn new(disk: &SimDisk, world: &Rc<World>) -> Self {
        Self { disk: disk.clone(), info: disk.info(), world: Rc::clone(world) }
    }

    fn check(&self, offset: u64, bytes: u64) -> Result<(), DeviceError> {
        assert!(offset.is_multiple_of(4096), "device offset {offset} is not a multiple of the write unit");
        assert!(bytes.is_multiple_of(4096), "device length {bytes} is not a multiple of the write unit");
        if offset.checked_add(bytes).is_none_or(|end| end > self.info.bytes) {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            return Err(DeviceError::OutOfRange { offset, bytes });
        }
        Ok(())
    }
}

/// Waits for the disk; for ever when the machine went off meanwhile.
async fn answered<T>(from: Answer<T>) -> T {
    match from.await {
        Some(value) => value,
        None => std::future::pending().await,
    }
}

impl Device for SimDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    async fn read(&self, offset: u64, buffer: Buffer, length: usize) -> Moved {
        assert!(length <= buffer.capacity(), "the buffer holds what is read");
        if let Err(error) = self.check(offset, wide(length)) {
            return (Err(error), buffer);
        }
        let (to, from) = answer();
        self.disk.submit(&self.world, Operation::Read { offset, length, buffer, to });
        answered(from).await
    }

    async fn write(&self, offset: u64, buffer: Buffer, length: usize, durability: Durability) -> Moved {
        assert!(length <= buffer.capacity(), "the buffer holds what is written");
        if let Err(error) = self.check(offset, wide(length)) {
            return (Err(error), buffer);
        }
        let (to, from) = answer();
        self.disk.submit(&self.world, Operation::Write { offset, length, buffer, durability, to });
        answered(from).await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        let (to, from) = answer();
        // What completed before now; a write that completes later may miss this flush.
        let sequence = self.disk.sequence();
        self.disk.submit(&self.world, Operation::Flush { sequence, to });
        answered(from).await
    }

    async fn prepare(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.check(offset, length)?;
        let (to, from) = answer();
        self.disk.submit(&self.world, Operation::Prepare { offset, length, to });
        answered(from).await
    }

    async fn discard(&self, offset: u64, length: u64) {
        if self.check(offset, length).is_err() {
            return;
        }
        let (to, from) = answer();
        self.disk.submit(&self.world, Operation::Discard { offset, length, to });
        answered(from).await;
    }
}
