//! Files that the project promises to have, and the two commands that the README gives.

use crate::tree::{Fault, Tree};

/// What must exist at the top.
const PROMISED: [&str; 4] = ["README.md", "LICENSE", "CHANGELOG.md", ".ci/run"];

/// The README's last command, which is also what `.ci/run` runs.
const CHECK_COMMAND: &str = "cargo xtask ci";

/// Every promised file that is missing, and every way in which the README's commands are not the real ones.
pub(super) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for path in PROMISED {
        if tree.text(path).is_none() {
            faults.push(fault(path, "is missing"));
        }
    }
    if let Some(readme) = tree.text("README.md") {
        let commands = commands(readme);
        if commands.len() != 2 {
            faults.push(fault("README.md", "must give exactly two cargo commands: one to run, one to check"));
        }
        if commands.last() != Some(&CHECK_COMMAND) {
            faults.push(fault("README.md", "must give `cargo xtask ci` as its last command"));
        }
    }
    if tree.text(".ci/run").is_some_and(|script| !script.lines().any(|line| line.contains(CHECK_COMMAND))) {
        faults.push(fault(".ci/run", "must run `cargo xtask ci`"));
    }
    if !tree.text(".cargo/config.toml").is_some_and(|config| config.contains("xtask = ")) {
        faults.push(fault(
            ".cargo/config.toml",
            "must define the alias `xtask`, or the README's command fails",
        ));
    }
    faults
}

/// The lines of code blocks that call cargo, without prompt and comment.
fn commands(readme: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in readme.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if in_code {
            let typed = line.trim_start_matches("$ ").split(" #").next().unwrap_or(line).trim();
            if typed.starts_with("cargo ") {
                found.push(typed);
            }
        }
    }
    found
}

fn fault(path: &str, what: &str) -> Fault {
    Fault { path: path.to_owned(), line: 0, what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "```sh\ncargo run -- serve   # then use any client\ncargo xtask ci\n```\n";

    fn faults_with(readme: &str, script: &str) -> Vec<Fault> {
        check(&Tree::of(&[
            ("README.md", readme),
            ("LICENSE", ""),
            ("CHANGELOG.md", ""),
            (".ci/run", script),
            (".cargo/config.toml", "[alias]\nxtask = \"run\""),
        ]))
    }

    #[test]
    fn both_commands_pass() {
        assert_eq!(commands(README), ["cargo run -- serve", "cargo xtask ci"]);
        assert_eq!(faults_with(README, "cargo xtask ci\n"), []);
    }

    #[test]
    fn a_third_command_or_another_check_is_refused() {
        assert_eq!(faults_with(&README.replace("xtask ci", "test"), "cargo xtask ci").len(), 1);
        assert_eq!(faults_with(&format!("```\ncargo build\n```\n{README}"), "cargo xtask ci").len(), 1);
        assert_eq!(faults_with(README, "cargo test").len(), 1);
    }

    #[test]
    fn promised_files_are_missed() {
        assert_eq!(check(&Tree::default()).len(), PROMISED.len() + 1);
    }
}
