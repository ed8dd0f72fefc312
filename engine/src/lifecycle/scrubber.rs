//! Scrubbing, on core 0: everything that lies on the devices is read from time to time, also what nobody asks for, so
//! that what rots is found while enough is left to mend it.
//!
//! 1. A pass is due when the one before began long enough ago, by the wall clock. The first one of a pool is due that
//!    long after the first start.
//! 2. A checkpoint says which groups are sealed and where the others end; every core completes the rows that it began.
//! 3. Every core scrubs one group after another (`rows/scrub.rs`), the oldest first (`pool/owner/scrubbing.rs`).
//! 4. Of rows that are not whole the index says whether anybody needs them (`lifecycle/lost.rs`).
//! 5. The superblocks say from time to time how far it came. The next mount goes on there.
//!
//! What is written while a pass is under way belongs to the next one. A group that dies while it is scrubbed comes back when
//! that is over.

use super::coordinator::Coordinator;
use super::lost::Lost;
use crate::buffer::AllocationError;
use crate::error::EngineError;
use crate::limits::{SCRUB_EVERY_MIN, SCRUB_LOOK_PAUSE, SCRUB_RETRY_PAUSE, SCRUB_SAVE_EVERY};
use crate::pool::{NextScrub, ScrubJob, ScrubList};
use crate::rows::ScrubbedGroup;
use crate::runtime::{CoreId, Monotonic, Runtime, TaskQueue};
use crate::shard::{Reply, Request};
use crate::sync::{Event, Limit, answer};
use crate::types::LostObject;
use ashlar_disk_format::superblock::ScrubProgress;
use ashlar_disk_format::units::Generation;
use futures_util::future::{join_all, select};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// What scrubbing did in this run, and what it has before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrubStatus {
    /// A pass is under way.
    pub is_active: bool,
    /// When the newest pass began, ms since 1970; before the first, when the pool was started first, or 0.
    pub began_ms: u64,
    /// Groups that were scrubbed.
    pub groups: u64,
    /// Groups that this pass has before it.
    pub left: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Chunks that were bad or missing, and are right again.
    pub mended: u64,
    /// Bad chunks that their device does not keep, or that cannot be computed.
    pub unmended: u64,
    /// Places at which rows are not whole, by the pass that is under way or the last one: where a loss of power ended
    /// writes, where something was claimed in vain, and where more is bad than the code makes up for.
    pub torn: u64,
    /// Objects of which something lies there and cannot be read: those that have names.
    pub lost: u64,
    /// There may be more of them: too many to be named, or pages of the index are lost.
    pub may_be_more_lost: bool,
    /// Something of the index lies there and cannot be read. What is needed of it may be in memory, until a restart.
    pub is_index_damaged: bool,
    /// Groups that could not be scrubbed to their end.
    pub failed: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Scrubber {
    /// How often; `None` is never.
    every: Option<Duration>,
    /// Passes are made one after another.
    turn: Limit,
    /// What is not done yet, those that are under way included.
    list: RefCell<ScrubList>,
    /// Groups that could not be scrubbed; they are tried once more.
    failed: RefCell<BTreeSet<Generation>>,
    /// A job has ended.
    moved: Event,
    saved: Cell<Monotonic>,
    pub(super) lost: Lost,
    status: Cell<ScrubStatus>,
}

impl Scrubber {
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self {
            every: every.map(|every| every.max(SCRUB_EVERY_MIN)),
            turn: Limit::new(1),
            list: RefCell::default(),
            failed: RefCell::default(),
            moved: Event::new(),
            saved: Cell::default(),
            lost: Lost::default(),
            status: Cell::default(),
        }
    }

    fn count(&self, change: impl FnOnce(&mut ScrubStatus)) {
        let mut status = self.status.get();
        change(&mut status);
        self.status.set(status);
    }

    /// Groups of lower generations are done.
    fn next(&self) -> Generation {
        let first = self.list.borrow().keys().next().copied();
        first.into_iter().chain(self.lost.first()).min().unwrap_or(ScrubProgress::OVER)
    }
}

/// When the next pass is due, if passes are made every so often.
fn due_in(progress: ScrubProgress, now_ms: u64, every: Duration) -> Duration {
    if progress.is_under_way() {
        return Duration::ZERO;
    }
    let since = Duration::from_millis(now_ms.saturating_sub(progress.began_ms));
    every.saturating_sub(since)
}

