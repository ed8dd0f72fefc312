//! Programs people run: one binary with one subcommand per job.
//!
//! The way of a call: `cli` turns what was typed into checked options, `command` does the job and returns a verdict,
//! and the modules below lend it a client, a progress display and tables. No module here holds data that outlives
//! the process, and none needs unsafe code.
//!
//! Layers, top first; a module imports only from those after it.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "these programs talk to a person in a terminal"
)]

pub mod cli;

pub mod command;

pub mod client;

pub mod progress;

pub mod output;

pub mod clock;
