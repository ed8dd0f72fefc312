//! Writes one run: sorted entries in, pages, a manifest and the run's tables out.
//!
//! Invariant: whatever was written is given back to the store unless the run is finished, so that
//! neither an error nor a dropped future leaks space.

use super::fences::{Fences, separator};
use super::filter::{FilterBuilder, filter_hash};
use super::limits::{PAGE_BYTES_MAX, VALUE_BYTES_MAX};
use super::page_table::PageTable;
use super::run::RunTables;
use super::store::PageStore;

use crate::error::EngineError;
use ashlar_disk_format::checkpoint::RunRef;
use ashlar_disk_format::constants::INDEX_KEY_BYTES_MAX;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::index_page::encode_index_page;
use ashlar_disk_format::run_manifest::{PageRef, RunManifest};
use ashlar_disk_format::units::VirtualShard;
use std::ops::Range;

/// What an archive adds to the bytes of one entry: two relative pointers with lengths and a tag.
const ENTRY_OVERHEAD_BYTES: usize = 17;
/// What a page adds to the bytes of its entries: the frame's header and the archive's root.
const PAGE_OVERHEAD_BYTES: usize = 80;
/// Pages handed to the store at a time: about one chunk, so that a row is used well and a few
/// megabytes of memory at most are tied up.
const PAGES_PER_WRITE: usize = 32;

// An entry of the longest key and the largest value fits a page of its own.
const _: () = assert!(
    INDEX_KEY_BYTES_MAX + VALUE_BYTES_MAX + ENTRY_OVERHEAD_BYTES + PAGE_OVERHEAD_BYTES <= PAGE_BYTES_MAX
);

/// What the writer has to know about the run before its entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunSpec {
    pub(super) run: u64,
    pub(super) level: u8,
    /// At most so many entries will come.
    pub(super) entries_max: u64,
    pub(super) first_vshard: VirtualShard,
    pub(super) last_vshard: VirtualShard,
    /// A page is cut before it would exceed this many bytes.
    pub(super) page_bytes: usize,
    pub(super) filter_bits_per_key: u8,
}

/// The entries of the page in the making, back to back.
#[derive(Debug, Default)]
struct Draft {
    bytes: Vec<u8>,
    entries: Vec<(Range<usize>, Option<Range<usize>>)>,
}

/// A run in the making.
#[derive(Debug)]
pub(super) struct RunWriter<S: PageStore> {
    store: S,
    spec: RunSpec,
    draft: Draft,
    ready: Vec<Vec<u8>>,
    page_count: u32,
    filter: Option<FilterBuilder>,
    fences: Fences,
    places: PageTable,
    /// Written so far and owned by nobody else yet.
    written: Vec<Extent>,
    last_key: Vec<u8>,
    entries: u64,
    tombstones: u64,
    bytes: u64,
}

impl Draft {
    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let mut put = |part: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend(part);
            start..self.bytes.len()
        };
        let entry = (put(key), value.map(put));
        self.entries.push(entry);
    }

    fn encoded_bytes(&self) -> usize {
        PAGE_OVERHEAD_BYTES + self.bytes.len() + self.entries.len() * ENTRY_OVERHEAD_BYTES
    }

    fn encode(&mut self, run: u64, page: u32) -> Vec<u8> {
        let part = |range: &Range<usize>| &self.bytes[range.clone()];
        let entries: Vec<(&[u8], Option<&[u8]>)> =
            self.entries.iter().map(|(key, value)| (part(key), value.as_ref().map(part))).collect();
        let page = encode_index_page(run, page, &entries);
        self.bytes.clear();
        self.entries.clear();
        page
    }
}

impl<S: PageStore> RunWriter<S> {
    pub(super) fn new(store: S, spec: RunSpec) -> Self {
        Self {
            store,
            spec,
            draft: Draft::default(),
            ready: Vec::new(),
            page_count: 0,
            filter: Some(FilterBuilder::new(spec.entries_max, spec.filter_bits_per_key)),
            fences: Fences::default(),
            places: PageTable::default(),
            written: Vec::new(),
            last_key: Vec::new(),
            entries: 0,
            tombstones: 0,
            bytes: 0,
        }
    }

