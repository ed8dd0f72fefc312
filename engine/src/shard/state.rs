//! What a core's shard consists of.

use super::commit::{Changes, Submitted};
use super::locks::KeyLocks;
use super::message::{Reply, Request, ShardImport, ShardSeed};
use super::router::{Router, vshard_of_key};
use crate::body::{SpareEntries, walk_body};
use crate::error::EngineError;
use crate::index::{Index, IndexOptions};
use crate::limits::{CHECKPOINT_LOG_BYTES, COPIES_MAX, HELD_QUESTIONS_MAX, SHARES_MAX, SPARE_ANSWERS_MAX};
use crate::log::LogWriter;
use crate::mesh::Post;
use crate::pool::{Level, PoolView, Purpose, Side};
use crate::rows::{Announcements, DataWriter, RowPages};
use crate::runtime::{CoreId, Runtime, TaskQueue};
use crate::sync::{Answers, Epochs, Event, Limit, OpGuard};
use crate::types::Bucket;
use ashlar_disk_format::checkpoint::BucketCounter;
use ashlar_disk_format::units::{BucketId, LogId};
use ashlar_disk_format::value::{BodyEntry, Entries};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

/// How a change moves a bucket's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CounterDelta {
    pub(crate) bucket: BucketId,
    pub(crate) objects: i64,
    pub(crate) bytes: i64,
    pub(crate) uploads: i64,
}

/// See [`Shard::suspend`].
#[derive(Debug, Default)]
pub(crate) struct Doubtful {
    pub(crate) epochs: Epochs,
    since: RefCell<Vec<OpGuard>>,
    /// The checkpoint that is being made, or the next that becomes durable, is later than these.
    covered: RefCell<Vec<OpGuard>>,
}

/// One core's share of the keys, and everything it needs to change them.
pub(crate) struct Shard<R: Runtime> {
    pub(crate) view: Rc<PoolView<R>>,
    pub(crate) index: Index<RowPages<R>>,
    pub(crate) log: LogWriter<R>,
    pub(crate) data: Rc<DataWriter<R>>,
    pub(crate) index_rows: Rc<DataWriter<R>>,
    /// Where moved bodies go: what lived long will live on, and is best kept apart from what comes in.
    pub(crate) cold: Rc<DataWriter<R>>,
    pub(crate) pages: RowPages<R>,
    pub(crate) body_pages: RowPages<R>,
    /// Extent pages of moved bodies.
    pub(super) cold_pages: RowPages<R>,
    pub(crate) post: Rc<Post<R, Request, Reply>>,
    pub(crate) router: Router,
    pub(crate) locks: KeyLocks,
    pub(crate) epochs: Epochs,
    /// Changes that were let in: a bucket is frozen when those before it have ended.
    pub(crate) changing: Epochs,
    pub(super) changes: RefCell<Changes>,
    pub(super) answers: Answers<Submitted>,
    pub(crate) spare_entries: SpareEntries,
    pub(crate) queue_filled: Event,
    /// Held for one row, or for the instant in which a checkpoint falls between two.
    pub(crate) turn: Limit,
    pub(crate) copies: Limit,
    pub(crate) shares: Limit,
    pub(super) held_questions: Limit,
    /// Unreferences were written that are to be sent.
    pub(super) unrefs_written: Event,
    pub(crate) buckets: RefCell<BTreeMap<String, Rc<Bucket>>>,
    pub(crate) bucket_ids: RefCell<BTreeMap<BucketId, Rc<Bucket>>>,
    pub(crate) frozen: RefCell<BTreeSet<BucketId>>,
    pub(crate) closing: Cell<bool>,
    memtable_bytes: usize,
    counters: RefCell<BTreeMap<BucketId, BucketCounter>>,
    pub(super) announcements: Rc<Announcements>,
    releases: RefCell<BTreeMap<Side, usize>>,
    released: Event,
    memtable_freed: Event,
    due: Cell<bool>,
    /// Bodies died that the newest snapshot does not know of.
    freed: Cell<bool>,
    stopped: Cell<bool>,
    /// Batches that the log refused and that may yet be found.
    pub(crate) doubtful: Doubtful,
    next_sequence: Cell<u64>,
    next_bucket: Cell<u32>,
    next_share: Cell<u32>,
    /// Releases whose extent pages could not be read: space that stays counted as live.
    pub(crate) unreleased: Cell<u64>,
}

