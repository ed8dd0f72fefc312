//! Several neighbouring runs into one.

use super::flush::{may_hold, spec};
use super::merge_plan::plan_merge;
use super::run::{Keep, Run};
use super::run_cursor::{RunCursor, settle_all};
use super::run_writer::RunWriter;
use super::state::{Busy, Runs, Shared};
use super::store::PageStore;
use super::yielding::give_way;
use crate::error::EngineError;
use crate::page::Page;
use std::ops::{Bound, Range};
use std::rc::Rc;

/// Does the merge that is most due. False when none is, or one is under way. When it fails, or its
/// future is dropped, the runs stay as they were; those with lost pages are left out from then on.
pub(super) async fn merge_step<S: PageStore>(shared: &Shared<S>) -> Result<bool, EngineError> {
    let Some(_busy) = Busy::begin(&shared.merging) else { return Ok(false) };
    let runs = shared.state.borrow().runs.clone();
    let Some(window) = plan_around_damage(&runs, shared.options.merge_fanout) else { return Ok(false) };
    let merged: Runs<S> = runs[window.clone()].into();
    let older: Runs<S> = runs[window.end..].into();
    drop(runs);
    let run = write_merged(shared, &merged, &older).await?;
    shared.state.borrow_mut().replace(&merged, run);
    shared.forget_pages(&merged);
    Ok(true)
}

/// The window to merge among the runs between two damaged ones.
fn plan_around_damage<S: PageStore>(runs: &[Rc<Run<S>>], fanout: usize) -> Option<Range<usize>> {
    let mut start = 0;
    for stretch in runs.split(|run| run.is_damaged()) {
        let sizes: Vec<u64> = stretch.iter().map(|run| run.tables().bytes).collect();
        if let Some(window) = plan_merge(&sizes, fanout) {
            return Some(start + window.start..start + window.end);
        }
        start += stretch.len() + 1;
    }
    None
}

async fn write_merged<S: PageStore>(
    shared: &Shared<S>,
    merged: &Runs<S>,
    older: &Runs<S>,
) -> Result<Option<Rc<Run<S>>>, EngineError> {
    let level = merged.iter().map(|run| run.tables().level).max().unwrap_or(0).saturating_add(1);
    let entries_max = merged.iter().map(|run| run.tables().entries).fold(0, u64::saturating_add);
    let mut writer = RunWriter::new(shared.pages.store.clone(), spec(shared, level, entries_max));
    let cursor = |run: &Rc<Run<S>>| RunCursor::new(Rc::clone(run), Bound::Unbounded, Keep::Pass);
    let mut cursors: Vec<RunCursor<S>> = merged.iter().map(cursor).collect();
    loop {
        if !cursors.iter().all(RunCursor::is_settled) {
            if let Err(error) = settle_all(&mut cursors).await {
                for cursor in &mut cursors {
                    cursor.bar_if_damaged().await;
                }
                return Err(error);
            }
            give_way().await;
        }
        let Some((page, slot)) = take_newest(&mut cursors) else { break };
        let (key, value) = (page.key(slot), page.value(slot));
        if value.is_none() && !may_hold(older, key) {
            continue;
        }
        writer.push(key, value);
        if writer.is_full() {
            writer.write().await?;
        }
    }
    let written = writer.finish().await?;
    Ok(written.map(|(reference, tables)| shared.adopt(reference, tables)))
}

/// The least key's newest entry; all cursors move past the key. They are settled, newest first.
fn take_newest<S: PageStore>(cursors: &mut [RunCursor<S>]) -> Option<(Rc<Page>, usize)> {
    let entries = cursors.iter().filter_map(RunCursor::entry);
    // `min_by` answers with the first of equals, which is the newest.
    let (page, slot) = entries.min_by(|(left, at), (right, other)| left.key(*at).cmp(right.key(*other)))?;
    let page = Rc::clone(page);
    let key = page.key(slot);
    for cursor in cursors {
        if cursor.key() == Some(key) {
            cursor.advance();
        }
    }
    Some((page, slot))
}
