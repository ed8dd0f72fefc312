//! Rebuilding one chunk of a row from the others, and writing it back.
//!
//! 1. Read the chunks of the row's other written members, one wave of as many as are needed, then
//!    one more for each that is bad.
//! 2. A chunk counts when its header names this group, generation, row and member and its payload
//!    has the checksum that its header holds.
//! 3. Rebuild the wanted payload, put a header before it.
//! 4. Verify every block of the extent: only the parent decides what is right.
//! 5. Write it back where it belongs, if its device is in service.
//!
//! Where nobody has a parent at hand (scrubbing, rebuilding a device) the row's headers decide: they hold the checksum
//! of every payload of the row ([`chunk_of`]), and what was written is read back ([`write_proved`]).

use super::read::read_chunk;
use super::write::write_chunk;
use crate::buffer::Buffer;
use crate::error::EngineError;
use crate::limits::REBUILD_WRITES_MAX;
use crate::number::{to_u8, to_usize};
use crate::pool::PoolView;
use crate::runtime::{Runtime, TaskQueue};
use ashlar_disk_format::chunk::{ChunkHeader, header_bytes};
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::units::{Epoch, Height, RowOffset, RowSequence};
use futures_util::future::join_all;
use std::rc::Rc;

/// A row inside its group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowPlace {
    pub(crate) row: RowOffset,
    pub(crate) height: Height,
    pub(crate) data_count: u8,
}

/// A chunk that proved itself.
pub(crate) struct GoodChunk {
    pub(crate) member: usize,
    pub(crate) header: ChunkHeader,
    pub(crate) bytes: Buffer,
}

/// Rebuilds the chunk that holds `extent`; its buffer, header first, verified against the extent. The
/// buffer is of the reserve: nobody waits for anything but devices while he holds it.
///
/// # Errors
/// [`EngineError::Unrecoverable`] when too few members are good, or when what they give is not what
/// the extent says.
pub(crate) async fn mend<R: Runtime>(
    view: &Rc<PoolView<R>>,
    group: &GroupDescriptor,
    extent: &Extent,
) -> Result<Buffer, EngineError> {
    let chunk = compute(view, group, extent).await?;
    let place = RowPlace { row: extent.row, height: extent.height, data_count: extent.data_count };
    write_back(view, group, place, usize::from(extent.member), &chunk);
    Ok(chunk)
}

/// As [`mend`], of a chunk that is late and not lost: it is not written back.
///
/// # Errors
/// As [`mend`].
pub(crate) async fn compute<R: Runtime>(
    view: &Rc<PoolView<R>>,
    group: &GroupDescriptor,
    extent: &Extent,
) -> Result<Buffer, EngineError> {
    let wanted = usize::from(extent.member);
    let needed = usize::from(extent.data_count);
    let place = RowPlace { row: extent.row, height: extent.height, data_count: extent.data_count };
    // All buffers at once: two that wait for their last one while holding the others would wait for ever.
    let mut buffers =
        view.runtime.reserve().take_many(needed + 1, to_usize(u64::from(extent.height.bytes()))).await?;
    let sources = gather(view, group, place, Some(wanted), &mut buffers).await;
    let lost = |found: usize| EngineError::Unrecoverable {
        group: extent.group,
        generation: extent.generation,
        row: extent.row,
        needed,
        found,
    };
    if sources.len() < needed {
        return Err(lost(sources.len()));
    }
    let Some(chunk) = buffers.pop() else { return Err(lost(sources.len())) };
    let chunk = rebuild(view, group, &sources, wanted, extent.height, chunk)?;
    if !holds(extent, &chunk, header_bytes(group.shape.members())) {
        return Err(lost(0));
    }
    Ok(chunk)
}

/// True when `chunk` (header first) has the extent's bytes.
pub(super) fn holds(extent: &Extent, chunk: &Buffer, header: usize) -> bool {
    let origin = header + to_usize(u64::from(extent.payload_offset));
    (0..extent.crcs.len()).all(|block| {
        let range = extent.block_range(block);
        let start = origin + to_usize(u64::from(range.start));
        let end = origin + to_usize(u64::from(range.end));
        chunk.bytes().get(start..end).is_some_and(|bytes| extent.verify(block, bytes).is_ok())
    })
}

