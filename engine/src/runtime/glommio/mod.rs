//! The real back-end: one pinned glommio executor and one io_uring per core.
//!
//! glommio schedules tasks and nothing else: its files, sockets, timers and channels are never
//! used, its tasks are never cancelled, and it never parks, because when nothing is runnable the
//! driver sleeps inside *our* ring. Every transfer, timer and cross-core message goes through that
//! ring.
//!
//! Module order, top first: [`launch()`] starts the cores; `driver` turns the ring; `core` is the
//! handle that tasks hold; `net` and `device` make operations; `operation` waits for them; `ring`
//! carries them; `nvme` does the same for namespaces that are driven by commands; `slot` and `held` own what the kernel touches, `fixed` knows what is registered,
//! `loan` what is lent to sockets, `enter` what the kernel's errors mean;
//! `task` counts what is runnable; `shared` is what all cores see; `machine` and `device_facts` say what
//! there is and what is used of it; `timer`, `signal`, `open`, `probe`, `facts`, `warning`, `limits` stand alone.

mod core;
mod device;
mod device_facts;
mod driver;
mod enter;
mod facts;
mod fixed;
mod held;
mod launch;
mod limits;
mod loan;
mod machine;
mod net;
mod nvme;
mod open;
mod operation;
mod outbox;
mod probe;
mod ring;
mod shared;
mod signal;
mod slot;
mod task;
mod timer;
mod warning;

#[cfg(test)]
mod tests;

pub use self::core::GlommioRuntime;
/// The same, by the name that programs use.
pub use self::core::GlommioRuntime as NativeRuntime;
pub use device::GlommioDevice;
pub use device_facts::{Backend, DeviceFacts};
pub use facts::{CpuFacts, affinity_cpus, cpu_facts};
pub use launch::{LaunchConfig, LaunchError, launch};
pub use limits::{
    CANCELS_IN_FLIGHT_MAX, CORES_MAX, DEVICE_IN_FLIGHT_MAX, DEVICES_MAX, DISK_OPERATIONS_MAX,
    SOCKET_OPERATIONS_MAX,
};
pub use machine::{MachineFacts, RingModes, machine_facts};
pub use net::{GlommioListener, GlommioStream};
pub use nvme::PassedOver;
pub use open::{OpenDevice, OpenError, OpenOptions, Passthrough, create_file_device};
pub use probe::{Contents, what_is_on};
pub use ring::RingCounters;
pub use warning::LaunchWarning;

use std::io::Write as _;

/// One line on standard error.
fn say(what: &str) {
    let mut standard_error = std::io::stderr().lock();
    // Nothing can be done about a standard error that takes no more text.
    let _written = writeln!(standard_error, "ashlar: {what}");
}

/// Ends the process with one line on standard error: for what must not be survived.
fn abort(what: &str, message: &str) -> ! {
    let mut standard_error = std::io::stderr().lock();
    // Nothing can be done about a standard error that takes no more text.
    let _written = writeln!(standard_error, "ashlar: {what}: {message}");
    std::process::abort();
}
