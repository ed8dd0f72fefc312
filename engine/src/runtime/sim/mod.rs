//! The deterministic back-end: simulated cores, disks, network and time in one thread.
//!
//! A [`Sim`] is a machine from switching on to its end; [`SimDisk`]s outlive it and go into the
//! next one, which is a reboot. Everything random follows from one seed through streams kept apart
//! by purpose, so the same seed, configuration and code make the same run, as [`Sim::trace`] shows.
//!
//! What is never here: threads, the host's clock, its files or its sockets.
//!
//! Time: a poll takes a fixed time, so that a spinning task sees time go by; beyond that, the
//! clock jumps to the next event only when no task is ready.

mod arenas;
mod config;
mod core;
mod disk;
mod executor;
mod machine;
mod net;
mod power;
mod random;
mod ranges;
mod timeline;
mod world;

#[cfg(test)]
mod tests;

pub use config::{Outcome, SimConfig};
pub use core::SimRuntime;
pub use disk::{
    Backing, DiskConfig, DiskLog, DiskSnapshot, FaultPlan, Latency, SimDevice, SimDisk, Violation,
};
pub use machine::{Sim, SimControl};
pub use net::{LinkPlan, SimListener, SimNet, SimStream};
pub use power::{CutAt, Loss};
pub use random::Pick;