/// Up to `data_count` good chunks of one writing of a row, `except` one member, read into `buffers`.
/// Fewer when no more are good. Chunks of an older writing at the same place do not count.
pub(crate) async fn gather<R: Runtime>(
    view: &PoolView<R>,
    group: &GroupDescriptor,
    place: RowPlace,
    except: Option<usize>,
    buffers: &mut Vec<Buffer>,
) -> Vec<GoodChunk> {
    let needed = usize::from(place.data_count);
    let parity = usize::from(group.shape.k)..group.shape.members();
    let mut candidates: Vec<usize> =
        (0..needed).chain(parity).filter(|member| Some(*member) != except).collect();
    // Those that are slow last.
    candidates.sort_by_key(|member| view.is_slow(group.members[*member].device));
    let mut candidates = candidates.into_iter();
    let mut good: Vec<GoodChunk> = Vec::with_capacity(needed);
    loop {
        let missing = (needed - good.len()).min(buffers.len());
        let wave: Vec<usize> = candidates.by_ref().take(missing).collect();
        if wave.is_empty() {
            return good;
        }
        let taken = buffers.split_off(buffers.len() - wave.len());
        let reads = wave
            .into_iter()
            .zip(taken)
            .map(|(member, buffer)| good_chunk(view, group, member, place, buffer));
        for chunk in join_all(reads).await {
            match chunk {
                Ok(chunk) => good.push(chunk),
                Err(buffer) => buffers.push(buffer),
            }
        }
        let newest = good.iter().map(GoodChunk::writing).max();
        for stale in good.extract_if(.., |chunk| Some(chunk.writing()) != newest) {
            buffers.push(stale.bytes);
        }
        if good.len() == needed {
            return good;
        }
    }
}

impl GoodChunk {
    /// Which writing of the row it belongs to; a later mount may write over what an earlier one left
    /// behind the end.
    fn writing(&self) -> (Epoch, RowSequence) {
        (self.header.epoch, self.header.sequence)
    }
}

/// The header is one of this member of the group at this place.
pub(super) fn belongs<R: Runtime>(
    view: &PoolView<R>,
    group: &GroupDescriptor,
    header: &ChunkHeader,
    member: usize,
    row: RowOffset,
) -> bool {
    header.expect(group.group, group.generation, row, to_u8(member)).is_ok()
        && header.pool == view.facts.pool
        && header.shape() == group.shape
}

/// One member's chunk, if it is there and proves itself; else the buffer back.
pub(crate) async fn good_chunk<R: Runtime>(
    view: &PoolView<R>,
    group: &GroupDescriptor,
    member: usize,
    place: RowPlace,
    buffer: Buffer,
) -> Result<GoodChunk, Buffer> {
    let RowPlace { row, height, .. } = place;
    let (read, bytes) = read_chunk(view, group, member, row, height, buffer).await;
    let number = to_u8(member);
    let (Ok(()), Ok(header)) = (read, ChunkHeader::decode(bytes.bytes())) else { return Err(bytes) };
    let belongs = belongs(view, group, &header, member, row) && header.height == height;
    let start = header_bytes(group.shape.members());
    let end = to_usize(u64::from(height.bytes()));
    let intact = belongs && header.verify_payload(number, &bytes.bytes()[start..end]).is_ok();
    if intact { Ok(GoodChunk { member, header, bytes }) } else { Err(bytes) }
}

