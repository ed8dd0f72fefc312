//! Space out of groups that are partly dead, on core 0: which of them are emptied, and when it is over.
//!
//! 1. When few groups are left, the groups are chosen that bring the most for what they cost (`pool/clean_plan.rs`).
//! 2. Every core moves what its records hold there (`shard/cleaning.rs`).
//! 3. A checkpoint counts nothing alive in them any more, and they are taken back as all dead groups are.
//! 4. Again, until enough is left, or until nothing would be gained: then waiting bodies are refused at once.
//!
//! Nothing of it is durable but what the moved records say: after a crash the next mount begins anew.

use super::coordinator::Coordinator;
use crate::error::EngineError;
use crate::limits::{CLEAN_RECLAIM_WAIT, CLEAN_SET_ASIDE};
use crate::pool::{Candidate, Level, Space, Terms, choose_victims, data_bytes};
use crate::runtime::{Monotonic, Runtime, TaskQueue};
use crate::shard::{CleanCall, CleanReport, Reply, Request};
use crate::sync::{Event, Limit};
use ashlar_disk_format::units::GroupId;
use futures_util::future::select;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

/// What moving live data out of partly dead groups did in this run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CleaningStatus {
    /// It is at work.
    pub is_active: bool,
    /// Times that it began because space was short.
    pub begun: u64,
    /// Walks through the index, each for a set of groups.
    pub passes: u64,
    /// Groups that became empty by it.
    pub groups: u64,
    /// Records that were given new addresses.
    pub records: u64,
    /// Bytes of bodies that were moved.
    pub bytes: u64,
    /// Copies that were dropped, because the record was changed meanwhile.
    pub dropped: u64,
    /// Groups that are left alone for now, because something in them could not be moved.
    pub set_aside: u64,
}

/// Why the cleaner looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Space became short.
    Space,
    /// A checkpoint has counted anew what lives.
    Count,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cleaner {
    call: Cell<Option<Call>>,
    called: Event,
    /// Groups were taken back.
    pub(super) reclaimed: Event,
    /// Waiting may help those who need space.
    pub(super) is_hopeful: Cell<bool>,
    /// Bytes that come to lie in a hundred bytes of group, as measured.
    density: Cell<u64>,
    /// Groups that are left alone: while as many bytes live in them, until a time.
    set_aside: RefCell<BTreeMap<GroupId, (u64, Monotonic)>>,
    /// Passes are made one after another.
    turn: Limit,
    status: Cell<CleaningStatus>,
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Look again at once.
    Again,
    /// Until something changes.
    Over,
}

impl Cleaner {
    pub(super) fn new() -> Self {
        Self {
            call: Cell::new(None),
            called: Event::new(),
            reclaimed: Event::new(),
            is_hopeful: Cell::new(true),
            density: Cell::new(DENSITY_FIRST),
            set_aside: RefCell::default(),
            turn: Limit::new(1),
            status: Cell::default(),
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.status.get().is_active
    }

    fn count(&self, change: impl FnOnce(&mut CleaningStatus)) {
        let mut status = self.status.get();
        change(&mut status);
        self.status.set(status);
    }

    fn call(&self, call: Call) {
        // A count says more than that space is short.
        if self.call.get() != Some(Call::Count) {
            self.call.set(Some(call));
        }
        self.called.fire();
    }

    /// Space is short.
    pub(super) fn is_needed(&self) {
        self.call(Call::Space);
    }

    /// A checkpoint was made.
    pub(super) fn is_counted(&self) {
        self.call(Call::Count);
    }

    /// Takes note of how densely a pass wrote; little says nothing.
    fn learn_density(&self, report: &CleanReport, group_bytes: u64) {
        if report.row_bytes >= group_bytes {
            let found = report.moved_bytes.saturating_mul(100).div_euclid(report.row_bytes);
            let smooth = (3 * self.density.get() + found).div_euclid(4);
            self.density.set(smooth.clamp(DENSITY_LEAST, DENSITY_MOST));
        }
    }
}

impl<R: Runtime> Coordinator<R> {
    /// What cleaning did so far.
    pub(crate) fn cleaning(&self) -> CleaningStatus {
        let set_aside = self.cleaner.set_aside.borrow().len() as u64;
        CleaningStatus { set_aside, ..self.cleaner.status.get() }
    }

