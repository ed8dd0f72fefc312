//! Which steps there are, in which order, and what each runs. Nothing here runs anything but `cargo metadata`.

use super::Options;
use crate::clients;
use crate::step::Invocation;
use std::path::Path;

/// What the real-client tests are started with.
const EXTERNAL_TESTS: &str = "tests/external/run.py";

/// What boots the virtual machine.
const NVME_TEST: &str = "tests/external/nvme_vm.py";

/// One check.
#[derive(Debug)]
pub(super) struct Step {
    /// Typed after `--skip` and `--only`.
    pub(super) name: &'static str,
    /// What it shows, for people.
    pub(super) title: &'static str,
    /// What it does.
    pub(super) work: Work,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Work {
    /// Runs a program.
    Command(Invocation),
    /// Installs what the tests need.
    Install,
    /// Checks imports and fences.
    Layers,
    /// Checks texts and files.
    Tidy,
    /// Fuzzes every target for so many seconds.
    Fuzz(u32),
    /// Cannot run, and why; said loudly, as nobody should mistake it for a pass.
    LeaveOut(String),
}

impl Step {
    /// The line that runs just this step.
    pub(super) fn rerun(&self) -> String {
        match &self.work {
            Work::Command(invocation) => invocation.shown(),
            Work::Layers => "cargo xtask layers".to_owned(),
            Work::Tidy => "cargo xtask tidy".to_owned(),
            Work::Install => "cargo xtask clients".to_owned(),
            Work::Fuzz(seconds) => format!("cargo xtask fuzz --seconds {seconds}"),
            Work::LeaveOut(_) => format!("cargo xtask ci --only {}", self.name),
        }
    }
}

/// The selected steps, in order.
pub(super) fn steps(root: &Path, options: &Options) -> Result<Vec<Step>, String> {
    let target = clients::target_folder(root)?;
    let mut steps = vec![
        step("setup", "install what the tests need", Work::Install),
        step("fmt", "formatting", cargo("fmt --all --check")),
        step("clippy", "lints", cargo("clippy --workspace --all-targets -- -D warnings")),
        step("doc", "documentation builds without warnings", documentation()),
        step("layers", "imports go down only", Work::Layers),
        step("tidy", "texts, lengths, links, promised files", Work::Tidy),
        step("test", "every test of the workspace", cargo("test --workspace")),
        step("seeds", "the simulator under many seeds", seeds(options.seeds)),
        step("build", "the program as users get it", cargo("build --release --package ashlar")),
        step("clients", "real S3 clients against the program", external_tests(root, &target)),
    ];
    if options.nvme_vm {
        let invocation = Invocation::new("python3")
            .argument(NVME_TEST)
            .argument("--binary")
            .argument(target.join("release/ashlar").display().to_string());
        steps.push(step("nvme-vm", "NVMe passthrough in a virtual machine", Work::Command(invocation)));
    }
    if options.fuzz_seconds > 0 {
        steps.push(step("fuzz", "every parser under random bytes", Work::Fuzz(options.fuzz_seconds)));
    }
    for name in options.skip.iter().chain(&options.only) {
        if !steps.iter().any(|step| step.name == name) {
            let names: Vec<_> = steps.iter().map(|step| step.name).collect();
            return Err(format!("no step is called {name}: there are {}", names.join(", ")));
        }
    }
    let named = |list: &[String], step: &Step| list.iter().any(|name| name == step.name);
    steps.retain(|step| {
        (options.only.is_empty() || named(&options.only, step)) && !named(&options.skip, step)
    });
    Ok(steps)
}

fn step(name: &'static str, title: &'static str, work: Work) -> Step {
    Step { name, title, work }
}

fn cargo(arguments: &str) -> Work {
    Work::Command(Invocation::new("cargo").arguments(arguments))
}

fn documentation() -> Work {
    let invocation =
        Invocation::new("cargo doc --workspace --no-deps").variable("RUSTDOCFLAGS", "-D warnings");
    Work::Command(invocation)
}

fn seeds(count: u32) -> Work {
    // The whole workspace, so that the program is the one which the step before has built.
    let invocation = Invocation::new("cargo test --workspace --test whole model_conformance::")
        .variable("ASHLAR_SEEDS", count.to_string());
    Work::Command(invocation)
}

/// The clients see nothing of the caller's environment: an AWS profile or a proxy there must not decide the outcome.
fn external_tests(root: &Path, target: &Path) -> Work {
    if !root.join(EXTERNAL_TESTS).is_file() {
        return Work::LeaveOut(format!("{EXTERNAL_TESTS} does not exist"));
    }
    let folder = clients::folder(target);
    let inherited = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
    let path = format!("{}:{inherited}", folder.join("venv/bin").display());
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
    let invocation = Invocation::new("python3")
        .argument(EXTERNAL_TESTS)
        .argument("--binary")
        .argument(target.join("release/ashlar").display().to_string())
        .clean_environment()
        .variable("PATH", path)
        .variable("HOME", home)
        .variable("NODE_PATH", folder.join("node_modules").display().to_string())
        .variable("ASHLAR_CLIENTS", folder.display().to_string());
    Work::Command(invocation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    fn names(skip: &[&str], only: &[&str], fuzz_seconds: u32) -> Result<Vec<&'static str>, String> {
        let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let options = Options {
            seeds: 1,
            fuzz_seconds,
            nvme_vm: fuzz_seconds > 0,
            skip: owned(skip),
            only: owned(only),
            list: false,
        };
        let root = tree::workspace_root().unwrap();
        steps(&root, &options).map(|steps| steps.iter().map(|step| step.name).collect())
    }

    #[test]
    fn long_steps_are_there_only_when_asked_for() {
        assert!(!names(&[], &[], 0).unwrap().contains(&"fuzz"));
        assert!(!names(&[], &[], 0).unwrap().contains(&"nvme-vm"));
        assert!(names(&[], &[], 1).unwrap().contains(&"nvme-vm"));
        assert_eq!(names(&[], &[], 1).unwrap().last(), Some(&"fuzz"));
    }

    #[test]
    fn steps_are_selected_by_name() {
        assert_eq!(names(&[], &["tidy", "fmt"], 0).unwrap(), ["fmt", "tidy"]);
        assert!(!names(&["doc"], &[], 0).unwrap().contains(&"doc"));
        assert!(names(&["dco"], &[], 0).unwrap_err().contains("dco"));
    }

    #[test]
    fn a_step_shows_how_to_run_it_alone() {
        assert_eq!(
            step("doc", "", documentation()).rerun(),
            "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps"
        );
    }
}
