//! The groups that stand behind a checkpoint: those that the logs name, and those that only the headers of
//! their segments name, because the row of the log that did is lost.
//!
//! 1. Look for headers of groups that the mount of the checkpoint opened behind it.
//! 2. Read every log for the groups that it announces. Where a log's link is lost, it goes on in the group
//!    whose rows continue its sequence.
//! 3. A group that was found and that no log names is in doubt: its segments are not free until a checkpoint
//!    counts nothing alive in it, and nothing is appended to it. Rows of bodies in it are only written after
//!    its announcement was durable, so they prove that this row of the log was lost.

use super::search_plan::Search;
use crate::error::EngineError;
use crate::log::{LogStart, replay};
use crate::number::{to_u8, to_usize};
use crate::pool::{OwnerGroup, PoolOwner, PoolView};
use crate::rows::read_chunk;
use crate::runtime::{Device, Runtime};
use ashlar_disk_format::checkpoint::Checkpoint;
use ashlar_disk_format::chunk::ChunkHeader;
use ashlar_disk_format::group::{GroupDescriptor, GroupKind, Member};
use ashlar_disk_format::record::Record;
use ashlar_disk_format::segment::SegmentHeader;
use ashlar_disk_format::superblock::Superblock;
use ashlar_disk_format::units::{DeviceIndex, Height, LogId, RowOffset};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Where the logs are to be read from and to, and lost rows that reading them again will not show.
#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) starts: Vec<LogStart>,
    pub(super) unexplained: u64,
}

/// Puts every group that stands behind the checkpoint into the owner's table.
pub(super) async fn learn_groups<R: Runtime>(
    view: &Rc<PoolView<R>>,
    owner: &PoolOwner,
    superblock: &Superblock,
    checkpoint: Option<&Checkpoint>,
) -> Result<Logs, EngineError> {
    let Some(checkpoint) = checkpoint else { return Ok(Logs::default()) };
    // After an orderly stop nothing stands behind the checkpoint.
    let young = if superblock.clean { Vec::new() } else { find(view, checkpoint, superblock.cores).await? };
    let young: Vec<Rc<GroupDescriptor>> = young.into_iter().map(Rc::new).collect();
    let mut logs = Logs { starts: log_starts(view, checkpoint, &young).await?, unexplained: 0 };
    let mut damaged: BTreeSet<LogId> = BTreeSet::new();
    for start in &mut logs.starts {
        let read = replay(view, start.clone(), &mut async |record| take_group(owner, record)).await?;
        if read.rows_lost > 0 {
            damaged.insert(start.position.log);
        }
        start.end = Some(read.end);
    }
    for descriptor in young {
        if owner.knows(&descriptor) || descriptor.kind == GroupKind::Index {
            continue;
        }
        let announced = descriptor.kind == GroupKind::Data && has_rows(view, &descriptor).await?;
        if announced && damaged.insert(descriptor.log) {
            logs.unexplained += 1;
        }
        owner.restore(OwnerGroup { open: false, ..OwnerGroup::opened((*descriptor).clone()) });
    }
    Ok(logs)
}

/// Where each log of the checkpoint goes on.
async fn log_starts<R: Runtime>(
    view: &Rc<PoolView<R>>,
    checkpoint: &Checkpoint,
    young: &[Rc<GroupDescriptor>],
) -> Result<Vec<LogStart>, EngineError> {
    let mut starts = Vec::new();
    for position in &checkpoint.logs {
        let descriptor = view.group(position.group, position.generation).await?;
        let own = young.iter().filter(|one| one.kind == GroupKind::Log && one.log == position.log);
        starts.push(LogStart {
            position: position.clone(),
            descriptor,
            epoch: checkpoint.epoch,
            young: own.cloned().collect(),
            end: None,
        });
    }
    Ok(starts)
}

/// Puts the group that a log record names into the table.
fn take_group(owner: &PoolOwner, record: Record) -> Result<(), EngineError> {
    if let Record::GroupOpen(descriptor) | Record::NextLogGroup(descriptor) = record
        && !owner.knows(&descriptor)
    {
        owner.restore(OwnerGroup::opened(descriptor));
    }
    Ok(())
}

/// The groups that the headers of segments name.
async fn find<R: Runtime>(
    view: &PoolView<R>,
    checkpoint: &Checkpoint,
    cores: u16,
) -> Result<Vec<GroupDescriptor>, EngineError> {
    let devices: Vec<(DeviceIndex, u32)> =
        view.in_service().map(|(index, _, layout)| (index, layout.segment_count())).collect();
    let mut search = Search::new(checkpoint, &devices, cores);
    let bytes = to_usize(u64::from(Height(1).bytes()));
    loop {
        let wave = search.next_wave();
        if wave.is_empty() {
            return Ok(search.found());
        }
        let buffers = view.runtime.reserve().take_many(wave.len(), bytes).await?;
        let reads = wave.into_iter().zip(buffers).map(|(place, buffer)| async move {
            let device = view.device(place.device).cloned()?;
            let start = view.chunk_offset(place.device, place.segment, RowOffset(0))?;
            let (read, block) = device.read(start, buffer, bytes).await;
            read.ok()?;
            Some((place, SegmentHeader::decode(block.bytes()).ok()?))
        });
        let headers: Vec<Option<(Member, SegmentHeader)>> = join_all(reads).await;
        headers.into_iter().flatten().for_each(|(place, header)| search.take(place, header));
    }
}

/// The group's first row was written, if only in part.
async fn has_rows<R: Runtime>(view: &PoolView<R>, group: &GroupDescriptor) -> Result<bool, EngineError> {
    let unit = Height(1);
    let members = group.members.len();
    let buffers = view.runtime.reserve().take_many(members, to_usize(u64::from(unit.bytes()))).await?;
    let first = RowOffset(1);
    let reads = buffers
        .into_iter()
        .enumerate()
        .map(|(member, buffer)| read_chunk(view, group, member, first, unit, buffer));
    let proves = |member: usize, chunk: &[u8]| {
        ChunkHeader::decode(chunk).is_ok_and(|header| {
            header.pool == view.facts.pool
                && header.expect(group.group, group.generation, first, to_u8(member)).is_ok()
        })
    };
    let chunks = join_all(reads).await;
    Ok(chunks.iter().enumerate().any(|(member, (read, chunk))| read.is_ok() && proves(member, chunk.bytes())))
}
