//! What a core gives to the code that runs on it: tasks, time, randomness, devices, sockets.
//!
//! [`contract`] holds the traits; `glommio` (real) and `sim` (deterministic) implement them. Which
//! one is chosen at compile time: everything above is generic over [`Runtime`], so the data path
//! has no dynamic dispatch, and the very same engine and S3 code runs in the simulator.

pub mod glommio;
pub mod sim;
pub mod contract;

/// The back-end of real cores, devices and sockets, under a name that says what it is for: programs
/// start it without knowing what it is made of.
pub use glommio as native;

pub use contract::{
    CoreId, Device, DeviceError, DeviceInfo, Durability, Listener, Monotonic, NetError, Runtime, SendParts,
    Stream, TaskQueue, WallTime,
};
