//! The `ashlar` program; everything it can do is in the library beside it.

use std::process::ExitCode;

/// Requests make small short-lived allocations on the core that frees them, which it serves in half the time of
/// the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ashlar_tools::cli::run()
}
