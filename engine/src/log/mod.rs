//! One core's log: record rows, one in flight at a time, chained from group to group.
//!
//! Invariants:
//! - Row n+1 is written only when row n is durable on every chunk. So a torn row can only be the
//!   last one, and a row that has a successor was acknowledged.
//! - A group always keeps room for the row that links to the next group.
//! - When a device refuses a chunk, the group is left: a link row is written on what is left of it,
//!   and the refused row is written again in the next group. Replaying a row twice, one directly
//!   after the other, changes nothing.
//! - [`Durable`] can be made only here.

mod position;
mod replay;

pub(crate) use position::LogStart;
pub(crate) use replay::replay;

use crate::error::EngineError;
use crate::limits::{LINK_HEIGHT_BYTES, OPEN_ATTEMPTS_MAX, SPARE_ROWS_MAX};
use crate::number::to_u32;
use crate::pool::{OpenedGroup, PoolRequest, PoolView, Purpose};
use crate::rows::{Geometry, RowAddress, RowBuffer, RowIdentity, SpareRows, open_prepared, write_row};
use crate::runtime::Runtime;
use ashlar_disk_format::checkpoint::LogPosition;
use ashlar_disk_format::group::{GroupDescriptor, GroupKind};
use ashlar_disk_format::record::{Record, encode_record};
use ashlar_disk_format::units::{LogId, RowOffset, RowSequence, VirtualShard};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Proof that a row and all before it are on stable media of m+1 devices.
#[derive(Debug)]
pub(crate) struct Durable(());

/// Where the next row will be, so that its records can name the payload beside them.
#[derive(Debug, Clone)]
pub(crate) struct RowSlot {
    pub(crate) geometry: Geometry,
    pub(crate) address: RowAddress,
    descriptor: Rc<GroupDescriptor>,
}

/// See the module.
pub(crate) struct LogWriter<R: Runtime> {
    view: Rc<PoolView<R>>,
    log: LogId,
    current: RefCell<Option<OpenedGroup>>,
    sequence: Cell<u64>,
    previous_crc: Cell<u32>,
    written: Cell<u64>,
    spare_rows: SpareRows,
}

impl<R: Runtime> std::fmt::Debug for LogWriter<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogWriter").field("log", &self.log).finish_non_exhaustive()
    }
}

impl<R: Runtime> LogWriter<R> {
    /// A log that has no group yet; [`LogWriter::start`] gives it one.
    pub(crate) fn new(view: Rc<PoolView<R>>, log: LogId) -> Self {
        Self {
            view,
            log,
            current: RefCell::new(None),
            sequence: Cell::new(1),
            previous_crc: Cell::new(0),
            written: Cell::new(0),
            spare_rows: SpareRows::keeping(SPARE_ROWS_MAX),
        }
    }

    /// Opens the first group. Its rows count only once a checkpoint names their position.
    pub(crate) async fn start(&self) -> Result<(), EngineError> {
        let opened = open_prepared(&self.view, Purpose::Log, self.log).await?;
        *self.current.borrow_mut() = Some(opened);
        Ok(())
    }

    /// Where the next row will be written.
    pub(crate) fn position(&self) -> Option<LogPosition> {
        let current = self.current.borrow();
        let open = current.as_ref()?;
        Some(LogPosition {
            log: self.log,
            group: open.descriptor.group,
            generation: open.descriptor.generation,
            row: open.tail,
            next_sequence: RowSequence(self.sequence.get()),
            previous_crc: self.previous_crc.get(),
        })
    }

    /// Bytes written since [`LogWriter::reset_written`].
    pub(crate) fn written(&self) -> u64 {
        self.written.get()
    }

    /// A checkpoint covers what was written so far.
    pub(crate) fn reset_written(&self) {
        self.written.set(0);
    }

    /// The most payload that one row holds now.
    pub(crate) fn capacity(&self) -> usize {
        let current = self.current.borrow();
        let shape = current.as_ref().map_or(self.view.facts.shape, |open| open.descriptor.shape);
        Geometry::full(shape).capacity()
    }

    /// The place for a row with `payload` bytes, or for fewer when the group that is open now has
    /// narrower rows: look at the slot's capacity.
    pub(crate) async fn reserve(&self, payload: usize) -> Result<RowSlot, EngineError> {
        for _attempt in 0..OPEN_ATTEMPTS_MAX {
            if let Some(slot) = self.slot(payload) {
                return Ok(slot);
            }
            self.rotate().await?;
        }
        Err(EngineError::Full)
    }

    fn slot(&self, payload: usize) -> Option<RowSlot> {
        let current = self.current.borrow();
        let open = current.as_ref()?;
        let full = Geometry::full(open.descriptor.shape);
        let geometry = Geometry::holding(open.descriptor.shape, payload.min(full.capacity()));
        let end = open.tail.after(geometry.height).bytes() + u64::from(LINK_HEIGHT_BYTES);
        (end <= self.view.facts.segment_bytes).then(|| RowSlot {
            geometry,
            address: RowAddress {
                group: open.descriptor.group,
                generation: open.descriptor.generation,
                row: open.tail,
            },
            descriptor: Rc::clone(&open.descriptor),
        })
    }

