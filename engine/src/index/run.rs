//! One immutable sorted run: filter and fences in memory, pages on devices.
//!
//! Costs of a get: nothing when the key is outside the run's range or the filter denies it, else
//! one page, which is one device read unless the cache has it.

use super::fences::Fences;
use super::filter::Filter;
use super::page_table::PageTable;
use super::store::PageStore;
use crate::cache::BlockCache;
use crate::error::EngineError;
use crate::page::{Page, Value};
use ashlar_disk_format::checkpoint::RunRef;
use ashlar_disk_format::error::{DecodeError, Field, Structure};
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::run_manifest::RunManifest;
use ashlar_disk_format::units::VirtualShard;
use std::cell::Cell;
use std::ops::Bound;
use std::rc::Rc;

/// Which keys are this index's own: those of its range of virtual shards.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) first: VirtualShard,
    pub(super) last: VirtualShard,
    pub(super) vshard_of: fn(&[u8]) -> VirtualShard,
}

impl Owner {
    pub(super) fn owns(&self, key: &[u8]) -> bool {
        (self.first..=self.last).contains(&(self.vshard_of)(key))
    }

    /// True when nothing of the range is anyone else's.
    pub(super) fn owns_all(&self, first: VirtualShard, last: VirtualShard) -> bool {
        self.first <= first && last <= self.last
    }

    /// True when something of the range may be this index's own.
    pub(super) fn owns_some(&self, first: VirtualShard, last: VirtualShard) -> bool {
        self.first <= last && first <= self.last
    }
}

/// Whether a page that was read is worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// It may be asked for again.
    Cache,
    /// It is being merged away.
    Pass,
}

/// Where runs get their pages from.
#[derive(Debug, Clone)]
pub(super) struct Pages<S> {
    pub(super) store: S,
    pub(super) cache: BlockCache,
}

/// What is kept in memory of a run.
#[derive(Debug)]
pub(super) struct RunTables {
    pub(super) filter: Filter,
    pub(super) fences: Fences,
    pub(super) places: PageTable,
    pub(super) last_key: Box<[u8]>,
    pub(super) first_vshard: VirtualShard,
    pub(super) last_vshard: VirtualShard,
    pub(super) level: u8,
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// An open run.
#[derive(Debug)]
pub(super) struct Run<S> {
    pages: Pages<S>,
    owner: Owner,
    /// What its pages are named by in the cache: unlike the run's own, unique there.
    name: u64,
    reference: RunRef,
    tables: RunTables,
    /// Holds keys of other cores too, because it was written when the cores were fewer.
    shared: bool,
    /// A page was found lost. The run stays as it is: merged, it would take its neighbours' place with
    /// entries missing, and those that it hides would come back.
    damaged: Cell<bool>,
}

impl RunTables {
    /// Checks a manifest and packs it.
    ///
    /// # Errors
    /// When its parts do not fit each other.
    pub(super) fn of_manifest(manifest: &RunManifest) -> Result<Self, DecodeError> {
        let structure = Structure::RunManifest;
        let (mut fences, mut places) = (Fences::default(), PageTable::default());
        let mut previous: Option<&[u8]> = None;
        for (position, page) in manifest.pages.iter().enumerate() {
            let fence = page.first_key.as_slice();
            if previous.is_some_and(|previous| previous >= fence) || fence > manifest.last_key.as_slice() {
                return Err(DecodeError::Unordered {
                    structure,
                    field: Field::Key,
                    position: position as u64,
                });
            }
            within_key(fence.len())?;
            fences.push(fence);
            places.push(&page.extent)?;
            previous = Some(fence);
        }
        if manifest.pages.is_empty() {
            let (minimum, maximum) = (1, u64::from(u32::MAX));
            return Err(DecodeError::OutOfRange {
                structure,
                field: Field::Count,
                minimum,
                maximum,
                found: 0,
            });
        }
        fences.finish();
        places.finish();
        Ok(Self {
            filter: Filter::decode(&manifest.filter, manifest.filter_hashes)?,
            fences,
            places,
            last_key: manifest.last_key.as_slice().into(),
            first_vshard: manifest.first_vshard,
            last_vshard: manifest.last_vshard,
            level: manifest.level,
            entries: manifest.entries,
            bytes: manifest.bytes,
        })
    }
}

impl<S: PageStore> Run<S> {
    pub(super) fn new(
        pages: Pages<S>,
        owner: Owner,
        name: u64,
        reference: RunRef,
        tables: RunTables,
    ) -> Self {
        let shared = !owner.owns_all(tables.first_vshard, tables.last_vshard);
        Self { pages, owner, name, reference, tables, shared, damaged: Cell::new(false) }
    }

