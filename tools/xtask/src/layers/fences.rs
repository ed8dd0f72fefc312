//! Some words appear only where `layers.toml` allows them, and some crates promise to hold no unsafe code.

use crate::source;
use crate::tree::{Fault, Tree};
use serde::Deserialize;

/// Where the rules are written.
const RULES: &str = "tools/xtask/layers.toml";

/// The attribute, as [`source::tokens`] cuts it.
const FORBID_UNSAFE: [&str; 8] = ["#", "!", "[", "forbid", "(", "unsafe_code", ")", "]"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    forbid_unsafe: Vec<String>,
    fence: Vec<Fence>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fence {
    word: String,
    allowed: Vec<String>,
    reason: String,
}

/// Every fenced word outside its fence, and every crate root that should forbid unsafe code but does not.
pub(super) fn check(tree: &Tree) -> Result<Vec<Fault>, String> {
    let text = tree.text(RULES).ok_or_else(|| format!("{RULES} is missing"))?;
    let rules: Rules = toml::from_str(text).map_err(|error| format!("{RULES}: {error}"))?;
    let mut faults = Vec::new();
    for (path, text) in tree.under("", ".rs") {
        for token in source::tokens(text) {
            let Some(fence) = rules.fence.iter().find(|fence| fence.word == token.text) else { continue };
            if !fence.allowed.iter().any(|prefix| path.starts_with(prefix.as_str())) {
                let what = format!("`{}` is fenced off here: {}", fence.word, fence.reason);
                faults.push(Fault { path: path.to_owned(), line: token.line, what });
            }
        }
    }
    for root in &rules.forbid_unsafe {
        let forbids = tree.text(root).is_some_and(forbids_unsafe);
        if !forbids {
            faults.push(Fault {
                path: root.clone(),
                line: 0,
                what: "must carry #![forbid(unsafe_code)]".to_owned(),
            });
        }
    }
    Ok(faults)
}

fn forbids_unsafe(text: &str) -> bool {
    let tokens = source::tokens(text);
    tokens
        .windows(FORBID_UNSAFE.len())
        .any(|window| window.iter().zip(FORBID_UNSAFE).all(|(t, w)| t.text == w))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FENCED: &str = "forbid_unsafe = [\"s3/src/lib.rs\"]\n[[fence]]\nword = \"unsafe\"\n\
                          allowed = [\"engine/src/buffer/\"]\nreason = \"why\"";

    fn faults_of(path: &str, text: &str) -> Vec<Fault> {
        let root = "#![forbid(unsafe_code)]";
        check(&Tree::of(&[(RULES, FENCED), ("s3/src/lib.rs", root), (path, text)])).unwrap()
    }

    #[test]
    fn a_fenced_word_passes_only_behind_its_fence() {
        assert_eq!(faults_of("engine/src/buffer/arena.rs", "unsafe { f() }"), []);
        let faults = faults_of("engine/src/log/mod.rs", "\nfn f() { unsafe { g() } }");
        assert_eq!((faults.len(), faults[0].line), (1, 2));
    }

    #[test]
    fn a_mention_or_a_longer_word_is_no_use() {
        assert_eq!(faults_of("s3/src/a.rs", "// unsafe\n#![deny(unsafe_op_in_unsafe_fn)]"), []);
    }

    #[test]
    fn a_crate_that_lost_its_promise_is_named() {
        let faults =
            check(&Tree::of(&[(RULES, FENCED), ("s3/src/lib.rs", "// #![forbid(unsafe_code)]")])).unwrap();
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn the_rules_themselves_are_checked() {
        assert!(check(&Tree::of(&[(RULES, "fence = 1")])).is_err());
        assert!(check(&Tree::of(&[])).is_err());
    }
}
