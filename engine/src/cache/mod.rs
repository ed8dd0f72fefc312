//! What was read and verified, kept for the next look: index pages, and small bodies.

mod blocks;
mod fifo;

pub(crate) use blocks::BlockCache;
pub(crate) use fifo::Cache;
pub use fifo::CacheStatistics;
