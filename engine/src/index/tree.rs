//! The handle.

use super::filter::filter_hash;
use super::flush::flush;
use super::limits::VALUE_BYTES_MAX;
use super::merge::merge_step;
use super::open::load_runs;
use super::run::Keep;
use super::scan::Scan;
use super::state::{
    FreezeBusy, FrozenId, IndexMemory, IndexOptions, ManifestSnapshot, RetireToken, Shared, SharedRun,
};
use super::store::PageStore;
use crate::cache::{CacheStatistics, Kind};
use crate::error::EngineError;
use crate::page::Value;
use ashlar_disk_format::checkpoint::RunRef;
use ashlar_disk_format::constants::INDEX_KEY_BYTES_MAX;
use ashlar_disk_format::extent::Extent;
use std::ops::Bound;
use std::rc::Rc;

/// The index of one core. Clones name the same index.
#[derive(Debug)]
pub struct Index<S> {
    shared: Rc<Shared<S>>,
}

impl<S> Clone for Index<S> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<S: PageStore> Index<S> {
    /// An empty index.
    ///
    /// # Panics
    /// When the options contradict each other.
    #[must_use]
    pub fn new(store: S, options: IndexOptions) -> Self {
        Self { shared: Rc::new(Shared::new(store, options)) }
    }

    /// The index that consists of these runs, newest first.
    ///
    /// # Errors
    /// When a manifest cannot be read, is damaged, or belongs to another index.
    pub async fn open(store: S, options: IndexOptions, runs: &[RunRef]) -> Result<Self, EngineError> {
        let index = Self::new(store, options);
        let loaded = load_runs(&index.shared, runs).await?;
        index.shared.state.borrow_mut().runs = loaded.into();
        Ok(index)
    }

    /// Sets the key; `None` deletes it. The caller has made the change durable.
    ///
    /// # Panics
    /// When the key is longer than [`INDEX_KEY_BYTES_MAX`] or the value than [`VALUE_BYTES_MAX`].
    pub fn put(&self, key: &[u8], value: Option<&[u8]>) {
        assert!(key.len() <= INDEX_KEY_BYTES_MAX, "a key of {} bytes", key.len());
        let value_bytes = value.map_or(0, <[u8]>::len);
        assert!(value_bytes <= VALUE_BYTES_MAX, "a value of {value_bytes} bytes");
        self.shared.state.borrow_mut().active.put(key, value);
    }

    /// What the key leads to, as of the moment of the call.
    ///
    /// # Errors
    /// When a page that may hold the key cannot be read.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Value>, EngineError> {
        let runs = {
            let state = self.shared.state.borrow();
            let frozen = || state.frozen.as_ref().and_then(|frozen| frozen.table.get(key));
            if let Some(value) = state.active.get(key).or_else(frozen) {
                return Ok(value.map(Value::from));
            }
            Rc::clone(&state.runs)
        };
        let hash = filter_hash(key);
        for run in runs.iter() {
            if let Some(value) = run.get(key, hash).await? {
                return Ok(value);
            }
        }
        Ok(None)
    }

    /// A walk over the living keys between the bounds.
    #[must_use]
    pub fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Scan<S> {
        Scan::new(Rc::clone(&self.shared), start, end, Keep::Cache)
    }

    /// As [`Index::scan`], for walks through everything: the pages that it reads take nobody's place in the cache.
    #[must_use]
    pub fn sweep(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Scan<S> {
        Scan::new(Rc::clone(&self.shared), start, end, Keep::Pass)
    }

    /// Sets the memtable aside: what was put before is in it, what is put later is not.
    ///
    /// # Errors
    /// When an earlier one is not flushed yet.
    pub fn freeze(&self) -> Result<FrozenId, FreezeBusy> {
        self.shared.state.borrow_mut().freeze()
    }

    /// Writes the frozen memtable as a run. `None` when nothing in it needed a run.
    ///
    /// # Errors
    /// When the store cannot; the memtable stays frozen and may be flushed again.
    ///
    /// # Panics
    /// When `frozen` is not frozen or is being flushed already.
    pub async fn flush(&self, frozen: FrozenId) -> Result<Option<RunRef>, EngineError> {
        flush(&self.shared, frozen).await
    }

    /// Merges the runs that are most due. False when there is nothing to do, or a merge is under
    /// way. Lets other tasks run between pages.
    ///
    /// # Errors
    /// When the store cannot; the runs stay as they were.
    pub async fn merge_step(&self) -> Result<bool, EngineError> {
        merge_step(&self.shared).await
    }

    /// The runs for a checkpoint.
    #[must_use]
    pub fn manifest_snapshot(&self) -> ManifestSnapshot {
        self.shared.state.borrow().snapshot()
    }

    /// A checkpoint will hold the runs of that snapshot: gives back the pages of the runs that were
    /// replaced before it, whose space the caller does not reuse before the checkpoint is durable. Those still read by a scan or a get follow at a later call.
    /// Runs that other cores share are not given back but returned, once each, for the caller to
    /// free when the last core has let go.
    #[must_use = "shared runs are freed by the caller"]
    pub fn confirm(&self, token: RetireToken) -> Vec<SharedRun> {
        let retired = self.shared.state.borrow_mut().take_retired(token);
        self.shared.forget_pages(&retired);
        let mut shared = Vec::new();
        for run in retired {
            let extents = run.extents();
            if run.is_shared() {
                shared.push(SharedRun { run: run.reference().run, extents });
            } else {
                self.shared.pages.store.release_pages(&extents);
            }
        }
        shared
    }

    /// Runs with pages found lost, which are left out of merging. Keys that are not in those pages can be
    /// had.
    #[must_use]
    pub fn damaged_runs(&self) -> u64 {
        self.shared.state.borrow().runs.iter().filter(|run| run.is_damaged()).count() as u64
    }

    /// Everything that its runs occupy: pages and manifests.
    #[must_use]
    pub fn held_extents(&self) -> Vec<Extent> {
        self.shared.state.borrow().runs.iter().flat_map(|run| run.extents()).collect()
    }

    /// Of what its runs occupy, what is wanted.
    #[must_use]
    pub fn held_in(&self, wanted: impl Fn(&Extent) -> bool) -> Vec<Extent> {
        let state = self.shared.state.borrow();
        state.runs.iter().flat_map(|run| run.extents()).filter(wanted).collect()
    }

    /// Memory taken.
    #[must_use]
    pub fn memory(&self) -> IndexMemory {
        let cache_bytes = self.cache_statistics().bytes;
        IndexMemory { cache_bytes, ..self.shared.state.borrow().memory() }
    }

    /// How the cache does with pages, of all its indexes.
    #[must_use]
    pub fn cache_statistics(&self) -> CacheStatistics {
        self.shared.pages.cache.statistics(Kind::Page)
    }

    /// The number that the next run would have.
    #[must_use]
    pub fn next_run(&self) -> u64 {
        self.shared.state.borrow().next_run()
    }
}
