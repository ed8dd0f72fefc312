//! One core's way to one device: every transfer through the core's ring, into registered memory,
//! on a registered file.

use super::super::contract::{Device, DeviceError, DeviceInfo, Durability};
use super::held::Held;
use super::limits::{DEVICE_IN_FLIGHT_MAX, PREPARE_STEP_BYTES};
use super::nvme::{Direction, Rings, Way};
use super::open::OpenDevice;
use super::operation::Operation;
use super::ring::{Kind, Ring};
use super::shared::Shared;
use crate::buffer::{Buffer, Region};
use crate::sync::Limit;
use io_uring::{opcode, squeue, types};
use std::rc::Rc;
use std::sync::Arc;

/// Offsets and lengths of all transfers are multiples of this, bytes.
const TRANSFER_UNIT: u64 = 4096;
/// `_IO(0x12, 0)`: the block layer's discard as a ring command, Linux 6.12. It takes the offset in
/// the entry's address and the length in the first eight command bytes.
const BLOCK_URING_CMD_DISCARD: u32 = 0x1200;
const _: () = assert!(cfg!(target_endian = "little"), "ring commands are given in host byte order");

struct Inner {
    ring: Rc<Ring>,
    shared: Arc<Shared>,
    /// Place among the process's devices, and in the ring's table of registered files.
    index: u32,
    /// How commands reach it, when it is driven by NVMe passthrough.
    nvme: Option<Way>,
    limit: Limit,
    /// Never written.
    zeros: Region,
}

/// A device as one core uses it. Clones share the core's bound of transfers in flight.
#[derive(Clone)]
pub struct GlommioDevice {
    inner: Rc<Inner>,
}

impl std::fmt::Debug for GlommioDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlommioDevice").field("info", self.info()).finish_non_exhaustive()
    }
}

fn length_u32(length: usize) -> u32 {
    let Ok(length) = u32::try_from(length) else { unreachable!("a buffer has at most 1 MiB") };
    length
}

impl GlommioDevice {
    /// All devices of the process for the core that owns `ring`.
    pub(super) fn all(ring: &Rc<Ring>, nvme: &Rings, shared: &Arc<Shared>, zeros: &Region) -> Vec<Self> {
        (0..shared.devices.len())
            .map(|index| Self {
                inner: Rc::new(Inner {
                    ring: Rc::clone(ring),
                    shared: Arc::clone(shared),
                    index: length_u32(index),
                    nvme: nvme.way(&shared.devices, index),
                    limit: Limit::new(DEVICE_IN_FLIGHT_MAX),
                    zeros: zeros.clone(),
                }),
            })
            .collect()
    }

    fn open(&self) -> &OpenDevice {
        &self.inner.shared.devices[self.inner.index as usize]
    }

    fn check(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        assert!(offset.is_multiple_of(TRANSFER_UNIT), "transfers begin at a multiple of the write unit");
        assert!(length.is_multiple_of(TRANSFER_UNIT), "transfers are whole write units");
        match offset.checked_add(length) {
            Some(end) if end <= self.info().bytes => Ok(()),
            Some(_) | None => {
                Err(DeviceError::OutOfRange { offset, bytes: usize::try_from(length).unwrap_or(usize::MAX) })
            }
        }
    }

    async fn run(&self, entry: squeue::Entry, held: Held) -> (i32, Held) {
        let place = self.inner.limit.enter().await;
        Operation::start(&self.inner.ring, Kind::Disk, entry, held, Some(place)).await.await
    }

    async fn transfer(&self, entry: squeue::Entry, buffer: Buffer) -> (i32, Buffer) {
        let (result, held) = self.run(entry, Held::Buffer(buffer)).await;
        let Held::Buffer(buffer) = held else { unreachable!("an operation returns what it was given") };
        (result, buffer)
    }

    fn error(&self, errno: i32) -> DeviceError {
        // A block device says "no space" when it is gone or has shrunk, never when it is full.
        if errno == libc::ENOSPC && self.info().is_file {
            return DeviceError::NoSpace;
        }
        DeviceError::Io { errno }
    }

    fn moved(&self, result: i32, expected: usize) -> Result<(), DeviceError> {
        match usize::try_from(result) {
            Ok(found) if found == expected => Ok(()),
            Ok(found) => Err(DeviceError::Short { expected, found }),
            Err(_negative) => Err(self.error(result.saturating_neg())),
        }
    }

    fn done(&self, result: i32) -> Result<(), DeviceError> {
        if result < 0 { Err(self.error(result.saturating_neg())) } else { Ok(()) }
    }

