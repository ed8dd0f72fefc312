//! The project's own checks, one command each.
//!
//! `cargo xtask ci` is the whole of continuous integration: `.ci/run` does nothing else, so a change that passes
//! here passes there. Each of the other commands runs one part of it. Every check reads the files into a
//! [`tree::Tree`] first and decides on that, so its own tests need no disk.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program talks to a person in a terminal"
)]

mod bench;
mod ci;
mod clients;
mod fuzz;
mod layers;
mod tidy;

mod source;
mod step;
mod tree;

mod clock;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The project's own checks", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every check, in order; exactly what continuous integration runs.
    Ci(ci::Options),
    /// Check that imports only go down the layers, and that fenced names stay behind their fence.
    Layers,
    /// Check file lengths, whitespace, module docs, links and the promised files.
    Tidy,
    /// Fuzz every target for a while (needs the nightly toolchain and cargo-fuzz).
    Fuzz(fuzz::Options),
    /// Measure everything that docs/benchmarks.md tells of, and draw it; wants an otherwise quiet machine, and root for
    /// loop devices.
    Bench(bench::Options),
    /// Draw docs/plots from benches/results.
    Plots,
    /// Install the pinned S3 clients under the target folder.
    Clients,
}

fn main() -> ExitCode {
    let root = match tree::workspace_root() {
        Ok(root) => root,
        Err(error) => {
            eprintln!("xtask: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = match Arguments::parse().task {
        Task::Ci(options) => ci::run(&root, &options),
        Task::Layers => check(&root, layers::check),
        Task::Tidy => check(&root, tidy::check),
        Task::Fuzz(options) => fuzz::run(&root, &options),
        Task::Bench(options) => bench::run(&root, &options),
        Task::Plots => bench::plots(&root),
        Task::Clients => {
            clients::install(&root).map(|folder| println!("clients are in {}", folder.display()))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Loads the tree, prints one line per fault as `path:line: what`, and fails if there is any.
fn check(
    root: &std::path::Path,
    find_faults: fn(&tree::Tree) -> Result<Vec<tree::Fault>, String>,
) -> Result<(), String> {
    let tree = tree::Tree::load(root)?;
    let faults = find_faults(&tree)?;
    for fault in &faults {
        println!("{fault}");
    }
    if faults.is_empty() {
        println!("{} files, no faults", tree.len());
        return Ok(());
    }
    Err(format!("{} faults", faults.len()))
}
