//! Makes a new group ready: its segments written once where that matters, its headers durable.

use super::write::write_chunk;
use crate::buffer::Buffer;
use crate::error::EngineError;
use crate::limits::OPEN_ATTEMPTS_MAX;
use crate::number::{to_u8, to_usize};
use crate::pool::{OpenedGroup, PoolRequest, PoolView, Purpose};
use crate::runtime::{Device, DeviceError, Runtime};
use ashlar_disk_format::constants::WRITE_UNIT;
use ashlar_disk_format::group::{GroupDescriptor, Member};
use ashlar_disk_format::segment::SegmentHeader;
use ashlar_disk_format::units::{DeviceIndex, LogId, RowOffset};
use futures_util::future::join_all;

/// A group for `purpose` whose segments are prepared and labelled. Devices that fail meanwhile are
/// reported and another group is tried.
pub(crate) async fn open_prepared<R: Runtime>(
    view: &PoolView<R>,
    purpose: Purpose,
    log: LogId,
) -> Result<OpenedGroup, EngineError> {
    for _attempt in 0..OPEN_ATTEMPTS_MAX {
        let mut opened = view.open_group(purpose, log).await?;
        let failures = make_ready(view, &mut opened).await?;
        if failures.is_empty() {
            return Ok(opened);
        }
        let seal = PoolRequest::Seal { group: opened.descriptor.group, tail: opened.tail };
        let _sealed = view.ask(seal).await?;
        let mut is_full = false;
        for (device, error) in failures {
            // Only a file may find its filesystem full; a device that says so has failed.
            let is_file = view.device(device).is_some_and(|device| device.info().is_file);
            if error == DeviceError::NoSpace && is_file {
                is_full = true;
                continue;
            }
            view.report_failure(device, error).await;
        }
        if is_full {
            return Err(EngineError::Full);
        }
    }
    Err(EngineError::Full)
}

async fn make_ready<R: Runtime>(
    view: &PoolView<R>,
    opened: &mut OpenedGroup,
) -> Result<Vec<(DeviceIndex, DeviceError)>, EngineError> {
    let descriptor = &opened.descriptor;
    let prepares = opened.unprepared.iter().map(|&member| prepare(view, descriptor.members[member]));
    let failures: Vec<_> = join_all(prepares).await.into_iter().filter_map(Result::err).collect();
    if !failures.is_empty() {
        return Ok(failures);
    }
    if !opened.unprepared.is_empty() {
        let _known = view.ask(PoolRequest::Prepared { group: descriptor.group }).await?;
        opened.unprepared.clear();
    }
    if opened.tail.0 > 0 {
        return Ok(Vec::new());
    }
    let failures = write_headers(view, opened).await?;
    if failures.is_empty() {
        opened.tail = RowOffset(1);
    }
    Ok(failures)
}

async fn write_headers<R: Runtime>(
    view: &PoolView<R>,
    opened: &OpenedGroup,
) -> Result<Vec<(DeviceIndex, DeviceError)>, EngineError> {
    let unit = to_usize(u64::from(WRITE_UNIT));
    let members = opened.descriptor.members.len();
    let buffers = view.runtime.reserve().take_many(members, unit).await?;
    let mut header = segment_header(view, (*opened.descriptor).clone(), 0);
    let writes = buffers.into_iter().enumerate().map(|(member, buffer)| {
        header.member = to_u8(member);
        write_header(view, &header, buffer)
    });
    Ok(join_all(writes).await.into_iter().filter_map(Result::err).collect())
}

/// Allocates a segment and writes it once, where that matters.
pub(super) async fn prepare<R: Runtime>(
    view: &PoolView<R>,
    target: Member,
) -> Result<(), (DeviceIndex, DeviceError)> {
    let device = view.device(target.device).cloned();
    let start = view.chunk_offset(target.device, target.segment, RowOffset(0));
    let (Some(device), Some(start)) = (device, start) else {
        return Err((target.device, DeviceError::Fenced));
    };
    device.prepare(start, view.facts.segment_bytes).await.map_err(|error| (target.device, error))
}

/// The header of a member's segment, as this mount writes it.
pub(super) fn segment_header<R: Runtime>(
    view: &PoolView<R>,
    descriptor: GroupDescriptor,
    member: usize,
) -> SegmentHeader {
    SegmentHeader {
        pool: view.facts.pool,
        descriptor,
        member: to_u8(member),
        epoch: view.facts.epoch,
        segment_bytes: view.facts.segment_bytes,
    }
}

/// Writes a header durably where it belongs, from a buffer of one write unit.
pub(super) fn write_header<'a, R: Runtime>(
    view: &'a PoolView<R>,
    header: &SegmentHeader,
    buffer: Buffer,
) -> impl Future<Output = Result<(), (DeviceIndex, DeviceError)>> + use<'a, R> {
    let unit = to_usize(u64::from(WRITE_UNIT));
    let target = header.descriptor.members[usize::from(header.member)];
    let mut buffer = buffer;
    buffer.bytes_mut()[..unit].copy_from_slice(&header.encode());
    async move {
        let (result, _buffer) = write_chunk(view, target, RowOffset(0), buffer, unit).await;
        result.map_err(|error| (target.device, error))
    }
}
