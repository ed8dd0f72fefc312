//! Reading a log from a checkpoint's position to its end.
//!
//! 1. Look for a chunk header with the expected group, generation, row, epoch and sequence on any
//!    member.
//! 2. None: look behind for a later row of this log, in the rest of the group and in the groups of this log
//!    that were opened after it. There is none: this is the end (a torn last row was never acknowledged).
//!    There is one: the rows before it were acknowledged and are lost; count them, go on there.
//! 3. Found: gather as many good chunks as its data needs, rebuild the data chunks that are
//!    missing, hand out its records.
//! 4. A link record: go on in the group that it names.
//!
//! The last row may stand on fewer devices than it should, because the power went while it was
//! written: its missing chunks are written again, before anything else relies on it.

use super::LogStart;
use crate::error::EngineError;
use crate::limits::{LOOK_BEHIND_UNITS, ROW_BYTES_MAX};
use crate::number::{to_u8, to_usize};
use crate::pool::PoolView;
use crate::rows::{GoodChunk, RowPlace, gather, good_chunk, read_chunk, rebuild, write_chunk};
use crate::runtime::Runtime;
use ashlar_disk_format::chunk::{ChunkHeader, header_bytes};
use ashlar_disk_format::constants::WRITE_UNIT;
use ashlar_disk_format::group::{GroupDescriptor, GroupKind};
use ashlar_disk_format::record::{Record, RecordReader};
use ashlar_disk_format::units::{Epoch, GroupId, Height, RowOffset};
use futures_util::future::join_all;
use std::rc::Rc;

/// What a log held.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// Where it ended: its last group and the offset behind its last row.
    pub(crate) end: (GroupId, RowOffset),
    /// Rows read.
    pub(crate) rows: u64,
    /// Acknowledged rows that cannot be read any more.
    pub(crate) rows_lost: u64,
}

/// Where the reader stands.
#[derive(Clone)]
struct Cursor {
    descriptor: Rc<GroupDescriptor>,
    row: RowOffset,
    sequence: u64,
    epoch: Epoch,
}

/// Reads a log and gives each record to `take`, in order.
///
/// # Errors
/// Those of `take`, and memory. Damage is not an error here: it is counted.
pub(crate) async fn replay<R: Runtime>(
    view: &Rc<PoolView<R>>,
    start: LogStart,
    take: &mut impl AsyncFnMut(Record) -> Result<(), EngineError>,
) -> Result<Replayed, EngineError> {
    let mut at = Cursor {
        descriptor: start.descriptor,
        row: start.position.row,
        sequence: start.position.next_sequence.0,
        epoch: start.epoch,
    };
    let mut done = Replayed { end: (at.descriptor.group, at.row), rows: 0, rows_lost: 0 };
    let mut last: Option<(Rc<GroupDescriptor>, RowOffset, ChunkHeader)> = None;
    while start.end != Some((at.descriptor.group, at.row)) {
        let found = find_header(view, &at, at.row).await?;
        let Some(header) = found.filter(|header| header.sequence.0 == at.sequence) else {
            let Some(later) = find_later(view, &at, &start.young).await? else { break };
            done.rows_lost += later.sequence - at.sequence;
            if later.descriptor.group != at.descriptor.group {
                view.learn(Rc::clone(&later.descriptor));
                take(Record::NextLogGroup((*later.descriptor).clone())).await?;
            }
            at = later;
            continue;
        };
        let Some(records) = read_records(view, &at, &header).await? else {
            if find_later(view, &at, &start.young).await?.is_none() {
                break;
            }
            done.rows_lost += 1;
            at.row = at.row.after(header.height);
            at.sequence += 1;
            continue;
        };
        done.rows += 1;
        let behind = at.row.after(header.height);
        last = Some((Rc::clone(&at.descriptor), at.row, header));
        at.row = behind;
        at.sequence += 1;
        let mut next = None;
        for record in records {
            if let Record::NextLogGroup(descriptor) = &record {
                next = Some(Rc::new(descriptor.clone()));
            }
            take(record).await?;
        }
        if let Some(descriptor) = next {
            view.learn(Rc::clone(&descriptor));
            at.descriptor = descriptor;
            at.row = RowOffset(1);
        }
    }
    done.end = (at.descriptor.group, at.row);
    if let Some((descriptor, row, header)) = last {
        complete_row(view, &descriptor, row, &header).await?;
    }
    Ok(done)
}

