//! Pages as rows: of the index, of the checkpoint, of extents and parts. Several to a row, each within
//! one chunk.

use super::carry::prove;
use super::data::DataWriter;
use super::geometry::Geometry;
use super::read::read_extent;
use super::row::RowBuffer;
use crate::buffer::{Arena, BufferSlice};
use crate::error::EngineError;
use crate::index::PageStore;
use crate::number::to_usize;
use crate::pool::{Patience, PinSet, PoolView};
use crate::runtime::Runtime;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::group::GroupKind;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

/// The row store as those see it who write pages: into the groups of `writer`.
#[derive(Debug)]
pub(crate) struct RowPages<R: Runtime> {
    view: Rc<PoolView<R>>,
    writer: Rc<DataWriter<R>>,
    /// What is written is read back before anyone may refer to it.
    is_proving: bool,
    /// What keeps the pages of one body until its record is published. Of others a guard does.
    pins: Option<Rc<RefCell<PinSet>>>,
    patience: Patience,
}

impl<R: Runtime> Clone for RowPages<R> {
    fn clone(&self) -> Self {
        Self {
            view: Rc::clone(&self.view),
            writer: Rc::clone(&self.writer),
            is_proving: self.is_proving,
            pins: self.pins.clone(),
            patience: self.patience,
        }
    }
}

impl<R: Runtime> RowPages<R> {
    pub(crate) fn new(view: Rc<PoolView<R>>, writer: Rc<DataWriter<R>>) -> Self {
        Self { view, writer, is_proving: false, pins: None, patience: Patience::GivesUp }
    }

    /// For pages that take the place of others: they are read back from every device.
    pub(crate) fn proving(view: Rc<PoolView<R>>, writer: Rc<DataWriter<R>>) -> Self {
        Self { view, writer, is_proving: true, pins: None, patience: Patience::GivesUp }
    }

    /// For the pages of a body, which has no guard while it is received.
    pub(crate) fn pinned_by(&self, pins: &Rc<RefCell<PinSet>>, patience: Patience) -> Self {
        Self { pins: Some(Rc::clone(pins)), patience, ..self.clone() }
    }

    /// A row that waits for the next group must not hold what the opening of that group needs of the
    /// reserve. Bodies are many, so their pages are part of what requests may take; of the index's rows a
    /// core writes one or two at a time.
    fn memory(&self) -> &Arena {
        match self.writer.kind() {
            GroupKind::Data => self.view.runtime.arena(),
            GroupKind::Index | GroupKind::Log => self.view.runtime.reserve(),
        }
    }

    async fn write_batch(&self, pages: &[Vec<u8>]) -> Result<(usize, Vec<Extent>), EngineError> {
        if self.pins.is_some() && self.view.room.is_closed() {
            return Err(EngineError::Closing);
        }
        let shape = self.writer.shape(self.patience).await?;
        let (geometry, pieces) = pack(Geometry::full(shape), pages);
        let height = to_usize(u64::from(geometry.height.bytes()));
        let buffers = self.memory().take_many(geometry.written(), height).await?;
        let mut row = RowBuffer::new(geometry, buffers);
        for (page, piece) in pages.iter().zip(&pieces) {
            row.pad_to(piece.start);
            row.push(page);
        }
        row.encode(&self.view.codec(shape));
        let count = pieces.len();
        let appended = self.writer.append(row, pieces.into(), self.patience, None).await;
        let placed = appended.unwrap_or(Err(EngineError::Closing))?;
        if let Some(pins) = &self.pins {
            pins.borrow_mut().merge(placed.pins);
        }
        let extents: Vec<Extent> = placed.extents.into_iter().flatten().collect();
        assert!(extents.len() == count, "each page lies within one chunk");
        Ok((count, extents))
    }
}

/// Where the first pages of `pages` lie in a row, and the row that holds just those.
fn pack(full: Geometry, pages: &[Vec<u8>]) -> (Geometry, Vec<Range<usize>>) {
    let chunk = full.chunk_capacity();
    let mut pieces: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    for page in pages {
        assert!(page.len() <= chunk, "a page fits a chunk");
        let left = chunk - usize::rem_euclid(at, chunk);
        let start = if page.len() > left { at + left } else { at };
        if start + page.len() > full.capacity() {
            break;
        }
        pieces.push(start..start + page.len());
        at = start + page.len();
    }
    (full.shrunk_to(at), pieces)
}

impl<R: Runtime> RowPages<R> {
    /// Writes pages durably without counting them as live: whoever publishes them does.
    pub(crate) async fn place(&self, pages: &[Vec<u8>]) -> Result<Vec<Extent>, EngineError> {
        let mut extents = Vec::with_capacity(pages.len());
        let mut rest = pages;
        while !rest.is_empty() {
            let (count, mut placed) = self.write_batch(rest).await?;
            extents.append(&mut placed);
            rest = &rest[count..];
        }
        if self.is_proving {
            prove(&self.view, &extents.iter().collect::<Vec<_>>()).await?;
        }
        Ok(extents)
    }
}

impl<R: Runtime> PageStore for RowPages<R> {
    async fn write_pages(&self, pages: Vec<Vec<u8>>) -> Result<Vec<Extent>, EngineError> {
        let extents = self.place(&pages).await?;
        self.view.ledger.settle_pages(&extents, true);
        Ok(extents)
    }

    async fn read_page(&self, extent: &Extent) -> Result<BufferSlice, EngineError> {
        read_extent(&self.view, self.view.runtime.reserve(), extent, 0..extent.length).await
    }

    fn release_pages(&self, extents: &[Extent]) {
        self.view.ledger.settle_pages(extents, false);
    }
}
