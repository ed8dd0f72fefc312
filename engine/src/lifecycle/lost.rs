//! What scrubbing found that is not whole, until the index was asked who needs it.
//!
//! A row that is not whole may be one that a loss of power tore, or its place was claimed in vain: then nobody needs it. Each
//! core walks through its index once and reads what its records hold there (`shard/lost.rs`). Until that is done the
//! groups count as not scrubbed: what a restart makes forget is found again.

use super::coordinator::Coordinator;
use super::scrubber::ScrubStatus;
use crate::error::EngineError;
use crate::limits::{SCRUB_ASK_ATTEMPTS, SCRUB_ASK_EVERY, SCRUB_GAP_GROUPS_MAX, SCRUB_RETRY_PAUSE};
use crate::rows::{Gaps, read_extent};
use crate::runtime::{CoreId, Monotonic, Runtime};
use crate::shard::{LostCall, LostReport, Reply, Request};
use crate::types::LostObject;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::units::{Generation, GroupId};
use futures_util::future::join_all;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Groups with rows that are not whole, and of which nobody was asked.
    gaps: RefCell<BTreeMap<Generation, (GroupId, Gaps)>>,
    /// What is lost by the pass that is under way, or by the last one.
    found: RefCell<LostReport>,
    /// Places in which rows were not whole, in the same passes.
    torn: Cell<u64>,
    /// When it was asked last, or the pass began.
    asked: Cell<Monotonic>,
}

impl Lost {
    /// A pass begins; with `is_new` at the beginning.
    pub(super) fn begin(&self, is_new: bool, now: Monotonic) {
        self.gaps.borrow_mut().clear();
        self.asked.set(now);
        if is_new {
            *self.found.borrow_mut() = LostReport::default();
            self.torn.set(0);
        }
    }

    /// A group was scrubbed.
    pub(super) fn add(&self, generation: Generation, group: GroupId, gaps: Gaps) {
        if gaps.count() > 0 {
            self.gaps.borrow_mut().insert(generation, (group, gaps));
        }
    }

    /// It is time to ask: many groups wait for that, or one has waited for long.
    pub(super) fn is_due(&self, now: Monotonic) -> bool {
        let count = self.gaps.borrow().len();
        count >= SCRUB_GAP_GROUPS_MAX || (count > 0 && now.since(self.asked.get()) >= SCRUB_ASK_EVERY)
    }

    /// The oldest group of which nobody was asked.
    pub(super) fn first(&self) -> Option<Generation> {
        self.gaps.borrow().keys().next().copied()
    }

    /// Has the result in `status`.
    pub(super) fn tell(&self, status: &mut ScrubStatus) {
        let found = self.found.borrow();
        status.torn = self.torn.get();
        status.lost = found.names.len() as u64;
        status.may_be_more_lost = found.may_be_more;
        status.is_index_damaged = found.is_index_damaged;
    }

    pub(super) fn names(&self) -> Vec<LostObject> {
        self.found.borrow().names.iter().cloned().collect()
    }
}

impl<R: Runtime> Coordinator<R> {
    /// Has every core say who needs what is not whole; false when the engine is closing.
    pub(super) async fn ask_who_lost(self: &Rc<Self>) -> bool {
        let lost = &self.scrubber.lost;
        lost.asked.set(self.view.runtime.now());
        let gaps: BTreeMap<_, _> = {
            let gaps = lost.gaps.borrow();
            gaps.iter().map(|(&generation, (group, gaps))| (*group, (generation, gaps.clone()))).collect()
        };
        if gaps.is_empty() {
            return true;
        }
        let places: u64 = gaps.values().map(|(_, gaps)| gaps.count()).sum();
        let call = LostCall { gaps: Arc::new(gaps) };
        self.look_at_checkpoint(&call).await;
        let cores = (0..self.view.runtime.cores()).map(|core| self.ask_core(CoreId(core), &call));
        for report in join_all(cores).await {
            match report {
                Ok(report) => lost.found.borrow_mut().add_all(report),
                Err(EngineError::Closing) => return false,
                // Nothing is gained by reading all of that again.
                Err(_) => lost.found.borrow_mut().may_be_more = true,
            }
        }
        lost.torn.set(lost.torn.get() + places);
        lost.gaps.borrow_mut().clear();
        true
    }

    async fn ask_core(self: &Rc<Self>, core: CoreId, call: &LostCall) -> Result<LostReport, EngineError> {
        let mut attempts = 0..SCRUB_ASK_ATTEMPTS;
        loop {
            attempts.next();
            let Ok(node) = self.node() else { return Err(EngineError::Closing) };
            match node.ask(core, Request::Lost(call.clone())).await {
                Ok(Reply::Lost(report)) => return Ok(*report),
                Ok(_other) => return Err(EngineError::Closing),
                Err(error) if attempts.is_empty() || error == EngineError::Closing => return Err(error),
                Err(_) => self.view.runtime.sleep(SCRUB_RETRY_PAUSE).await,
            }
        }
    }

    /// A checkpoint that cannot be read is made again: all of it is in memory.
    async fn look_at_checkpoint(self: &Rc<Self>, call: &LostCall) {
        let extents: Vec<Extent> = self.checkpoint_extents.borrow().clone();
        for extent in extents.iter().filter(|extent| call.has(extent)) {
            let read = read_extent(&self.view, self.view.runtime.reserve(), extent, 0..extent.length).await;
            if read.is_err_and(|error| error.is_damage()) {
                return self.ask_for_checkpoint();
            }
        }
    }
}
