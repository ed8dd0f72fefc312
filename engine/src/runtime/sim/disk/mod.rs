//! Simulated storage devices: what is on the medium, what is only in the cache, what is on its way.

mod config;
mod device;
mod faults;
mod latency;
mod media;
mod operation;
mod state;
mod unit;

pub use config::{Backing, DiskConfig};
pub use device::SimDevice;
pub use faults::FaultPlan;
pub use latency::Latency;
pub use state::{DiskLog, Violation};
pub use unit::{DiskSnapshot, SimDisk};
