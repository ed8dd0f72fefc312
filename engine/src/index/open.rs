//! Loads the runs that a checkpoint names.

use super::limits::{MANIFEST_BYTES_MAX, PAGE_BYTES_MAX};
use super::run::{Run, RunTables};
use super::state::Shared;
use super::store::PageStore;
use crate::error::EngineError;
use ashlar_disk_format::checkpoint::RunRef;
use ashlar_disk_format::error::{DecodeError, Field, Structure};
use ashlar_disk_format::run_manifest::RunManifest;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Reads and checks the manifests of `runs`, newest first.
pub(super) async fn load_runs<S: PageStore>(
    shared: &Shared<S>,
    runs: &[RunRef],
) -> Result<Vec<Rc<Run<S>>>, EngineError> {
    let mut numbers = BTreeSet::new();
    let mut loaded = Vec::with_capacity(runs.len());
    for (position, reference) in runs.iter().enumerate() {
        if !numbers.insert(reference.run) {
            // The same entries twice: harmless to read, but their pages would be freed twice.
            let structure = Structure::Checkpoint;
            return Err(
                DecodeError::Unordered { structure, field: Field::Index, position: position as u64 }.into()
            );
        }
        let manifest = load_manifest(shared, reference).await?;
        let tables = RunTables::of_manifest(&manifest)?;
        let owner = shared.options.owner();
        if !owner.owns_some(tables.first_vshard, tables.last_vshard) {
            return Err(foreign(shared, &manifest).into());
        }
        loaded.push(shared.adopt(reference.clone(), tables));
    }
    Ok(loaded)
}

async fn load_manifest<S: PageStore>(
    shared: &Shared<S>,
    reference: &RunRef,
) -> Result<RunManifest, EngineError> {
    let structure = Structure::RunManifest;
    let sum: u64 = reference.extents.iter().map(|extent| u64::from(extent.length)).sum();
    expect(Field::Length, reference.bytes, sum)?;
    within(Field::Length, MANIFEST_BYTES_MAX, sum)?;
    let mut blob = Vec::new();
    for extent in &reference.extents {
        within(Field::Length, PAGE_BYTES_MAX as u64, u64::from(extent.length))?;
        blob.extend_from_slice(shared.pages.store.read_page(extent).await?.bytes());
    }
    let manifest = RunManifest::decode(&blob)?;
    if manifest.run == reference.run {
        return Ok(manifest);
    }
    let (expected, found) = (reference.run, manifest.run);
    Err(DecodeError::Mismatch { structure, field: Field::Sequence, expected, found }.into())
}

fn foreign<S: PageStore>(shared: &Shared<S>, manifest: &RunManifest) -> DecodeError {
    DecodeError::OutOfRange {
        structure: Structure::RunManifest,
        field: Field::VirtualShard,
        minimum: u64::from(shared.options.first_vshard.0),
        maximum: u64::from(shared.options.last_vshard.0),
        found: u64::from(manifest.first_vshard.0),
    }
}

fn expect(field: Field, expected: u64, found: u64) -> Result<(), DecodeError> {
    if expected == found {
        return Ok(());
    }
    Err(DecodeError::Mismatch { structure: Structure::RunManifest, field, expected, found })
}

fn within(field: Field, maximum: u64, found: u64) -> Result<(), DecodeError> {
    if found <= maximum {
        return Ok(());
    }
    let structure = Structure::RunManifest;
    Err(DecodeError::OutOfRange { structure, field, minimum: 0, maximum, found })
}
