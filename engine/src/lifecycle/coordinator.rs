//! Core 0's work for all: answers of the pool's owner, checkpoints, space, failed devices.

use super::cleaner::Cleaner;
use super::node::Node;
use super::rebuilder::Rebuilder;
use super::scrubber::Scrubber;
use crate::error::EngineError;
use crate::pool::{DeviceUse, Level, PoolOwner, PoolReply, PoolRequest, PoolView, Room, write_superblocks};
use crate::rows::write_blob;
use crate::runtime::{CoreId, Device, DeviceError, Runtime, TaskQueue};
use crate::shard::{Reply, Request, Router, Shard, ShardSnapshot};
use crate::sync::{Event, Limit};
use ashlar_disk_format::checkpoint::{Checkpoint, ShardManifest};
use ashlar_disk_format::constants::CHECKPOINT_GROUPS_MAX;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::superblock::{DeviceState, Superblock};
use ashlar_disk_format::units::{DeviceIndex, GroupId, RowOffset};
use futures_util::future::join_all;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};
use std::time::Duration;

/// Groups opened since the last checkpoint after which the next is due, as a share of all: space
/// comes back only through checkpoints.
const OPENED_SHARE: u64 = 16;

/// Pause behind a failed checkpoint.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Coordinator<R: Runtime> {
    /// It owns this.
    node: Weak<Node<R>>,
    pub(super) view: Rc<PoolView<R>>,
    pub(crate) owner: PoolOwner,
    pub(super) cleaner: Cleaner,
    pub(super) rebuilder: Rebuilder,
    pub(super) scrubber: Scrubber,
    due: Event,
    is_due: Cell<bool>,
    one_at_a_time: Limit,
    /// Superblocks go to the same places: one after another, in the order of their sequence.
    superblock_turn: Limit,
    /// A task takes groups back.
    reclaiming: Cell<bool>,
    /// What the newest durable checkpoint says may be taken back and that task has not begun with.
    dead: RefCell<Vec<GroupId>>,
    /// What the cores were told last.
    room: Cell<Room>,
    /// The newest durable checkpoint of this mount.
    checkpointed: Cell<u64>,
    opened: Cell<u64>,
    /// Devices out of service of which the cores know that they are not missed.
    forgotten: RefCell<BTreeSet<DeviceIndex>>,
    /// What the superblock refers to now.
    pub(super) checkpoint_extents: RefCell<Vec<Extent>>,
    pub(crate) failures: RefCell<Vec<(DeviceIndex, DeviceError)>>,
    pub(crate) checkpoints: Cell<u64>,
    pub(crate) failed_checkpoints: Cell<u64>,
    /// Runs of all cores' indexes with lost pages, by the newest checkpoint.
    pub(crate) damaged_runs: Cell<u64>,
}

