//! White space, leftovers, and the document at the head of each source file.

use crate::source;
use crate::tree::{Fault, Tree};

/// Files whose lines must not end in white space.
const CLEAN_ENDINGS: [&str; 5] = [".rs", ".toml", ".md", ".py", ".sh"];

/// Macros that mark unfinished work.
const UNFINISHED: [&str; 2] = ["todo", "unimplemented"];

/// Every fault within the text of a single file.
pub(super) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for suffix in CLEAN_ENDINGS {
        for (path, text) in tree.under("", suffix) {
            for (index, line) in text.lines().enumerate() {
                if line.ends_with([' ', '\t']) {
                    faults.push(fault(path, index + 1, "ends in white space"));
                }
            }
        }
    }
    for (path, text) in tree.under("", ".rs") {
        check_source(path, text, &mut faults);
    }
    faults
}

fn check_source(path: &str, text: &str, faults: &mut Vec<Fault>) {
    if !text.starts_with("//!") {
        faults.push(fault(path, 1, "must begin with a `//!` document: what it owns and what it never does"));
    }
    for (index, line) in text.lines().enumerate() {
        if line.contains('\t') {
            faults.push(fault(path, index + 1, "has a tab"));
        }
    }
    for pair in source::tokens(text).windows(2) {
        if UNFINISHED.contains(&pair[0].text.as_str()) && pair[1].text == "!" {
            faults.push(fault(path, pair[0].line, "unfinished: finish it, or return a typed error"));
        }
    }
}

fn fault(path: &str, line: usize, what: &str) -> Fault {
    Fault { path: path.to_owned(), line, what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)])).iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn a_clean_file_passes() {
        assert_eq!(lines_of("s3/src/a.rs", "//! A.\n\nfn f() {}\n"), Vec::<usize>::new());
    }

    #[test]
    fn white_space_at_the_end_of_a_line_is_refused_in_documents_too() {
        assert_eq!(lines_of("docs/a.md", "one\ntwo \n"), [2]);
        assert_eq!(lines_of("s3/src/a.rs", "//! A. \n"), [1]);
    }

    #[test]
    fn a_tab_is_refused() {
        assert_eq!(lines_of("s3/src/a.rs", "//! A.\n\tfn f() {}\n"), [2]);
    }

    #[test]
    fn a_missing_head_document_is_refused() {
        assert_eq!(lines_of("s3/src/a.rs", "// A.\n"), [1]);
    }

    #[test]
    fn unfinished_work_is_refused_in_code_only() {
        let unfinished = format!("//! A.\nfn f() {{ {}!() }}\n", UNFINISHED[0]);
        assert_eq!(lines_of("s3/src/a.rs", &unfinished), [2]);
        assert_eq!(lines_of("s3/src/a.rs", "//! A todo! list.\nlet todo = 1;\n"), Vec::<usize>::new());
    }
}
