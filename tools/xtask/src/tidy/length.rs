//! Long files are cut in two, or say in `tidy.toml` why not.

use crate::tree::{Fault, Tree};
use serde::Deserialize;

/// Where the exceptions are written.
const EXCEPTIONS: &str = "tools/xtask/tidy.toml";

/// Above this, a file no longer has one subject.
const LINES_MAX: usize = 600;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceptions {
    long: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    path: String,
    lines_max: usize,
    reason: String,
}

/// Every file that is too long, and every exception that is stale or gives no reason.
pub(super) fn check(tree: &Tree) -> Result<Vec<Fault>, String> {
    let text = tree.text(EXCEPTIONS).ok_or_else(|| format!("{EXCEPTIONS} is missing"))?;
    let exceptions: Exceptions = toml::from_str(text).map_err(|error| format!("{EXCEPTIONS}: {error}"))?;
    let mut faults = Vec::new();
    for (path, text) in tree.under("", ".rs") {
        let lines = lines_without_tests(text);
        let exception = exceptions.long.iter().find(|exception| exception.path == path);
        let lines_max = exception.map_or(LINES_MAX, |exception| exception.lines_max);
        if lines > lines_max {
            let what = format!("{lines} lines without tests, and {lines_max} is the most");
            faults.push(Fault { path: path.to_owned(), line: 0, what });
        }
    }
    for exception in &exceptions.long {
        let lines = tree.text(&exception.path).map_or(0, lines_without_tests);
        if lines <= LINES_MAX {
            let what = format!("the exception for {} is no longer needed: take it out", exception.path);
            faults.push(Fault { path: EXCEPTIONS.to_owned(), line: 0, what });
        }
        if exception.reason.trim().is_empty() {
            let what = format!("the exception for {} gives no reason", exception.path);
            faults.push(Fault { path: EXCEPTIONS.to_owned(), line: 0, what });
        }
    }
    Ok(faults)
}

/// Lines before the test module, which stands last in a file.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests_begin =
        |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(tests_begin).unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(exceptions: &str, text: &str) -> Vec<Fault> {
        check(&Tree::of(&[(EXCEPTIONS, exceptions), ("s3/src/a.rs", text)])).unwrap()
    }

    const EXCUSED: &str = "[[long]]\npath = \"s3/src/a.rs\"\nlines_max = 700\nreason = \"a table\"";

    #[test]
    fn tests_are_not_counted() {
        let text = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "a\n".repeat(600), "b\n".repeat(600));
        assert_eq!(faults_of("long = []", &text), []);
    }

    #[test]
    fn one_line_too_many_needs_an_exception_and_an_exception_has_a_limit() {
        assert_eq!(faults_of("long = []", &"a\n".repeat(601)).len(), 1);
        assert_eq!(faults_of(EXCUSED, &"a\n".repeat(601)), []);
        assert_eq!(faults_of(EXCUSED, &"a\n".repeat(701)).len(), 1);
    }

    #[test]
    fn a_stale_exception_is_refused() {
        assert_eq!(faults_of(EXCUSED, "a\n").len(), 1);
    }

    #[test]
    fn an_exception_without_a_reason_is_refused() {
        assert_eq!(faults_of(&EXCUSED.replace("a table", " "), &"a\n".repeat(601)).len(), 1);
    }
}