    /// Adds an entry; `None` is a tombstone. Write when [`Self::is_full`] says so.
    ///
    /// # Panics
    /// When the key is not above the last one.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        assert!(self.entries == 0 || key > self.last_key.as_slice(), "keys ascend");
        let added = key.len() + value.map_or(0, <[u8]>::len) + ENTRY_OVERHEAD_BYTES;
        let draft_empty = self.draft.entries.is_empty();
        if !draft_empty && self.draft.encoded_bytes() + added > self.spec.page_bytes {
            self.cut();
        }
        if self.draft.entries.is_empty() {
            let first = self.entries == 0;
            self.fences.push(if first { key } else { separator(&self.last_key, key) });
        }
        self.draft.push(key, value);
        if let Some(filter) = &mut self.filter {
            filter.add(filter_hash(key));
        }
        self.last_key.clear();
        self.last_key.extend(key);
        self.entries += 1;
        self.tombstones += u64::from(value.is_none());
    }

    /// True when enough pages wait to be written.
    pub(super) fn is_full(&self) -> bool {
        self.ready.len() >= PAGES_PER_WRITE
    }

    /// Writes the pages that wait.
    ///
    /// # Errors
    /// When the store cannot; the run is then lost.
    pub(super) async fn write(&mut self) -> Result<(), EngineError> {
        if self.ready.is_empty() {
            return Ok(());
        }
        let ready = std::mem::take(&mut self.ready);
        for extent in self.write_pages(ready).await? {
            self.places.push(&extent)?;
            self.bytes += u64::from(extent.length);
        }
        Ok(())
    }

    /// Writes what is left and the manifest. `None` when no entries came.
    ///
    /// # Errors
    /// When the store cannot; the run is then lost.
    pub(super) async fn finish(mut self) -> Result<Option<(RunRef, RunTables)>, EngineError> {
        if self.entries == 0 {
            return Ok(None);
        }
        self.cut();
        self.write().await?;
        let tables = self.tables();
        let blob = self.manifest(&tables).encode();
        let blob_bytes = blob.len() as u64;
        let pieces: Vec<Vec<u8>> = blob.chunks(PAGE_BYTES_MAX).map(<[u8]>::to_vec).collect();
        drop(blob);
        let mut extents = Vec::new();
        let mut pieces = pieces.into_iter();
        loop {
            let batch: Vec<Vec<u8>> = pieces.by_ref().take(PAGES_PER_WRITE).collect();
            if batch.is_empty() {
                break;
            }
            extents.extend(self.write_pages(batch).await?);
        }
        self.written.clear();
        let reference = RunRef { run: self.spec.run, bytes: blob_bytes, extents };
        Ok(Some((reference, tables)))
    }

    fn cut(&mut self) {
        if self.draft.entries.is_empty() {
            return;
        }
        let page = self.draft.encode(self.spec.run, self.page_count);
        assert!(page.len() <= PAGE_BYTES_MAX, "a page of {} bytes", page.len());
        self.ready.push(page);
        self.page_count += 1;
    }

    async fn write_pages(&mut self, pages: Vec<Vec<u8>>) -> Result<Vec<Extent>, EngineError> {
        let count = pages.len();
        let extents = self.store.write_pages(pages).await?;
        assert!(extents.len() == count, "the store answers with one extent per page");
        self.written.extend(extents.iter().cloned());
        Ok(extents)
    }

    fn tables(&mut self) -> RunTables {
        let (mut fences, mut places) = (std::mem::take(&mut self.fences), std::mem::take(&mut self.places));
        assert!(fences.len() == places.len(), "one fence per page");
        fences.finish();
        places.finish();
        let Some(filter) = self.filter.take() else { unreachable!("taken once, at the end") };
        RunTables {
            filter: filter.finish(),
            fences,
            places,
            last_key: self.last_key.as_slice().into(),
            first_vshard: self.spec.first_vshard,
            last_vshard: self.spec.last_vshard,
            level: self.spec.level,
            entries: self.entries,
            bytes: self.bytes,
        }
    }

    fn manifest(&self, tables: &RunTables) -> RunManifest {
        let pages = tables.places.iter().enumerate();
        RunManifest {
            run: self.spec.run,
            level: self.spec.level,
            entries: self.entries,
            tombstones: self.tombstones,
            bytes: self.bytes,
            first_vshard: self.spec.first_vshard,
            last_vshard: self.spec.last_vshard,
            last_key: self.last_key.clone(),
            pages: pages.map(|(at, extent)| PageRef { first_key: tables.fences.get(at), extent }).collect(),
            filter: tables.filter.encode(),
            filter_hashes: tables.filter.hashes(),
        }
    }
}

impl<S: PageStore> Drop for RunWriter<S> {
    fn drop(&mut self) {
        if !self.written.is_empty() {
            self.store.release_pages(&self.written);
        }
    }
}
