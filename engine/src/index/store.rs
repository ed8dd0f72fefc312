//! What the index asks of the layers below: pages in, pages out.

use crate::buffer::BufferSlice;
use crate::error::EngineError;
use ashlar_disk_format::extent::Extent;
use std::future::Future;

/// Keeps immutable pages. Implemented by the row store; in tests by memory.
pub trait PageStore: Clone + 'static {
    /// Writes pages (each at most 64 KiB) and returns the extent of each, in order. They are
    /// durable when this returns. Each page lies within one chunk, so within one extent.
    fn write_pages(&self, pages: Vec<Vec<u8>>) -> impl Future<Output = Result<Vec<Extent>, EngineError>>;

    /// Reads one page, verified against its extent's checksums, repaired when need be.
    fn read_page(&self, extent: &Extent) -> impl Future<Output = Result<BufferSlice, EngineError>>;

    /// The pages behind these extents are no longer part of the index: their bytes are dead as of
    /// the next durable checkpoint.
    fn release_pages(&self, extents: &[Extent]);
}
