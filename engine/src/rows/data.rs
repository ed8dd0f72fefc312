//! Appends rows to this core's open group of one kind (data or index).
//!
//! Rows of different bodies are written at the same time, each at the place it claimed. When a
//! device refuses a chunk, that device is reported, the group is sealed, and the whole row goes to
//! a new group on devices that are in service: a row is never acknowledged below its redundancy.

use super::announce::Announcements;
use super::geometry::Geometry;
use super::row::{Extents, RowAddress, RowBuffer, RowIdentity, SpareRows};
use super::write::{Written, write_row};
use crate::buffer::Arena;
use crate::error::EngineError;
use crate::hash::RowHash;
use crate::limits::{OPEN_ATTEMPTS_MAX, SPARE_ANSWERS_MAX, SPARE_ROWS_MAX};
use crate::pool::{OpenedGroup, Patience, PinSet, PoolRequest, PoolView, Purpose};
use crate::runtime::{Runtime, TaskQueue};
use crate::sync::{Answer, Answers, Event};
use ashlar_disk_format::code::CodeShape;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::group::{GroupDescriptor, GroupKind};
use ashlar_disk_format::units::{GroupId, Height, LogId, RowOffset, RowSequence};
use futures_util::future::join;
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

/// The open group of one kind on one core.
pub(crate) struct DataWriter<R: Runtime> {
    view: Rc<PoolView<R>>,
    purpose: Purpose,
    log: LogId,
    current: RefCell<Option<OpenedGroup>>,
    opening: Cell<bool>,
    opened: Event,
    refused: RefCell<Option<EngineError>>,
    sequence: Cell<u64>,
    taken: Cell<u64>,
    announcements: Rc<Announcements>,
    answers: Answers<Appended>,
    spare_rows: SpareRows,
}

impl<R: Runtime> std::fmt::Debug for DataWriter<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataWriter").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

/// Runs of a row's payload whose extents the caller wants: of a body all of it, of pages each.
type Pieces = SmallVec<[Range<usize>; 1]>;

/// A row on the devices.
#[derive(Debug)]
pub(crate) struct Placed {
    /// The extents of each piece.
    pub(crate) extents: SmallVec<[Extents; 1]>,
    /// Keep its group until a record that names the row is published; for whoever is not kept by a guard.
    pub(crate) pins: PinSet,
}

impl Placed {
    /// The extents of each piece.
    pub(super) fn into_lists(self) -> Vec<Vec<Extent>> {
        self.extents.into_iter().map(Extents::into_vec).collect()
    }
}

/// What became of a row.
pub(crate) type Appended = Result<Placed, EngineError>;

impl<R: Runtime> DataWriter<R> {
    /// `announcements`: where the log picks up the groups that records are about to name. Groups of the
    /// index need none: only a checkpoint refers to them, and it holds the table of all groups.
    pub(crate) fn new(
        view: Rc<PoolView<R>>,
        purpose: Purpose,
        log: LogId,
        announcements: Rc<Announcements>,
    ) -> Self {
        Self {
            view,
            purpose,
            log,
            current: RefCell::new(None),
            opening: Cell::new(false),
            opened: Event::new(),
            refused: RefCell::new(None),
            sequence: Cell::new(0),
            taken: Cell::new(0),
            announcements,
            answers: Answers::keeping(SPARE_ANSWERS_MAX),
            spare_rows: SpareRows::keeping(SPARE_ROWS_MAX),
        }
    }

    /// A row to fill, over buffers of `arena`, which are waited for.
    pub(crate) async fn row(&self, arena: &Arena, geometry: Geometry) -> Result<RowBuffer, EngineError> {
        Ok(self.spare_rows.row(arena, geometry).await?)
    }

    /// What its groups are for.
    pub(super) fn kind(&self) -> GroupKind {
        self.purpose.kind()
    }

    /// The shape that the next row should have.
    pub(crate) async fn shape(self: &Rc<Self>, patience: Patience) -> Result<CodeShape, EngineError> {
        self.view.room.insist(&self.view.runtime, patience, async || self.shape_now().await).await
    }

    async fn shape_now(self: &Rc<Self>) -> Result<CodeShape, EngineError> {
        if let Some(current) = self.current.borrow().as_ref() {
            return Ok(current.descriptor.shape);
        }
        self.open_next(None).await?;
        let current = self.current.borrow();
        Ok(current.as_ref().map_or(self.view.facts.shape, |current| current.descriptor.shape))
    }

