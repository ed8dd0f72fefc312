//! A body while it is received: it fills the chunk buffers of a row, the row goes to the devices
//! while the next one fills.
//!
//! A body that stays within [`SMALL_BODY_BYTES_MAX`] is not written here: it rides in the log row
//! of its record.

use super::space::BodySpace;
use super::spare::SpareEntries;
use super::tree::build_tree;
use crate::buffer::Buffer;
use crate::error::EngineError;
use crate::hash::{BodyDigests, BodyHasher, Lanes};
use crate::limits::{BODY_ROWS_IN_FLIGHT, INLINE_EXTENTS_MAX, SMALL_BODY_BYTES_MAX};
use crate::number::to_usize;
use crate::pool::{Patience, PinSet, PoolView};
use crate::rows::{Appended, DataWriter, Geometry, RowBuffer, RowPages};
use crate::runtime::Runtime;
use crate::sync::Answer;
use arrayvec::ArrayVec;
use ashlar_disk_format::value::BodyEntry;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

/// Where a body is when its record is published.
#[derive(Debug)]
pub(crate) enum BodyPlace {
    /// In memory; `None` for an empty body.
    Small(Option<(Buffer, Range<usize>)>),
    /// In rows that are durable.
    Stored {
        /// What the record will hold.
        entries: Vec<BodyEntry>,
        /// Live bytes per group, over the whole tree.
        space: BodySpace,
    },
}

/// See the module.
pub(crate) struct BodySink<R: Runtime> {
    view: Rc<PoolView<R>>,
    data: Rc<DataWriter<R>>,
    pages: RowPages<R>,
    /// What the client said it would send.
    declared: Option<u64>,
    received: u64,
    small: Option<(Buffer, usize)>,
    row: Option<RowBuffer>,
    /// The oldest first.
    in_flight: ArrayVec<Answer<Appended>, BODY_ROWS_IN_FLIGHT>,
    /// One of `spare`, once there are any.
    entries: Vec<BodyEntry>,
    spare: SpareEntries,
    space: BodySpace,
    /// Keep the rows.
    pins: PinSet,
    patience: Patience,
    /// Hashes the rows while they are written, if it is asked to.
    hasher: Option<BodyHasher>,
}

impl<R: Runtime> std::fmt::Debug for BodySink<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodySink").field("received", &self.received).finish_non_exhaustive()
    }
}

impl<R: Runtime> BodySink<R> {
    pub(crate) fn new(
        view: Rc<PoolView<R>>,
        data: Rc<DataWriter<R>>,
        pages: RowPages<R>,
        declared: Option<u64>,
        patience: Patience,
        spare: SpareEntries,
    ) -> Self {
        Self {
            view,
            data,
            pages,
            declared,
            received: 0,
            small: None,
            row: None,
            in_flight: ArrayVec::new(),
            entries: Vec::new(),
            spare,
            space: BodySpace::default(),
            pins: PinSet::default(),
            patience,
            hasher: None,
        }
    }

    /// Has the body hashed into `digests` while it is written. Gives them back if it is not written: its bytes are at
    /// hand then until it is published.
    pub(crate) fn hash_with(&mut self, lanes: &Lanes, digests: BodyDigests) -> Option<BodyDigests> {
        assert!(self.received == 0, "a body is hashed from its first byte");
        if self.is_small() {
            return Some(digests);
        }
        self.hasher = Some(BodyHasher::new(lanes, digests));
        None
    }

    /// Bytes received.
    pub(crate) fn length(&self) -> u64 {
        self.received
    }

    fn is_small(&self) -> bool {
        self.declared.is_some_and(|bytes| bytes <= SMALL_BODY_BYTES_MAX as u64)
    }

    /// The buffer and range that the next bytes go to; it comes back through [`BodySink::fill`].
    pub(crate) async fn space(&mut self) -> Result<(Buffer, Range<usize>), EngineError> {
        if self.is_small() {
            let declared = to_usize(self.declared.unwrap_or(0));
            let (buffer, used) = match self.small.take() {
                Some(held) => held,
                None => (self.view.runtime.arena().take(declared.max(1)).await?, 0),
            };
            let end = declared.max(1).min(buffer.capacity());
            return Ok((buffer, used..end));
        }
        if self.row.as_ref().is_some_and(|row| row.room() == 0) {
            self.send_row().await?;
        }
        if self.row.is_none() {
            self.row = Some(self.new_row().await?);
        }
        let Some(row) = self.row.as_mut() else { unreachable!("a row was just made") };
        let Some((index, range)) = row.take_space() else { unreachable!("a row with room has space") };
        Ok((row.lend(index), range))
    }

