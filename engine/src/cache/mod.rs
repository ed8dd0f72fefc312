//! What was read and verified, kept for the next look: index pages, and bodies.

mod blocks;
mod fifo;
mod ghosts;
mod name;
mod statistics;

#[cfg(test)]
mod loads;

pub use blocks::BlockCache;
pub use statistics::{CacheStatistics, Kind};
