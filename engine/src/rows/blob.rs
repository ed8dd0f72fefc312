//! Byte strings of any length as pages: checkpoints, and whatever else is written whole.

use super::pages::RowPages;
use super::read::read_extent;
use crate::error::EngineError;
use crate::pool::PoolView;
use crate::runtime::Runtime;
use ashlar_disk_format::extent::Extent;
use std::rc::Rc;

/// Bytes of one piece of a blob.
const PIECE_BYTES: usize = 60 << 10;

/// Writes `bytes` durably.
pub(crate) async fn write_blob<R: Runtime>(
    pages: &RowPages<R>,
    bytes: &[u8],
) -> Result<Vec<Extent>, EngineError> {
    let pieces: Vec<Vec<u8>> = bytes.chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect();
    pages.place(&pieces).await
}

/// Reads it back, verified.
pub(crate) async fn read_blob<R: Runtime>(
    view: &Rc<PoolView<R>>,
    extents: &[Extent],
) -> Result<Vec<u8>, EngineError> {
    let mut bytes = Vec::new();
    for extent in extents {
        let piece = read_extent(view, view.runtime.reserve(), extent, 0..extent.length).await?;
        bytes.extend_from_slice(piece.bytes());
    }
    Ok(bytes)
}