/// The header of a row of this log and mount at `row`, from whichever member still has it.
async fn find_header<R: Runtime>(
    view: &PoolView<R>,
    at: &Cursor,
    row: RowOffset,
) -> Result<Option<ChunkHeader>, EngineError> {
    let unit = Height(1);
    if row.after(unit).bytes() > view.facts.segment_bytes {
        return Ok(None);
    }
    let members = at.descriptor.members.len();
    let buffers = view.runtime.reserve().take_many(members, to_usize(u64::from(unit.bytes()))).await?;
    let reads = buffers
        .into_iter()
        .enumerate()
        .map(|(member, buffer)| read_chunk(view, &at.descriptor, member, row, unit, buffer));
    let mut best: Option<ChunkHeader> = None;
    for (member, (read, chunk)) in join_all(reads).await.into_iter().enumerate() {
        let header = read.ok().and_then(|()| header_of(view, at, member, row, chunk.bytes()));
        let newest = best.as_ref().map(|best| best.sequence);
        best = header.filter(|header| Some(header.sequence) > newest).or(best);
    }
    Ok(best)
}

/// The header at the front of a chunk, when it is one of this log and mount and belongs there.
fn header_of<R: Runtime>(
    view: &PoolView<R>,
    at: &Cursor,
    member: usize,
    row: RowOffset,
    chunk: &[u8],
) -> Option<ChunkHeader> {
    let header = ChunkHeader::decode(chunk).ok()?;
    let fits = header.expect(at.descriptor.group, at.descriptor.generation, row, to_u8(member)).is_ok()
        && header.pool == view.facts.pool
        && header.kind == GroupKind::Log
        && header.shape() == at.descriptor.shape
        && header.epoch == at.epoch;
    fits.then_some(header)
}

/// Where this log goes on behind a place where it cannot be read: it may be the link that is lost, and
/// everything around it.
async fn find_later<R: Runtime>(
    view: &PoolView<R>,
    at: &Cursor,
    young: &[Rc<GroupDescriptor>],
) -> Result<Option<Cursor>, EngineError> {
    if let Some(header) = look_behind(view, at, RowOffset(at.row.0.saturating_add(1))).await? {
        return Ok(Some(Cursor { row: header.row, sequence: header.sequence.0, ..at.clone() }));
    }
    for descriptor in young.iter().filter(|one| one.generation > at.descriptor.generation) {
        let next = Cursor { descriptor: Rc::clone(descriptor), row: RowOffset(1), ..at.clone() };
        let first = find_header(view, &next, next.row).await?;
        let header = match first.filter(|header| header.sequence.0 > at.sequence) {
            Some(header) => Some(header),
            None => look_behind(view, &next, next.row).await?,
        };
        if let Some(header) = header {
            return Ok(Some(Cursor { row: header.row, sequence: header.sequence.0, ..next }));
        }
    }
    Ok(None)
}

/// The next row of this log in the rest of the group, from `row` on. Rows begin anywhere, so all of it is
/// read, of as many members as hold a chunk of every row and one of which is good if the row is. Members whose
/// device is away are among those that are not good.
async fn look_behind<R: Runtime>(
    view: &PoolView<R>,
    at: &Cursor,
    row: RowOffset,
) -> Result<Option<ChunkHeader>, EngineError> {
    let unit = to_usize(u64::from(WRITE_UNIT));
    let shape = at.descriptor.shape;
    let is_here = |member: &usize| view.device(at.descriptor.members[*member].device).is_some();
    let members = std::iter::once(0).chain(usize::from(shape.k)..shape.members());
    let members: Vec<usize> = members.filter(is_here).collect();
    if members.is_empty() {
        return Ok(None);
    }
    let piece = to_usize(u64::from(ROW_BYTES_MAX.div_ceil(WRITE_UNIT))).div_ceil(members.len());
    let piece = u16::try_from(piece).unwrap_or(u16::MAX).min(LOOK_BEHIND_UNITS);
    let mut row = row;
    while row.bytes() < view.facts.segment_bytes {
        let rest = (view.facts.segment_bytes - row.bytes()).div_euclid(u64::from(WRITE_UNIT));
        let height = Height(u16::try_from(rest).unwrap_or(u16::MAX).min(piece));
        let bytes = to_usize(u64::from(height.bytes()));
        let buffers = view.runtime.reserve().take_many(members.len(), bytes).await?;
        let reads = members
            .iter()
            .zip(buffers)
            .map(|(&member, buffer)| read_chunk(view, &at.descriptor, member, row, height, buffer));
        let pieces = join_all(reads).await;
        // What lies beside a sector that cannot be read may be readable.
        let in_part = pieces.iter().any(|(read, _)| read.is_err());
        for (step, place) in (0..usize::from(height.0)).zip((row.0..).map(RowOffset)) {
            let header = if in_part {
                find_header(view, at, place).await?
            } else {
                let mut chunks = members.iter().zip(&pieces);
                chunks.find_map(|(&member, (_, piece))| {
                    header_of(view, at, member, place, &piece.bytes()[step * unit..bytes])
                })
            };
            if let Some(header) = header.filter(|header| header.sequence.0 > at.sequence) {
                return Ok(Some(header));
            }
        }
        row = row.after(height);
    }
    Ok(None)
}

