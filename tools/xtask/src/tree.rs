//! The repository's text files, read once into memory, and the faults that checks find in them.
//!
//! Paths are relative to the workspace root and written with `/`. Build output, fuzz corpora and hidden folders
//! (other than `.ci` and `.cargo`) are left out; so is anything that is not UTF-8.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold no source of ours.
const FOLDERS_LEFT_OUT: [&str; 6] =
    ["target", "ashlar-demo", "node_modules", "corpus", "artifacts", "__pycache__"];

/// Hidden folders that are part of the source all the same.
const HIDDEN_FOLDERS_KEPT: [&str; 3] = [".ci", ".cargo", ".github"];

/// Something that a check refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Relative to the workspace root.
    pub(crate) path: String,
    /// Counted from 1; 0 where the fault concerns the whole file.
    pub(crate) line: usize,
    /// What is wrong and what would be right, in one sentence.
    pub(crate) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(formatter, "{}: {}", self.path, self.what)
        } else {
            write!(formatter, "{}:{}: {}", self.path, self.line, self.what)
        }
    }
}

/// Every text file of the repository, by path.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the files under `root`.
    pub(crate) fn load(root: &Path) -> Result<Self, String> {
        let mut files = BTreeMap::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            for entry in entries {
                let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
                if path.is_symlink() {
                    continue;
                }
                if path.is_dir() {
                    if folder_belongs(&path) {
                        folders.push(path);
                    }
                } else if let Ok(text) = fs::read_to_string(&path) {
                    files.insert(relative(root, &path), text);
                }
            }
        }
        Ok(Self { files })
    }

    /// A tree made of the given paths and texts.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// How many files there are.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// The text at `path`, if there is such a file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether `path` names a file or a folder that has files in it.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.range(folder.clone()..).next().is_some_and(|(found, _)| found.starts_with(&folder))
    }

    /// The files whose path begins with `prefix` and ends with `suffix`, in order of path.
    pub(crate) fn under<'tree>(
        &'tree self,
        prefix: &'tree str,
        suffix: &'tree str,
    ) -> impl Iterator<Item = (&'tree str, &'tree str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(prefix) && path.ends_with(suffix))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

/// The folder that holds the workspace's Cargo.toml: two above this package. Of two checkouts that share a target folder
/// cargo may run the program that was built for the other, and says for which it runs it.
pub(crate) fn workspace_root() -> Result<PathBuf, String> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let package = package.as_deref().unwrap_or(Path::new(env!("CARGO_MANIFEST_DIR")));
    let root =
        package.ancestors().nth(2).ok_or("the package does not lie two folders below the workspace")?;
    if root.join("Cargo.toml").is_file() {
        return Ok(root.to_path_buf());
    }
    Err(format!("no Cargo.toml in {}", root.display()))
}

fn folder_belongs(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if name.starts_with('.') {
        return HIDDEN_FOLDERS_KEPT.contains(&name.as_str());
    }
    !FOLDERS_LEFT_OUT.contains(&name.as_str())
}

fn relative(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    inside.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_counts_as_present_only_with_files_in_it() {
        let tree = Tree::of(&[("docs/a.md", ""), ("docs-old.md", "")]);
        assert!(tree.has("docs"));
        assert!(tree.has("docs/a.md"));
        assert!(!tree.has("doc"));
        assert!(!tree.has("docs/b.md"));
    }

    #[test]
    fn the_tree_of_this_repository_has_this_file() {
        let tree = Tree::load(&workspace_root().unwrap()).unwrap();
        assert!(tree.has("tools/xtask/src/tree.rs"));
        assert!(!tree.has("target"));
    }
}
