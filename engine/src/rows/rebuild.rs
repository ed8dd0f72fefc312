//! Rebuilding one member of a group on another device, row by row from the others.
//!
//! 1. Prepare the target's segment and write its header, which names the group as it will be.
//! 2. Find the rows from a place on by their headers ([`super::walk`]).
//! 3. Gather enough whole chunks of the row, compute the member's chunk, compare it with the checksum that the row's
//!    headers hold for it, write it durably, read it back from the device.
//! 4. Go on behind the row.
//!
//! Rows stand one behind the other up to the group's tail, whole, unless the power went while one was written, or more
//! was lost than the member. Either looks the same from here, so the first place at which no whole row stands ends it:
//! the lost member may have what is missing, and must keep its place.
//!
//! Nothing refers to the target yet: giving up half way loses nothing.

use super::mend::{RowPlace, chunk_of, gather, write_proved};
use super::open::{prepare, segment_header, write_header};
use super::walk::{Walk, Writings, end_of};
use crate::error::EngineError;
use crate::limits::REBUILD_PAUSE_MAX;
use crate::number::to_usize;
use crate::pool::{PoolView, RebuildJob};
use crate::runtime::{Monotonic, Runtime};
use ashlar_disk_format::constants::WRITE_UNIT;
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::units::RowOffset;
use futures_util::future::{join, join_all};
use std::rc::Rc;

/// What a rebuilding came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rebuilt {
    /// Bytes of its segment, up to the end of its last row.
    pub(crate) bytes: u64,
    /// Every row of the group is there.
    pub(crate) is_whole: bool,
}

struct Rebuilding<'a, R: Runtime> {
    view: &'a Rc<PoolView<R>>,
    job: &'a RebuildJob,
    rebuilt: GroupDescriptor,
    walk: Walk<'a, R>,
    /// Requests that have begun so far.
    requests: &'a dyn Fn() -> u64,
}

/// Writes what a member of a group holds to the job's target. Gives way to requests, of which so many have begun.
///
/// # Errors
/// [`EngineError::Device`] when the target fails; [`EngineError::Unrecoverable`] when it does not keep what it took;
/// [`EngineError::Closing`].
pub(crate) async fn rebuild_member<R: Runtime>(
    view: &Rc<PoolView<R>>,
    job: &RebuildJob,
    requests: &dyn Fn() -> u64,
) -> Result<Rebuilt, EngineError> {
    let walk = Walk { view, group: &job.descriptor, except: Some(job.member) };
    let rebuilding = Rebuilding { view, job, rebuilt: job.rebuilt(), walk, requests };
    let result = rebuilding.run().await;
    if let Err(EngineError::Device { device, error }) = &result {
        view.report_failure(*device, *error).await;
    }
    result
}

impl<R: Runtime> Rebuilding<'_, R> {
    async fn run(&self) -> Result<Rebuilt, EngineError> {
        self.make_ready().await?;
        let mut at = RowOffset(1);
        let mut rows = self.walk.rows_from(at).await?;
        while !self.view.room.is_closed() {
            let (began, requests) = (self.view.runtime.now(), (self.requests)());
            if rows.is_empty() {
                // Behind the tail rows may stand that only lost records name.
                return Ok(self.rebuilt_to(at));
            }
            let end = end_of(&rows, at);
            let (copied, next) = join(self.copy(&rows), self.walk.rows_from(end)).await;
            for (copied, writings) in copied.into_iter().zip(&rows) {
                let Some(place) = copied? else {
                    return Ok(self.rebuilt_to(at));
                };
                at = place.row.after(place.height);
                // Those behind it were looked for behind another height.
                if writings.first().is_some_and(|newest| newest.height != place.height) {
                    break;
                }
            }
            rows = if at == end { next? } else { self.walk.rows_from(at).await? };
            self.pause(began, requests).await;
        }
        Err(EngineError::Closing)
    }

    fn rebuilt_to(&self, end: RowOffset) -> Rebuilt {
        Rebuilt { bytes: end.bytes(), is_whole: end >= self.job.tail }
    }

    async fn make_ready(&self) -> Result<(), EngineError> {
        let failed = |(device, error)| EngineError::Device { device, error };
        if !self.job.is_prepared {
            prepare(self.view, self.job.target).await.map_err(failed)?;
        }
        let header = segment_header(self.view, self.rebuilt.clone(), self.job.member);
        let buffer = self.view.runtime.reserve().take(to_usize(u64::from(WRITE_UNIT))).await?;
        write_header(self.view, &header, buffer).await.map_err(failed)
    }

    async fn copy(&self, rows: &[Writings]) -> Vec<Result<Option<RowPlace>, EngineError>> {
        join_all(rows.iter().map(|writings| self.copy_newest(writings))).await
    }

    /// Copies the newest writing that is whole.
    async fn copy_newest(&self, writings: &[RowPlace]) -> Result<Option<RowPlace>, EngineError> {
        for &place in writings {
            if self.copy_row(place).await? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// False when too few chunks of the row are whole.
    async fn copy_row(&self, place: RowPlace) -> Result<bool, EngineError> {
        let group = &self.job.descriptor;
        let member = self.job.member;
        let needed = usize::from(place.data_count);
        let height = to_usize(u64::from(place.height.bytes()));
        // All at once: two that wait for their last one while holding the others would wait for ever.
        let mut buffers = self.view.runtime.arena().take_many(needed + 1, height).await?;
        let sources = gather(self.view, group, place, Some(member), &mut buffers).await;
        let Some(chunk) = buffers.pop() else { return Ok(false) };
        if sources.len() < needed {
            return Ok(false);
        }
        if (needed..usize::from(group.shape.k)).contains(&member) {
            return Ok(true);
        }
        let Some((header, chunk)) = chunk_of(self.view, group, &sources, member, place.height, chunk) else {
            return Ok(false);
        };
        drop(sources);
        if write_proved(self.view, &self.rebuilt, &header, place, chunk).await? {
            return Ok(true);
        }
        let (group, generation, row) = (group.group, group.generation, place.row);
        Err(EngineError::Unrecoverable { group, generation, row, needed, found: needed })
    }

    /// Beside requests rebuilding takes half of the time, as long as the group survives another loss.
    async fn pause(&self, began: Monotonic, requests: u64) {
        let runtime = &self.view.runtime;
        if self.job.is_urgent || (self.requests)() == requests {
            runtime.turn().await;
        } else {
            runtime.sleep(runtime.now().since(began).min(REBUILD_PAUSE_MAX)).await;
        }
    }
}