/// Copies what is this core's of another mount's runs: puts each key into the memtable, and writes that
/// out as it grows. The old runs stay as they are until a checkpoint without them is durable.
async fn copy_in<R: Runtime>(
    index: &Index<RowPages<R>>,
    pages: &RowPages<R>,
    import: &ShardImport,
    memtable_bytes: usize,
) -> Result<(), EngineError> {
    let options = IndexOptions::new(import.first, import.last, vshard_of_key);
    let old = Index::open(pages.clone(), options, &import.runs).await?;
    let mut scan = old.sweep(Bound::Unbounded, Bound::Unbounded);
    while let Some(entry) = scan.next().await? {
        index.put(&entry.key, Some(&entry.value));
        if index.memory().memtable_bytes >= memtable_bytes
            && let Ok(frozen) = index.freeze()
        {
            let _run = index.flush(frozen).await?;
        }
    }
    Ok(())
}

impl<R: Runtime> std::fmt::Debug for Shard<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").field("core", &self.view.runtime.core()).finish_non_exhaustive()
    }
}

impl<R: Runtime> Shard<R> {
    /// Opens this core's share of the index over `view`.
    pub(crate) async fn open(
        view: Rc<PoolView<R>>,
        post: Rc<Post<R, Request, Reply>>,
        seed: &ShardSeed,
        memtable_bytes: usize,
    ) -> Result<Rc<Self>, EngineError> {
        let runtime = view.runtime.clone();
        let core = runtime.core();
        let (log, first_sequence) = (LogId(core.0), u64::from(view.facts.epoch.0) << 32);
        let router = Router::new(runtime.cores());
        let queue_filled = Event::new();
        let announcements = Rc::new(Announcements::new(queue_filled.clone()));
        let [data, cold, index_rows] = [Purpose::Bodies, Purpose::Cleaning, Purpose::Index]
            .map(|to| Rc::new(DataWriter::new(Rc::clone(&view), to, log, Rc::clone(&announcements))));
        let pages = RowPages::new(Rc::clone(&view), Rc::clone(&index_rows));
        let body_pages = RowPages::new(Rc::clone(&view), Rc::clone(&data));
        let cold_pages = RowPages::proving(Rc::clone(&view), Rc::clone(&cold));
        let (first, last) = router.range(core);
        let options = IndexOptions {
            cache: view.blocks.clone(),
            next_run: seed.next_run + u64::from(core.0),
            run_stride: u64::from(runtime.cores()),
            ..IndexOptions::new(first, last, vshard_of_key)
        };
        let index = Index::open(pages.clone(), options, &seed.runs).await?;
        // What is written from here on counts itself.
        let held = index.held_extents();
        for import in &seed.imports {
            copy_in(&index, &pages, import, memtable_bytes).await?;
        }
        view.ledger.settle_pages(&held, true);
        let counters = seed.counters.iter().map(|counter| (counter.bucket, counter.clone())).collect();
        Ok(Rc::new(Self {
            log: LogWriter::new(Rc::clone(&view), log),
            view,
            index,
            data,
            index_rows,
            cold,
            pages,
            body_pages,
            cold_pages,
            post,
            router,
            locks: KeyLocks::default(),
            epochs: Epochs::default(),
            changing: Epochs::default(),
            changes: RefCell::default(),
            answers: Answers::keeping(SPARE_ANSWERS_MAX),
            spare_entries: SpareEntries::default(),
            queue_filled,
            turn: Limit::new(1),
            copies: Limit::new(COPIES_MAX),
            shares: Limit::new(SHARES_MAX),
            held_questions: Limit::new(HELD_QUESTIONS_MAX),
            unrefs_written: Event::new(),
            buckets: RefCell::default(),
            bucket_ids: RefCell::default(),
            frozen: RefCell::default(),
            closing: Cell::new(false),
            memtable_bytes,
            counters: RefCell::new(counters),
            announcements,
            releases: RefCell::default(),
            released: Event::new(),
            memtable_freed: Event::new(),
            due: Cell::new(false),
            freed: Cell::new(false),
            stopped: Cell::new(false),
            doubtful: Doubtful::default(),
            next_sequence: Cell::new(first_sequence),
            next_bucket: Cell::new(0),
            next_share: Cell::new(0),
            unreleased: Cell::new(0),
        }))
    }

