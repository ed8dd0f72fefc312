//! What an index holds at one moment, and the synchronous steps that change it.

use super::memtable::Memtable;
use super::run::{Owner, Pages, Run, RunTables};
use super::store::PageStore;
use crate::cache::BlockCache;
use ashlar_disk_format::checkpoint::RunRef;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::units::VirtualShard;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

/// How an index behaves.
#[derive(Debug, Clone)]
pub struct IndexOptions {
    /// First virtual shard whose keys it holds.
    pub first_vshard: VirtualShard,
    /// Last virtual shard whose keys it holds.
    pub last_vshard: VirtualShard,
    /// The virtual shard of a key. Asked only about keys of runs that other cores share.
    pub vshard_of: fn(&[u8]) -> VirtualShard,
    /// A page of a run is cut before it would exceed this, bytes; at most
    /// [`super::PAGE_BYTES_MAX`].
    pub page_bytes: usize,
    /// Memory for the filter of a run, bits per key.
    pub filter_bits_per_key: u8,
    /// Where pages that were read are kept.
    pub cache: BlockCache,
    /// Runs of like size that are merged into one.
    pub merge_fanout: usize,
    /// The number of the next run written.
    pub next_run: u64,
    /// Distance between the numbers of runs, so that cores may number theirs without asking.
    pub run_stride: u64,
}

impl IndexOptions {
    /// The usual values for the keys of these virtual shards, without a cache.
    #[must_use]
    pub fn new(first: VirtualShard, last: VirtualShard, vshard_of: fn(&[u8]) -> VirtualShard) -> Self {
        Self {
            first_vshard: first,
            last_vshard: last,
            vshard_of,
            page_bytes: 32 * 1024,
            filter_bits_per_key: 10,
            cache: BlockCache::none(),
            merge_fanout: 4,
            next_run: 1,
            run_stride: 1,
        }
    }

    pub(super) fn owner(&self) -> Owner {
        Owner { first: self.first_vshard, last: self.last_vshard, vshard_of: self.vshard_of }
    }
}

/// Names a frozen memtable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrozenId(pub(super) u64);

/// The memtable that was frozen before is not flushed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreezeBusy {
    /// Which one it is.
    pub frozen: FrozenId,
}

impl std::fmt::Display for FreezeBusy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "memtable {} is frozen and not flushed yet", self.frozen.0)
    }
}

impl std::error::Error for FreezeBusy {}

/// Up to which replaced run a checkpoint is free of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetireToken(pub(super) u64);

/// What a checkpoint has to say about an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestSnapshot {
    /// Its runs, newest first.
    pub runs: Vec<RunRef>,
    /// For [`super::Index::confirm`] once the checkpoint is durable.
    pub retired_up_to: RetireToken,
}

/// A run that this index has let go of, but that other cores may still read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedRun {
    /// Its number.
    pub run: u64,
    /// What it occupies, for whoever is the last to let go.
    pub extents: Vec<Extent>,
}

/// Memory that an index takes, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexMemory {
    /// Memtable that takes puts.
    pub memtable_bytes: usize,
    /// Memtable that is being flushed.
    pub frozen_bytes: usize,
    /// Filters of all runs.
    pub filters_bytes: usize,
    /// Fence keys and page addresses of all runs.
    pub fences_bytes: usize,
    /// Pages held.
    pub cache_bytes: usize,
}

/// A memtable that takes no more puts.
#[derive(Debug, Clone)]
pub(super) struct Frozen {
    pub(super) id: FrozenId,
    pub(super) table: Rc<Memtable>,
}

#[derive(Debug)]
struct Retired<S> {
    token: u64,
    run: Rc<Run<S>>,
}

/// Runs, newest first.
pub(super) type Runs<S> = Rc<[Rc<Run<S>>]>;

/// The changing part of an index.
#[derive(Debug)]
pub(super) struct State<S> {
    pub(super) active: Memtable,
    pub(super) frozen: Option<Frozen>,
    pub(super) runs: Runs<S>,
    /// Changes whenever `frozen` or `runs` do.
    pub(super) version: u64,
    retired: Vec<Retired<S>>,
    last_token: u64,
    last_frozen: u64,
    next_run: u64,
}

/// What all handles, scans and steps of an index share.
#[derive(Debug)]
pub(super) struct Shared<S> {
    pub(super) options: IndexOptions,
    pub(super) pages: Pages<S>,
    pub(super) state: RefCell<State<S>>,
    pub(super) flushing: Cell<bool>,
    pub(super) merging: Cell<bool>,
}

/// Says that a step is under way until dropped, also when its future is.
#[derive(Debug)]
pub(super) struct Busy<'a>(&'a Cell<bool>);