impl<R: Runtime> Coordinator<R> {
    /// What scrubbing did so far.
    pub(crate) fn scrubbing(&self) -> ScrubStatus {
        let status = self.scrubber.status.get();
        let left = if status.is_active { self.scrubber.list.borrow().len() as u64 } else { 0 };
        let mut status = ScrubStatus { began_ms: self.owner.scrub().began_ms, left, ..status };
        self.scrubber.lost.tell(&mut status);
        status
    }

    /// Whose bytes are lost, by the pass that is under way or the last one.
    pub(crate) fn lost(&self) -> Vec<LostObject> {
        self.scrubber.lost.names()
    }

    /// Scrubs whenever it is due, for the life of the process.
    pub(super) fn run_scrubber(self: &Rc<Self>) {
        let Some(every) = self.scrubber.every else { return };
        let coordinator = Rc::clone(self);
        self.view.runtime.spawn_vital(TaskQueue::Background, "the scrubber", async move {
            loop {
                let now = coordinator.view.runtime.wall().0;
                let progress = coordinator.owner.scrub();
                let is_new = progress.began_ms == 0;
                if is_new || (!progress.is_under_way() && now < progress.began_ms) {
                    // Or the clock was set back. The next checkpoint will say so.
                    let next = if is_new { ScrubProgress::NONE_YET } else { progress.next };
                    coordinator.owner.set_scrub(ScrubProgress { began_ms: now.max(1), next });
                    continue;
                }
                let due = due_in(progress, now, every);
                let is_over = due.is_zero() && coordinator.scrub().await;
                if !is_over {
                    let pause = if due.is_zero() { SCRUB_LOOK_PAUSE } else { due.min(SCRUB_LOOK_PAUSE) };
                    coordinator.view.runtime.sleep(pause).await;
                }
            }
        });
    }

    /// Scrubs everything, or goes on where a pass was left, in a task of its own; whether that is over.
    pub(crate) async fn scrub_now(self: &Rc<Self>) -> bool {
        let coordinator = Rc::clone(self);
        let (to, done) = answer();
        self.view.runtime.spawn(TaskQueue::Background, async move { to.send(coordinator.scrub().await) });
        done.await.unwrap_or(false)
    }

    async fn scrub(self: &Rc<Self>) -> bool {
        let _turn = self.scrubber.turn.enter().await;
        let is_new = !self.owner.scrub().is_under_way();
        self.scrubber.lost.begin(is_new, self.view.runtime.now());
        if is_new {
            let began_ms = self.view.runtime.wall().0.max(1);
            self.owner.set_scrub(ScrubProgress { began_ms, next: Generation(0) });
        }
        if !self.begin_scrub().await {
            return false;
        }
        self.scrubber.count(|status| status.is_active = true);
        loop {
            let cores = (0..self.view.runtime.cores()).map(|core| self.scrub_on(CoreId(core)));
            join_all(cores).await;
            let was_due = self.is_ask_due();
            if !self.ask_who_lost().await || !was_due {
                break;
            }
        }
        let next = self.scrubber.next();
        self.owner.set_scrub(ScrubProgress { next, ..self.owner.scrub() });
        self.scrubber.count(|status| status.is_active = false);
        self.save_scrub().await;
        next == ScrubProgress::OVER
    }

    fn is_ask_due(&self) -> bool {
        self.scrubber.lost.is_due(self.view.runtime.now())
    }

    /// Finds out what there is; false if that cannot be done now.
    async fn begin_scrub(self: &Rc<Self>) -> bool {
        if self.is_closing() || self.checkpoint(false).await.is_err() {
            return false;
        }
        let list = self.owner.scrub_list(self.owner.scrub().next);
        // It waits for the rows that were begun.
        if self.everywhere(|| Request::LeaveLost).await.is_err() {
            return false;
        }
        *self.scrubber.list.borrow_mut() = list;
        self.scrubber.failed.borrow_mut().clear();
        true
    }

    /// One core's share.
    async fn scrub_on(self: &Rc<Self>, core: CoreId) {
        while !self.is_closing() && !self.is_ask_due() {
            let next = self.owner.next_scrub(&mut self.scrubber.list.borrow_mut());
            match next {
                NextScrub::Job(job) => {
                    if !self.scrub_one(core, job).await {
                        return;
                    }
                }
                // Others have the rest, and may leave it.
                NextScrub::Wait => {
                    let moved = self.scrubber.moved.wait();
                    select(pin!(moved), pin!(self.view.runtime.sleep(SCRUB_RETRY_PAUSE))).await;
                }
                NextScrub::Over => return,
            }
        }
    }

