//! Moving extents: read and verified where they are, written to dense rows elsewhere, read back from every device.
//!
//! Invariants:
//! - What is handed out as a new place holds the bytes that the parent's checksums describe: they were verified when
//!   they were read, the checksums of the copy are compared with the parent's, and every chunk of the new row, parity
//!   too, was read back from its device and proved itself.
//! - An extent that fits a chunk stays one extent.
//! - Nothing refers to a new place yet, and the old one is not touched: giving up half way loses nothing.
//! - Whoever carries holds the guard of an operation meanwhile, or the new rows could be taken for dead.
//! - Memory: the buffers of a row come from the arena, all at once; what is read comes from the reserve, and nobody
//!   waits for anything but devices while holding that.

use super::carry_plan::{Packed, Piece, cut, pack};
use super::data::DataWriter;
use super::geometry::tallest;
use super::mend::{RowPlace, good_chunk, holds};
use super::read::read_extent;
use super::row::RowBuffer;
use crate::error::EngineError;
use crate::limits::{CARRY_READS, PROOF_READS};
use crate::number::{to_u8, to_usize};
use crate::pool::{Patience, PoolView};
use crate::runtime::Runtime;
use ashlar_disk_format::chunk::header_bytes;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::units::{Generation, RowOffset};
use futures_util::future::join_all;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// What became of the extents that were to be moved.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    /// Their new places, in their order; `None`: it could not be read, or its copy did not prove itself.
    pub(crate) places: Vec<Option<Vec<Extent>>>,
    /// Why it ended before everything was tried; extents behind that have no place.
    pub(crate) stopped: Option<EngineError>,
}

/// A piece, and where it is now; no extents: it has no new place.
type Landed = (Piece, Vec<Extent>);

/// Moves `sources` into the groups of `writer`, so many rows at a time.
pub(crate) async fn carry<R: Runtime>(
    view: &Rc<PoolView<R>>,
    writer: &Rc<DataWriter<R>>,
    sources: &[Extent],
    rows_at_a_time: usize,
) -> Carried {
    let mut carried = Carried { places: vec![None; sources.len()], ..Carried::default() };
    let mut landed: Vec<Landed> = Vec::new();
    let mut pieces: Option<Vec<Piece>> = None;
    loop {
        let shape = match writer.shape(Patience::GivesUp).await {
            Ok(shape) => shape,
            Err(error) => {
                carried.stopped = Some(error);
                break;
            }
        };
        let rest = pieces.get_or_insert_with(|| cut(shape, sources.iter().map(|source| source.length)));
        let full = u64::from(tallest(shape).bytes());
        // The rest of a group takes a lower row before the next group is opened, unless that would be too low.
        let left =
            Some(writer.height_left()).filter(|left| (full.div_ceil(LOW_ROW_PART)..full).contains(left));
        let mut rows: Vec<Packed> = left.and_then(|left| pack(shape, left, rest)).into_iter().collect();
        while rows.len() < rows_at_a_time.max(1)
            && let Some(row) = pack(shape, full, rest)
        {
            rows.push(row);
        }
        if rows.is_empty() {
            break;
        }
        let written = join_all(rows.into_iter().map(|row| write_row(view, writer, sources, row))).await;
        for result in written {
            match result {
                Ok(pieces) => landed.extend(pieces),
                Err(error) => carried.stopped = Some(error),
            }
        }
        if carried.stopped.is_some() {
            break;
        }
    }
    gather_places(sources, landed, &mut carried.places);
    carried
}

/// An extent is where its pieces are, if all of them are there and are what its parent says.
fn gather_places(sources: &[Extent], landed: Vec<Landed>, places: &mut [Option<Vec<Extent>>]) {
    let mut landed = landed;
    landed.sort_by_key(|(piece, _)| (piece.source, piece.range.start));
    let mut new: Vec<Vec<Extent>> = vec![Vec::new(); sources.len()];
    for (piece, extents) in landed {
        new[piece.source].extend(extents);
    }
    for ((source, new), place) in sources.iter().zip(new).zip(places) {
        let length: u64 = new.iter().map(|extent| u64::from(extent.length)).sum();
        let crcs = new.iter().flat_map(|extent| &extent.crcs);
        if length == u64::from(source.length) && crcs.eq(&source.crcs) {
            *place = Some(new);
        }
    }
}