    /// A row to fill for a slot. Its memory is of the reserve.
    pub(crate) async fn row(&self, slot: &RowSlot) -> Result<RowBuffer, EngineError> {
        Ok(self.spare_rows.row(self.view.runtime.reserve(), slot.geometry).await?)
    }

    /// Writes the row at its slot. On failure the log has moved to another group, and the row comes
    /// back to be filled again for a new slot.
    ///
    /// # Errors
    /// The inner error is retryable; the outer one is not.
    pub(crate) async fn write(
        &self,
        slot: &RowSlot,
        row: RowBuffer,
        record_bytes: usize,
    ) -> Result<Result<Durable, RowBuffer>, EngineError> {
        let open_tail = self.current.borrow().as_ref().map(|open| (open.descriptor.group, open.tail));
        assert!(open_tail == Some((slot.address.group, slot.address.row)), "the slot is the log's tail");
        let (row, failures) = self.write_once(slot, row, record_bytes).await;
        if failures.is_empty() {
            return Ok(Ok(Durable(())));
        }
        for (device, error) in failures {
            self.view.report_failure(device, error).await;
        }
        self.rotate().await?;
        Ok(Err(row))
    }

    /// One attempt; sequence and tail move on in any case, so that nothing is ever written twice in
    /// one place.
    async fn write_once(
        &self,
        slot: &RowSlot,
        row: RowBuffer,
        record_bytes: usize,
    ) -> (RowBuffer, Vec<(ashlar_disk_format::units::DeviceIndex, crate::runtime::DeviceError)>) {
        let mut row = row;
        row.encode(&self.view.codec(slot.descriptor.shape));
        let crc = row.seal(&RowIdentity {
            pool: self.view.facts.pool,
            address: slot.address,
            epoch: self.view.facts.epoch,
            kind: GroupKind::Log,
            log: self.log,
            sequence: RowSequence(self.sequence.get()),
            previous_crc: self.previous_crc.get(),
            record_bytes: to_u32(record_bytes),
        });
        let height = row.geometry().height;
        if let Some(open) = self.current.borrow_mut().as_mut() {
            open.tail = open.tail.after(height);
        }
        self.sequence.set(self.sequence.get() + 1);
        self.previous_crc.set(crc);
        self.written.set(self.written.get() + u64::from(height.bytes()));
        let written = write_row(&self.view, &slot.descriptor, slot.address.row, row).await;
        (written.row, written.failures)
    }

    /// Moves on if the open group lacks a member or has one on a slow device, without waiting for a row that fails. No
    /// row may be under way.
    pub(crate) async fn leave_lost(&self) -> Result<(), EngineError> {
        let open = self.current.borrow().as_ref().map(|open| Rc::clone(&open.descriptor));
        if open.is_some_and(|open| self.view.is_to_be_left(&open)) { self.rotate().await } else { Ok(()) }
    }

    /// Moves to the next group: opens it, links to it from the current one.
    async fn rotate(&self) -> Result<(), EngineError> {
        let next = open_prepared(&self.view, Purpose::Log, self.log).await?;
        let left = self.current.borrow().as_ref().map(|open| Rc::clone(&open.descriptor));
        if let Some(left) = left {
            self.link(&left, &next).await?;
        }
        let left = self.current.borrow_mut().replace(next);
        if let Some(left) = left {
            let seal = PoolRequest::Seal { group: left.descriptor.group, tail: left.tail };
            let _sealed = self.view.ask(seal).await?;
        }
        Ok(())
    }

    /// The link may stand on fewer devices than a row should, when the group has just lost one: it
    /// then has what every older row of that group has.
    async fn link(&self, from: &Rc<GroupDescriptor>, to: &OpenedGroup) -> Result<(), EngineError> {
        let mut records = Vec::new();
        let link = Record::NextLogGroup((*to.descriptor).clone());
        encode_record(&link, VirtualShard(0), &mut records);
        let geometry = Geometry::holding(from.shape, records.len());
        assert!(geometry.height.bytes() <= LINK_HEIGHT_BYTES, "the room kept for a link holds it");
        let tail = self.current.borrow().as_ref().map_or(RowOffset(1), |open| open.tail);
        let address = RowAddress { group: from.group, generation: from.generation, row: tail };
        let slot = RowSlot { geometry, address, descriptor: Rc::clone(from) };
        let mut row = self.row(&slot).await?;
        row.push(&records);
        let chunks = geometry.written();
        let (_row, failures) = self.write_once(&slot, row, records.len()).await;
        let lost = failures.len();
        for (device, error) in failures {
            self.view.report_failure(device, error).await;
        }
        if lost >= chunks {
            return Err(EngineError::ReadOnly { present: 0, needed: usize::from(from.shape.m) + 1 });
        }
        Ok(())
    }
}
