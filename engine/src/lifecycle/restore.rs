//! Applying an old log's records to a core's share: the index, the ledger, the counters, as if they
//! had just been committed.

use crate::body::{BodySpace, Difference, difference};
use crate::error::EngineError;
use crate::limits::PARTS_MAX;
use crate::number::to_i64;
use crate::runtime::Runtime;
use crate::shard::{CounterDelta, DELETE_PREFIX, Shard, held_by};
use ashlar_disk_format::key::{
    Space, decode_object_key, decode_part_key, decode_upload_key, part_key, prefix_end,
};
use ashlar_disk_format::record::{Batch, Mutation};
use ashlar_disk_format::units::{GroupId, RowOffset};
use ashlar_disk_format::value::{Entries, decode_object, decode_part, decode_shared};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

/// What a value of the index keeps alive, and how it counts.
#[derive(Default)]
struct Meaning {
    entries: Entries,
    counts: Option<CounterDelta>,
}

fn meaning(key: &[u8], value: &[u8]) -> Result<Meaning, EngineError> {
    Ok(match Space::of(key)? {
        Space::Object => {
            let (bucket, _) = decode_object_key(key)?;
            let record = decode_object(value)?;
            let counts = CounterDelta { bucket, objects: 1, bytes: to_i64(record.size), uploads: 0 };
            Meaning { entries: held_by(&record), counts: Some(counts) }
        }
        Space::Upload => {
            let (bucket, _, _) = decode_upload_key(key)?;
            let counts = CounterDelta { bucket, objects: 0, bytes: 0, uploads: 1 };
            Meaning { entries: Entries::new(), counts: Some(counts) }
        }
        Space::Part => Meaning { entries: decode_part(value)?.body.0, counts: None },
        Space::Shared => Meaning { entries: decode_shared(value)?.body.0, counts: None },
        Space::Bucket | Space::SharedRef | Space::Unref => Meaning { entries: Entries::new(), counts: None },
    })
}

impl<R: Runtime> Shard<R> {
    /// Applies batches in order; where the rows end that their bodies lie in, and how many pages could
    /// not be read: then bodies may reach further than these ends.
    pub(super) async fn replay(
        self: &Rc<Self>,
        batches: Vec<Batch>,
    ) -> Result<(Vec<(GroupId, RowOffset)>, u64), EngineError> {
        let before = self.unreleased.get();
        let mut ends = BTreeMap::new();
        for batch in batches {
            for mutation in batch.mutations {
                match mutation.key.first() {
                    Some(&DELETE_PREFIX) => self.replay_prefix(&mutation.key[1..]).await?,
                    _ => self.replay_one(mutation, &mut ends).await?,
                }
            }
        }
        Ok((ends.into_iter().collect(), self.unreleased.get() - before))
    }

    async fn replay_one(
        self: &Rc<Self>,
        mutation: Mutation,
        ends: &mut BTreeMap<GroupId, RowOffset>,
    ) -> Result<(), EngineError> {
        let old = match self.index.get(&mutation.key).await {
            Ok(old) => old,
            // What stood there cannot be read; what the log says now stands in its place, and the
            // space of the old one stays counted.
            Err(error) if error.is_damage() => {
                self.unreleased.set(self.unreleased.get() + 1);
                None
            }
            Err(other) => return Err(other),
        };
        if old.is_some() && old.as_deref() == mutation.value.as_deref() {
            // Said again, as that of a shared body with each new reference: its pages need not be read.
            return Ok(());
        }
        let old = old.map(|value| meaning(&mutation.key, &value)).transpose()?.unwrap_or_default();
        let new = mutation.value.as_deref().map(|value| meaning(&mutation.key, value));
        let new = new.transpose()?.unwrap_or_default();
        let space = self.replay_space(&old, &new).await?;
        for (group, end) in space.ends() {
            let known = ends.entry(group).or_insert(RowOffset(0));
            *known = (*known).max(end);
        }
        self.index.put(&mutation.key, mutation.value.as_deref());
        Ok(())
    }

    async fn replay_prefix(self: &Rc<Self>, prefix: &[u8]) -> Result<(), EngineError> {
        let end = prefix_end(prefix);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut scan = self.index.scan(Bound::Included(prefix), end);
        loop {
            let entry = match scan.next().await {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok(()),
                Err(error) if error.is_damage() => return self.replay_parts(prefix).await,
                Err(other) => return Err(other),
            };
            let old = meaning(&entry.key, &entry.value)?;
            self.replay_space(&old, &Meaning::default()).await?;
            self.index.put(&entry.key, None);
        }
    }

    /// Deletes an upload's parts where a scan stops at lost pages: one after another, those that cannot be
    /// read too. A part that came back would give its object's bytes away when it is deleted again.
    async fn replay_parts(self: &Rc<Self>, prefix: &[u8]) -> Result<(), EngineError> {
        let (bucket, name, id, _) = decode_part_key(&[prefix, &[0, 0]].concat())?;
        let mut ends = BTreeMap::new();
        let last = u16::try_from(PARTS_MAX).unwrap_or(u16::MAX);
        for part in 1..=last {
            let key = part_key(bucket, &name, id, part);
            let found = self.index.get(&key).await;
            if !matches!(found, Ok(None)) {
                self.replay_one(Mutation { key, value: None }, &mut ends).await?;
            }
        }
        Ok(())
    }

    /// Counts the new meaning of a key for the old one; what is held now and was not before. What both hold, as a body
    /// of which a part was moved, is not looked at: what was held before is counted by the checkpoint or an earlier
    /// batch.
    async fn replay_space(self: &Rc<Self>, old: &Meaning, new: &Meaning) -> Result<BodySpace, EngineError> {
        let Difference { removed, added, unreadable } =
            difference(&self.view, &old.entries, &new.entries).await?;
        self.unreleased.set(self.unreleased.get() + unreadable);
        let side = self.view.ledger.side();
        for (space, sign) in [(&removed, -1), (&added, 1)] {
            for (group, bytes) in space.bytes() {
                self.view.ledger.add(side, group, sign * to_i64(bytes));
            }
        }
        for (meaning, sign) in [(old, -1), (new, 1)] {
            if let Some(counts) = meaning.counts {
                self.count(CounterDelta {
                    bucket: counts.bucket,
                    objects: sign * counts.objects,
                    bytes: sign * counts.bytes,
                    uploads: sign * counts.uploads,
                });
            }
        }
        Ok(added)
    }
}