/// One row: where its pieces are now.
async fn write_row<R: Runtime>(
    view: &Rc<PoolView<R>>,
    writer: &Rc<DataWriter<R>>,
    sources: &[Extent],
    packed: Packed,
) -> Result<Vec<Landed>, EngineError> {
    let Packed { geometry, places, end } = packed;
    let height = to_usize(u64::from(geometry.height.bytes()));
    let buffers = view.runtime.arena().take_many(geometry.written(), height).await?;
    let mut row = RowBuffer::new(geometry, buffers);
    row.pad_to(end);
    let row = RefCell::new(row);
    let mut is_read = Vec::with_capacity(places.len());
    for wave in places.chunks(CARRY_READS) {
        let reads = wave.iter().map(|(piece, at)| read_into(view, &row, &sources[piece.source], piece, *at));
        for read in join_all(reads).await {
            is_read.push(read?);
        }
    }
    if !is_read.contains(&true) {
        return Ok(Vec::new());
    }
    let mut row = row.into_inner();
    row.encode(&view.codec(geometry.shape));
    let ranges: Vec<Range<usize>> = places
        .iter()
        .map(|(piece, at)| *at..*at + to_usize(u64::from(piece.range.end - piece.range.start)))
        .collect();
    // Its batch keeps what is written until it is named.
    let appended = writer.append(row, ranges.into(), Patience::GivesUp, None).await;
    let new = appended.unwrap_or(Err(EngineError::Closing))?.into_lists();
    let landed: Vec<Landed> = places
        .into_iter()
        .zip(new)
        .zip(is_read)
        .filter_map(|(((piece, _), extents), is_read)| is_read.then_some((piece, extents)))
        .collect();
    let all: Vec<&Extent> = landed.iter().flat_map(|(_, extents)| extents).collect();
    match prove(view, &all).await {
        Ok(()) => Ok(landed),
        Err(error) if error.is_damage() => Ok(Vec::new()),
        Err(other) => Err(other),
    }
}

/// False when the bytes cannot be had.
async fn read_into<R: Runtime>(
    view: &Rc<PoolView<R>>,
    row: &RefCell<RowBuffer>,
    source: &Extent,
    piece: &Piece,
    at: usize,
) -> Result<bool, EngineError> {
    match read_extent(view, view.runtime.reserve(), source, piece.range.clone()).await {
        Ok(slice) => {
            row.borrow_mut().fill_at(at, slice.bytes());
            Ok(true)
        }
        Err(error) if error.is_damage() => Ok(false),
        Err(other) => Err(other),
    }
}

/// Reads the rows of `extents` back from every device that they were written to in this mount.
///
/// # Errors
/// [`EngineError::Unrecoverable`] when a chunk is not there, or is not what was written.
pub(super) async fn prove<R: Runtime>(
    view: &Rc<PoolView<R>>,
    extents: &[&Extent],
) -> Result<(), EngineError> {
    let mut rows: BTreeMap<(Generation, RowOffset), Vec<&Extent>> = BTreeMap::new();
    for extent in extents {
        rows.entry((extent.generation, extent.row)).or_default().push(extent);
    }
    for extents in rows.values() {
        let Some(first) = extents.first() else { continue };
        let group = view.group(first.group, first.generation).await?;
        let parity = usize::from(group.shape.k)..group.shape.members();
        let members: Vec<usize> = (0..usize::from(first.data_count)).chain(parity).collect();
        let mut found = 0;
        for wave in members.chunks(PROOF_READS) {
            let chunks = wave.iter().map(|member| is_proved(view, &group, *member, extents));
            for is_good in join_all(chunks).await {
                found += usize::from(is_good?);
            }
        }
        if found < members.len() {
            let (group, generation, row) = (first.group, first.generation, first.row);
            return Err(EngineError::Unrecoverable { group, generation, row, needed: members.len(), found });
        }
    }
    Ok(())
}

/// Whether a member's chunk of a row is on its device as it was written, with those of `extents` that lie in it.
async fn is_proved<R: Runtime>(
    view: &Rc<PoolView<R>>,
    group: &GroupDescriptor,
    member: usize,
    extents: &[&Extent],
) -> Result<bool, EngineError> {
    let Some(first) = extents.first() else { return Ok(true) };
    let buffer = view.runtime.reserve().take(to_usize(u64::from(first.height.bytes()))).await?;
    let place = RowPlace { row: first.row, height: first.height, data_count: first.data_count };
    let Ok(chunk) = good_chunk(view, group, member, place, buffer).await else { return Ok(false) };
    let header = header_bytes(group.shape.members());
    let own = extents.iter().filter(|extent| extent.member == to_u8(member));
    // Of an earlier mount something may stand there that was whole, too.
    let is_ours = chunk.header.epoch == view.facts.epoch;
    Ok(is_ours && own.into_iter().all(|extent| holds(extent, &chunk.bytes, header)))
}

/// The rest of a group is used when it is at least so many parts of a whole row.
const LOW_ROW_PART: u64 = 8;
