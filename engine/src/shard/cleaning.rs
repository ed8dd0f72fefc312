//! One core's part in emptying groups: its index is walked once for a whole set of them, what records of objects, parts
//! and shared bodies hold there is moved, and each record gets its new addresses if it is still the same.
//!
//! Invariants:
//! - A record is exchanged under the lock of whoever else may change it, and only for a value that is equal to the one
//!   that was read, but for the addresses. Otherwise the copies are dropped: nothing refers to them.
//! - What clients see of a record stays: size, times, sequence, tags, checksums, parts, counters.
//! - The old addresses stay readable for those who looked them up before, as after an overwrite.
//! - Between batches ([`super::holders`]) nothing is held: no guard, no lock, no memory but the place where the walk goes
//!   on.

use super::commit::{Change, Planned, PlannedValue};
use super::holders::{Find, Holders};
use super::message::{CleanCall, CleanReport};
use super::state::Shard;
use crate::body::{Moves, Rewriting};
use crate::error::EngineError;
use crate::limits::{
    CLEAN_BATCH_RECORDS, CLEAN_PATIENCE, CLEAN_PATIENCE_LOOKS, CLEAN_PAUSE_MAX, CLEAN_ROWS_AT_A_TIME,
};
use crate::pool::Level;
use crate::rows::carry;
use crate::runtime::{Monotonic, Runtime, TaskQueue};
use crate::sync::answer;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::key::{
    Space, decode_object_key, decode_part_key, decode_shared_key, upload_key, virtual_shard,
};
use ashlar_disk_format::units::{GroupId, VirtualShard};
use ashlar_disk_format::value::{
    Body, PartTable, decode_object, decode_part, decode_shared, encode_object, encode_part, encode_shared,
};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::rc::Rc;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It has its new addresses.
    Moved,
    /// It was changed meanwhile.
    Raced,
    /// Nothing of it was moved.
    Unchanged,
}

/// One walk.
struct Pass<R: Runtime> {
    shard: Rc<Shard<R>>,
    holders: Holders<R>,
    report: CleanReport,
}

impl<R: Runtime> Shard<R> {
    /// Moves what this core's records hold in the groups that are named.
    ///
    /// # Errors
    /// When it cannot go on: closing, too few devices. What was moved until then stays moved.
    pub(crate) async fn clean(self: &Rc<Self>, call: CleanCall) -> Result<CleanReport, EngineError> {
        let mut pass = Pass {
            shard: Rc::clone(self),
            holders: Holders::new(self, call.groups.into_iter().collect(), CLEAN_BATCH_RECORDS),
            report: CleanReport::default(),
        };
        let taken = self.cold.taken();
        loop {
            pass.give_way().await;
            let began = self.view.runtime.now();
            if !pass.batch().await? {
                pass.report.row_bytes = self.cold.taken() - taken;
                return Ok(pass.report);
            }
            pass.pause(began).await;
        }
    }
}

impl<R: Runtime> Pass<R> {
    /// Requests that wait for memory come first, for a while.
    async fn give_way(&self) {
        let runtime = &self.shard.view.runtime;
        for _look in 0..CLEAN_PATIENCE_LOOKS {
            if !runtime.arena().is_awaited() {
                return;
            }
            runtime.sleep(CLEAN_PATIENCE).await;
        }
    }

    fn is_urgent(&self) -> bool {
        self.shard.view.room.level() >= Level::Short
    }

    /// While there is time, moving takes half of it.
    async fn pause(&self, began: Monotonic) {
        let runtime = &self.shard.view.runtime;
        if self.is_urgent() {
            runtime.turn().await;
        } else {
            runtime.sleep(runtime.now().since(began).min(CLEAN_PAUSE_MAX)).await;
        }
    }

    /// Moves some; false at the end. The guard keeps what is read, and what is written and not yet named.
    async fn batch(&mut self) -> Result<bool, EngineError> {
        let shard = Rc::clone(&self.shard);
        let _guard = shard.enter()?;
        let (mut finds, is_over) = self.holders.next().await?;
        finds.iter().flat_map(|find| &find.unreadable).for_each(|group| self.report.stay(*group));
        finds.retain(Find::is_movable);
        if finds.is_empty() {
            return Ok(!is_over);
        }
        let sources: Vec<Extent> = finds.iter().flat_map(|find| find.extents.iter().cloned()).collect();
        let rows = if self.is_urgent() { CLEAN_ROWS_AT_A_TIME } else { 1 };
        let carried = carry(&shard.view, &shard.cold, &sources, rows).await;
        let mut moves = Moves::default();
        for (source, place) in sources.iter().zip(carried.places) {
            match place {
                Some(place) => moves.insert(source, place),
                None if carried.stopped.is_none() => self.report.stay(source.group),
                None => {}
            }
        }
        self.publish(finds, moves).await;
        match carried.stopped {
            None => Ok(!is_over),
            Some(EngineError::Full) => {
                self.report.is_cut = true;
                Ok(false)
            }
            Some(other) => Err(other),
        }
    }