    /// Bytes of its groups that rows took since the start, without parity, and the ends of groups that no row fitted.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.get()
    }

    fn count_taken(&self, group: &GroupDescriptor, height_bytes: u64) {
        self.taken.set(self.taken.get() + height_bytes * u64::from(group.shape.k));
    }

    /// Bytes of height that the open group still takes.
    pub(crate) fn height_left(&self) -> u64 {
        let current = self.current.borrow();
        current.as_ref().map_or(0, |open| self.view.facts.segment_bytes.saturating_sub(open.tail.bytes()))
    }

    /// Where the open group ends now.
    pub(crate) fn tail(&self) -> Option<(Rc<GroupDescriptor>, RowOffset)> {
        self.current.borrow().as_ref().map(|open| (Rc::clone(&open.descriptor), open.tail))
    }

    /// Writes an encoded row durably, in a task of its own: whoever asked may go away meanwhile, the
    /// writes do not. The answer has the extents of each piece, in order, or says why not: no group can
    /// be had, or devices keep failing. By then the row was hashed, too, if `hash` is given.
    pub(crate) fn append(
        self: &Rc<Self>,
        row: RowBuffer,
        pieces: Pieces,
        patience: Patience,
        hash: Option<RowHash>,
    ) -> Answer<Appended> {
        let (to, appended) = self.answers.pair();
        let writer = Rc::clone(self);
        let guard = self.view.appends.enter();
        self.view.runtime.spawn(TaskQueue::Foreground, async move {
            to.send(writer.append_now(row, &pieces, patience, hash.as_ref()).await);
            drop(guard);
        });
        appended
    }

    async fn append_now(
        self: &Rc<Self>,
        row: RowBuffer,
        pieces: &[Range<usize>],
        patience: Patience,
        hash: Option<&RowHash>,
    ) -> Appended {
        let mut row = row;
        for _attempt in 0..OPEN_ATTEMPTS_MAX {
            let height = row.geometry().height;
            let room = &self.view.room;
            let (descriptor, offset) =
                room.insist(&self.view.runtime, patience, async || self.claim(height).await).await?;
            if descriptor.shape != row.geometry().shape {
                if let Some(hash) = hash {
                    hash.hand_in(row.payload());
                    hash.hashed(&self.view.runtime).await;
                }
                return self.append_recut(row, pieces, patience).await;
            }
            // From here on nothing is waited for but devices.
            let writing = self.view.writes.enter();
            let mut pins = PinSet::default();
            pins.add(self.view.pins.pin(descriptor.group));
            let address =
                RowAddress { group: descriptor.group, generation: descriptor.generation, row: offset };
            row.seal(&self.identity(address));
            let written = self.write_hashed(&descriptor, offset, row, hash).await;
            row = written.row;
            drop(writing);
            let is_written = written.failures.is_empty();
            for (device, error) in written.failures {
                self.view.report_failure(device, error).await;
            }
            if !is_written {
                self.abandon(&descriptor).await;
            }
            // Last: the row before may wait for space, and the hash of this one for that row.
            if let Some(hash) = hash {
                hash.hashed(&self.view.runtime).await;
            }
            if is_written {
                let extents = |piece: &Range<usize>| row.extents(address, piece.start, piece.len());
                return Ok(Placed { extents: pieces.iter().map(extents).collect(), pins });
            }
        }
        Err(EngineError::Full)
    }

    /// Writes a sealed row, and hands it in to be hashed meanwhile.
    async fn write_hashed(
        &self,
        descriptor: &GroupDescriptor,
        offset: RowOffset,
        row: RowBuffer,
        hash: Option<&RowHash>,
    ) -> Written {
        let Some(hash) = hash else { return write_row(&self.view, descriptor, offset, row).await };
        hash.hand_in(row.payload());
        let writing = write_row(&self.view, descriptor, offset, row);
        let (written, ()) = join(writing, hash.help(&self.view.runtime)).await;
        written
    }

    fn identity(&self, address: RowAddress) -> RowIdentity {
        self.sequence.set(self.sequence.get() + 1);
        RowIdentity {
            pool: self.view.facts.pool,
            address,
            epoch: self.view.facts.epoch,
            kind: self.kind(),
            log: self.log,
            sequence: RowSequence(self.sequence.get()),
            previous_crc: 0,
            record_bytes: 0,
        }
    }

    /// The row was cut for another shape (a device left meanwhile): copies its pieces into rows of
    /// the shape that is open now. Rare, so the copy is fine.
    async fn append_recut(
        self: &Rc<Self>,
        row: RowBuffer,
        pieces: &[Range<usize>],
        patience: Patience,
    ) -> Appended {
        let mut all = SmallVec::new();
        let mut pins = PinSet::default();
        for piece in pieces {
            let mut extents = Extents::new();
            let mut at = piece.start;
            while at < piece.end {
                let shape = self.shape(patience).await?;
                let whole = piece.len() <= Geometry::full(shape).chunk_capacity();
                let take = (piece.end - at).min(Geometry::full(shape).capacity());
                let mut geometry = Geometry::holding(shape, take);
                if whole {
                    geometry = geometry_of_one(shape, take);
                }
                let mut part = self.row(self.view.runtime.reserve(), geometry).await?;
                row.copy_out(at..at + take, &mut |bytes| part.push(bytes));
                part.encode(&self.view.codec(shape));
                let whole_part = 0..take;
                let whole_part = std::slice::from_ref(&whole_part);
                let mut found = Box::pin(self.append_now(part, whole_part, patience, None)).await?;
                extents.append(&mut found.extents.remove(0));
                pins.merge(found.pins);
                at += take;
            }
            all.push(extents);
        }
        Ok(Placed { extents: all, pins })
    }

    /// A place for a row of `height` in the open group.
    async fn claim(self: &Rc<Self>, height: Height) -> Result<(Rc<GroupDescriptor>, RowOffset), EngineError> {
        loop {
            let full = {
                let mut current = self.current.borrow_mut();
                match current.as_mut() {
                    None => None,
                    Some(open) => {
                        let end = open.tail.after(height);
                        if end.bytes() <= self.view.facts.segment_bytes {
                            let offset = open.tail;
                            open.tail = end;
                            self.count_taken(&open.descriptor, u64::from(height.bytes()));
                            return Ok((Rc::clone(&open.descriptor), offset));
                        }
                        Some(open.descriptor.group)
                    }
                }
            };
            self.open_next(full).await?;
        }
    }

    /// Opens the next group unless someone did so meanwhile; `full` is the one found wanting. The
    /// opening runs in a task of its own, because several may wait for it and any of them may go away.
    async fn open_next(self: &Rc<Self>, full: Option<GroupId>) -> Result<(), EngineError> {
        loop {
            let wait = self.opened.wait();
            if self.current.borrow().as_ref().map(|open| open.descriptor.group) != full {
                return Ok(());
            }
            if !self.opening.replace(true) {
                let writer = Rc::clone(self);
                self.view.runtime.spawn_vital(TaskQueue::Foreground, "the opening of a group", async move {
                    *writer.refused.borrow_mut() = writer.open_now().await.err();
                    writer.opening.set(false);
                    writer.opened.fire();
                });
            }
            wait.await;
            if let Some(error) = self.refused.borrow().clone()
                && !self.opening.get()
            {
                return Err(error);
            }
        }
    }

    async fn open_now(&self) -> Result<(), EngineError> {
        let sealed = self.current.borrow_mut().take();
        if let Some(sealed) = sealed {
            let end = self.view.facts.segment_bytes.saturating_sub(sealed.tail.bytes());
            self.count_taken(&sealed.descriptor, end);
            let seal = PoolRequest::Seal { group: sealed.descriptor.group, tail: sealed.tail };
            let _sealed = self.view.ask(seal).await?;
        }
        let opened = super::open::open_prepared(&self.view, self.purpose, self.log).await?;
        if opened.tail.0 <= 1 && self.kind() == GroupKind::Data {
            let durable = self.announcements.announce((*opened.descriptor).clone()).await;
            if durable.is_none() {
                let seal = PoolRequest::Seal { group: opened.descriptor.group, tail: opened.tail };
                let _sealed = self.view.ask(seal).await?;
                return Err(EngineError::Closing);
            }
        }
        *self.current.borrow_mut() = Some(opened);
        Ok(())
    }

    /// Stops writing to the open group if it lacks a member or has one on a slow device, without waiting for a row that fails.
    pub(crate) async fn leave_lost(&self) {
        let open = self.current.borrow().as_ref().map(|open| Rc::clone(&open.descriptor));
        if let Some(open) = open.filter(|open| self.view.is_to_be_left(open)) {
            self.abandon(&open).await;
        }
    }

    /// Stops writing to a group that lost a device.
    async fn abandon(&self, descriptor: &Rc<GroupDescriptor>) {
        let mine = {
            let mut current = self.current.borrow_mut();
            if current.as_ref().is_some_and(|open| open.descriptor.group == descriptor.group) {
                current.take()
            } else {
                None
            }
        };
        if let Some(open) = mine {
            let seal = PoolRequest::Seal { group: open.descriptor.group, tail: open.tail };
            // The owner may be closing; the group is left behind in any case.
            let _sealed = self.view.ask(seal).await;
        }
    }
}

fn geometry_of_one(shape: CodeShape, payload: usize) -> Geometry {
    Geometry { data_count: 1, ..Geometry::full(shape) }.shrunk_to(payload)
}