/// The chunk of `wanted`, header first, in the buffer `chunk`, from good chunks of its row.
pub(crate) fn rebuild<R: Runtime>(
    view: &PoolView<R>,
    group: &GroupDescriptor,
    sources: &[GoodChunk],
    wanted: usize,
    height: Height,
    chunk: Buffer,
) -> Result<Buffer, EngineError> {
    let start = header_bytes(group.shape.members());
    let end = to_usize(u64::from(height.bytes()));
    let Some(first) = sources.first() else { panic!("a row is rebuilt from at least one chunk") };
    let mut chunk = chunk;
    let present: Vec<(usize, &[u8])> =
        sources.iter().map(|source| (source.member, &source.bytes.bytes()[start..end])).collect();
    let codec = view.codec(group.shape);
    let data_count = usize::from(first.header.data_count);
    let rebuilt =
        codec.reconstruct(data_count, &present, &mut [(wanted, &mut chunk.bytes_mut()[start..end])]);
    if rebuilt.is_err() {
        return Err(EngineError::Unrecoverable {
            group: group.group,
            generation: group.generation,
            row: first.header.row,
            needed: data_count,
            found: present.len(),
        });
    }
    let header = ChunkHeader { member: to_u8(wanted), ..first.header.clone() };
    header.encode_into(&mut chunk.bytes_mut()[..start]);
    Ok(chunk)
}

/// As [`rebuild`], proved by the checksum that the sources' headers hold for it, with the header that it begins with.
/// None when what the sources give is something else.
pub(super) fn chunk_of<R: Runtime>(
    view: &PoolView<R>,
    group: &GroupDescriptor,
    sources: &[GoodChunk],
    wanted: usize,
    height: Height,
    chunk: Buffer,
) -> Option<(ChunkHeader, Buffer)> {
    let header = ChunkHeader { member: to_u8(wanted), ..sources.first()?.header.clone() };
    let chunk = rebuild(view, group, sources, wanted, height, chunk).ok()?;
    let payload = header_bytes(group.shape.members())..to_usize(u64::from(height.bytes()));
    header.verify_payload(to_u8(wanted), &chunk.bytes()[payload]).ok()?;
    Some((header, chunk))
}

/// Writes the chunk that begins with `header` where it belongs, durably, and reads it back: what was acknowledged may
/// have gone elsewhere, or nowhere. False when the device does not keep it, however often it is written.
pub(super) async fn write_proved<R: Runtime>(
    view: &PoolView<R>,
    group: &GroupDescriptor,
    header: &ChunkHeader,
    place: RowPlace,
    chunk: Buffer,
) -> Result<bool, EngineError> {
    let member = usize::from(header.member);
    let target = group.members[member];
    let height = to_usize(u64::from(place.height.bytes()));
    let mut chunk = chunk;
    for _attempt in 0..REBUILD_WRITES_MAX {
        let (written, buffer) = write_chunk(view, target, place.row, chunk, height).await;
        written.map_err(|error| EngineError::Device { device: target.device, error })?;
        let mut proof = view.runtime.reserve().take(height).await?;
        // What is found there is to be what was read, not what this memory held before.
        proof.bytes_mut()[..header_bytes(group.shape.members())].fill(0);
        let found = good_chunk(view, group, member, place, proof).await;
        if found.is_ok_and(|found| found.header == *header) {
            return Ok(true);
        }
        chunk = buffer;
    }
    Ok(false)
}

/// Writes a rebuilt chunk where it belongs, in a task of its own: the reader may go away meanwhile.
/// Best effort: the reader has its bytes already, and a device that refuses is reported.
fn write_back<R: Runtime>(
    view: &Rc<PoolView<R>>,
    group: &GroupDescriptor,
    place: RowPlace,
    member: usize,
    chunk: &Buffer,
) {
    let target = group.members[member];
    if view.device(target.device).is_none() {
        return;
    }
    let length = to_usize(u64::from(place.height.bytes()));
    let Some(mut copy) = view.runtime.reserve().try_take(length) else { return };
    copy.bytes_mut()[..length].copy_from_slice(&chunk.bytes()[..length]);
    let guard = view.writes.enter();
    let task_view = Rc::clone(view);
    view.runtime.spawn(TaskQueue::Background, async move {
        let (result, _copy) = write_chunk(&task_view, target, place.row, copy, length).await;
        match result {
            Ok(()) => task_view.count_repair(),
            Err(error) => task_view.report_failure(target.device, error).await,
        }
        drop(guard);
    });
}
