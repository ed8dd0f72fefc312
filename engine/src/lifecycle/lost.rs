//! What scrubbing found that is not whole, until the index was asked who needs it.
//!
//! A row that is not whole may be one that a loss of power tore, or its place was claimed in vain: then nobody needs it. Each
//! core walks through its index once and reads what its records hold there (`shard/lost.rs`). Until that is done the
//! groups count as not scrubbed: what a restart makes forget is found again.

use super::coordinator::Coordinator;
use crate::limits::SCRUB_GAP_GROUPS_MAX;
use crate::rows::Gaps;
use crate::runtime::Runtime;
use crate::shard::{LostCall, LostReport, Reply, Request};
use crate::types::LostObject;
use ashlar_disk_format::units::{Generation, GroupId};
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
    /// Places in which rows were not whole.
    torn: Cell<u64>,
}

impl Lost {
    /// A pass begins; with `is_new` at the beginning.
    pub(super) fn begin(&self, is_new: bool) {
        self.gaps.borrow_mut().clear();
        if is_new {
            *self.found.borrow_mut() = LostReport::default();
        }
    }

    /// A group was scrubbed.
    pub(super) fn add(&self, generation: Generation, group: GroupId, gaps: Gaps) {
        if gaps.count() > 0 {
            self.gaps.borrow_mut().insert(generation, (group, gaps));
        }
    }

    /// It is time to ask.
    pub(super) fn is_full(&self) -> bool {
        self.gaps.borrow().len() >= SCRUB_GAP_GROUPS_MAX
    }

    /// The oldest group of which nobody was asked.
    pub(super) fn first(&self) -> Option<Generation> {
        self.gaps.borrow().keys().next().copied()
    }

    pub(super) fn torn(&self) -> u64 {
        self.torn.get()
    }

    /// How many names there are, and whether there may be more.
    pub(super) fn count(&self) -> (u64, bool) {
        let found = self.found.borrow();
        (found.names.len() as u64, found.may_be_more)
    }

    pub(super) fn names(&self) -> Vec<LostObject> {
        self.found.borrow().names.iter().cloned().collect()
    }
}

impl<R: Runtime> Coordinator<R> {
    /// Has every core say who needs what is not whole; false if that cannot be done now.
    pub(super) async fn ask_who_lost(self: &Rc<Self>) -> bool {
        let lost = &self.scrubber.lost;
        let gaps: BTreeMap<_, _> = lost
            .gaps
            .borrow()
            .iter()
            .map(|(&generation, (group, gaps))| (*group, (generation, gaps.clone())))
            .collect();
        if gaps.is_empty() {
            return true;
        }
        let places: u64 = gaps.values().map(|(_, gaps)| gaps.count()).sum();
        let asked: Vec<Generation> = gaps.values().map(|(generation, _)| *generation).collect();
        let gaps = Arc::new(gaps);
        let Ok(replies) = self.everywhere(|| Request::Lost(LostCall { gaps: Arc::clone(&gaps) })).await
        else {
            return false;
        };
        for reply in replies {
            let Reply::Lost(report) = reply else { return false };
            lost.found.borrow_mut().add_all(*report);
        }
        lost.torn.set(lost.torn.get() + places);
        lost.gaps.borrow_mut().retain(|generation, _| !asked.contains(generation));
        true
    }
}
