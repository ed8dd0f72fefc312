//! A disk as an object that tests hold: it outlives the machines it is put into.

use super::config::DiskConfig;
use super::faults::FaultPlan;
use super::media::Media;
use super::operation::Operation;
use super::state::{DiskLog, DiskState, Violation};
use crate::runtime::contract::DeviceInfo;
use crate::runtime::sim::power::{Loss, Verdict};
use crate::runtime::sim::random::{Dice, Purpose};
use crate::runtime::sim::ranges::RangeSet;
use crate::runtime::sim::world::{Mark, World};
use std::cell::RefCell;
use std::ops::Range;
use std::rc::{Rc, Weak};

/// A copy of everything on a disk, cache and all.
#[derive(Debug, Clone)]
pub struct DiskSnapshot {
    media: Media,
    prepared: RangeSet,
}

/// A simulated disk. Clones name the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Rc<RefCell<DiskState>>,
}

impl SimDisk {
    /// An empty disk: all zero.
    #[must_use]
    pub fn new(config: DiskConfig) -> Self {
        let dice = Dice::new(0, Purpose::Disks, 0);
        Self { state: Rc::new(RefCell::new(DiskState::new(config, dice))) }
    }

    /// An empty flash disk with a volatile cache.
    #[must_use]
    pub fn flash(name: &str, bytes: u64) -> Self {
        Self::new(DiskConfig::flash(name, bytes))
    }

    /// Replaces the faults; their counters start anew. A disk that hangs or is dead stays so.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.state.borrow_mut().set_faults(plan);
    }

    /// Flips the bits of `mask` in the byte at `offset`, on the medium and in the cache.
    pub fn flip(&self, offset: u64, mask: u8) {
        self.state.borrow_mut().media.flip(offset, mask);
    }

    /// Makes every byte zero, as a new disk in the same slot.
    pub fn erase_all(&self) {
        let mut state = self.state.borrow_mut();
        state.media.erase();
        state.prepared = RangeSet::default();
    }

    /// Unplugs the disk (every operation fails, also those that hang) or plugs it in again.
    pub fn set_dead(&self, dead: bool) {
        self.state.borrow_mut().dead = dead;
        self.release();
    }

    /// Makes operations hang, or lets those that hang go on.
    pub fn set_hung(&self, hung: bool) {
        self.state.borrow_mut().hung = hung;
        self.release();
    }

    /// Everything on it.
    #[must_use]
    pub fn snapshot(&self) -> DiskSnapshot {
        let state = self.state.borrow();
        DiskSnapshot { media: state.media.clone(), prepared: state.prepared.clone() }
    }

    /// Puts back what a snapshot holds.
    pub fn restore(&self, snapshot: &DiskSnapshot) {
        let mut state = self.state.borrow_mut();
        state.media = snapshot.media.clone();
        state.prepared = snapshot.prepared.clone();
    }

    /// What it did since it was made.
    #[must_use]
    pub fn log(&self) -> DiskLog {
        self.state.borrow().log.clone()
    }

    /// Writes completed since it was made.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.state.borrow().log.writes
    }

    /// Durable writes into unprepared ranges.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.state.borrow().log.violations.clone()
    }

    /// Sectors whose newest content a power cut may take.
    #[must_use]
    pub fn volatile_sectors(&self) -> usize {
        self.state.borrow().media.volatile_sectors()
    }

    /// Bytes as a read would find them, faults aside.
    #[must_use]
    pub fn image_bytes(&self, range: Range<u64>) -> Vec<u8> {
        self.state.borrow().image(range)
    }

    /// What it says of itself.
    #[must_use]
    pub fn info(&self) -> Rc<DeviceInfo> {
        Rc::clone(&self.state.borrow().info)
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.state.borrow().is_absent()
    }

    pub(crate) fn attach(&self, world: &Rc<World>, seed: u64, slot: u64) {
        self.state.borrow_mut().attach(Rc::downgrade(world), Dice::new(seed, Purpose::Disks, slot));
    }

    pub(crate) fn crash(&self, loss: Loss, dice: &mut Dice) {
        let mut state = self.state.borrow_mut();
        state.crash(loss, dice);
        state.world = Weak::new();
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.state.borrow().media.sequence()
    }

    /// Starts an operation, unless the machine is off: then the operation is dropped.
    pub(crate) fn submit(&self, world: &Rc<World>, operation: Operation) {
        if world.is_halted() {
            return;
        }
        world.note(Mark::DeviceStart, operation.fingerprint());
        let (number, nanoseconds) = self.state.borrow_mut().submit(operation);
        self.finish_in(world, number, nanoseconds);
    }

    fn finish_in(&self, world: &Rc<World>, number: u64, nanoseconds: u64) {
        let (disk, machine) = (self.clone(), Rc::downgrade(world));
        world.timeline.run_in(nanoseconds, move || {
            if let Some(world) = machine.upgrade() {
                disk.finish(&world, number);
            }
        });
    }

    fn finish(&self, world: &Rc<World>, number: u64) {
        let (verdict, reply) = {
            let mut state = self.state.borrow_mut();
            if state.hung && !state.dead {
                state.parked.push(number);
                return;
            }
            let boundary = state.under_way(number).and_then(Operation::boundary);
            let verdict = boundary.map_or(Verdict::Proceed, |boundary| world.power.reach(boundary));
            let reply = if verdict == Verdict::CutBefore { None } else { state.complete(number) };
            (verdict, reply)
        };
        world.note(Mark::DeviceEnd, number);
        if let (Verdict::Proceed, Some(reply)) = (verdict, reply) {
            reply.give();
        }
    }

    /// Lets parked operations complete, now that the disk answers again in one way or another.
    fn release(&self) {
        let (world, parked) = {
            let mut state = self.state.borrow_mut();
            if state.hung && !state.dead {
                return;
            }
            (state.world.upgrade(), std::mem::take(&mut state.parked))
        };
        let Some(world) = world else { return };
        for number in parked {
            self.finish_in(&world, number, 1_000);
        }
    }
}
