//! A link from a document to a file of this repository leads somewhere.

use crate::tree::{Fault, Tree};

/// Every relative Markdown link whose file does not exist.
pub(super) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in tree.under("", ".md") {
        let mut in_code = false;
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            for link in links(line) {
                if !leads_somewhere(tree, path, link) {
                    let what = format!("links to {link}, which does not exist");
                    faults.push(Fault { path: path.to_owned(), line: index + 1, what });
                }
            }
        }
    }
    faults
}

/// What stands between `](` and the next `)`, outside of inline code.
fn links(line: &str) -> Vec<&str> {
    let prose = line.split('`').step_by(2);
    prose.flat_map(|part| part.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())).collect()
}

fn leads_somewhere(tree: &Tree, document: &str, link: &str) -> bool {
    let target = link.split('#').next().unwrap_or(link).trim_matches(['<', '>']);
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let mut folder: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => document.split('/').collect(),
    };
    folder.pop();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            if folder.pop().is_none() {
                return false;
            }
        } else {
            folder.push(part);
        }
    }
    tree.has(&folder.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(text: &str) -> Vec<Fault> {
        let files = [("docs/a.md", text), ("docs/b.md", ""), ("engine/src/log/mod.rs", ""), ("LICENSE", "")];
        check(&Tree::of(&files))
    }

    #[test]
    fn links_to_files_folders_and_anchors_lead_somewhere() {
        let text = "[b](b.md) and [c](./b.md#part), [log](../engine/src/log/), [l](/LICENSE), [top](#top)\n";
        assert_eq!(faults_of(text), []);
    }

    #[test]
    fn links_elsewhere_are_not_followed() {
        assert_eq!(faults_of("[a](https://example.org/x) `[code](missing.md)`\n```\n[x](y)\n```\n"), []);
    }

    #[test]
    fn a_link_to_nothing_is_refused_with_its_line() {
        let faults = faults_of("\n[x](missing.md)\n[y](../../outside.md)\n");
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [2, 3]);
    }
}
