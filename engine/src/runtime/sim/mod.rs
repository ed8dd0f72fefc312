//! The deterministic back-end: simulated cores, disks, network and time in one thread.
//!
//! A [`Sim`] is a machine from switching on to its end; [`SimDisk`]s outlive it and go into the
//! next one, which is a reboot. Everything random follows from one seed through streams kept apart
//! by purpose, so the same seed, configuration and code make the same run, as [`Sim::trace`] shows.
//!
//! ```
//! use ashlar_engine::runtime::sim::{CutAt, Sim, SimConfig, SimDisk, SimRuntime};
//! use ashlar_engine::runtime::{Device, Durability, Runtime};
//!
//! async fn work(runtime: SimRuntime) {
//!     let device = runtime.devices().remove(0);
//!     for sector in 0..3u64 {
//!         let buffer = runtime.arena().take(4096).await.unwrap();
//!         device.write(sector << 12, buffer, 4096, Durability::Durable).await.0.unwrap();
//!     }
//! }
//!
//! let config = |cut, disk: &SimDisk| SimConfig { seed: 42, cut, disks: vec![disk.clone()], ..SimConfig::default() };
//! let sim = Sim::new(config(None, &SimDisk::flash("disk0", 1 << 30)));
//! sim.run(work).assert_finished();
//! for number in 1..=sim.writes() {
//!     let disk = SimDisk::flash("disk0", 1 << 30);
//!     Sim::new(config(Some(CutAt::InsideWrite(number)), &disk)).run(work).assert_cut();
//!     // Reboot around the same disk, and check what recovery finds.
//!     Sim::new(config(None, &disk)).run(work).assert_finished();
//! }
//! ```
//!
//! What is never here: threads, the host's clock, its files or its sockets.
//!
//! Time: a poll takes a fixed time, so that a spinning task sees time go by; beyond that, the
//! clock jumps to the next event only when no task is ready.

mod arenas;
mod config;
mod disk;
mod executor;
mod machine;
mod net;
mod power;
mod random;
mod ranges;
mod runtime;
mod timeline;
mod world;

#[cfg(test)]
mod tests;

pub use config::{Outcome, SimConfig};
pub use disk::{
    Backing, DiskConfig, DiskLog, DiskSnapshot, FaultPlan, Latency, SimDevice, SimDisk, Violation,
};
pub use machine::{Sim, SimControl};
pub use net::{LinkPlan, SimListener, SimNet, SimStream};
pub use power::{CutAt, Loss};
pub use random::Pick;
pub use runtime::SimRuntime;
