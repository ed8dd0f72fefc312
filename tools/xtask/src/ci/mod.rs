//! The whole of continuous integration: every step in order, and a summary that can be acted on.
//!
//! [`plan`] decides which steps there are; this file only runs them. A failed step does not stop the later ones, so
//! one run shows everything that is wrong. The last line is always `N passed, N failed`, counting steps.

mod plan;

use crate::clients;
use crate::layers;
use crate::step::Outcome;
use crate::tidy;
use crate::tree::{Fault, Tree};
use crate::{clock, fuzz};
use plan::{Step, Work};
use std::path::Path;

/// What the person wants checked.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Simulator runs, each with its own seed.
    #[arg(long, default_value_t = 100)]
    pub(crate) seeds: u32,
    /// Seconds of fuzzing per target; 0 leaves fuzzing out, as it needs the nightly toolchain.
    #[arg(long, default_value_t = 0)]
    pub(crate) fuzz_seconds: u32,
    /// Also try NVMe passthrough in a virtual machine, which takes minutes and QEMU.
    #[arg(long)]
    pub(crate) nvme_vm: bool,
    /// Steps to leave out, by name.
    #[arg(long, value_delimiter = ',')]
    pub(crate) skip: Vec<String>,
    /// Run these steps only, by name.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Show the steps and how to run each alone, and do nothing.
    #[arg(long)]
    pub(crate) list: bool,
}

/// How a step went, for the summary.
struct Report {
    name: &'static str,
    rerun: String,
    verdict: Verdict,
}

enum Verdict {
    Ran(Outcome),
    LeftOut(String),
}

/// Runs the steps that `options` select.
///
/// # Errors
///
/// When a step failed, when `options` name a step that does not exist, or when cargo cannot say where it builds.
pub(crate) fn run(root: &Path, options: &Options) -> Result<(), String> {
    let steps = plan::steps(root, options)?;
    if options.list {
        for step in &steps {
            println!("{:<10} {}", step.name, step.rerun());
        }
        return Ok(());
    }
    let mut reports = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("\n=== {}/{} {}: {}", index + 1, steps.len(), step.name, step.title);
        println!("    {}", step.rerun());
        let verdict = run_step(root, step);
        match &verdict {
            Verdict::Ran(outcome) => {
                println!(
                    "--- {} {} in {:.1} s",
                    step.name,
                    passed_or_failed(outcome),
                    outcome.took.as_secs_f64()
                );
            }
            Verdict::LeftOut(reason) => println!("!!! {} LEFT OUT: {reason}", step.name),
        }
        reports.push(Report { name: step.name, rerun: step.rerun(), verdict });
    }
    summarise(&reports)
}

fn run_step(root: &Path, step: &Step) -> Verdict {
    match &step.work {
        Work::Command(invocation) => Verdict::Ran(invocation.run(root)),
        Work::LeaveOut(reason) => Verdict::LeftOut(reason.clone()),
        Work::Layers => Verdict::Ran(in_process(|| find_faults(root, layers::check))),
        Work::Tidy => Verdict::Ran(in_process(|| find_faults(root, tidy::check))),
        Work::Install => Verdict::Ran(in_process(|| {
            clients::install(root).map(|_| Vec::new()).unwrap_or_else(|error| vec![error])
        })),
        Work::Fuzz(seconds) => Verdict::Ran(in_process(|| {
            fuzz::run_all(root, *seconds).map_or_else(|error| vec![error], |()| Vec::new())
        })),
    }
}

/// Times a check that runs in this process; what it returns are the lines that say what is wrong.
fn in_process(check: impl FnOnce() -> Vec<String>) -> Outcome {
    let begun = clock::now();
    let tail = check();
    for line in &tail {
        println!("{line}");
    }
    Outcome { passed: tail.is_empty(), took: begun.elapsed(), tail, test_results: Vec::new() }
}

fn find_faults(root: &Path, check: fn(&Tree) -> Result<Vec<Fault>, String>) -> Vec<String> {
    match Tree::load(root).and_then(|tree| check(&tree)) {
        Ok(faults) => faults.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error],
    }
}

fn passed_or_failed(outcome: &Outcome) -> &'static str {
    if outcome.passed { "passed" } else { "FAILED" }
}

fn summarise(reports: &[Report]) -> Result<(), String> {
    let (mut passed, mut failed) = (0, 0);
    println!("\n=== summary");
    for report in reports {
        match &report.verdict {
            Verdict::Ran(outcome) => {
                if outcome.passed {
                    passed += 1;
                } else {
                    failed += 1;
                }
                println!(
                    "{:<10} {} {:>8.1} s",
                    report.name,
                    passed_or_failed(outcome),
                    outcome.took.as_secs_f64()
                );
            }
            Verdict::LeftOut(reason) => println!("{:<10} LEFT OUT: {reason}", report.name),
        }
    }
    for report in reports {
        if let Verdict::Ran(outcome) = &report.verdict {
            outcome.test_results.iter().for_each(|line| println!("{}: {line}", report.name));
        }
    }
    for report in reports {
        match &report.verdict {
            Verdict::Ran(outcome) if !outcome.passed => {
                println!("\n=== {} FAILED; its last lines:", report.name);
                outcome.tail.iter().for_each(|line| println!("{line}"));
                println!("=== run it alone: {}", report.rerun);
            }
            Verdict::Ran(_) | Verdict::LeftOut(_) => {}
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { Ok(()) } else { Err(format!("{failed} steps failed")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn report(passed: bool) -> Report {
        let outcome = Outcome { passed, took: Duration::ZERO, tail: Vec::new(), test_results: Vec::new() };
        Report { name: "step", rerun: String::new(), verdict: Verdict::Ran(outcome) }
    }

    #[test]
    fn one_failed_step_fails_the_run() {
        assert!(summarise(&[report(true), report(true)]).is_ok());
        assert!(summarise(&[report(true), report(false)]).is_err());
    }

    #[test]
    fn a_step_that_was_left_out_is_neither() {
        let left_out =
            Report { name: "clients", rerun: String::new(), verdict: Verdict::LeftOut("no file".to_owned()) };
        assert!(summarise(&[left_out]).is_ok());
    }

    #[test]
    fn a_check_that_finds_faults_has_failed() {
        assert!(in_process(Vec::new).passed);
        assert!(!in_process(|| vec!["a.rs:1: wrong".to_owned()]).passed);
    }
}
