//! The index of one core: an ordered memtable over immutable sorted runs (a log-structured merge
//! tree), from keys to values, both byte strings.
//!
//! Invariants:
//! - The newest entry of a key wins: memtable, then frozen memtable, then runs in list order,
//!   newest first. A run's place in the list, not its number, says how new it is.
//! - A deleted key has a tombstone as long as anything older may hold the key.
//! - Runs never change. They are replaced as a whole, in one synchronous step, so that every get
//!   and every step of a scan sees one consistent set.
//! - Pages of a replaced run are given back only after the caller has taken the snapshot of a
//!   checkpoint without the run, and nothing in memory reads the run any more. Until that checkpoint
//!   is durable an older one still names them: the caller does not reuse their space before.
//!
//! It keeps no log and knows no devices: the caller makes changes durable before it puts them
//! here, and a [`PageStore`] keeps the pages. One thread, no locks.

mod tree;

mod merge;

mod flush;

mod open;

mod scan;

mod state;

mod run_writer;

mod run_cursor;

mod run;

mod page_table;

mod merge_plan;

mod fences;

mod filter;

mod memtable;

mod yielding;

mod store;

mod limits;

#[cfg(test)]
mod tests;

pub use crate::cache::{BlockCache, CacheStatistics, Kind};
pub use crate::page::Value;
pub use limits::{PAGE_BYTES_MAX, VALUE_BYTES_MAX};
pub use scan::{Scan, ScanEntry};
pub use state::{FreezeBusy, FrozenId, IndexMemory, IndexOptions, ManifestSnapshot, RetireToken, SharedRun};
pub use store::PageStore;
pub use tree::Index;