/// The row's records, or `None` when too many of its chunks are bad.
async fn read_records<R: Runtime>(
    view: &Rc<PoolView<R>>,
    at: &Cursor,
    header: &ChunkHeader,
) -> Result<Option<Vec<Record>>, EngineError> {
    let Some(payload) = read_payload(view, at, header).await? else { return Ok(None) };
    let length = to_usize(u64::from(header.record_bytes)).min(payload.len());
    let records: Result<Vec<_>, _> = RecordReader::new(&payload[payload.len() - length..]).collect();
    Ok(records.ok().map(|records| records.into_iter().map(|(_, record)| record).collect()))
}

async fn read_payload<R: Runtime>(
    view: &Rc<PoolView<R>>,
    at: &Cursor,
    header: &ChunkHeader,
) -> Result<Option<Vec<u8>>, EngineError> {
    let group = &at.descriptor;
    let place = RowPlace { row: at.row, height: header.height, data_count: header.data_count };
    let data_count = usize::from(header.data_count);
    let end = to_usize(u64::from(header.height.bytes()));
    // As many again for the data chunks that have to be rebuilt.
    let mut buffers = view.runtime.reserve().take_many(2 * data_count, end).await?;
    let good = gather(view, group, place, None, &mut buffers).await;
    let good: Vec<GoodChunk> = good
        .into_iter()
        .filter(|chunk| chunk.header.sequence == header.sequence && chunk.header.epoch == header.epoch)
        .collect();
    if good.len() < data_count {
        return Ok(None);
    }
    let start = header_bytes(group.shape.members());
    let mut payload = Vec::with_capacity(data_count * (end - start));
    for member in 0..data_count {
        let direct = good.iter().find(|chunk| chunk.member == member);
        if let Some(chunk) = direct {
            payload.extend_from_slice(&chunk.bytes.bytes()[start..end]);
        } else {
            let Some(spare) = buffers.pop() else { return Ok(None) };
            let chunk = rebuild(view, group, &good, member, header.height, spare)?;
            if header.verify_payload(to_u8(member), &chunk.bytes()[start..end]).is_err() {
                return Ok(None);
            }
            payload.extend_from_slice(&chunk.bytes()[start..end]);
        }
    }
    payload.truncate(to_usize(u64::from(header.payload_bytes)));
    Ok(Some(payload))
}

/// Writes the chunks of the log's last row that are missing or bad.
async fn complete_row<R: Runtime>(
    view: &Rc<PoolView<R>>,
    group: &Rc<GroupDescriptor>,
    row: RowOffset,
    proven: &ChunkHeader,
) -> Result<(), EngineError> {
    let height = proven.height;
    let length = to_usize(u64::from(height.bytes()));
    let place = RowPlace { row, height, data_count: proven.data_count };
    let mut good: Vec<GoodChunk> = Vec::new();
    for member in 0..group.members.len() {
        let buffer = view.runtime.reserve().take(length).await?;
        good.extend(good_chunk(view, group, member, place, buffer).await.ok());
    }
    good.retain(|chunk| chunk.header.sequence == proven.sequence && chunk.header.epoch == proven.epoch);
    let data_count = usize::from(proven.data_count);
    if good.len() < data_count {
        return Ok(());
    }
    let data = 0..data_count;
    let parity = usize::from(group.shape.k)..group.shape.members();
    for member in data.chain(parity) {
        if good.iter().any(|chunk| chunk.member == member) {
            continue;
        }
        let buffer = view.runtime.reserve().take(length).await?;
        let chunk = rebuild(view, group, &good, member, height, buffer)?;
        let target = group.members[member];
        let (result, _chunk) = write_chunk(view, target, row, chunk, length).await;
        if result.is_ok() {
            view.count_repair();
        }
    }
    Ok(())
}
