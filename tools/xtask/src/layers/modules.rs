//! A file names only modules that its crate's root lists after its own.
//!
//! The order of the `mod` lines in `src/lib.rs` (or `src/main.rs`) is the order of the layers, top first. Names are
//! read from the code itself, so a path in the middle of an expression counts as much as a `use` line. The root file
//! is exempt, and so is whatever stands beside the library (`src/bin`, `tests/`, `benches/`): it is above all of it.

use crate::source::{self, Token};
use crate::tree::{Fault, Tree};

/// Library crates and programs whose modules are in layers.
const ROOTS: [&str; 7] = [
    "disk-format/src/lib.rs",
    "engine/src/lib.rs",
    "s3/src/lib.rs",
    "tools/src/lib.rs",
    "tools/xtask/src/main.rs",
    "benches/src/lib.rs",
    "tests/src/lib.rs",
];

/// Every upward import, and every import through the crate root, which would hide its layer.
pub(super) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for root in ROOTS {
        let Some(text) = tree.text(root) else { continue };
        let order = module_order(&source::tokens(text));
        let folder = &root[..=root.rfind('/').unwrap_or(0)];
        for (path, text) in tree.under(folder, ".rs") {
            let inside = &path[folder.len()..];
            if path == root || inside.starts_with("bin/") {
                continue;
            }
            check_file(path, &module_path(inside), &order, &source::tokens(text), &mut faults);
        }
    }
    faults
}

/// The modules that the root declares, in its order.
fn module_order(tokens: &[Token]) -> Vec<String> {
    let mut order = Vec::new();
    let mut depth = 0_usize;
    for (position, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            "mod" if depth == 0 => order.extend(tokens.get(position + 1).map(|name| name.text.clone())),
            _ => {}
        }
    }
    order
}

/// `log/append.rs` is module `log::append`; `log/mod.rs` is `log`.
fn module_path(inside: &str) -> Vec<String> {
    let stem = inside.strip_suffix(".rs").unwrap_or(inside);
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    stem.split('/').map(str::to_owned).collect()
}

fn check_file(path: &str, module: &[String], order: &[String], tokens: &[Token], faults: &mut Vec<Fault>) {
    let Some(own) = module.first() else { return };
    let Some(own_rank) = order.iter().position(|name| name == own) else {
        let what = format!("`{own}` is not declared in the crate's root, so it has no layer");
        faults.push(Fault { path: path.to_owned(), line: 0, what });
        return;
    };
    for named in names_at_root(module.len(), tokens) {
        let what = match order.iter().position(|name| *name == named.text) {
            Some(rank) if rank >= own_rank => continue,
            Some(_) => format!("`{own}` imports `{}`, which stands above it in the crate's root", named.text),
            None => {
                format!("`{}` is named through the crate's root: name the module that holds it", named.text)
            }
        };
        faults.push(Fault { path: path.to_owned(), line: named.line, what });
    }
}

/// Each name that the tokens look up in the crate's root: the `x` of `crate::x`, of `crate::{x, …}`, and of as many
/// `super::` as lead there from a file that is `depth` modules below the root.
fn names_at_root(depth: usize, tokens: &[Token]) -> Vec<Token> {
    let mut names = Vec::new();
    // For each open brace, whether it opened an inline module, which makes `super` one step longer.
    let mut braces: Vec<bool> = Vec::new();
    let mut position = 0;
    while let Some(token) = tokens.get(position) {
        let text = |ahead: usize| tokens.get(position + ahead).map(|token| token.text.as_str());
        let continues_a_path =
            position > 0 && tokens.get(position - 1).is_some_and(|token| token.text == "::");
        match token.text.as_str() {
            "{" => braces.push(position >= 2 && tokens.get(position - 2).is_some_and(|t| t.text == "mod")),
            "}" => drop(braces.pop()),
            "crate" if !continues_a_path && text(1) == Some("::") => {
                names.extend(names_after(tokens, position + 2));
            }
            "super" if !continues_a_path && text(1) == Some("::") => {
                let steps = super_steps(tokens, position);
                let inline = braces.iter().filter(|inline| **inline).count();
                if steps == depth + inline {
                    names.extend(names_after(tokens, position + 2 * steps));
                }
            }
            _ => {}
        }
        position += 1;
    }
    names
}