impl<'a> Busy<'a> {
    /// `None` when the step is under way already.
    pub(super) fn begin(flag: &'a Cell<bool>) -> Option<Self> {
        (!flag.replace(true)).then_some(Self(flag))
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<S: PageStore> Shared<S> {
    pub(super) fn new(store: S, options: IndexOptions) -> Self {
        assert!(options.first_vshard <= options.last_vshard, "the range of virtual shards is not empty");
        assert!(options.page_bytes <= super::PAGE_BYTES_MAX, "pages of {} bytes", options.page_bytes);
        assert!(options.merge_fanout >= 2, "merging fewer than two runs does nothing");
        assert!(options.run_stride >= 1, "two runs would have one number");
        let cache = options.cache.clone();
        let state = State {
            active: Memtable::default(),
            frozen: None,
            runs: Rc::from([]),
            version: 0,
            retired: Vec::new(),
            last_token: 0,
            last_frozen: 0,
            next_run: options.next_run,
        };
        Self {
            options,
            pages: Pages { store, cache },
            state: RefCell::new(state),
            flushing: Cell::new(false),
            merging: Cell::new(false),
        }
    }

    /// A run that was written or loaded, as part of this index.
    pub(super) fn adopt(&self, reference: RunRef, tables: RunTables) -> Rc<Run<S>> {
        let mut state = self.state.borrow_mut();
        while state.next_run <= reference.run {
            state.next_run += self.options.run_stride;
        }
        let name = self.pages.cache.number_run();
        Rc::new(Run::new(self.pages.clone(), self.options.owner(), name, reference, tables))
    }

    /// Nobody will ask for pages of these runs any more.
    pub(super) fn forget_pages(&self, runs: &[Rc<Run<S>>]) {
        let names: Vec<u64> = runs.iter().map(|run| run.name()).collect();
        self.pages.cache.forget_runs(&names);
    }

    pub(super) fn take_run_number(&self) -> u64 {
        let mut state = self.state.borrow_mut();
        let number = state.next_run;
        state.next_run += self.options.run_stride;
        number
    }
}

impl<S: PageStore> State<S> {
    pub(super) fn next_run(&self) -> u64 {
        self.next_run
    }

    /// Sets the memtable aside and begins a new one.
    pub(super) fn freeze(&mut self) -> Result<FrozenId, FreezeBusy> {
        if let Some(frozen) = &self.frozen {
            return Err(FreezeBusy { frozen: frozen.id });
        }
        self.last_frozen += 1;
        let id = FrozenId(self.last_frozen);
        let table = Rc::new(std::mem::take(&mut self.active));
        self.frozen = Some(Frozen { id, table });
        self.version += 1;
        Ok(id)
    }

    /// Puts the run, if there is one, in the place of the frozen memtable.
    pub(super) fn install(&mut self, run: Option<Rc<Run<S>>>) {
        self.frozen = None;
        self.runs = run.into_iter().chain(self.runs.iter().cloned()).collect();
        self.version += 1;
    }

    /// Puts the run, if there is one, in the place of `merged`, which are neighbours.
    pub(super) fn replace(&mut self, merged: &[Rc<Run<S>>], run: Option<Rc<Run<S>>>) {
        let window = self.window_of(merged);
        let (newer, older) = (&self.runs[..window.start], &self.runs[window.end..]);
        self.runs = newer.iter().cloned().chain(run).chain(older.iter().cloned()).collect();
        for run in merged {
            self.last_token += 1;
            self.retired.push(Retired { token: self.last_token, run: Rc::clone(run) });
        }
        self.version += 1;
    }

    pub(super) fn snapshot(&self) -> ManifestSnapshot {
        ManifestSnapshot {
            runs: self.runs.iter().map(|run| run.reference().clone()).collect(),
            retired_up_to: RetireToken(self.last_token),
        }
    }

    /// Takes out the runs that were replaced up to `token` and that nothing reads any more.
    pub(super) fn take_retired(&mut self, token: RetireToken) -> Vec<Rc<Run<S>>> {
        let unused = |old: &mut Retired<S>| old.token <= token.0 && Rc::strong_count(&old.run) == 1;
        self.retired.extract_if(.., unused).map(|old| old.run).collect()
    }

    pub(super) fn memory(&self) -> IndexMemory {
        let sum = |bytes: fn(&RunTables) -> usize| self.runs.iter().map(|run| bytes(run.tables())).sum();
        IndexMemory {
            memtable_bytes: self.active.bytes(),
            frozen_bytes: self.frozen.as_ref().map_or(0, |frozen| frozen.table.bytes()),
            filters_bytes: sum(|tables| tables.filter.bytes()),
            fences_bytes: sum(|tables| tables.fences.bytes() + tables.places.bytes() + tables.last_key.len()),
            cache_bytes: 0,
        }
    }

    fn window_of(&self, merged: &[Rc<Run<S>>]) -> Range<usize> {
        let first = merged.first();
        let start = self.runs.iter().position(|run| first.is_some_and(|first| Rc::ptr_eq(run, first)));
        let Some(start) = start else {
            unreachable!("only one merge runs at a time, and only it takes runs out")
        };
        start..start + merged.len()
    }
}
