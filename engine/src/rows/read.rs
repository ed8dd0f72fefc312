//! Reading an extent: one device read of the blocks that are touched, each verified against the
//! checksum its parent holds; when that fails, from the other members.
//!
//! A read that is late is not waited for alone: what it was to bring is computed from the others meanwhile, and
//! whichever is first serves. Of a device that is slow the others are asked first.

use super::mend::{compute, mend};
use crate::buffer::{Arena, Buffer, BufferSlice};
use crate::error::EngineError;
use crate::number::{to_u32, to_usize};
use crate::pool::PoolView;
use crate::runtime::{Device, DeviceError, Monotonic, Runtime};
use ashlar_disk_format::chunk::header_bytes;
use ashlar_disk_format::constants::WRITE_UNIT;
use ashlar_disk_format::error::{DecodeError, Field, Structure};
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::units::{DeviceIndex, Height, RowOffset};
use futures_util::future::{Either, LocalBoxFuture, select};
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;

/// The verified bytes `range` of `extent`, in a buffer of `arena`.
///
/// # Errors
/// [`EngineError::Unrecoverable`] when more members are lost than the code mends.
pub(crate) async fn read_extent<R: Runtime>(
    view: &Rc<PoolView<R>>,
    arena: &Arena,
    extent: &Extent,
    range: Range<u32>,
) -> Result<BufferSlice, EngineError> {
    assert!(range.start < range.end, "an empty range is not read");
    assert!(range.end <= extent.length, "range lies inside its extent");
    let group = view.group(extent.group, extent.generation).await?;
    fits(extent, &group, view.facts.segment_bytes)?;
    let window = Window::of(extent, &range, header_bytes(group.shape.members()));
    let buffer = arena.take(window.bytes.len()).await?;
    fetch(view, &group, extent, &range, (window, buffer)).await
}

/// The verified bytes `range` of the extent, of which `window` is to be read into `buffer`.
async fn fetch<R: Runtime>(
    view: &Rc<PoolView<R>>,
    group: &GroupDescriptor,
    extent: &Extent,
    range: &Range<u32>,
    (window, buffer): (Window, Buffer),
) -> Result<BufferSlice, EngineError> {
    let is_of_reserve = view.runtime.reserve().owns(&buffer);
    let mut buffer = buffer;
    let is_slow =
        group.members.get(usize::from(extent.member)).is_some_and(|member| view.is_slow(member.device));
    if is_slow && let Some(_one_of_few) = view.may_compute() {
        // A reader of the reserve lets go of its own buffer before it takes more.
        let own = Some(buffer).filter(|_| !is_of_reserve);
        if let Ok(chunk) = Box::pin(compute(view, group, extent)).await {
            return Ok(given(chunk, own, range, extent, window));
        }
        buffer = match own {
            Some(own) => own,
            None => view.runtime.reserve().take(window.bytes.len()).await?,
        };
    }
    let buffer = match read_window(view, buffer, group, extent, &window).await {
        Fetched::Read(buffer) if window.verify(extent, &buffer) => {
            return Ok(window.slice(buffer, range, extent));
        }
        Fetched::Computed(chunk) => {
            let own = if is_of_reserve { None } else { view.runtime.arena().try_take(window.bytes.len()) };
            return Ok(given(chunk, own, range, extent, window));
        }
        Fetched::Read(buffer) | Fetched::Failed(buffer) => buffer,
    };
    // A reader of the reserve lets go of its own buffer before it takes more.
    Box::pin(rebuilt(view, group, extent, range, window, (!is_of_reserve).then_some(buffer))).await
}

/// The bytes from the other members. A reader of the arena keeps its buffer: what it read ahead stands in memory
/// that is given back only behind these bytes, so it must never queue for more. A rebuilding takes all that it
/// needs of the reserve at once and gives it back when the devices have answered; a reader of the reserve has let
/// go of its own buffer for that, and is given the chunk.
async fn rebuilt<R: Runtime>(
    view: &Rc<PoolView<R>>,
    group: &GroupDescriptor,
    extent: &Extent,
    range: &Range<u32>,
    window: Window,
    buffer: Option<Buffer>,
) -> Result<BufferSlice, EngineError> {
    let chunk = mend(view, group, extent).await?;
    Ok(given(chunk, buffer, range, extent, window))
}

/// What was asked for of a whole chunk, in `buffer` if there is one.
fn given(
    chunk: Buffer,
    buffer: Option<Buffer>,
    range: &Range<u32>,
    extent: &Extent,
    mut window: Window,
) -> BufferSlice {
    let Some(mut buffer) = buffer else {
        window.bytes.start = 0;
        return window.slice(chunk, range, extent);
    };
    buffer.bytes_mut()[..window.bytes.len()].copy_from_slice(&chunk.bytes()[window.bytes.clone()]);
    window.slice(buffer, range, extent)
}

