//! A core's part of a checkpoint.
//!
//! 1. Between two rows: freeze the memtable, split the ledger, note the log's position.
//! 2. Let what died before that come off the ledger.
//! 3. Write the frozen memtable as a run; merge runs when there are enough of one size.
//! 4. Say what the checkpoint must hold. Pages of runs that it no longer names are off the ledger
//!    from now on; their groups are reused only after this checkpoint is durable.

use super::message::ShardSnapshot;
use super::state::Shard;
use crate::error::EngineError;
use crate::runtime::Runtime;
use ashlar_disk_format::units::{GroupId, RowOffset};
use std::rc::Rc;

/// Merges in one checkpoint at most: the rest waits for the next one.
const MERGES_MAX: usize = 4;

impl<R: Runtime> Shard<R> {
    pub(crate) async fn snapshot(self: &Rc<Self>) -> Result<ShardSnapshot, EngineError> {
        let frozen = loop {
            let turn = self.turn.enter().await;
            match self.index.freeze() {
                Ok(frozen) => {
                    self.view.ledger.split();
                    let position = self.log.position();
                    let counters = self.counters();
                    self.log.reset_written();
                    self.freeing_begins();
                    self.suspended_are_covered();
                    drop(turn);
                    let Some(position) = position else { return Err(EngineError::Closing) };
                    break (frozen, position, counters);
                }
                Err(busy) => {
                    drop(turn);
                    // An earlier checkpoint failed half way: write what it froze first.
                    let _run = self.index.flush(busy.frozen).await?;
                }
            }
        };
        let (frozen, position, counters) = frozen;
        self.releases_before(self.view.ledger.side()).await;
        let _run = self.index.flush(frozen).await?;
        let merges = if self.is_low() { 0 } else { MERGES_MAX };
        for _merge in 0..merges {
            // Merging needs room before it gives any back: a full pool's checkpoint goes without.
            match self.index.merge_step().await {
                Ok(true) => {}
                Ok(false) | Err(EngineError::Full) => break,
                // A lost page costs what lies in it, not every checkpoint from now on: the next merge
                // goes around its run.
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        let manifest = self.index.manifest_snapshot();
        for shared in self.index.confirm(manifest.retired_up_to) {
            self.view.ledger.settle_pages(&shared.extents, false);
        }
        Ok(ShardSnapshot {
            position,
            runs: manifest.runs,
            counters,
            live: self.view.ledger.settled(),
            next_run: self.index.next_run(),
            damaged_runs: self.index.damaged_runs(),
        })
    }

    /// Where this core's open groups end. Asked for after every core has frozen its share: a body that a
    /// frozen memtable names may have been written after its own core's snapshot.
    pub(crate) fn tails(&self) -> Vec<(GroupId, RowOffset)> {
        let mut tails: Vec<(GroupId, RowOffset)> = Vec::new();
        for writer in [&self.data, &self.cold, &self.index_rows] {
            tails.extend(writer.tail().map(|(descriptor, tail)| (descriptor.group, tail)));
        }
        tails.extend(self.log.position().map(|position| (position.group, position.row)));
        tails
    }

    /// The checkpoint is over, durable or given up.
    pub(crate) fn snapshot_done(self: &Rc<Self>, is_durable: bool) {
        self.view.ledger.join();
        self.checkpoint_over(is_durable);
    }
}
