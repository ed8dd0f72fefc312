//! What was read and verified, kept for the next look: index pages, and small bodies.

mod blocks;
mod fifo;

pub(crate) use blocks::BlockCache;
pub use fifo::CacheStatistics;
pub(crate) use fifo::{Cache, Cached};