    /// False when the core, or all of the engine, is closing.
    async fn scrub_one(self: &Rc<Self>, core: CoreId, job: ScrubJob) -> bool {
        let generation = job.descriptor.generation;
        let reply = match self.node() {
            Ok(node) => node.ask(core, Request::Scrub(Box::new(job.clone()))).await,
            Err(error) => Err(error),
        };
        if self.owner.finish_scrub(&job) {
            // It was not taken back meanwhile.
            self.ask_for_checkpoint();
        }
        let result = match reply {
            Ok(Reply::Scrubbed(group)) => {
                let ScrubbedGroup { scrubbed, gaps, result } = *group;
                self.scrubber.lost.add(generation, job.descriptor.group, gaps);
                self.scrubber.count(|status| {
                    status.bytes += scrubbed.bytes;
                    status.mended += scrubbed.mended;
                    status.unmended += scrubbed.unmended;
                });
                result
            }
            Ok(_other) => Err(EngineError::Closing),
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => self.scrubber.count(|status| status.groups += 1),
            Err(EngineError::Closing) => return false,
            // Memory is short, or the group has lost a member.
            Err(EngineError::Full | EngineError::Overloaded(AllocationError::Crowded)) => {
                self.view.runtime.sleep(SCRUB_RETRY_PAUSE).await;
                return true;
            }
            _failed if self.scrubber.failed.borrow_mut().insert(generation) => return true,
            _failed => self.scrubber.count(|status| status.failed += 1),
        }
        self.scrubber.list.borrow_mut().remove(&generation);
        self.scrubber.moved.fire();
        self.note_progress().await;
        true
    }

    /// From now on superblocks say how far the pass came; now and then one is written for that.
    async fn note_progress(self: &Rc<Self>) {
        self.owner.set_scrub(ScrubProgress { next: self.scrubber.next(), ..self.owner.scrub() });
        let now = self.view.runtime.now();
        if now.since(self.scrubber.saved.get()) >= SCRUB_SAVE_EVERY {
            self.scrubber.saved.set(now);
            self.save_scrub().await;
        }
    }

    async fn save_scrub(self: &Rc<Self>) {
        // A core that is closing writes a superblock anyway.
        for (device, error) in self.write_superblocks(|_| ()).await.unwrap_or_default() {
            self.view.report_failure(device, error).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SCRUB_ASK_EVERY;
    use crate::rows::Gaps;
    use ashlar_disk_format::units::{GroupId, RowOffset};

    #[test]
    fn a_group_of_which_nobody_was_asked_is_not_done() {
        let scrubber = Scrubber::new(None);
        assert_eq!(scrubber.next(), ScrubProgress::OVER);
        scrubber.list.borrow_mut().insert(Generation(7), (GroupId(1), RowOffset(9)));
        scrubber.lost.add(Generation(5), GroupId(2), Gaps::default());
        assert_eq!(scrubber.next(), Generation(7), "all of it is whole");
        let mut gaps = Gaps::default();
        gaps.add(RowOffset(1)..RowOffset(2));
        scrubber.lost.add(Generation(5), GroupId(2), gaps);
        assert_eq!(scrubber.next(), Generation(5));
        let hour = Monotonic::default().after(SCRUB_ASK_EVERY);
        assert!(
            !scrubber.lost.is_due(Monotonic::default()) && scrubber.lost.is_due(hour),
            "but not for long"
        );
        scrubber.lost.begin(false, hour);
        assert_eq!((scrubber.next(), scrubber.lost.is_due(hour)), (Generation(7), false));
    }

    #[test]
    fn a_pass_is_due_when_the_one_before_began_long_enough_ago() {
        let every = Duration::from_secs(100);
        let over = |began_ms| ScrubProgress { began_ms, next: ScrubProgress::OVER };
        assert_eq!(due_in(over(5_000), 5_000, every), every);
        assert_eq!(due_in(over(5_000), 95_000, every), Duration::from_secs(10));
        assert_eq!(due_in(over(5_000), 105_000, every), Duration::ZERO);
        let left = ScrubProgress { began_ms: 5_000, next: Generation(7) };
        assert_eq!(due_in(left, 5_000, every), Duration::ZERO, "it goes on at once");
    }
}
