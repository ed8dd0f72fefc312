//! Bodies in and out.

use super::Engine;
use super::hold::{Hold, Renewals};
use crate::body::{BodyPlace, BodySink, ExtentStream};
use crate::buffer::{Buffer, BufferSlice};
use crate::error::EngineError;
use crate::hash::{BodyDigests, Lanes};
use crate::pool::{Level, Patience, PinSet};
use crate::rows::read_blob;
use crate::runtime::{Runtime, WallTime};
use crate::sync::OpGuard;
use crate::types::{Checksum, Etag, Metadata};
use ashlar_disk_format::part_page;
use ashlar_disk_format::value::{ObjectRecord, PartInfo, PartTable};
use std::ops::Range;
use std::rc::Rc;

/// A body while it is received. Dropping it discards what came.
#[derive(Debug)]
pub struct BodyWriter<R: Runtime> {
    sink: BodySink<R>,
    patience: Patience,
}

/// A received body, ready to be published; unless it is small it is durable already.
#[derive(Debug)]
pub struct Body {
    pub(super) place: BodyPlace,
    pub(super) length: u64,
    /// Keep its bytes where they are until it is published.
    pub(super) pins: PinSet,
    pub(super) patience: Patience,
    /// The parts it is made of, when it is a copy of a multipart object.
    pub(super) parts: PartTable,
}

impl Body {
    /// The body of zero bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            place: BodyPlace::Small(None),
            length: 0,
            pins: PinSet::default(),
            patience: Patience::Waits,
            parts: PartTable::None,
        }
    }

    /// Bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl<R: Runtime> BodyWriter<R> {
    /// Where the next bytes go: a buffer and the range free in it, never empty. Waits for memory.
    /// Give it back through [`BodyWriter::fill`].
    ///
    /// # Errors
    /// Too many wait for memory; no space; devices failed.
    pub async fn space(&mut self) -> Result<(Buffer, Range<usize>), EngineError> {
        self.sink.space().await
    }

    /// Sums the first `count` bytes of the range that [`BodyWriter::space`] gave. They are body and do not change
    /// any more; to be called while they are in the cache, or not at all: then they are summed later.
    pub fn sum(&mut self, buffer: &Buffer, count: usize) {
        self.sink.sum(buffer, count);
    }

    /// Takes the buffer of [`BodyWriter::space`] back; the first `count` bytes of its range are body.
    pub fn fill(&mut self, buffer: Buffer, count: usize) {
        self.sink.fill(buffer, count);
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// As [`BodyWriter::space`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        self.sink.write(bytes).await
    }

    /// Has the body hashed into `digests` while it is written to devices, beside others; they come back from
    /// [`BodyWriter::finish_hashed`]. Gives them back at once if the body is so small that it is not written before it
    /// is published: whoever fills it hashes it then.
    ///
    /// # Panics
    /// Some of it was filled in already, or `digests` have ended.
    #[must_use]
    pub fn hash_with(&mut self, lanes: &Lanes, digests: BodyDigests) -> Option<BodyDigests> {
        self.sink.hash_with(lanes, digests)
    }

    /// Bytes so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.sink.length()
    }

    /// Ends the body.
    ///
    /// # Errors
    /// When a row did not become durable.
    pub async fn finish(self) -> Result<Body, EngineError> {
        Ok(self.finish_hashed().await?.0)
    }

    /// Ends the body. With it come the digests of all its bytes, not ended yet, if it was hashed while it was written.
    ///
    /// # Errors
    /// As [`BodyWriter::finish`].
    pub async fn finish_hashed(self) -> Result<(Body, Option<BodyDigests>), EngineError> {
        let length = self.sink.length();
        let (place, pins, digests) = self.sink.finish().await?;
        Ok((Body { place, length, pins, patience: self.patience, parts: PartTable::None }, digests))
    }
}

/// An object as looked up. While it is held, its bytes stay where they are; see [`ObjectReader::next`] for
/// readers that take long.
#[derive(Debug)]
pub struct Object {
    pub(super) hold: Hold,
}

/// One part of an object that was made by a multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPart {
    /// Where it begins in the object.
    pub offset: u64,
    /// Its size, bytes.
    pub size: u64,
    /// Parts in all.
    pub count: u32,
    /// Its checksum, if it was uploaded with one.
    pub checksum: Vec<u8>,
}

impl Object {
    pub(super) fn record(&self) -> &ObjectRecord {
        self.hold.record()
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.record().size
    }

    /// When it was published.
    #[must_use]
    pub fn modified(&self) -> WallTime {
        WallTime(u64::try_from(self.record().modified_ms).unwrap_or(0))
    }

    /// Its entity tag.
    #[must_use]
    pub fn etag(&self) -> &Etag {
        &self.record().etag
    }

    /// The checksum it was stored with.
    #[must_use]
    pub fn checksum(&self) -> Option<&Checksum> {
        self.record().checksum.as_ref()
    }

    /// Stored headers and user metadata.
    #[must_use]
    pub fn metadata(&self) -> &[Metadata] {
        &self.record().metadata
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.hold.key()
    }

    /// Made by a multipart upload.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        self.record().parts != PartTable::None
    }
}

