//! Frozen memtable to run.

use super::filter::filter_hash;
use super::run_writer::{RunSpec, RunWriter};
use super::state::{Busy, FrozenId, Runs, Shared};
use super::store::PageStore;
use super::yielding::give_way;
use crate::error::EngineError;
use ashlar_disk_format::checkpoint::RunRef;

/// Writes the frozen memtable and puts the run in its place. When it fails, or its future is
/// dropped, the memtable stays frozen and another flush may follow.
///
/// # Panics
/// When `frozen` is not the frozen memtable, or is being flushed already.
pub(super) async fn flush<S: PageStore>(
    shared: &Shared<S>,
    frozen: FrozenId,
) -> Result<Option<RunRef>, EngineError> {
    let busy = Busy::begin(&shared.flushing);
    assert!(busy.is_some(), "a memtable is flushed once");
    let (table, runs) = {
        let state = shared.state.borrow();
        let Some(found) = state.frozen.as_ref().filter(|found| found.id == frozen) else {
            unreachable!("memtable {} is not frozen", frozen.0)
        };
        (found.table.clone(), state.runs.clone())
    };
    let spec = spec(shared, 0, table.len() as u64);
    let mut writer = RunWriter::new(shared.pages.store.clone(), spec);
    for (key, value) in table.iter() {
        if value.is_none() && !may_hold(&runs, key) {
            continue;
        }
        writer.push(key, value);
        if writer.is_full() {
            writer.write().await?;
            give_way().await;
        }
    }
    let written = writer.finish().await?;
    let reference = written.as_ref().map(|(reference, _)| reference.clone());
    let run = written.map(|(reference, tables)| shared.adopt(reference, tables));
    shared.state.borrow_mut().install(run);
    Ok(reference)
}

/// What the next run of this index is like.
pub(super) fn spec<S: PageStore>(shared: &Shared<S>, level: u8, entries_max: u64) -> RunSpec {
    RunSpec {
        run: shared.take_run_number(),
        level,
        entries_max,
        first_vshard: shared.options.first_vshard,
        last_vshard: shared.options.last_vshard,
        page_bytes: shared.options.page_bytes,
        filter_bits_per_key: shared.options.filter_bits_per_key,
    }
}

/// True when one of the runs may hold the key, so that a tombstone over them must stay.
pub(super) fn may_hold<S: PageStore>(runs: &Runs<S>, key: &[u8]) -> bool {
    let hash = filter_hash(key);
    runs.iter().any(|run| run.page_of(key, hash).is_some())
}
