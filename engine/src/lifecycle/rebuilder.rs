//! Redundancy back after devices went out of service, on core 0: which members of which groups are rebuilt on other
//! devices, and when.
//!
//! 1. A device that is out of service may come back: nothing happens for a while, less where nothing more may be lost.
//! 2. Every core leaves the groups that lack a member, and a checkpoint counts them.
//! 3. Every core rebuilds members, of the groups that have lost most first (`rows/rebuild.rs`), and the table of groups
//!    says where they are (`pool/owner/rebuilding.rs`).
//! 4. A checkpoint makes that count. A device on which nothing is any more is not missed from then on.
//! 5. Groups with rows that are not whole keep the lost member's place, since it may come back and have what is missing.
//!    What lives in them is moved out of them, as the cleaner does.
//!
//! All of it may end at any moment and begins anew with the next mount; what a checkpoint counted stays done.

use super::coordinator::Coordinator;
use crate::error::EngineError;
use crate::limits::{REBUILD_AFTER_URGENT, REBUILD_BROKEN_RETRY, REBUILD_JOBS, REBUILD_RETRY};
use crate::pool::{Level, RebuildJob};
use crate::runtime::{CoreId, Monotonic, Runtime, TaskQueue};
use crate::shard::{Reply, Request};
use crate::sync::{Event, Limit};
use ashlar_disk_format::group::GroupKind;
use ashlar_disk_format::units::{DeviceIndex, GroupId};
use futures_util::future::{join_all, select};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// What rebuilding did in this run, and what it has before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RebuildStatus {
    /// It is at work.
    pub is_active: bool,
    /// Members that are on other devices now.
    pub members: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Attempts that failed; they are made again.
    pub failed: u64,
    /// Groups with rows that are not whole: they stay as they are until everything that lives in them was moved.
    pub broken: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Rebuilder {
    /// How long a device may be out of service.
    after: Duration,
    called: Event,
    /// When devices were first seen to be missed.
    missed: RefCell<BTreeMap<DeviceIndex, Monotonic>>,
    /// Groups with rows that are not whole.
    broken: RefCell<BTreeSet<GroupId>>,
    /// When some were found to be so last.
    broken_since: Cell<Monotonic>,
    /// Groups of which a member could not be rebuilt in this round.
    failed: RefCell<BTreeSet<GroupId>>,
    /// Rounds are made one after another.
    turn: Limit,
    status: Cell<RebuildStatus>,
}

/// When to look again.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Look {
    /// What lies on these devices is to be rebuilt.
    Now(BTreeSet<DeviceIndex>),
    After(Duration),
    /// When a device goes out of service.
    Called,
}

impl Rebuilder {
    pub(super) fn new(after: Duration) -> Self {
        Self {
            after,
            called: Event::new(),
            missed: RefCell::default(),
            broken: RefCell::default(),
            failed: RefCell::default(),
            broken_since: Cell::default(),
            turn: Limit::new(1),
            status: Cell::default(),
        }
    }

    /// Broken groups are tried again from time to time: what could not be read then may be now. Not often, because what
    /// is found broken again is looked for in the whole index.
    fn believe_broken(&self, now: Monotonic) {
        if now.since(self.broken_since.get()) >= REBUILD_BROKEN_RETRY {
            self.broken.borrow_mut().clear();
        }
    }

    /// A device went out of service.
    pub(super) fn call(&self) {
        self.called.fire();
    }

    fn count(&self, change: impl FnOnce(&mut RebuildStatus)) {
        let mut status = self.status.get();
        change(&mut status);
        self.status.set(status);
    }
}

impl<R: Runtime> Coordinator<R> {
    /// What rebuilding did so far.
    pub(crate) fn rebuilding(&self) -> RebuildStatus {
        let broken = self.rebuilder.broken.borrow().len() as u64;
        RebuildStatus { broken, ..self.rebuilder.status.get() }
    }

    /// Rebuilds what lies on devices out of service, for the life of the process.
    pub(super) fn run_rebuilder(self: &Rc<Self>) {
        let coordinator = Rc::clone(self);
        self.view.runtime.spawn_vital(TaskQueue::Background, "the rebuilder", async move {
            loop {
                let wait = coordinator.rebuilder.called.wait();
                match coordinator.next_look() {
                    Look::Now(due) => {
                        let is_better = coordinator.rebuild(&due).await;
                        coordinator.rebuilder.count(|status| status.is_active = false);
                        if !is_better {
                            select(pin!(wait), pin!(coordinator.view.runtime.sleep(REBUILD_RETRY))).await;
                        }
                    }
                    Look::After(pause) => {
                        select(pin!(wait), pin!(coordinator.view.runtime.sleep(pause))).await;
                        coordinator.rebuilder.believe_broken(coordinator.view.runtime.now());
                    }
                    Look::Called => wait.await,
                }
            }
        });
    }