    fn file(&self) -> types::Fixed {
        types::Fixed(self.inner.index)
    }

    async fn write_zeros(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let allocate = opcode::Fallocate::new(self.file(), length).offset(offset).build();
        let (result, _nothing) = self.run(allocate, Held::Nothing).await;
        // A filesystem that cannot allocate ahead allocates as the zeros arrive.
        if result != -libc::EOPNOTSUPP {
            self.done(result)?;
        }
        let end = offset + length;
        for start in (offset..end).step_by(PREPARE_STEP_BYTES) {
            let step = usize::try_from(end - start).unwrap_or(usize::MAX).min(PREPARE_STEP_BYTES);
            let zeros = self.inner.zeros.base().as_ptr().cast_const();
            // Nothing needs to hold the region: `launch` does until every transfer has ended, and a core that
            // cannot wait for that stays as it is.
            assert!(step <= self.inner.zeros.bytes(), "a step lies inside the zeros");
            let entry = opcode::Write::new(self.file(), zeros, length_u32(step)).offset(start).build();
            let (result, _nothing) = self.run(entry, Held::Nothing).await;
            self.moved(result, step)?;
        }
        Ok(())
    }
}

impl Device for GlommioDevice {
    fn info(&self) -> &DeviceInfo {
        self.open().info()
    }

    async fn read(&self, offset: u64, buffer: Buffer, length: usize) -> (Result<(), DeviceError>, Buffer) {
        assert!(length <= buffer.capacity(), "a read fits its buffer");
        assert!(!buffer.is_shared(), "nothing is read into memory that others read");
        if let Err(error) = self.check(offset, length as u64) {
            return (Err(error), buffer);
        }
        if let Some(nvme) = &self.inner.nvme {
            return nvme.transfer(&self.inner.limit, Direction::Read, offset, buffer, length).await;
        }
        let entry = self.inner.ring.read_entry(self.inner.index, &buffer, length_u32(length), offset);
        let (result, buffer) = self.transfer(entry, buffer).await;
        (self.moved(result, length), buffer)
    }

    async fn write(
        &self,
        offset: u64,
        buffer: Buffer,
        length: usize,
        durability: Durability,
    ) -> (Result<(), DeviceError>, Buffer) {
        assert!(length <= buffer.capacity(), "a write lies inside its buffer");
        if let Err(error) = self.check(offset, length as u64) {
            return (Err(error), buffer);
        }
        if let Some(nvme) = &self.inner.nvme {
            let durability = (durability, self.info().volatile_cache);
            return nvme.write(&self.inner.limit, offset, buffer, length, durability).await;
        }
        // DSYNC of one write stays asynchronous and becomes FUA, or a write and a flush; without a
        // volatile cache a completed write is already safe.
        let flags = match durability {
            Durability::Durable if self.info().volatile_cache => libc::RWF_DSYNC,
            Durability::Durable | Durability::Volatile => 0,
        };
        let entry = self.inner.ring.write_entry(self.inner.index, &buffer, length_u32(length), offset, flags);
        let (result, buffer) = self.transfer(entry, buffer).await;
        (self.moved(result, length), buffer)
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        if let Some(nvme) = &self.inner.nvme {
            return nvme.flush(&self.inner.limit).await;
        }
        let entry = opcode::Fsync::new(self.file()).flags(types::FsyncFlags::DATASYNC).build();
        let (result, _nothing) = self.run(entry, Held::Nothing).await;
        self.done(result)
    }

    async fn prepare(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.check(offset, length)?;
        if !self.info().is_file || length == 0 {
            return Ok(());
        }
        // Blocks that were written before stay written over restarts; writing them again would
        // only wear the medium.
        if !self.open().is_written(offset, length) {
            self.write_zeros(offset, length).await?;
        }
        // Also when nothing had to be written: who wrote it may have been cut off before its flush.
        self.flush().await
    }

    async fn discard(&self, offset: u64, length: u64) {
        // A file keeps its blocks: giving them back would undo `prepare`.
        if self.check(offset, length).is_err() || self.info().is_file || length == 0 {
            return;
        }
        if let Some(nvme) = &self.inner.nvme {
            return nvme.discard(&self.inner.limit, offset, length).await;
        }
        let mut command = [0; 16];
        command[..8].copy_from_slice(&length.to_le_bytes());
        let entry = opcode::UringCmd16::new(self.file(), BLOCK_URING_CMD_DISCARD)
            .addr(Some(offset))
            .cmd(command)
            .build();
        // Advice: a device that cannot take it keeps the bytes, which harms nothing.
        let (_result, _nothing) = self.run(entry, Held::Nothing).await;
    }
}
