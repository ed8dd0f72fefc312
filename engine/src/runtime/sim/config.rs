//! What a run is given and how it may end.

use super::disk::SimDisk;
use super::net::LinkPlan;
use super::power::{CutAt, Loss};
use crate::runtime::contract::{CoreId, Monotonic, WallTime};
use std::time::Duration;

/// A machine that is switched on once. Everything random in the run follows from `seed`.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Decides the interleaving, the latencies, the faults that are drawn by lot, the identifiers.
    pub seed: u64,
    /// Simulated cores that run the main task.
    pub cores: u16,
    /// Bytes of each core's arena, rounded up to 2 MiB.
    pub arena_bytes: usize,
    /// Bytes of each core's reserve, rounded up to 2 MiB.
    pub reserve_bytes: usize,
    /// The disks in the slots. They outlive the run: the next one finds what this one left.
    pub disks: Vec<SimDisk>,
    /// When the power goes.
    pub cut: Option<CutAt>,
    /// What a power cut leaves of what was not durable.
    pub loss: Loss,
    /// Polls of tasks after which the run is given up.
    pub steps_max: u64,
    /// Virtual time after which the run is given up.
    pub time_max: Duration,
    /// Virtual time one poll takes. Above zero, so that a task that spins sees time go by.
    pub poll_time: Duration,
    /// The date at the start.
    pub wall_start: WallTime,
    /// How connections behave unless they were opened with a plan of their own.
    pub link: LinkPlan,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            cores: 1,
            arena_bytes: 8 << 20,
            reserve_bytes: 4 << 20,
            disks: Vec::new(),
            cut: None,
            loss: Loss::default(),
            steps_max: 20_000_000,
            time_max: Duration::from_secs(24 * 3600),
            poll_time: Duration::from_nanos(200),
            // 2026-01-01T00:00:00Z.
            wall_start: WallTime(1_767_225_600_000),
            link: LinkPlan::default(),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every main task and every client ended.
    Finished,
    /// The condition of [`Sim::run_until`](super::Sim::run_until) came true.
    Stopped,
    /// Nobody can ever run again.
    Deadlock {
        /// When.
        at: Monotonic,
        /// Tasks that wait.
        tasks: usize,
        /// Cores whose main task (or client) waits.
        mains: Vec<CoreId>,
    },
    /// More polls than allowed: something spins.
    StepLimit {
        /// The virtual time it got to.
        at: Monotonic,
    },
    /// More virtual time than allowed.
    TimeLimit {
        /// Cores whose main task (or client) has not ended.
        mains: Vec<CoreId>,
    },
    /// The power went.
    PowerCut {
        /// When.
        at: Monotonic,
    },
    /// A task panicked. In the simulator that is always a bug.
    Panicked {
        /// Replays it.
        seed: u64,
        /// What the panic said.
        message: String,
    },
}

impl Outcome {
    /// Asserts that the run finished.
    ///
    /// # Panics
    /// When it ended in any other way.
    #[track_caller]
    pub fn assert_finished(&self) {
        assert_eq!(*self, Self::Finished, "the run did not finish");
    }

    /// Asserts that the power went.
    ///
    /// # Panics
    /// When it ended in any other way.
    #[track_caller]
    pub fn assert_cut(&self) {
        assert!(matches!(self, Self::PowerCut { .. }), "no power cut but {self:?}");
    }
}