    /// Gives the records their new addresses, side by side, so that they share rows of the log. In the foreground: a
    /// request for one of their keys would wait for the lock.
    async fn publish(&mut self, finds: Vec<Find>, moves: Moves) {
        let moves = Rc::new(moves);
        let waiting = finds.into_iter().map(|find| {
            let (to, done) = answer();
            let (shard, groups, moves) =
                (Rc::clone(&self.shard), Rc::clone(self.holders.groups()), Rc::clone(&moves));
            self.shard.view.runtime.spawn(TaskQueue::Foreground, async move {
                let fate = shard.exchange(&find, &groups, &moves).await;
                to.send((fate, find));
            });
            done
        });
        let waiting: Vec<_> = waiting.collect();
        for (fate, find) in join_all(waiting).await.into_iter().flatten() {
            match fate {
                Ok(Fate::Moved) => {
                    let moved = find.extents.iter().filter(|extent| moves.of(extent).is_some());
                    self.report.moved_bytes += moved.map(|extent| u64::from(extent.length)).sum::<u64>();
                    self.report.records += 1;
                }
                Ok(Fate::Raced) => self.report.raced += 1,
                Ok(Fate::Unchanged) => {}
                Err(error) if error.is_damage() || matches!(error, EngineError::RecordTooLarge { .. }) => {
                    find.extents.iter().for_each(|extent| self.report.stay(extent.group));
                }
                Err(_) => self.report.is_cut = true,
            }
        }
    }
}

/// Who may change a record: the virtual shard that it belongs to, and the key of the lock.
fn owner_of(key: &[u8]) -> Result<(VirtualShard, Vec<u8>), EngineError> {
    Ok(match Space::of(key)? {
        Space::Part => {
            let (bucket, name, id, _) = decode_part_key(key)?;
            (virtual_shard(bucket, &name), upload_key(bucket, &name, id))
        }
        Space::Shared => (decode_shared_key(key)?.vshard(), key.to_vec()),
        Space::Object | Space::Bucket | Space::Upload | Space::SharedRef | Space::Unref => {
            let (bucket, name) = decode_object_key(key)?;
            (virtual_shard(bucket, &name), key.to_vec())
        }
    })
}

impl<R: Runtime> Shard<R> {
    /// Gives one record its new addresses.
    async fn exchange(
        self: &Rc<Self>,
        find: &Find,
        groups: &BTreeSet<GroupId>,
        moves: &Moves,
    ) -> Result<Fate, EngineError> {
        let mut rewriting = Rewriting {
            view: &self.view,
            pages: &self.cold_pages,
            groups,
            moves,
            range: find.range.clone(),
            hold: crate::body::BodySpace::default(),
            dead: Vec::new(),
        };
        let value = rewritten(&mut rewriting, find).await?;
        let (hold, release) = (rewriting.hold, rewriting.dead);
        if release.is_empty() {
            return Ok(Fate::Unchanged);
        }
        let (shard, lock) = owner_of(&find.key)?;
        let _lock = self.locks.lock(&lock).await;
        if self.index.get(&find.key).await?.as_deref() != Some(&find.value) {
            return Ok(Fate::Raced);
        }
        let put = Planned::Put { key: find.key.clone().into(), value: PlannedValue::Ready(value) };
        let change = Change { hold, release: release.into(), ..Change::new(shard, vec![put]) };
        let submitted = self.submit(change).await;
        match submitted {
            Ok(()) => Ok(Fate::Moved),
            Err(error) => {
                // The next start may find it after all, unless a checkpoint is made before. Until then nothing that
                // it names may be taken for dead.
                if !matches!(error, EngineError::RecordTooLarge { .. }) {
                    self.suspend();
                }
                Err(error)
            }
        }
    }
}

/// The value with new addresses, all else as it was.
async fn rewritten<R: Runtime>(
    rewriting: &mut Rewriting<'_, R>,
    find: &Find,
) -> Result<Vec<u8>, EngineError> {
    Ok(match Space::of(&find.key)? {
        Space::Part => {
            let mut record = decode_part(&find.value)?;
            record.body = Body(rewriting.run(&record.body.0).await?.into());
            encode_part(&record)
        }
        Space::Shared => {
            let mut record = decode_shared(&find.value)?;
            record.body = Body(rewriting.run(&record.body.0).await?.into());
            encode_shared(&record)
        }
        Space::Object | Space::Bucket | Space::Upload | Space::SharedRef | Space::Unref => {
            let mut record = decode_object(&find.value)?;
            record.body = Body(rewriting.run(&record.body.0).await?.into());
            if let PartTable::Page { extents, .. } = &mut record.parts {
                *extents = extents.iter().flat_map(|extent| rewriting.exchange(extent)).collect();
            }
            encode_object(&record)
        }
    })
}
