//! Imports go one way only, and some names stay behind a fence.
//!
//! Three rules, each a file: [`crates`] (a crate depends only on crates below it), [`modules`] (a file names only
//! modules that its crate's root lists after its own), [`fences`] (words such as `unsafe` or `glommio` appear only
//! where `layers.toml` allows them).

mod crates;
mod fences;
mod modules;

use crate::tree::{Fault, Tree};

/// Every breach of the three rules.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Fault>, String> {
    let mut faults = crates::check(tree)?;
    faults.extend(modules::check(tree));
    faults.extend(fences::check(tree)?);
    Ok(faults)
}
