//! Runs one command, shows its output as it comes, and keeps the end of it for the summary.

use crate::clock;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Lines of a failed step that are shown again at the end.
const TAIL_LINES_MAX: usize = 60;

/// A command line with the environment it needs, so that it can be both run and shown to be repeated.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    /// Program and arguments.
    words: Vec<String>,
    /// Variables set on top of the inherited environment, or making up the whole of it.
    variables: Vec<(String, String)>,
    /// Whether nothing is inherited.
    clean_environment: bool,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Whether it exited with status 0.
    pub(crate) passed: bool,
    /// How long it ran.
    pub(crate) took: Duration,
    /// The last lines that it printed.
    pub(crate) tail: Vec<String>,
    /// The lines in which cargo's test harness sums up, without those that ran nothing.
    pub(crate) test_results: Vec<String>,
}

impl Invocation {
    /// `line` is cut at spaces; add arguments that have spaces with [`Self::argument`].
    pub(crate) fn new(line: &str) -> Self {
        Self {
            words: line.split_whitespace().map(str::to_owned).collect(),
            variables: Vec::new(),
            clean_environment: false,
        }
    }

    /// Adds what `line` holds, cut at spaces.
    pub(crate) fn arguments(mut self, line: &str) -> Self {
        self.words.extend(line.split_whitespace().map(str::to_owned));
        self
    }

    /// Adds one argument as it is.
    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        self.words.push(argument.into());
        self
    }

    /// Sets a variable.
    pub(crate) fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Inherits nothing: only the variables set here exist.
    pub(crate) fn clean_environment(mut self) -> Self {
        self.clean_environment = true;
        self
    }

    /// The line that a person types to run just this.
    pub(crate) fn shown(&self) -> String {
        let mut words = Vec::new();
        if self.clean_environment {
            words.push("env -i".to_owned());
        }
        words.extend(self.variables.iter().map(|(name, value)| format!("{name}={}", quoted(value))));
        words.extend(self.words.iter().map(|word| quoted(word)));
        words.join(" ")
    }

    /// Runs it in `folder`. A program that cannot be started counts as failed, with the reason as its output.
    pub(crate) fn run(&self, folder: &Path) -> Outcome {
        let begun = clock::now();
        let mut gathered = Gathered::default();
        let passed = match self.start_and_read(folder, &mut gathered) {
            Ok(passed) => passed,
            Err(error) => {
                gathered.take(format!("{}: {error}", self.shown()));
                false
            }
        };
        Outcome {
            passed,
            took: begun.elapsed(),
            tail: gathered.tail.into_iter().collect(),
            test_results: gathered.test_results,
        }
    }

    fn start_and_read(&self, folder: &Path, gathered: &mut Gathered) -> std::io::Result<bool> {
        let Some((program, arguments)) = self.words.split_first() else {
            return Ok(false);
        };
        let (reader, writer) = std::io::pipe()?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder);
        if self.clean_environment {
            command.env_clear();
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn()?;
        // The command holds the pipe's write ends: unless they go, the read below never sees the end.
        drop(command);
        for line in BufReader::new(reader).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            println!("{line}");
            gathered.take(line);
        }
        Ok(child.wait()?.success())
    }
}

#[derive(Default)]
struct Gathered {
    tail: VecDeque<String>,
    test_results: Vec<String>,
}

impl Gathered {
    fn take(&mut self, line: String) {
        let plain = without_colours(&line);
        if plain.starts_with("test result:") && !plain.contains(" 0 passed; 0 failed;") {
            self.test_results.push(plain);
        }
        if self.tail.len() == TAIL_LINES_MAX {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

fn without_colours(line: &str) -> String {
    let mut plain = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // An escape sequence ends with its first letter.
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=,+@%".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_typed() {
        let invocation =
            Invocation::new("cargo doc").variable("RUSTDOCFLAGS", "-D warnings").argument("it's");
        assert_eq!(invocation.shown(), "RUSTDOCFLAGS='-D warnings' cargo doc 'it'\\''s'");
    }

    #[test]
    fn both_streams_and_the_exit_status_are_seen() {
        let invocation = Invocation::new("sh -c").argument("echo out; echo err >&2; exit 3");
        let outcome = invocation.run(Path::new("."));
        assert!(!outcome.passed);
        assert_eq!(outcome.tail, ["out", "err"]);
    }

    #[test]
    fn a_missing_program_is_a_failed_step() {
        let outcome = Invocation::new("no-such-program-here").run(Path::new("."));
        assert!(!outcome.passed);
        assert_eq!(outcome.tail.len(), 1);
    }

    #[test]
    fn test_results_are_found_through_colours_and_empty_ones_are_dropped() {
        let mut gathered = Gathered::default();
        gathered.take("test result: \u{1b}[32mok\u{1b}(B\u{1b}[m. 3 passed; 0 failed; 0 ignored".to_owned());
        gathered.take("test result: ok. 0 passed; 0 failed; 0 ignored".to_owned());
        assert_eq!(gathered.test_results, ["test result: ok. 3 passed; 0 failed; 0 ignored"]);
    }

    #[test]
    fn a_clean_environment_has_only_what_was_set() {
        let invocation = Invocation::new("/usr/bin/env").clean_environment().variable("ONLY", "this");
        assert_eq!(invocation.run(Path::new(".")).tail, ["ONLY=this"]);
    }
}