fn super_steps(tokens: &[Token], position: usize) -> usize {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    (0..).take_while(|step| is(position + 2 * step, "super") && is(position + 2 * step + 1, "::")).count()
}

/// The first name at `position`, or the first of each branch if a braced group stands there.
fn names_after(tokens: &[Token], position: usize) -> Vec<Token> {
    let Some(first) = tokens.get(position) else { return Vec::new() };
    if first.text != "{" {
        return vec![first.clone()];
    }
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut branch_begins = false;
    for token in &tokens[position..] {
        match token.text.as_str() {
            "{" => {
                depth += 1;
                branch_begins = depth == 1;
            }
            "}" => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            "," if depth == 1 => branch_begins = true,
            _ if branch_begins => {
                names.push(token.clone());
                branch_begins = false;
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "//! Order.\npub mod ops;\npub mod index;\npub(crate) mod log;\npub mod units;\n";

    fn faults_of(path: &str, text: &str) -> Vec<Fault> {
        check(&Tree::of(&[("engine/src/lib.rs", ROOT), (path, text)]))
    }

    #[test]
    fn downward_and_own_imports_pass() {
        let text = "use crate::units::Lba;\nuse crate::index::lookup;\nuse crate::{log::append, units};\nuse super::page;";
        assert_eq!(faults_of("engine/src/index/lookup.rs", text), []);
    }

    #[test]
    fn an_upward_use_is_refused_with_its_line() {
        let faults = faults_of("engine/src/log/append.rs", "//! Log.\n\nuse crate::index::lookup;\n");
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].line, 3);
    }

    #[test]
    fn an_upward_name_is_found_in_expressions_groups_and_macros() {
        let text = "fn f() { crate::ops::put(); }\nuse crate::{units::{Lba, ops}, index::{self, page}};\n\
                    macro_rules! m { () => { $crate::ops::put() } }";
        let lines =
            faults_of("engine/src/log/mod.rs", text).iter().map(|fault| fault.line).collect::<Vec<_>>();
        assert_eq!(lines, [1, 2, 3]);
    }

    #[test]
    fn super_is_followed_to_the_root_and_no_further() {
        assert_eq!(faults_of("engine/src/log/append.rs", "use super::super::ops::put;").len(), 1);
        assert_eq!(faults_of("engine/src/log/mod.rs", "use super::index;").len(), 1);
        assert_eq!(faults_of("engine/src/log/append.rs", "use super::ops;"), []);
        assert_eq!(faults_of("engine/src/log/mod.rs", "mod tests { use super::ops; }"), []);
        assert_eq!(faults_of("engine/src/log/mod.rs", "mod tests { use super::super::ops; }").len(), 1);
    }

    #[test]
    fn comments_and_strings_import_nothing() {
        let text = "//! See [`crate::ops`].\nconst A: &str = \"crate::ops\"; // crate::ops";
        assert_eq!(faults_of("engine/src/log/mod.rs", text), []);
    }

    #[test]
    fn a_name_that_the_root_reexports_hides_its_layer() {
        let faults = faults_of("engine/src/units/mod.rs", "use crate::Engine;");
        assert!(faults[0].what.contains("through the crate's root"), "{faults:?}");
    }

    #[test]
    fn a_file_that_the_root_does_not_declare_has_no_layer() {
        assert_eq!(faults_of("engine/src/stray.rs", "").len(), 1);
        assert_eq!(faults_of("engine/src/bin/program.rs", "use crate::anything;"), []);
    }
}
