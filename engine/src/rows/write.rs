//! One wave of device writes for one sealed row.

use super::row::RowBuffer;
use crate::buffer::Buffer;
use crate::number::to_usize;
use crate::pool::PoolView;
use crate::runtime::{Device, DeviceError, Durability, Runtime};
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::units::{DeviceIndex, RowOffset};
use futures_util::future::{OptionFuture, join, join_all, join4};
use smallvec::SmallVec;
use std::rc::Rc;
use std::time::Duration;

/// What became of a row's chunks.
#[derive(Debug)]
pub(crate) struct Written {
    /// The row, its buffers intact: it may be sealed again for another place.
    pub(crate) row: RowBuffer,
    /// Members whose chunk is not durable.
    pub(crate) failures: Vec<(DeviceIndex, DeviceError)>,
}

/// Writes every chunk of `row` durably, all at once, at `offset` of the group.
pub(crate) async fn write_row<R: Runtime>(
    view: &Rc<PoolView<R>>,
    descriptor: &GroupDescriptor,
    offset: RowOffset,
    row: RowBuffer,
) -> Written {
    let mut row = row;
    let mut chunks = row.take_chunks();
    let height = to_usize(u64::from(row.geometry().height.bytes()));
    let begun = view.runtime.now();
    let writes = chunks.drain(..).enumerate().map(|(index, chunk)| {
        let target = descriptor.members[row.member_of(index)];
        async move {
            let (result, chunk) = write_chunk(view, target, offset, chunk, height).await;
            ((target.device, view.runtime.now().since(begun)), result, chunk)
        }
    });
    let written = join_few(writes).await;
    let mut failures = Vec::new();
    let mut times: SmallVec<[(DeviceIndex, Duration); FEW]> = SmallVec::new();
    for (time, result, chunk) in written {
        if let Err(error) = result {
            failures.push((time.0, error));
        }
        times.push(time);
        chunks.push(chunk);
    }
    view.row_took(begun, &times);
    row.put_chunks(chunks);
    Written { row, failures }
}

/// As many futures wait for each other without memory of their own: the chunks of an ordinary row.
const FEW: usize = 8;

/// All outputs, in order.
async fn join_few<F: Future>(futures: impl ExactSizeIterator<Item = F>) -> SmallVec<[F::Output; FEW]> {
    if futures.len() > FEW {
        return join_all(futures).await.into();
    }
    let mut futures = futures;
    let mut next = || OptionFuture::from(futures.next());
    let (first, second) = (join4(next(), next(), next(), next()), join4(next(), next(), next(), next()));
    let ((a, b, c, d), (e, f, g, h)) = join(first, second).await;
    [a, b, c, d, e, f, g, h].into_iter().flatten().collect()
}

/// Writes one chunk durably.
pub(crate) async fn write_chunk<R: Runtime>(
    view: &PoolView<R>,
    target: ashlar_disk_format::group::Member,
    offset: RowOffset,
    chunk: Buffer,
    height: usize,
) -> (Result<(), DeviceError>, Buffer) {
    let device = view.device(target.device).cloned();
    let address = view.chunk_offset(target.device, target.segment, offset);
    let (Some(device), Some(address)) = (device, address) else {
        return (Err(DeviceError::Fenced), chunk);
    };
    device.write(address, chunk, height, Durability::Durable).await
}