    /// The one page that may hold the key; `None` when the run does not hold it.
    pub(super) fn page_of(&self, key: &[u8], hash: u64) -> Option<usize> {
        if key > &*self.tables.last_key || !self.tables.filter.may_hold(hash) || !self.serves(key) {
            return None;
        }
        self.tables.fences.find(key)
    }

    /// What the run says about a key: nothing, deleted, or a value.
    pub(super) async fn get(&self, key: &[u8], hash: u64) -> Result<Option<Option<Value>>, EngineError> {
        let Some(index) = self.page_of(key, hash) else { return Ok(None) };
        let page = self.page(index, Keep::Cache).await?;
        Ok(page.find(key).map(|slot| page.shared_value(slot)))
    }

    /// Page `index`, from the cache or the store.
    pub(super) async fn page(&self, index: usize, keep: Keep) -> Result<Rc<Page>, EngineError> {
        let Ok(number) = u32::try_from(index) else { unreachable!("a run has fewer than 2^32 pages") };
        if let Some(page) = self.pages.cache.page(self.name, number) {
            return Ok(page);
        }
        let read = self.pages.store.read_page(&self.tables.places.extent(index)).await?;
        let page = Page::open(read.bytes().into(), self.reference.run, number)?;
        self.check_page(index, &page)?;
        let page = Rc::new(page);
        if keep == Keep::Cache {
            self.pages.cache.keep_page(self.name, number, &page);
        }
        Ok(page)
    }

    /// False for a key of another core in a shared run.
    pub(super) fn serves(&self, key: &[u8]) -> bool {
        !self.shared || self.owner.owns(key)
    }

    /// False when all its keys lie behind `end`.
    pub(super) fn begins_before(&self, end: Bound<&[u8]>) -> bool {
        match end {
            Bound::Included(end) => self.tables.fences.first() <= end,
            Bound::Excluded(end) => self.tables.fences.first() < end,
            Bound::Unbounded => true,
        }
    }

    pub(super) fn page_count(&self) -> usize {
        self.tables.places.len()
    }

    /// The page at which a search for `key` begins.
    pub(super) fn page_from(&self, key: &[u8]) -> usize {
        self.tables.fences.find(key).unwrap_or(0)
    }

    pub(super) fn reference(&self) -> &RunRef {
        &self.reference
    }

    pub(super) fn tables(&self) -> &RunTables {
        &self.tables
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    /// It is not merged any more.
    pub(super) fn bar(&self) {
        self.damaged.set(true);
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.get()
    }

    /// What its pages are named by in the cache.
    pub(super) fn name(&self) -> u64 {
        self.name
    }

    /// Everything the run occupies: its pages and its manifest.
    pub(super) fn extents(&self) -> Vec<Extent> {
        self.tables.places.iter().chain(self.reference.extents.iter().cloned()).collect()
    }

    /// A page must not hold keys that a get would look for elsewhere.
    fn check_page(&self, index: usize, page: &Page) -> Result<(), DecodeError> {
        let below =
            |key: &[u8]| index + 1 >= self.page_count() || key < self.tables.fences.get(index + 1).as_slice();
        let first = page.len() > 0 && page.key(0) < self.tables.fences.get(index).as_slice();
        let last = page.len() > 0 && !below(page.key(page.len() - 1));
        if first || last || page.len() == 0 {
            let position = if first { 0 } else { page.len().saturating_sub(1) as u64 };
            let structure = Structure::IndexPage;
            return Err(DecodeError::Unordered { structure, field: Field::Key, position });
        }
        Ok(())
    }
}

fn within_key(found: usize) -> Result<(), DecodeError> {
    let limit = ashlar_disk_format::constants::INDEX_KEY_BYTES_MAX;
    if found <= limit {
        return Ok(());
    }
    Err(DecodeError::OutOfRange {
        structure: Structure::RunManifest,
        field: Field::Key,
        minimum: 0,
        maximum: limit as u64,
        found: found as u64,
    })
}