/// Checks that the place an extent names exists in its group. Its parent's checksum was right, so this
/// fails only for what was written wrongly.
fn fits(extent: &Extent, group: &GroupDescriptor, segment_bytes: u64) -> Result<(), DecodeError> {
    let within = |field, maximum: u64, found: u64| {
        if found <= maximum {
            return Ok(());
        }
        Err(DecodeError::OutOfRange { structure: Structure::Extent, field, minimum: 0, maximum, found })
    };
    extent.check()?;
    within(Field::DataCount, u64::from(group.shape.k), u64::from(extent.data_count))?;
    within(Field::Row, segment_bytes, extent.row.bytes().saturating_add(u64::from(extent.height.bytes())))?;
    let end = header_bytes(group.shape.members()) as u64
        + u64::from(extent.payload_offset)
        + u64::from(extent.length);
    within(Field::Length, u64::from(extent.height.bytes()), end)
}

/// As [`read_extent`], for bodies: they are kept for the next time.
///
/// # Errors
/// As [`read_extent`].
pub(crate) async fn read_body<R: Runtime>(
    view: &Rc<PoolView<R>>,
    extent: &Extent,
    range: Range<u32>,
) -> Result<BufferSlice, EngineError> {
    let slice = read_extent(view, view.runtime.arena(), extent, range).await?;
    Ok(kept(view, extent, slice))
}

/// As [`read_body`], with everything at hand that must be waited for before the device is asked: `None` when it
/// is not. The read begins with the future's first poll.
///
/// # Errors
/// An extent that does not fit its group.
pub(crate) fn read_body_at_once<R: Runtime>(
    view: &Rc<PoolView<R>>,
    extent: Extent,
    range: Range<u32>,
) -> Result<Option<LocalBoxFuture<'static, Result<BufferSlice, EngineError>>>, EngineError> {
    let Some(group) = view.known_group(extent.group, extent.generation) else { return Ok(None) };
    fits(&extent, &group, view.facts.segment_bytes)?;
    let window = Window::of(&extent, &range, header_bytes(group.shape.members()));
    let Some(buffer) = view.runtime.arena().try_take(window.bytes.len()) else { return Ok(None) };
    let view = Rc::clone(view);
    Ok(Some(Box::pin(async move {
        let slice = fetch(&view, &group, &extent, &range, (window, buffer)).await?;
        Ok(kept(&view, &extent, slice))
    })))
}

fn kept<R: Runtime>(view: &PoolView<R>, extent: &Extent, slice: BufferSlice) -> BufferSlice {
    if slice.len() == to_usize(u64::from(extent.length)) {
        view.blocks.keep(extent, &slice);
    }
    slice
}

/// The part of a chunk that one read fetches.
struct Window {
    /// Bytes from the start of the chunk, whole write units.
    bytes: Range<usize>,
    /// Where the extent's first byte lies from the start of the chunk.
    origin: usize,
    blocks: Range<usize>,
}

impl Window {
    fn of(extent: &Extent, range: &Range<u32>, header: usize) -> Self {
        let unit = to_usize(u64::from(WRITE_UNIT));
        let blocks = extent.blocks_of(range.clone());
        let origin = header + to_usize(u64::from(extent.payload_offset));
        let first = origin + to_usize(u64::from(extent.block_range(blocks.start).start));
        let last = origin + to_usize(u64::from(extent.block_range(blocks.end - 1).end));
        let start = first - first.rem_euclid(unit);
        let end = last.next_multiple_of(unit);
        Self { bytes: start..end, origin, blocks }
    }

    fn verify(&self, extent: &Extent, buffer: &Buffer) -> bool {
        self.blocks.clone().all(|block| {
            let range = extent.block_range(block);
            let start = self.origin + to_usize(u64::from(range.start)) - self.bytes.start;
            let end = self.origin + to_usize(u64::from(range.end)) - self.bytes.start;
            extent.verify(block, &buffer.bytes()[start..end]).is_ok()
        })
    }

    fn slice(&self, buffer: Buffer, range: &Range<u32>, extent: &Extent) -> BufferSlice {
        assert!(range.end <= extent.length, "range lies inside its extent");
        let start = self.origin + to_usize(u64::from(range.start)) - self.bytes.start;
        BufferSlice::of(buffer, start..start + to_usize(u64::from(range.end - range.start)))
    }
}

/// What came of reading a window.
enum Fetched {
    /// The device put bytes into the buffer, which are not yet verified.
    Read(Buffer),
    /// It did not.
    Failed(Buffer),
    /// The whole chunk, verified, from other devices.
    Computed(Buffer),
}

