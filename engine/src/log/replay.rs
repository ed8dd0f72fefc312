//! Reading a log from a checkpoint's position to its end.
//!
//! 1. Look for a chunk header with the expected group, generation, row, epoch and sequence on any
//!    member.
//! 2. None: look behind for a later row of this log. There is none: this is the end (a torn last
//!    row was never acknowledged). There is one: the row was acknowledged and is lost; name it, go
//!    on behind it.
//! 3. Found: gather as many good chunks as its data needs, rebuild the data chunks that are
//!    missing, hand out its records.
//! 4. A link record: go on in the group that it names.
//!
//! The last row may stand on fewer devices than it should, because the power went while it was
//! written: its missing chunks are written again, before anything else relies on it.

use super::LogStart;
use crate::error::EngineError;
use crate::limits::{CHUNK_BYTES_MAX, LINK_HEIGHT_BYTES};
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

/// What was found in place of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowFinding {
    /// An acknowledged row that cannot be read any more; the log goes on behind it.
    Lost { group: GroupId, row: RowOffset },
}

/// What a log held.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// Where it ended: its last group and the offset behind its last row.
    pub(crate) end: (GroupId, RowOffset),
    /// Rows read.
    pub(crate) rows: u64,
    /// Damage.
    pub(crate) findings: Vec<RowFinding>,
}

/// Where the reader stands.
struct Cursor {
    descriptor: Rc<GroupDescriptor>,
    row: RowOffset,
    sequence: u64,
    epoch: Epoch,
}

/// Reads a log and gives each record to `take`, in order.
///
/// # Errors
/// Those of `take`, and memory. Damage is not an error here but a finding.
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
    let mut done = Replayed { end: (at.descriptor.group, at.row), rows: 0, findings: Vec::new() };
    let mut last: Option<(Rc<GroupDescriptor>, RowOffset, ChunkHeader)> = None;
    loop {
        let found = find_header(view, &at, at.row).await?;
        let Some(header) = found.filter(|header| header.sequence.0 == at.sequence) else {
            let Some(later) = look_ahead(view, &at).await? else { break };
            done.findings.push(RowFinding::Lost { group: at.descriptor.group, row: at.row });
            at.row = later.row;
            at.sequence = later.sequence.0;
            continue;
        };
        let Some(records) = read_records(view, &at, &header).await? else {
            if look_ahead(view, &at).await?.is_none() {
                break;
            }
            done.findings.push(RowFinding::Lost { group: at.descriptor.group, row: at.row });
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
        done.end = (at.descriptor.group, at.row);
    }
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
        if read.is_err() {
            continue;
        }
        let Ok(header) = ChunkHeader::decode(chunk.bytes()) else { continue };
        let fits = header.expect(at.descriptor.group, at.descriptor.generation, row, to_u8(member)).is_ok()
            && header.pool == view.facts.pool
            && header.kind == GroupKind::Log
            && header.shape() == at.descriptor.shape
            && header.epoch == at.epoch;
        if fits && best.as_ref().is_none_or(|best| header.sequence > best.sequence) {
            best = Some(header);
        }
    }
    Ok(best)
}

/// The next row of this log behind a place where none can be read, within the reach of the tallest
/// row and the link that may follow it.
async fn look_ahead<R: Runtime>(view: &PoolView<R>, at: &Cursor) -> Result<Option<ChunkHeader>, EngineError> {
    let reach = (CHUNK_BYTES_MAX + LINK_HEIGHT_BYTES).div_ceil(WRITE_UNIT);
    for step in 1..=reach {
        let row = RowOffset(at.row.0 + step);
        let found = find_header(view, at, row).await?;
        if let Some(header) = found.filter(|header| header.sequence.0 > at.sequence) {
            return Ok(Some(header));
        }
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
