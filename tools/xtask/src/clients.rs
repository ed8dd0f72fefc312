//! Installs the S3 clients that the real-client tests drive.
//!
//! Python and JavaScript clients go under the target folder in pinned versions; programs that only the distribution
//! has (restic, rclone, node) are installed from it, and only when they are missing and we are allowed to. A machine
//! that has everything already downloads nothing.

use crate::step::Invocation;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Versions of the Python clients.
const REQUIREMENTS: &str = include_str!("../clients/requirements.txt");

/// Version of the JavaScript client.
const PACKAGE: &str = include_str!("../clients/package.json");

/// Programs, and the Debian package that has each.
const PROGRAMS: [(&str, &str); 6] = [
    ("python3", "python3"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("restic", "restic"),
    ("rclone", "rclone"),
    ("openssl", "openssl"),
];

/// Installs what is missing and returns the folder that holds it: `venv/` for Python, `node_modules/` for JavaScript.
///
/// # Errors
///
/// When a program is missing that we may not install, or an installer fails.
pub(crate) fn install(root: &Path) -> Result<PathBuf, String> {
    install_programs(root)?;
    let folder = folder(&target_folder(root)?);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    once(&folder, "requirements.txt", REQUIREMENTS, || {
        run(&folder, &Invocation::new("python3 -m venv --clear venv"))?;
        let pip = "venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt";
        run(&folder, &Invocation::new(pip))
    })?;
    once(&folder, "package.json", PACKAGE, || {
        run(&folder, &Invocation::new("npm install --no-audit --no-fund --no-package-lock --loglevel=error"))
    })?;
    Ok(folder)
}

/// Where the clients lie, given cargo's target folder.
pub(crate) fn folder(target: &Path) -> PathBuf {
    target.join("clients")
}

/// Where cargo builds, which `CARGO_TARGET_DIR` may have moved.
pub(crate) fn target_folder(root: &Path) -> Result<PathBuf, String> {
    let mut command = Command::new("cargo");
    command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(root);
    let output = command.output().map_err(|error| format!("cargo metadata: {error}"))?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let folder = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    folder.map(PathBuf::from).ok_or_else(|| "cargo metadata names no target_directory".to_owned())
}

/// Does `work` unless it was done before, in this place, for the same `wanted` text; `name` is the file that `work` reads
/// it from. What was installed names its place, and does not work in another.
fn once(
    folder: &Path,
    name: &str,
    wanted: &str,
    work: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let done = folder.join(format!("{name}.installed"));
    let stamp = format!("{wanted}\n# in {}\n", folder.display());
    if fs::read_to_string(&done).is_ok_and(|found| found == stamp) {
        return Ok(());
    }
    let file = folder.join(name);
    fs::write(&file, wanted).map_err(|error| format!("{}: {error}", file.display()))?;
    work()?;
    fs::write(&done, stamp).map_err(|error| format!("{}: {error}", done.display()))
}

fn install_programs(root: &Path) -> Result<(), String> {
    let mut packages: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !on_path(program)).map(|(_, package)| *package).collect();
    if on_path("python3") && !python_has_venv() {
        packages.push("python3-venv");
    }
    if packages.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get install --yes --no-install-recommends {}", packages.join(" "));
    if !is_root() || !on_path("apt-get") {
        return Err(format!("these programs are missing; as root, run: {line}"));
    }
    run(root, &Invocation::new("apt-get update --quiet=2"))?;
    run(root, &Invocation::new(&line).variable("DEBIAN_FRONTEND", "noninteractive"))
}

fn run(folder: &Path, invocation: &Invocation) -> Result<(), String> {
    println!("    {}", invocation.shown());
    let outcome = invocation.run(folder);
    if outcome.passed {
        return Ok(());
    }
    Err(format!("{} failed:\n{}", invocation.shown(), outcome.tail.join("\n")))
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn python_has_venv() -> bool {
    Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_python_client_is_pinned() {
        let names = REQUIREMENTS.lines().filter(|line| !line.starts_with('#'));
        let mut count = 0;
        for line in names {
            assert!(line.contains("=="), "{line}");
            count += 1;
        }
        assert!(count >= 6, "{count}");
    }

    #[test]
    fn work_is_done_again_only_when_what_is_wanted_has_changed() {
        let folder = std::env::temp_dir().join(format!("xtask-once-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut runs = 0;
        for wanted in ["a", "a", "b"] {
            once(&folder, "wanted", wanted, || {
                runs += 1;
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(runs, 2);
        assert!(once(&folder, "wanted", "c", || Err("no".to_owned())).is_err());
        once(&folder, "wanted", "c", || {
            runs += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(runs, 3);
        fs::remove_dir_all(&folder).unwrap();
    }
}
