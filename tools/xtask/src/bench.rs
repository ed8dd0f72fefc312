//! `cargo xtask bench` measures everything that `docs/benchmarks.md` tells of, and `cargo xtask plots` draws it. Both
//! only build and start the programs of `benches`: this crate must build without any other.

use crate::clients::target_folder;
use crate::step::Invocation;
use std::path::{Path, PathBuf};

/// Where results are kept.
const RESULTS: &str = "benches/results";

/// What is built for it.
const BUILD: &str = "cargo build --release --package ashlar --package ashlar-benches --bins";

/// What `cargo run` sets for this program and a build script below looks at: seen by the build that we start, it would
/// build half of everything anew, and once more when a person builds.
const OURS_ALONE: [&str; 7] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
    "CARGO_MANIFEST_LINKS",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The file below benches/results that is appended to, without `.jsonl`
    #[arg(default_value = "measured")]
    name: String,
    /// Where pools and files are made, and deleted again
    #[arg(long, default_value = "/tmp/ashlar-bench")]
    folder: PathBuf,
    /// What a reader must know besides, such as that compilers run beside it
    #[arg(long, default_value = "")]
    note: String,
    /// Only these scenarios, as `scenarios --list` names them, and not the devices alone
    #[arg(long, value_name = "NAMES")]
    only: Option<String>,
    /// Loop devices to use, six of them [default: free ones]
    #[arg(long, value_name = "DEVICES")]
    loops: Option<String>,
    /// How often each figure is measured
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Length of one measurement
    #[arg(long, default_value = "1500ms")]
    seconds: String,
    /// Bytes of each device of a pool
    #[arg(long, default_value = "3GiB")]
    device_size: String,
}

/// Builds, measures the devices alone, runs the scenarios and draws the plots.
pub(crate) fn run(root: &Path, options: &Options) -> Result<(), String> {
    let programs = target_folder(root)?.join("release");
    std::fs::create_dir_all(&options.folder)
        .map_err(|error| format!("{}: {error}", options.folder.display()))?;
    for invocation in steps(&programs, options) {
        step(root, &invocation)?;
    }
    plots(root)
}

/// Draws the plots.
pub(crate) fn plots(root: &Path) -> Result<(), String> {
    step(root, &cargo("cargo run --quiet --release --package ashlar-benches --bin plots"))
}

/// Cargo as a person would start it.
fn cargo(line: &str) -> Invocation {
    let without = OURS_ALONE.map(|name| format!("-u {name}")).join(" ");
    Invocation::new("env").arguments(&without).arguments(line)
}

fn step(root: &Path, invocation: &Invocation) -> Result<(), String> {
    println!("\n$ {}", invocation.shown());
    if invocation.run(root).passed { Ok(()) } else { Err(format!("{} failed", invocation.shown())) }
}

/// What is run, in order.
fn steps(programs: &Path, options: &Options) -> Vec<Invocation> {
    let text = |path: PathBuf| path.display().to_string();
    let program = |name: &str| {
        Invocation::new("")
            .argument(text(programs.join(name)))
            .arguments("--results")
            .argument(format!("{RESULTS}/{}.jsonl", options.name))
            .arguments("--note")
            .argument(options.note.clone())
    };
    let mut scenarios = program("scenarios")
        .arguments("--ashlar")
        .argument(text(programs.join("ashlar")))
        .arguments("--folder")
        .argument(text(options.folder.clone()))
        .arguments("--device-size")
        .argument(options.device_size.clone())
        .arguments(&format!("--rounds {} --seconds {}", options.rounds, options.seconds));
    if let Some(loops) = &options.loops {
        scenarios = scenarios.arguments("--loops").argument(loops.clone());
    }
    if let Some(only) = &options.only {
        return vec![cargo(BUILD), scenarios.arguments("--only").argument(only.clone())];
    }
    let mut ceiling = program("device_ceiling").arguments("--cpu 0 --loop-over");
    ceiling = ceiling.argument(text(options.folder.join("ceiling-loop.img")));
    if let Some(first) = options.loops.as_deref().and_then(|loops| loops.split(',').next()) {
        ceiling = ceiling.arguments("--loop-device").argument(first);
    }
    ceiling = ceiling.argument(text(options.folder.join("ceiling-file.img")));
    vec![cargo(BUILD), ceiling, scenarios]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(only: Option<&str>, loops: Option<&str>) -> Vec<String> {
        let options = Options {
            name: "quiet".to_owned(),
            folder: PathBuf::from("/x"),
            note: "a note".to_owned(),
            only: only.map(str::to_owned),
            loops: loops.map(str::to_owned),
            rounds: 3,
            seconds: "1s".to_owned(),
            device_size: "1GiB".to_owned(),
        };
        steps(Path::new("/t"), &options).iter().map(Invocation::shown).collect()
    }

    #[test]
    fn everything_goes_to_one_file_with_one_note() {
        let lines = lines(None, Some("/dev/loop3,/dev/loop4"));
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("env -u CARGO_MANIFEST_DIR ") && lines[0].ends_with(BUILD), "{lines:?}");
        for line in &lines[1..] {
            assert!(line.contains("--results benches/results/quiet.jsonl --note 'a note'"), "{line}");
        }
        assert!(lines[1].contains("--loop-device /dev/loop3 /x/ceiling-file.img"), "{lines:?}");
        assert!(lines[2].contains("--loops /dev/loop3,/dev/loop4"), "{lines:?}");
    }

    #[test]
    fn a_chosen_scenario_runs_alone() {
        let lines = lines(Some("idle,cold"), None);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("/t/scenarios ") && lines[1].ends_with("--only idle,cold"), "{lines:?}");
    }
}