impl<R: Runtime> std::fmt::Debug for Coordinator<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coordinator").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl<R: Runtime> Coordinator<R> {
    pub(crate) fn new(
        node: &Rc<Node<R>>,
        view: Rc<PoolView<R>>,
        owner: PoolOwner,
        checkpoint_extents: Vec<Extent>,
    ) -> Rc<Self> {
        let forgotten = RefCell::new(owner.vacant());
        Rc::new(Self {
            forgotten,
            node: Rc::downgrade(node),
            view,
            owner,
            cleaner: Cleaner::new(),
            rebuilder: Rebuilder::new(node.options.rebuild_after),
            scrubber: Scrubber::new(node.options.scrub_every),
            due: Event::new(),
            is_due: Cell::new(false),
            one_at_a_time: Limit::new(1),
            superblock_turn: Limit::new(1),
            reclaiming: Cell::new(false),
            dead: RefCell::default(),
            room: Cell::new(Room::AMPLE),
            checkpointed: Cell::new(0),
            opened: Cell::new(0),
            checkpoint_extents: RefCell::new(checkpoint_extents),
            failures: RefCell::default(),
            checkpoints: Cell::new(0),
            failed_checkpoints: Cell::new(0),
            damaged_runs: Cell::new(0),
        })
    }

    /// Makes checkpoints when they are due, and space when it is short, for the life of the process.
    pub(crate) fn run(self: &Rc<Self>) {
        self.run_cleaner();
        self.run_rebuilder();
        self.run_scrubber();
        let coordinator = Rc::clone(self);
        self.view.runtime.spawn_vital(TaskQueue::Background, "the coordinator", async move {
            loop {
                let wait = coordinator.due.wait();
                if !coordinator.is_due.replace(false) {
                    wait.await;
                    continue;
                }
                if coordinator.checkpoint(false).await.is_ok() {
                    continue;
                }
                // Every core goes on with its old starting point. Writers may wait for the memory that
                // only a checkpoint frees, and nobody else would ask again.
                coordinator.failed_checkpoints.set(coordinator.failed_checkpoints.get() + 1);
                coordinator.view.runtime.sleep(RETRY_PAUSE).await;
                if coordinator.shard().is_ok_and(|shard| !shard.closing.get()) {
                    coordinator.ask_for_checkpoint();
                }
            }
        });
    }

    pub(super) fn ask_for_checkpoint(&self) {
        self.is_due.set(true);
        self.due.fire();
    }

    /// Answers a core that asks the owner.
    pub(crate) async fn pool_request(
        self: &Rc<Self>,
        request: PoolRequest,
    ) -> Result<PoolReply, EngineError> {
        match &request {
            PoolRequest::Failed { device, error } => {
                if self.owner.fail(*device) {
                    self.failures.borrow_mut().push((*device, *error));
                    self.fence_everywhere(*device).await?;
                }
                return Ok(PoolReply::Done);
            }
            PoolRequest::Slow { device } => self.avoid(*device),
            PoolRequest::Due => self.ask_for_checkpoint(),
            PoolRequest::Open { .. } => self.watch_space(),
            PoolRequest::Describe { .. } | PoolRequest::Prepared { .. } | PoolRequest::Seal { .. } => {}
        }
        let answer = self.owner.answer(&request);
        if matches!(answer, Err(EngineError::Full)) {
            self.ask_for_checkpoint();
        }
        answer
    }

    /// Every core stops writing to the device, and the superblocks of the others say so.
    async fn fence_everywhere(self: &Rc<Self>, device: DeviceIndex) -> Result<(), EngineError> {
        self.view.fence(device);
        self.everywhere(|| Request::Use(device, DeviceUse::Never)).await?;
        let failures = self.write_superblocks(|_| ()).await?;
        self.ask_for_checkpoint();
        self.rebuilder.call();
        for (device, error) in failures {
            if self.owner.fail(device) {
                self.failures.borrow_mut().push((device, error));
                Box::pin(self.fence_everywhere(device)).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn write_superblocks(
        &self,
        change: impl FnOnce(&mut Superblock),
    ) -> Result<Vec<(DeviceIndex, DeviceError)>, EngineError> {
        let _turn = self.superblock_turn.enter().await;
        let superblock = self.owner.next_superblock(change);
        write_superblocks(&self.view, &superblock).await
    }

    /// Counts what is opened; tells the cores when space gets short, or no longer is.
    fn watch_space(self: &Rc<Self>) {
        self.opened.set(self.opened.get() + 1);
        let (_, all) = self.owner.room();
        if self.opened.get().saturating_mul(OPENED_SHARE) >= all {
            self.opened.set(0);
            self.ask_for_checkpoint();
        }
        self.tell_space();
    }

    pub(super) fn tell_space(self: &Rc<Self>) {
        let level = self.owner.space().level;
        if level < Level::Short {
            self.cleaner.is_hopeful.set(true);
        } else if !self.cleaner.is_active() {
            // What died may be enough. The cleaner has it counted by itself.
            self.ask_for_checkpoint();
        }
        if level >= Level::Cleaning {
            self.cleaner.is_needed();
        }
        self.tell_room();
    }

    /// Tells the cores how much room there is, when that changed.
    pub(super) fn tell_room(self: &Rc<Self>) {
        let level = self.owner.space().level;
        let room = Room { level, is_hopeful: self.cleaner.is_hopeful.get() };
        if self.room.replace(room) != room {
            let coordinator = Rc::clone(self);
            self.view.runtime.spawn(TaskQueue::Foreground, async move {
                // A core that is closing does not mind.
                let _told = coordinator.everywhere(|| Request::Room(coordinator.room.get())).await;
            });
        }
    }

    /// Dead groups are waiting to be taken back.
    pub(super) fn is_reclaiming(&self) -> bool {
        self.reclaiming.get()
    }

    /// The newest durable checkpoint of this mount.
    pub(super) fn checkpointed(&self) -> u64 {
        self.checkpointed.get()
    }

    pub(super) fn node(&self) -> Result<Rc<Node<R>>, EngineError> {
        self.node.upgrade().ok_or(EngineError::Closing)
    }

    /// The shard of this core.
    pub(super) fn shard(&self) -> Result<Rc<Shard<R>>, EngineError> {
        self.node()?.shard()
    }

    /// Asks every core the same, all at once.
    pub(crate) async fn everywhere(
        self: &Rc<Self>,
        request: impl Fn() -> Request,
    ) -> Result<Vec<Reply>, EngineError> {
        let node = self.node()?;
        let calls = (0..node.runtime.cores()).map(|core| node.ask(CoreId(core), request()));
        join_all(calls).await.into_iter().collect()
    }

    /// Makes a checkpoint; afterwards recovery starts from it.
    ///
    /// # Errors
    /// When it did not become durable: the one before still holds.
    pub(crate) async fn checkpoint(self: &Rc<Self>, clean: bool) -> Result<(), EngineError> {
        let _turn = self.one_at_a_time.enter().await;
        let number = self.owner.begin_checkpoint();
        let result = self.write_checkpoint(number, clean).await;
        let is_durable = result.is_ok();
        if is_durable {
            self.checkpointed.set(number);
        }
        let over = self.everywhere(|| Request::SnapshotDone { is_durable }).await;
        result?;
        over?;
        self.checkpoints.set(self.checkpoints.get() + 1);
        self.forget_the_rebuilt().await;
        self.reclaim_later(number);
        if self.owner.space().level >= Level::Cleaning {
            self.cleaner.is_counted();
        }
        Ok(())
    }

    /// Tells the cores which devices out of service are not missed any more: others may be given up instead.
    async fn forget_the_rebuilt(self: &Rc<Self>) {
        let missed = self.owner.missed();
        for device in self.owner.out_of_service().difference(&missed) {
            if self.forgotten.borrow_mut().insert(*device) {
                // A core that is closing does not mind.
                let _told = self.everywhere(|| Request::Use(*device, DeviceUse::Forgotten)).await;
            }
        }
    }

    async fn write_checkpoint(self: &Rc<Self>, number: u64, clean: bool) -> Result<(), EngineError> {
        // Later ones may have got groups that this checkpoint does not name.
        let out = self.owner.out_of_service();
        let mut snapshots = Vec::new();
        for reply in self.everywhere(|| Request::Snapshot).await? {
            let Reply::Snapshot(snapshot) = reply else { return Err(EngineError::Closing) };
            snapshots.push(*snapshot);
        }
        for reply in self.everywhere(|| Request::Tails).await? {
            let Reply::Ends { ends, .. } = reply else { return Err(EngineError::Closing) };
            for (group, tail) in ends {
                self.owner.resume(group, tail);
            }
        }
        let checkpoint = self.compose(number, snapshots);
        let shard = self.shard()?;
        let bytes = checkpoint.encode();
        let blob = write_blob(&shard.pages, &bytes).await?;
        let root = write_blob(&shard.pages, &Extent::list_encode(&blob)).await?;
        let mut groups = Vec::new();
        for extent in blob.iter().chain(&root) {
            let descriptor: Rc<GroupDescriptor> = self.view.group(extent.group, extent.generation).await?;
            if !groups.contains(&*descriptor) {
                groups.push((*descriptor).clone());
            }
        }
        if groups.len() > CHECKPOINT_GROUPS_MAX {
            return Err(EngineError::CheckpointTooLarge {
                found: groups.len(),
                limit: CHECKPOINT_GROUPS_MAX,
            });
        }
        let cores = self.view.runtime.cores();
        let change = |superblock: &mut Superblock| {
            superblock.checkpoint.clone_from(&root);
            superblock.checkpoint_bytes = bytes.len() as u64;
            superblock.checkpoint_groups = groups;
            superblock.cores = cores;
            superblock.clean = clean;
            mark_vacant(superblock, &out, &checkpoint);
        };
        let failures = self.write_superblocks(change).await?;
        for (device, error) in failures {
            self.view.report_failure(device, error).await;
        }
        let mut now = blob;
        now.extend(root);
        shard.view.ledger.settle_pages(&now, true);
        let before = self.checkpoint_extents.replace(now);
        shard.view.ledger.settle_pages(&before, false);
        Ok(())
    }

    fn compose(&self, number: u64, snapshots: Vec<ShardSnapshot>) -> Checkpoint {
        let mut live: BTreeMap<GroupId, i64> = BTreeMap::new();
        let mut shards = Vec::new();
        let mut logs = Vec::new();
        let mut next_run = 0;
        self.damaged_runs.set(snapshots.iter().map(|snapshot| snapshot.damaged_runs).sum());
        let router = Router::new(self.view.runtime.cores());
        for (core, snapshot) in snapshots.into_iter().enumerate() {
            for (group, bytes) in &snapshot.live {
                *live.entry(*group).or_insert(0) += bytes;
            }
            next_run = next_run.max(snapshot.next_run);
            logs.push(snapshot.position);
            let core = crate::number::to_u16(core);
            let (first_vshard, last_vshard) = router.range(CoreId(core));
            shards.push(ShardManifest {
                core,
                first_vshard,
                last_vshard,
                runs: snapshot.runs,
                counters: snapshot.counters,
            });
        }
        Checkpoint {
            pool: self.view.facts.pool,
            epoch: self.view.facts.epoch,
            sequence: number,
            logs,
            shards,
            groups: self.owner.table(&live),
            prepared: self.owner.prepared(),
            next_run,
            next_generation: self.owner.next_generation(),
        }
    }

    /// Takes dead groups back once every operation that began before has ended. One such wait at a
    /// time; what a later checkpoint finds dead is taken back by the next one.
    fn reclaim_later(self: &Rc<Self>, number: u64) {
        let dead = self.owner.dead(number);
        if dead.is_empty() {
            return;
        }
        // What an earlier list named and this one does not was taken back.
        *self.dead.borrow_mut() = dead;
        if self.reclaiming.replace(true) {
            return;
        }
        let coordinator = Rc::clone(self);
        self.view.runtime.spawn_vital(TaskQueue::Background, "the reclaiming task", async move {
            loop {
                let dead = std::mem::take(&mut *coordinator.dead.borrow_mut());
                if dead.is_empty() {
                    break;
                }
                // A core that is closing keeps its space until the next start.
                let gained = coordinator.reclaim(dead).await.unwrap_or(0);
                coordinator.cleaner.reclaimed.fire();
                // Otherwise nothing is to be told, and a count would find the same groups again.
                if gained > 0 {
                    coordinator.tell_space();
                }
            }
            coordinator.reclaiming.set(false);
            coordinator.cleaner.reclaimed.fire();
        });
    }

    /// Which of `groups` hold rows that no record names yet; when one of them is let go of, its core asks for a
    /// checkpoint if space is short.
    pub(super) async fn pinned(
        self: &Rc<Self>,
        groups: &[GroupId],
    ) -> Result<BTreeSet<GroupId>, EngineError> {
        let mut pinned = BTreeSet::new();
        for reply in self.everywhere(|| Request::Pinned(groups.to_vec())).await? {
            let Reply::Pinned(groups) = reply else { return Err(EngineError::Closing) };
            pinned.extend(groups);
        }
        Ok(pinned)
    }

    /// Takes those of `dead` back that really are; how many. In this order: a body that has let go of its pins before
    /// they are asked for is counted when the ledgers are.
    async fn reclaim(self: &Rc<Self>, dead: Vec<GroupId>) -> Result<usize, EngineError> {
        let pinned = self.pinned(&dead).await?;
        let dead: Vec<GroupId> = dead.into_iter().filter(|group| !pinned.contains(group)).collect();
        let result = self.reclaim_unpinned(self.owner.begin_reclaim(dead)).await;
        self.owner.end_reclaim();
        result
    }

    async fn reclaim_unpinned(self: &Rc<Self>, dead: Vec<GroupId>) -> Result<usize, EngineError> {
        if dead.is_empty() {
            return Ok(0);
        }
        self.everywhere(|| Request::PassEpoch).await?;
        let mut sums = vec![0i64; dead.len()];
        for reply in self.everywhere(|| Request::Live(dead.clone())).await? {
            let Reply::Live(counts) = reply else { continue };
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        let free: Vec<GroupId> =
            dead.into_iter().zip(sums).filter(|(_, sum)| *sum == 0).map(|(group, _)| group).collect();
        self.everywhere(|| Request::Forget(free.clone())).await?;
        let members: Vec<_> = self
            .owner
            .groups()
            .into_iter()
            .filter(|group| free.contains(&group.descriptor.group))
            .flat_map(|group| group.descriptor.members)
            .collect();
        for member in members {
            let start = self.view.chunk_offset(member.device, member.segment, RowOffset(0));
            // A file would lose its allocation, which every later write relies on.
            let device = self.view.device(member.device).filter(|device| !device.info().is_file);
            if let (Some(device), Some(start)) = (device.cloned(), start) {
                device.discard(start, self.view.facts.segment_bytes).await;
            }
        }
        self.owner.take_back(&free);
        Ok(free.len())
    }
}

/// Nobody misses a device when the checkpoint names nothing on it, and it was `out` of service before that was begun.
fn mark_vacant(superblock: &mut Superblock, out: &BTreeSet<DeviceIndex>, checkpoint: &Checkpoint) {
    let members = checkpoint.groups.iter().flat_map(|group| &group.descriptor.members);
    let named: BTreeSet<DeviceIndex> = members.map(|member| member.device).collect();
    let is_empty = |index: &DeviceIndex| out.contains(index) && !named.contains(index);
    for entry in superblock.devices.iter_mut().filter(|entry| is_empty(&entry.index)) {
        if let DeviceState::Absent { .. } | DeviceState::Failed { .. } = entry.state {
            entry.state = DeviceState::Vacant { since: checkpoint.epoch };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_disk_format::checkpoint::{GroupState, GroupStatus};
    use ashlar_disk_format::code::CodeShape;
    use ashlar_disk_format::group::{GroupKind, Member};
    use ashlar_disk_format::superblock::{DeviceEntry, ScrubProgress};
    use ashlar_disk_format::units::{DeviceId, Epoch, Generation, LogId, PoolId, SegmentIndex};
    use ashlar_disk_format::version::FeatureFlags;

    const FAILED: DeviceState = DeviceState::Failed { since: Epoch(3) };

    fn superblock(states: &[DeviceState]) -> Superblock {
        let entry = |(index, state): (u16, &DeviceState)| DeviceEntry {
            id: DeviceId([0; 16]),
            index: DeviceIndex(index),
            bytes: 1 << 30,
            state: *state,
        };
        Superblock {
            pool: PoolId([1; 16]),
            device: DeviceId([0; 16]),
            sequence: 1,
            epoch: Epoch(3),
            shape: CodeShape::new(1, 1).unwrap(),
            segment_bytes: 1 << 20,
            features: FeatureFlags::default(),
            devices: (0..).zip(states).map(entry).collect(),
            checkpoint: Vec::new(),
            checkpoint_bytes: 0,
            checkpoint_groups: Vec::new(),
            scrub: ScrubProgress::default(),
            cores: 1,
            clean: false,
        }
    }

    fn checkpoint(members: [u16; 2]) -> Checkpoint {
        let member = |device| Member { device: DeviceIndex(device), segment: SegmentIndex(0) };
        let descriptor = GroupDescriptor {
            group: GroupId(1),
            generation: Generation(1),
            kind: GroupKind::Data,
            shape: CodeShape::new(1, 1).unwrap(),
            log: LogId(0),
            members: members.map(member).to_vec(),
        };
        let group = GroupState { descriptor, status: GroupStatus::Sealed, tail: RowOffset(1), live_bytes: 1 };
        Checkpoint {
            pool: PoolId([1; 16]),
            epoch: Epoch(3),
            sequence: 1,
            logs: Vec::new(),
            shards: Vec::new(),
            groups: vec![group],
            prepared: Vec::new(),
            next_run: 1,
            next_generation: 1,
        }
    }

    #[test]
    fn vacant_is_who_was_out_before_and_is_not_named() {
        let absent = DeviceState::Absent { since: Epoch(2) };
        let vacant = DeviceState::Vacant { since: Epoch(3) };
        let mut superblock = superblock(&[absent, absent, FAILED, FAILED, DeviceState::Present]);
        // The third failed after the checkpoint was begun: it may have groups that this one does not name.
        let out = [0, 1, 3].map(DeviceIndex).into();
        mark_vacant(&mut superblock, &out, &checkpoint([0, 4]));
        let states: Vec<DeviceState> = superblock.devices.iter().map(|entry| entry.state).collect();
        assert_eq!(states, [absent, vacant, FAILED, vacant, DeviceState::Present]);
    }
}