    /// Which core this is.
    pub(crate) fn core(&self) -> CoreId {
        self.view.runtime.core()
    }

    /// A number that no other record of this core has.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence.set(self.next_sequence.get() + 1);
        self.next_sequence.get()
    }

    /// A bucket number that is never given again: the mount's epoch above, below it a counter in which
    /// each core has its own residue. `None` after four thousand million divided by the cores.
    pub(crate) fn next_bucket(&self) -> Option<BucketId> {
        let counter = self.next_bucket.get();
        self.next_bucket.set(counter + 1);
        let below = counter.checked_mul(u32::from(self.view.runtime.cores()))?;
        let below = below.checked_add(u32::from(self.core().0))?;
        Some(BucketId((u64::from(self.view.facts.epoch.0) << 32) | u64::from(below)))
    }

    /// A number for a shared body or a reference; this core gives none twice in a mount. `None` after four
    /// thousand million.
    pub(super) fn next_share(&self) -> Option<u32> {
        let next = self.next_share.get();
        self.next_share.set(next.checked_add(1)?);
        Some(next)
    }

    /// An operation begins: it is refused once the engine is closing.
    pub(crate) fn enter(&self) -> Result<OpGuard, EngineError> {
        if self.closing.get() { Err(EngineError::Closing) } else { Ok(self.epochs.enter()) }
    }

    /// Moves counters.
    pub(crate) fn count(&self, delta: CounterDelta) {
        let mut counters = self.counters.borrow_mut();
        let empty = BucketCounter { bucket: delta.bucket, objects: 0, bytes: 0, uploads: 0 };
        let counter = counters.entry(delta.bucket).or_insert(empty);
        counter.objects += delta.objects;
        counter.bytes += delta.bytes;
        counter.uploads += delta.uploads;
    }

    /// This core's counters of a bucket. Summed over the cores they are exact; one alone may even be
    /// negative after the number of cores changed.
    pub(crate) fn counter(&self, bucket: BucketId) -> BucketCounter {
        let empty = BucketCounter { bucket, objects: 0, bytes: 0, uploads: 0 };
        self.counters.borrow().get(&bucket).cloned().unwrap_or(empty)
    }

    /// All counters that are not zero.
    pub(super) fn counters(&self) -> Vec<BucketCounter> {
        let counters = self.counters.borrow();
        let moved = |counter: &&BucketCounter| (counter.objects, counter.bytes, counter.uploads) != (0, 0, 0);
        counters.values().filter(moved).cloned().collect()
    }

    /// Writes no more to groups that lack a member, and waits until those rows are written that were begun.
    ///
    /// # Errors
    /// When no other group can be had for the log.
    pub(crate) async fn leave_lost(&self) -> Result<(), EngineError> {
        for writer in [&self.data, &self.cold, &self.index_rows] {
            writer.leave_lost().await;
        }
        let turn = self.turn.enter().await;
        let left = self.log.leave_lost().await;
        drop(turn);
        self.view.writes.pass().await;
        left
    }

    /// Takes the bytes of dead bodies off the ledger; those in extent pages as they are read.
    pub(super) fn release_later(self: &Rc<Self>, side: Side, bodies: Entries) {
        if !bodies.is_empty() {
            self.freed.set(true);
        }
        let mut deep = Vec::new();
        for entry in bodies {
            match entry {
                BodyEntry::Data(extent) => self.view.ledger.release(side, [&extent]),
                page @ BodyEntry::Page { .. } => deep.push(page),
                // Its reference is taken off by an unreference in the same batch.
                BodyEntry::Shared { .. } => {}
            }
        }
        if deep.is_empty() {
            return;
        }
        *self.releases.borrow_mut().entry(side).or_insert(0) += 1;
        let shard = Rc::clone(self);
        let guard = self.epochs.enter();
        self.view.runtime.spawn_vital(TaskQueue::Background, "a release", async move {
            match walk_body(&shard.view, &deep).await {
                Ok((space, unreadable)) => {
                    shard.unreleased.set(shard.unreleased.get() + unreadable);
                    for (group, bytes) in space.bytes() {
                        shard.view.ledger.add(side, group, -crate::number::to_i64(bytes));
                    }
                }
                Err(_closing) => shard.unreleased.set(shard.unreleased.get() + 1),
            }
            drop(guard);
            shard.release_ended(side);
        });
    }

    fn release_ended(&self, side: Side) {
        let mut releases = self.releases.borrow_mut();
        if let Some(count) = releases.get_mut(&side) {
            *count -= 1;
            if *count == 0 {
                releases.remove(&side);
            }
        }
        drop(releases);
        self.released.fire();
    }

    /// Waits until everything that died on an earlier side than `side` is off the ledger.
    pub(super) async fn releases_before(&self, side: Side) {
        loop {
            let wait = self.released.wait();
            if self.releases.borrow().keys().next().is_none_or(|oldest| *oldest >= side) {
                return;
            }
            wait.await;
        }
    }

    /// Waits while the memtable is far beyond the size at which a checkpoint is due.
    pub(super) async fn wait_for_memtable_room(self: &Rc<Self>) {
        loop {
            let wait = self.memtable_freed.wait();
            if self.index.memory().memtable_bytes < 2 * self.memtable_bytes {
                return;
            }
            self.ask_for_checkpoint_if_due();
            wait.await;
        }
    }

    /// Has a group taken back that looked dead and was pinned, for the life of the shard.
    pub(crate) async fn watch_pins(self: Rc<Self>) {
        while !self.closing.get() {
            self.view.pins.released().wait().await;
            self.freed.set(true);
            self.ask_for_checkpoint_if_due();
        }
    }

    /// A snapshot begins: it knows of everything that died until now.
    pub(super) fn freeing_begins(&self) {
        self.freed.set(false);
    }

    /// Tells core 0 when log or memtable have grown enough, or when something died while space is short:
    /// only a checkpoint gives it back. Once until the checkpoint is over.
    pub(super) fn ask_for_checkpoint_if_due(self: &Rc<Self>) {
        let grown = self.log.written() >= CHECKPOINT_LOG_BYTES
            || self.index.memory().memtable_bytes >= self.memtable_bytes;
        let useful = self.view.room.level() >= Level::Short && self.freed.get();
        if !(grown || useful) || self.due.replace(true) {
            return;
        }
        let shard = Rc::clone(self);
        self.view.runtime.spawn(TaskQueue::Background, async move {
            shard.view.request_checkpoint().await;
        });
    }

    /// Only deletes may still change something.
    pub(crate) fn is_low(&self) -> bool {
        self.view.room.level() == Level::Low
    }

    /// The log refused a batch, which the next start may find all the same if no checkpoint becomes durable that
    /// begins after this. Until then no group is taken back, so that what the batch names is still there.
    pub(super) fn suspend(&self) {
        self.doubtful.since.borrow_mut().push(self.doubtful.epochs.enter());
    }

    /// A snapshot begins: the log is read from a later place.
    pub(super) fn suspended_are_covered(&self) {
        self.doubtful.covered.borrow_mut().append(&mut self.doubtful.since.borrow_mut());
    }

    /// A checkpoint is over: whoever waited for memory goes on, and what came too late for it asks for
    /// the next one.
    pub(super) fn checkpoint_over(self: &Rc<Self>, is_durable: bool) {
        if is_durable {
            self.doubtful.covered.borrow_mut().clear();
        }
        self.due.set(false);
        self.memtable_freed.fire();
        self.ask_for_checkpoint_if_due();
    }

    /// Ends the committer once its queue is empty.
    pub(crate) fn stop(&self) {
        self.stopped.set(true);
        self.queue_filled.fire();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// The bucket, when this core takes changes for it.
    pub(super) fn live_bucket(&self, bucket: BucketId) -> Result<Rc<Bucket>, EngineError> {
        if self.frozen.borrow().contains(&bucket) {
            return Err(EngineError::BucketBusy);
        }
        self.bucket_ids.borrow().get(&bucket).cloned().ok_or(EngineError::NoSuchBucket)
    }
}
