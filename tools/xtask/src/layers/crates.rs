//! A crate depends only on crates of a lower layer.

use crate::tree::{Fault, Tree};

/// Folder, package name and layer of each crate; a crate may depend on those with a smaller number.
const CRATES: [(&str, &str, u8); 7] = [
    ("tests", "ashlar-tests", 4),
    ("benches", "ashlar-benches", 4),
    ("tools", "ashlar", 3),
    ("s3", "ashlar-s3", 2),
    ("engine", "ashlar-engine", 1),
    ("disk-format", "ashlar-disk-format", 0),
    // Builds and checks the others, so it must build without any of them.
    ("tools/xtask", "xtask", 0),
];

/// Where dependencies are declared.
const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Every declared dependency that points upward or sideways, and every crate that this list does not know.
pub(super) fn check(tree: &Tree) -> Result<Vec<Fault>, String> {
    let mut faults = Vec::new();
    for (path, text) in tree.under("", "Cargo.toml") {
        let manifest: toml::Table = toml::from_str(text).map_err(|error| format!("{path}: {error}"))?;
        let Some(name) = package_name(&manifest) else { continue };
        if path.contains("/fuzz/") {
            continue;
        }
        let Some((_, _, own_layer)) =
            CRATES.iter().find(|(folder, _, _)| path == format!("{folder}/Cargo.toml"))
        else {
            let what = format!("package `{name}` has no layer: give it one in xtask/src/layers/crates.rs");
            faults.push(Fault { path: path.to_owned(), line: 0, what });
            continue;
        };
        for dependency in dependencies(&manifest) {
            let layer =
                CRATES.iter().find(|(_, package, _)| *package == dependency).map(|(_, _, layer)| layer);
            if layer.is_some_and(|layer| layer >= own_layer) {
                let what = format!("`{name}` must not depend on `{dependency}`, which is not below it");
                faults.push(Fault { path: path.to_owned(), line: 0, what });
            }
        }
    }
    Ok(faults)
}

fn package_name(manifest: &toml::Table) -> Option<&str> {
    manifest.get("package")?.get("name")?.as_str()
}

fn dependencies(manifest: &toml::Table) -> Vec<&str> {
    let tables = TABLES.iter().filter_map(|table| manifest.get(*table)?.as_table());
    tables.flat_map(|table| table.keys().map(String::as_str)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downward_is_allowed() {
        let manifest =
            "[package]\nname = \"ashlar-s3\"\n[dependencies]\nashlar-engine.workspace = true\nsha2 = \"1\"";
        assert_eq!(check(&Tree::of(&[("s3/Cargo.toml", manifest)])).unwrap(), []);
    }

    #[test]
    fn upward_is_refused_even_for_tests() {
        let manifest = "[package]\nname = \"ashlar-engine\"\n[dev-dependencies]\nashlar-s3.workspace = true";
        let faults = check(&Tree::of(&[("engine/Cargo.toml", manifest)])).unwrap();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].what.contains("`ashlar-s3`"), "{faults:?}");
    }

    #[test]
    fn sideways_is_refused() {
        let manifest = "[package]\nname = \"ashlar-benches\"\n[dependencies]\nashlar-tests.workspace = true";
        assert_eq!(check(&Tree::of(&[("benches/Cargo.toml", manifest)])).unwrap().len(), 1);
    }

    #[test]
    fn an_unknown_crate_is_refused() {
        let faults = check(&Tree::of(&[("common/Cargo.toml", "[package]\nname = \"common\"")])).unwrap();
        assert_eq!(faults.len(), 1);
    }
}
