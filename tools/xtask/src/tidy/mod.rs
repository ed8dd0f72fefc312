//! What the compiler and clippy do not refuse: each rule is a plain function over the tree.

mod files;
mod length;
mod links;
mod text;

use crate::tree::{Fault, Tree};

/// Every breach, rule by rule.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Fault>, String> {
    let mut faults = length::check(tree)?;
    faults.extend(text::check(tree));
    faults.extend(links::check(tree));
    faults.extend(files::check(tree));
    Ok(faults)
}
