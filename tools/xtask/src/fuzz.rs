//! Fuzzes every target of every crate, each for the same time.
//!
//! Targets are found as files, so a new one needs no entry here. Inputs that once broke something are kept as
//! ordinary tests in the crates, which the stable toolchain replays with everything else.

use crate::step::Invocation;
use std::fs;
use std::path::Path;

/// Folders that hold fuzz targets.
const FOLDERS: [&str; 2] = ["disk-format/fuzz", "s3/fuzz"];

/// What to fuzz, and how long.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only this target.
    #[arg(long)]
    target: Option<String>,
}

/// Fuzzes what `options` select.
pub(crate) fn run(root: &Path, options: &Options) -> Result<(), String> {
    let mut ran = 0;
    for folder in FOLDERS {
        for target in targets(&root.join(folder)) {
            if options.target.as_ref().is_none_or(|wanted| *wanted == target) {
                fuzz_one(root, folder, &target, options.seconds)?;
                ran += 1;
            }
        }
    }
    match &options.target {
        Some(target) if ran == 0 => Err(format!("no fuzz target is called {target}")),
        Some(_) | None => Ok(()),
    }
}

/// Fuzzes every target for `seconds` each.
pub(crate) fn run_all(root: &Path, seconds: u32) -> Result<(), String> {
    run(root, &Options { seconds, target: None })
}

fn fuzz_one(root: &Path, folder: &str, target: &str, seconds: u32) -> Result<(), String> {
    let line = format!("cargo +nightly fuzz run --fuzz-dir {folder} {target} -- -max_total_time={seconds}");
    let invocation = Invocation::new(&line);
    println!("    {}", invocation.shown());
    if invocation.run(root).passed {
        return Ok(());
    }
    Err(format!("{target} failed (cargo-fuzz comes with `cargo install cargo-fuzz`): {line}"))
}

/// Names of the files in `fuzz_targets`, in order.
fn targets(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder.join("fuzz_targets")) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut targets: Vec<_> = names.filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned())).collect();
    targets.sort();
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_rust_files_in_order() {
        let folder = std::env::temp_dir().join(format!("xtask-fuzz-{}", std::process::id()));
        let inside = folder.join("fuzz_targets");
        fs::create_dir_all(&inside).unwrap();
        for name in ["b.rs", "a.rs", "notes.md"] {
            fs::write(inside.join(name), "").unwrap();
        }
        assert_eq!(targets(&folder), ["a", "b"]);
        assert_eq!(targets(&folder.join("missing")), Vec::<String>::new());
        fs::remove_dir_all(&folder).unwrap();
    }
}
