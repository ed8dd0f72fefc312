//! The `ashlar` program; everything it can do is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    ashlar_tools::cli::run()
}