    fn next_look(&self) -> Look {
        let now = self.view.runtime.now();
        let missed = self.owner.missed();
        let mut since = self.rebuilder.missed.borrow_mut();
        since.retain(|device, _| missed.contains(device));
        for device in &missed {
            since.entry(*device).or_insert(now);
        }
        if missed.is_empty() || self.is_closing() {
            return Look::Called;
        }
        let broken = self.rebuilder.broken.borrow();
        let is_urgent = self.owner.lacking(&missed, &broken).is_urgent;
        let after = self.rebuilder.after;
        let after = if is_urgent { after.min(REBUILD_AFTER_URGENT) } else { after };
        let left = |since: &Monotonic| after.saturating_sub(now.since(*since));
        let due: BTreeSet<DeviceIndex> =
            since.iter().filter(|(_, since)| left(since).is_zero()).map(|(device, _)| *device).collect();
        if self.owner.space().level < Level::Out && self.owner.lacking(&due, &broken).is_placeable {
            return Look::Now(due);
        }
        // Others may come to be due; space may come back, or a device.
        let next = since.values().map(left).filter(|left| !left.is_zero()).min();
        Look::After(next.unwrap_or(REBUILD_RETRY).min(REBUILD_RETRY))
    }

    /// Rebuilds what is due, without waiting for devices to come back.
    pub(crate) async fn rebuild_now(self: &Rc<Self>) {
        let missed = self.owner.missed();
        self.rebuild(&missed).await;
        self.rebuilder.count(|status| status.is_active = false);
    }

    /// Rebuilds what lay on these devices, as far as it can be; whether it came to anything.
    async fn rebuild(self: &Rc<Self>, devices: &BTreeSet<DeviceIndex>) -> bool {
        let _turn = self.rebuilder.turn.enter().await;
        let before = self.rebuilding();
        self.rebuilder.count(|status| status.is_active = true);
        self.rebuilder.failed.borrow_mut().clear();
        if self.everywhere(|| Request::LeaveLost).await.is_err() || self.checkpoint(false).await.is_err() {
            return false;
        }
        loop {
            let members = self.rebuilder.status.get().members;
            let cores = (0..self.view.runtime.cores()).map(|core| self.rebuild_on(CoreId(core), devices));
            join_all(cores).await;
            if self.is_closing() {
                return false;
            }
            if self.rebuilder.status.get().members == members {
                break;
            }
            if self.checkpoint(false).await.is_err() {
                return false;
            }
        }
        self.empty_broken().await;
        let after = self.rebuilding();
        after.members > before.members || after.broken < before.broken
    }

    /// One core's share until the next checkpoint.
    async fn rebuild_on(self: &Rc<Self>, core: CoreId, devices: &BTreeSet<DeviceIndex>) {
        for _job in 0..REBUILD_JOBS {
            let Some(job) = self.next_job(devices) else { return };
            let group = job.descriptor.group;
            let reply = self.ask(core, Request::Rebuild(Box::new(job.clone()))).await;
            let rebuilt = match reply {
                Ok(Reply::Rebuilt(rebuilt)) => Some(rebuilt),
                _failed => None,
            };
            let is_whole = rebuilt.is_some_and(|rebuilt| rebuilt.is_whole);
            if rebuilt.is_some() && !is_whole {
                self.rebuilder.broken.borrow_mut().insert(group);
                self.rebuilder.broken_since.set(self.view.runtime.now());
            }
            if self.owner.finish_rebuild(&job, is_whole) {
                let bytes = rebuilt.map_or(0, |rebuilt| rebuilt.bytes);
                self.rebuilder.count(|status| {
                    status.members += 1;
                    status.bytes += bytes;
                });
                // Who knew it asks again, and is told where its members are now.
                let _told = self.everywhere(|| Request::Forget(vec![group])).await;
            }
            if rebuilt.is_none() {
                self.rebuilder.failed.borrow_mut().insert(group);
                self.rebuilder.count(|status| status.failed += 1);
            }
        }
    }

    fn next_job(&self, devices: &BTreeSet<DeviceIndex>) -> Option<RebuildJob> {
        if self.is_closing() || self.owner.space().level >= Level::Out {
            return None;
        }
        let aside = &*self.rebuilder.broken.borrow() | &*self.rebuilder.failed.borrow();
        self.owner.next_rebuild(self.checkpointed(), devices, &aside)
    }

    /// Moves what lives in groups with rows that are not whole.
    async fn empty_broken(self: &Rc<Self>) {
        let lives = |group: &GroupId| self.owner.live(*group).is_some_and(|live| live > 0);
        self.rebuilder.broken.borrow_mut().retain(lives);
        let is_movable = |group: &GroupId| self.owner.kind(*group) != Some(GroupKind::Index);
        let broken: Vec<GroupId> =
            self.rebuilder.broken.borrow().iter().copied().filter(is_movable).collect();
        if broken.is_empty() || self.is_closing() {
            return;
        }
        let Ok(pinned) = self.pinned(&broken).await else { return };
        let victims: Vec<GroupId> = broken.into_iter().filter(|group| !pinned.contains(group)).collect();
        self.empty(victims).await;
        self.rebuilder.broken.borrow_mut().retain(lives);
    }

    async fn ask(self: &Rc<Self>, core: CoreId, request: Request) -> Result<Reply, EngineError> {
        self.node()?.ask(core, request).await
    }
}
