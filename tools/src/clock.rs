//! The only place in the tools that asks for the time or waits for it to pass.
//!
//! Tools measure real servers, so unlike the engine they have no simulated twin.

use jiff::Timestamp;
use std::time::{Duration, Instant};

/// The present moment on the monotonic clock, for durations.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tools measure real time and are never simulated")]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, for signatures and labels; it may jump.
#[must_use]
pub fn wall() -> Timestamp {
    Timestamp::now()
}

/// Blocks the calling thread for `duration`.
#[expect(
    clippy::disallowed_methods,
    reason = "a tool's main thread has nothing else to do; no shard runs on it"
)]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