    /// Makes space when it is short, for the life of the process.
    pub(super) fn run_cleaner(self: &Rc<Self>) {
        let coordinator = Rc::clone(self);
        self.view.runtime.spawn_vital(TaskQueue::Background, "the cleaner", async move {
            loop {
                let wait = coordinator.cleaner.called.wait();
                let Some(call) = coordinator.cleaner.call.take() else {
                    wait.await;
                    continue;
                };
                let mut is_counted = call == Call::Count;
                while coordinator.make_space(&mut is_counted).await == Look::Again {}
                coordinator.cleaner.count(|status| status.is_active = false);
                coordinator.tell_room();
            }
        });
    }

    pub(super) fn is_closing(&self) -> bool {
        self.shard().is_ok_and(|shard| shard.closing.get())
    }

    fn despair(self: &Rc<Self>) -> Look {
        self.cleaner.is_hopeful.set(false);
        Look::Over
    }

    /// One look at the space that is left, and what follows from it.
    async fn make_space(self: &Rc<Self>, is_counted: &mut bool) -> Look {
        let space = self.owner.space();
        if self.is_closing() || space.level < Level::Cleaning {
            return Look::Over;
        }
        let wait = self.cleaner.reclaimed.wait();
        let coming = self.coming();
        if space.left + coming > space.marks.clean {
            // Enough is dead already; it comes back when those who read it have ended.
            self.cleaner.is_hopeful.set(true);
            wait.await;
            return Look::Again;
        }
        if !*is_counted {
            // What died since the last count may be enough, or shows what is worth it.
            *is_counted = true;
            return if self.checkpoint(false).await.is_ok() { Look::Again } else { self.despair() };
        }
        let missing = (space.marks.clean + 1).saturating_sub(space.left + coming);
        let victims = self.victims(space, missing + space.all.div_euclid(MORE_PART)).await;
        if !victims.is_empty() {
            // A pass ends with a count of its own.
            return self.pass(victims).await;
        }
        if coming > 0 {
            wait.await;
            return Look::Again;
        }
        if space.level < Level::Short { Look::Over } else { self.despair() }
    }

    /// Groups that are dead and not taken back yet.
    fn coming(&self) -> u64 {
        if self.is_reclaiming() { self.owner.dead(self.checkpointed()).len() as u64 } else { 0 }
    }

    /// What to empty so that so many groups are gained.
    async fn victims(self: &Rc<Self>, space: Space, missing: u64) -> Vec<GroupId> {
        if !space.marks.is_cleaned() {
            return Vec::new();
        }
        let mut candidates: Vec<Candidate> = self.owner.candidates(self.checkpointed());
        let groups: Vec<GroupId> = candidates.iter().map(|candidate| candidate.group).collect();
        // Bodies on their way are not counted yet, and what they pin would not come back.
        let Ok(pinned) = self.pinned(&groups).await else { return Vec::new() };
        let now = self.view.runtime.now();
        let mut set_aside = self.cleaner.set_aside.borrow_mut();
        set_aside.retain(|group, (live, until)| now < *until && self.owner.live(*group) == Some(*live));
        candidates
            .retain(|Candidate { group, .. }| !pinned.contains(group) && !set_aside.contains_key(group));
        let group_bytes = self.group_bytes();
        let density = self.cleaner.density.get();
        // What the cleaner may open, but for a group that each core has begun; half of it while clients go on.
        let open = space.left.saturating_sub(space.marks.low);
        let cores = u64::from(self.view.runtime.cores());
        let is_urgent = space.level >= Level::Short;
        let groups = if is_urgent { open.saturating_sub(cores) } else { open.div_euclid(2) }.max(1);
        let budget = groups.saturating_mul(group_bytes).div_euclid(100).saturating_mul(density);
        let wanted = missing.max(1).saturating_mul(group_bytes);
        choose_victims(&candidates, Terms { budget, wanted, density, is_urgent })
    }