/// The bytes of an object, in order, verified.
#[derive(Debug)]
pub struct ObjectReader<R: Runtime> {
    stream: ExtentStream<R>,
    engine: Engine<R>,
    hold: Hold,
    /// Keeps the bytes where the stream reads them.
    guard: OpGuard,
    /// As of when that is.
    renewals: Renewals,
    /// What of the object it has not handed out yet.
    left: Range<u64>,
}

impl<R: Runtime> ObjectReader<R> {
    /// The next bytes; `None` behind the last.
    ///
    /// # Errors
    /// When bytes cannot be had that pass their checksums; [`EngineError::Superseded`] when the object was
    /// deleted or replaced a good while ago.
    pub async fn next(&mut self) -> Result<Option<BufferSlice>, EngineError> {
        self.hold.keep(&self.engine).await?;
        self.follow();
        let slice = self.stream.next().await?;
        self.left.start += slice.as_ref().map_or(0, |slice| slice.len() as u64);
        Ok(slice)
    }

    /// Goes on where the object is now, when it was moved; only then is the old place let go of.
    fn follow(&mut self) {
        let renewals = self.hold.renewals();
        if renewals == self.renewals {
            return;
        }
        if renewals.moves != self.renewals.moves {
            let view = Rc::clone(&self.engine.shard.view);
            let left = self.left.clone();
            self.stream = self.hold.entries(|entries| ExtentStream::new(view, entries, left));
        }
        self.guard = self.hold.guard();
        self.renewals = renewals;
    }

    /// Whether the next bytes are on their way, so that whoever waits for them while holding others does not
    /// wait for memory.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.stream.is_reading()
    }
}

impl<R: Runtime> Engine<R> {
    /// Waits while the pool is short of space and more is being made, for ten seconds at most. Nobody may wait here who
    /// holds an object or a reader: space comes back only when those who began before have ended.
    pub async fn wait_for_space(&self) {
        self.shard.view.room.above(self.runtime(), Level::Short).await;
    }

    /// Begins a body of `length` bytes, if that is known. Where it runs out of space on its way it waits, as
    /// [`Engine::wait_for_space`] does.
    ///
    /// # Errors
    /// [`EngineError::Full`] when only deletes have room, [`EngineError::Closing`].
    pub fn begin_body(&self, length: Option<u64>) -> Result<BodyWriter<R>, EngineError> {
        self.begin(length, Patience::Waits)
    }

    /// Begins a body of `length` bytes for whoever holds an object or a reader meanwhile: without space it is refused
    /// at once.
    ///
    /// # Errors
    /// As [`Engine::begin_body`].
    pub fn begin_copy(&self, length: u64) -> Result<BodyWriter<R>, EngineError> {
        self.begin(Some(length), Patience::GivesUp)
    }

    fn begin(&self, length: Option<u64>, patience: Patience) -> Result<BodyWriter<R>, EngineError> {
        if self.shard.closing.get() {
            return Err(EngineError::Closing);
        }
        if self.shard.view.room.level() >= Level::Out {
            return Err(EngineError::Full);
        }
        let sink = BodySink::new(
            Rc::clone(&self.shard.view),
            Rc::clone(&self.shard.data),
            self.shard.body_pages.clone(),
            length,
            patience,
            self.shard.spare_entries.clone(),
        );
        Ok(BodyWriter { sink, patience })
    }

    /// Waits while there is no room for records, before a body's record is made.
    pub(super) async fn wait_for_records(&self, patience: Patience) {
        if patience == Patience::Waits {
            self.shard.view.room.above(self.runtime(), Level::Low).await;
        }
    }

    /// Reads `range` of an object, bytes.
    ///
    /// # Panics
    /// When the range leaves the object: the caller has checked it.
    #[must_use]
    pub fn read(&self, object: &Object, range: Range<u64>) -> ObjectReader<R> {
        assert!(range.end <= object.size(), "range lies inside the object");
        let view = Rc::clone(&self.shard.view);
        let hold = object.hold.clone();
        ObjectReader {
            stream: hold.entries(|entries| ExtentStream::new(view, entries, range.clone())),
            engine: self.clone(),
            guard: hold.guard(),
            renewals: hold.renewals(),
            hold,
            left: range,
        }
    }

    /// The `number`-th part of an object, from 1; `None` when it was put whole or has fewer parts.
    ///
    /// # Errors
    /// When the table of parts cannot be read.
    pub async fn object_part(&self, object: &Object, number: u16) -> Result<Option<ObjectPart>, EngineError> {
        let infos = self.part_infos(object).await?;
        let position = usize::from(number).wrapping_sub(1);
        let Some(info) = infos.get(position) else { return Ok(None) };
        Ok(Some(ObjectPart {
            offset: infos[..position].iter().map(|info| info.size).sum(),
            size: info.size,
            count: crate::number::to_u32(infos.len()),
            checksum: info.checksum.clone(),
        }))
    }

    /// The parts that an object was made of; empty when it was put whole.
    pub(super) async fn part_infos(&self, object: &Object) -> Result<Vec<PartInfo>, EngineError> {
        let _guard = object.hold.guard();
        let extents = match object.hold.parts() {
            PartTable::None => return Ok(Vec::new()),
            PartTable::Inline(infos) => return Ok(infos),
            PartTable::Page { extents, .. } => extents,
        };
        let mut infos = Vec::new();
        for extent in &extents {
            let page = read_blob(&self.shard.view, std::slice::from_ref(extent)).await?;
            infos.extend(part_page::decode(&page)?);
        }
        Ok(infos)
    }
}