    /// Sums the first `count` bytes that came into the buffer that [`BodySink::space`] gave, while they are hot.
    pub(crate) fn sum(&mut self, buffer: &Buffer, count: usize) {
        if let Some(row) = self.row.as_mut() {
            row.sum(buffer, count);
        }
    }

    /// Takes the buffer back; the first `count` bytes of its range are body now.
    pub(crate) fn fill(&mut self, buffer: Buffer, count: usize) {
        self.received += count as u64;
        if let Some(row) = self.row.as_mut() {
            row.give_back(buffer);
            row.advance(count);
            return;
        }
        let used = to_usize(self.received);
        self.small = Some((buffer, used));
    }

    /// Copies bytes in.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (mut buffer, range) = self.space().await?;
            let count = rest.len().min(range.len());
            assert!(count > 0, "a body does not exceed what was declared");
            buffer.bytes_mut()[range.start..range.start + count].copy_from_slice(&rest[..count]);
            self.sum(&buffer, count);
            self.fill(buffer, count);
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Everything was received: the body's place, durable unless it is small, what keeps it there until its record is
    /// published, and the digests of what it was to be hashed into.
    pub(crate) async fn finish(mut self) -> Result<(BodyPlace, PinSet, Option<BodyDigests>), EngineError> {
        let (place, pins) = self.place().await?;
        Ok((place, pins, self.hasher.map(BodyHasher::finish)))
    }

    async fn place(&mut self) -> Result<(BodyPlace, PinSet), EngineError> {
        if let Some((buffer, used)) = self.small.take() {
            return Ok((BodyPlace::Small((used > 0).then_some((buffer, 0..used))), PinSet::default()));
        }
        if self.received == 0 {
            return Ok((BodyPlace::Small(None), PinSet::default()));
        }
        if self.row.is_some() {
            self.send_row().await?;
        }
        while !self.in_flight.is_empty() {
            self.collect().await?;
        }
        if self.entries.len() > INLINE_EXTENTS_MAX {
            // Large bodies are rare enough for a piece of the heap that keeps the future of every body small.
            Box::pin(self.build_tree()).await?;
        }
        let entries = std::mem::take(&mut self.entries);
        let place = BodyPlace::Stored { entries, space: std::mem::take(&mut self.space) };
        Ok((place, std::mem::take(&mut self.pins)))
    }

    /// Puts extent pages over what a record does not hold.
    async fn build_tree(&mut self) -> Result<(), EngineError> {
        let pins = Rc::new(RefCell::new(std::mem::take(&mut self.pins)));
        let pages = self.pages.pinned_by(&pins, self.patience);
        let entries = std::mem::take(&mut self.entries);
        self.entries = build_tree(&pages, entries, &mut self.space).await?;
        self.pins = pins.take();
        Ok(())
    }

    /// A row for what is still to come: as low as suffices when that is known.
    async fn new_row(&self) -> Result<RowBuffer, EngineError> {
        let shape = self.data.shape(self.patience).await?;
        let full = Geometry::full(shape);
        let left = self.declared.map(|declared| declared.saturating_sub(self.received));
        let geometry = match left {
            Some(left) if left < full.capacity() as u64 => Geometry::holding(shape, to_usize(left).max(1)),
            Some(_) | None => full,
        };
        self.data.row(self.view.runtime.arena(), geometry).await
    }

    /// Sends the row to the devices and lets the next one fill meanwhile.
    async fn send_row(&mut self) -> Result<(), EngineError> {
        while self.in_flight.len() >= BODY_ROWS_IN_FLIGHT {
            self.collect().await?;
        }
        if self.view.room.is_closed() {
            return Err(EngineError::Closing);
        }
        let Some(mut row) = self.row.take() else { return Ok(()) };
        row.shrink();
        row.encode(&self.view.codec(row.geometry().shape));
        let whole = std::iter::once(0..row.used()).collect();
        let hash = self.hasher.as_ref().map(BodyHasher::promise);
        self.in_flight.push(self.data.append(row, whole, self.patience, hash));
        Ok(())
    }

    /// Waits for the oldest row.
    async fn collect(&mut self) -> Result<(), EngineError> {
        let Some(oldest) = self.in_flight.pop_at(0) else { return Ok(()) };
        let placed = oldest.await.unwrap_or(Err(EngineError::Closing))?;
        self.pins.merge(placed.pins);
        if self.entries.capacity() == 0 {
            self.entries = self.spare.take();
        }
        for extent in placed.extents.into_iter().flatten() {
            assert!(extent.length > 0, "an extent is never empty");
            self.space.add(&extent);
            self.entries.push(BodyEntry::Data(extent));
        }
        Ok(())
    }
}