    fn group_bytes(&self) -> u64 {
        data_bytes(1, self.view.facts.shape, self.view.facts.segment_bytes)
    }

    /// Empties once what is worth it, whatever room there is.
    pub(crate) async fn clean_now(self: &Rc<Self>) -> Result<(), EngineError> {
        self.checkpoint(false).await?;
        let victims = self.victims(self.owner.space(), u64::from(u32::MAX)).await;
        self.empty(victims).await;
        Ok(())
    }

    /// Empties these groups once.
    pub(super) async fn empty(self: &Rc<Self>, victims: Vec<GroupId>) {
        if victims.is_empty() {
            return;
        }
        self.pass(victims).await;
        self.cleaner.count(|status| status.is_active = false);
        self.tell_room();
    }

    /// Empties these groups, and has it counted.
    async fn pass(self: &Rc<Self>, victims: Vec<GroupId>) -> Look {
        let _turn = self.cleaner.turn.enter().await;
        let was_active = self.cleaner.is_active();
        self.cleaner.count(|status| {
            status.is_active = true;
            status.begun += u64::from(!was_active);
            status.passes += 1;
        });
        self.cleaner.is_hopeful.set(true);
        self.tell_room();
        let call = CleanCall { groups: victims.clone() };
        let Ok(replies) = self.everywhere(|| Request::Clean(Box::new(call.clone()))).await else {
            return self.despair();
        };
        let mut report = CleanReport::default();
        for reply in replies {
            if let Reply::Cleaned(own) = reply {
                report.add(*own);
            }
        }
        if self.is_closing() || self.checkpoint(false).await.is_err() {
            return self.despair();
        }
        self.judge(&victims, &report);
        self.cleaner.learn_density(&report, self.group_bytes());
        let is_stuck = report.is_cut && report.records == 0;
        if is_stuck && self.coming() == 0 {
            return self.despair();
        }
        // What is free now counts at the next look. A slow reader may keep it for longer.
        let wait = self.cleaner.reclaimed.wait();
        if self.is_reclaiming() {
            let sleep = self.view.runtime.sleep(CLEAN_RECLAIM_WAIT);
            select(pin!(wait), pin!(sleep)).await;
        }
        Look::Again
    }

    /// Counts what became empty, and sets aside what did not.
    fn judge(&self, victims: &[GroupId], report: &CleanReport) {
        let until = self.view.runtime.now().after(CLEAN_SET_ASIDE);
        let mut set_aside = self.cleaner.set_aside.borrow_mut();
        let mut emptied = 0;
        for group in victims {
            match self.owner.live(*group) {
                None | Some(0) => emptied += 1,
                // When there was no room, the rest is moved later.
                Some(live) if !report.is_cut || report.stayed.contains(group) => {
                    set_aside.insert(*group, (live, until));
                }
                Some(_) => {}
            }
        }
        self.cleaner.count(|status| {
            status.groups += emptied;
            status.records += report.records;
            status.bytes += report.moved_bytes;
            status.dropped += report.raced;
        });
    }
}

/// What the cleaner takes for the density of its rows before it has written any.
const DENSITY_FIRST: u64 = 90;
/// Below this a measurement is not believed.
const DENSITY_LEAST: u64 = 30;
/// Headers and the ends of groups take the rest.
const DENSITY_MOST: u64 = 97;
/// A pass gains one part in so many of the pool more than is missing, so that passes are not many.
const MORE_PART: u64 = 256;
