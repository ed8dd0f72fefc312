//! What all simulated cores, disks and sockets of one run share: time, tasks, dice, the trace.

use super::config::SimConfig;
use super::executor::Executor;
use super::power::Power;
use super::random::{Dice, Purpose};
use super::timeline::{Timeline, Timer};
use crate::runtime::contract::{Monotonic, WallTime};
use crate::sync::Event;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// What the trace tells apart.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    Task,
    Event,
    DeviceStart,
    DeviceEnd,
    Network,
    Identifier,
}

impl Mark {
    const fn code(self) -> u64 {
        match self {
            Self::Task => 1,
            Self::Event => 2,
            Self::DeviceStart => 3,
            Self::DeviceEnd => 4,
            Self::Network => 5,
            Self::Identifier => 6,
        }
    }
}

/// A core's letter box.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) waiting: Cell<bool>,
    pub(crate) arrived: Event,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) timeline: Rc<Timeline>,
    pub(crate) executor: Executor,
    pub(crate) power: Power,
    pub(crate) schedule: RefCell<Dice>,
    pub(crate) identifiers: RefCell<Dice>,
    pub(crate) network: RefCell<Dice>,
    pub(crate) mail: RefCell<Vec<Rc<Mail>>>,
    pub(crate) ending: Cell<bool>,
    pub(crate) end_asked: Event,
    wall: Cell<u64>,
    trace: Cell<u64>,
    halted: Cell<bool>,
}

impl World {
    pub(crate) fn new(config: &SimConfig) -> Self {
        let seed = config.seed;
        Self {
            timeline: Rc::default(),
            executor: Executor::default(),
            power: Power::new(config.cut),
            schedule: RefCell::new(Dice::new(seed, Purpose::Schedule, 0)),
            identifiers: RefCell::new(Dice::new(seed, Purpose::Identifiers, 0)),
            network: RefCell::new(Dice::new(seed, Purpose::Network, 0)),
            mail: RefCell::default(),
            ending: Cell::new(false),
            end_asked: Event::new(),
            wall: Cell::new(config.wall_start.0),
            trace: Cell::new(0),
            halted: Cell::new(false),
        }
    }

    pub(crate) fn now(&self) -> Monotonic {
        self.timeline.now()
    }

    pub(crate) fn wall(&self) -> WallTime {
        let elapsed = self.now().0.checked_div(NANOSECONDS_PER_MILLISECOND).unwrap_or_default();
        WallTime(self.wall.get().saturating_add(elapsed))
    }

    pub(crate) fn jump_wall(&self, milliseconds: i64) {
        self.wall.set(self.wall.get().saturating_add_signed(milliseconds));
    }

    /// Resolves at `at`.
    pub(crate) fn until(&self, at: Monotonic) -> Timer {
        Timer::new(&self.timeline, at)
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Timer {
        self.until(self.now().after(duration))
    }

    /// Folds something that happened into the trace.
    pub(crate) fn note(&self, mark: Mark, value: u64) {
        let folded = self.trace.get() ^ value.wrapping_add(mark.code() << 56);
        let mixed = folded.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        self.trace.set(mixed ^ self.now().0);
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace.get()
    }

    /// From here on nothing starts any more: the machine is off.
    pub(crate) fn halt(&self) {
        self.halted.set(true);
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.halted.get() || self.power.is_gone()
    }
}