async fn read_window<R: Runtime>(
    view: &Rc<PoolView<R>>,
    buffer: Buffer,
    group: &GroupDescriptor,
    extent: &Extent,
    window: &Window,
) -> Fetched {
    let Some(member) = group.members.get(usize::from(extent.member)) else { return Fetched::Failed(buffer) };
    let device = view.device(member.device);
    let address = view.chunk_offset(member.device, member.segment, extent.row);
    let (Some(device), Some(address)) = (device, address) else { return Fetched::Failed(buffer) };
    let offset = address + u64::from(to_u32(window.bytes.start));
    let is_of_reserve = view.runtime.reserve().owns(&buffer);
    let begun = view.runtime.now();
    let mut reading = pin!(device.unwatched().read(offset, buffer, window.bytes.len()));
    if let Either::Left(((result, buffer), _)) = select(reading.as_mut(), view.late(device)).await {
        view.read_took(member.device, view.runtime.now().since(begun));
        return if result.is_ok() { Fetched::Read(buffer) } else { Fetched::Failed(buffer) };
    }
    let (index, capacity) = (member.device, window.bytes.len());
    Box::pin(async move {
        let reading = async { device.patiently(reading).await };
        let (result, buffer) = match hedge(view, group, extent, (index, begun), reading).await {
            Either::Left(Some(done)) => {
                view.late_read_took(index, view.runtime.now().since(begun));
                done
            }
            Either::Left(None) => (Err(DeviceError::Late), device.another(capacity, is_of_reserve).await),
            Either::Right(chunk) => return Fetched::Computed(chunk),
        };
        if result.is_ok() { Fetched::Read(buffer) } else { Fetched::Failed(buffer) }
    })
    .await
}

/// Waits for a read that is late, or computes what it was to bring: whichever is first.
async fn hedge<R: Runtime, T>(
    view: &Rc<PoolView<R>>,
    group: &GroupDescriptor,
    extent: &Extent,
    (device, begun): (DeviceIndex, Monotonic),
    reading: impl Future<Output = T>,
) -> Either<T, Buffer> {
    let mut reading = pin!(reading);
    let Some(_one_of_few) = view.read_is_late(device, begun) else { return Either::Left(reading.await) };
    let computing = Box::pin(compute(view, group, extent));
    match select(reading.as_mut(), computing).await {
        Either::Left((done, _)) => Either::Left(done),
        Either::Right((Ok(chunk), _)) => Either::Right(chunk),
        Either::Right((Err(_others_lack_too), _)) => Either::Left(reading.await),
    }
}

/// A chunk of a row from its start, `height` of it, as it stands on the device; the buffer comes back.
pub(crate) async fn read_chunk<R: Runtime>(
    view: &PoolView<R>,
    group: &GroupDescriptor,
    member: usize,
    row: RowOffset,
    height: Height,
    buffer: Buffer,
) -> (Result<(), DeviceError>, Buffer) {
    let target = group.members[member];
    let device = view.device(target.device).cloned();
    let address = view.chunk_offset(target.device, target.segment, row);
    let (Some(device), Some(address)) = (device, address) else { return (Err(DeviceError::Fenced), buffer) };
    device.read(address, buffer, to_usize(u64::from(height.bytes()))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_disk_format::code::CodeShape;
    use ashlar_disk_format::group::{GroupKind, Member};
    use ashlar_disk_format::units::{DeviceIndex, Generation, GroupId, LogId, SegmentIndex};

    const SEGMENT_BYTES: u64 = 1 << 20;

    #[test]
    fn only_places_that_the_group_has_are_read() {
        let member = |number| Member { device: DeviceIndex(number), segment: SegmentIndex(0) };
        let group = GroupDescriptor {
            group: GroupId(1),
            generation: Generation(1),
            kind: GroupKind::Data,
            shape: CodeShape::new(2, 1).unwrap(),
            log: LogId(0),
            members: (0..3).map(member).collect(),
        };
        let good = Extent {
            generation: group.generation,
            group: group.group,
            row: RowOffset(255),
            height: Height(1),
            member: 1,
            data_count: 2,
            payload_offset: 0,
            length: 3000,
            crcs: vec![0].into(),
        };
        assert_eq!(fits(&good, &group, SEGMENT_BYTES), Ok(()));
        let refused = [
            (Field::Row, Extent { row: RowOffset(256), ..good.clone() }),
            (Field::Row, Extent { row: RowOffset(u32::MAX), ..good.clone() }),
            (Field::DataCount, Extent { member: 2, data_count: 3, ..good.clone() }),
            (Field::Length, Extent { length: 4096, ..good.clone() }),
            (Field::Crcs, Extent { crcs: Vec::new().into(), ..good }),
        ];
        for (field, extent) in refused {
            let found = fits(&extent, &group, SEGMENT_BYTES);
            assert!(
                matches!(found, Err(DecodeError::OutOfRange { field: at, .. }) if at == field),
                "{field:?}: {found:?}"
            );
        }
    }
}
