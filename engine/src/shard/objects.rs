//! Look up, publish and delete objects on their owner core.

use super::commit::{Change, KeptBody, Mutations, Payload, Planned, PlannedValue, stand_in};
use super::message::{PublishCall, Reply};
use super::sharing::unref_of;
use super::state::{CounterDelta, Shard};
use crate::body::{BodyPlace, BodySpace, SpareEntries};
use crate::error::EngineError;
use crate::number::to_i64;
use crate::runtime::{Runtime, WallTime};
use crate::types::{Condition, Etag, EtagMatch, Published};
use ashlar_disk_format::key::{object_key, object_lookup_key, virtual_shard};
use ashlar_disk_format::units::BucketId;
use ashlar_disk_format::value::{Body, BodyEntry, Entries, ObjectRecord, decode_object};
use std::rc::Rc;

/// Does the condition hold against what is there?
///
/// # Errors
/// [`EngineError::NoSuchKey`] for `If-Match` on an absent key (AWS answers 404), else
/// [`EngineError::PreconditionFailed`].
pub(crate) fn check_condition(condition: &Condition, current: Option<&Etag>) -> Result<(), EngineError> {
    let matches = |wanted: &EtagMatch, etag: &Etag| match wanted {
        EtagMatch::Any => true,
        EtagMatch::OneOf(etags) => etags.contains(etag),
    };
    if let Some(wanted) = &condition.if_match {
        let Some(etag) = current else { return Err(EngineError::NoSuchKey) };
        if !matches(wanted, etag) {
            return Err(EngineError::PreconditionFailed);
        }
    }
    if let (Some(unwanted), Some(etag)) = (&condition.if_none_match, current)
        && matches(unwanted, etag)
    {
        return Err(EngineError::PreconditionFailed);
    }
    Ok(())
}

/// Everything that a record keeps alive.
pub(crate) fn held_by(record: &ObjectRecord) -> Entries {
    let table = record.parts.extents().iter().cloned().map(BodyEntry::Data);
    record.body.0.iter().cloned().chain(table).collect()
}

/// Splits a body's place into what the change needs of it.
pub(super) fn placed(body: BodyPlace, spare: &SpareEntries) -> (Body, Option<Payload>, BodySpace) {
    match body {
        BodyPlace::Small(held) => {
            let payload = held.map(|(buffer, range)| Payload { buffer, range });
            let length = payload.as_ref().map_or(0, |payload| payload.range.len());
            (stand_in(length), payload, BodySpace::default())
        }
        BodyPlace::Stored { entries, space } => (spare.body_of(entries), None, space),
    }
}

pub(super) fn milliseconds(time: WallTime) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

pub(super) fn wall_time(milliseconds: i64) -> WallTime {
    WallTime(u64::try_from(milliseconds).unwrap_or(0))
}

impl<R: Runtime> Shard<R> {
    /// The record of a key.
    pub(crate) async fn lookup(
        &self,
        bucket: BucketId,
        key: &[u8],
    ) -> Result<Option<ObjectRecord>, EngineError> {
        let Some(value) = self.index.get(&object_lookup_key(bucket, key)).await? else { return Ok(None) };
        Ok(Some(decode_object(&value)?))
    }

    /// What a publication replaces, if it may go ahead. The key is locked.
    async fn replaced_by(&self, key: &[u8], call: &PublishCall) -> Result<Option<ObjectRecord>, EngineError> {
        if self.is_low() {
            return Err(EngineError::Full);
        }
        self.live_bucket(call.bucket)?;
        let current = self.lookup(call.bucket, key).await?;
        check_condition(&call.condition, current.as_ref().map(|record| &record.etag))?;
        Ok(current)
    }

    /// Publishes an object; the old one, if any, dies in the same step. An error of the log is no
    /// refusal: the object may be found at the next start. Who goes away before the change is submitted has
    /// changed nothing; afterwards the change keeps what it needs, `kept_body` too.
    pub(crate) async fn publish(
        self: &Rc<Self>,
        key: &[u8],
        call: PublishCall,
        kept_body: Option<KeptBody>,
    ) -> Result<Reply, EngineError> {
        let changing = self.changing.enter();
        let index_key = object_lookup_key(call.bucket, key);
        let lock = self.locks.lock(&index_key).await;
        let current = match self.replaced_by(key, &call).await {
            Ok(current) => current,
            Err(error) => return Ok(Reply::Refused(error)),
        };
        let modified = self.view.runtime.wall();
        let (body, payload, hold) = placed(call.body, &self.spare_entries);
        let record = ObjectRecord {
            size: call.size,
            modified_ms: milliseconds(modified),
            sequence: self.next_sequence(),
            etag: call.meta.etag,
            checksum: call.meta.checksum,
            metadata: call.meta.metadata,
            body,
            parts: call.parts,
            upload: None,
        };
        let counters = CounterDelta {
            bucket: call.bucket,
            objects: i64::from(current.is_none()),
            bytes: to_i64(call.size) - current.as_ref().map_or(0, |record| to_i64(record.size)),
            uploads: 0,
        };
        let release = current.as_ref().map(held_by).unwrap_or_default();
        let shard = virtual_shard(call.bucket, key);
        let unref = current.as_ref().and_then(|record| unref_of(shard, record));
        let replaced = current.is_some();
        let put = Planned::Put { key: index_key, value: PlannedValue::Object(record) };
        let submitted = self.submit(Change {
            payload,
            hold,
            release,
            counters: Some(counters),
            kept: Some((lock, changing, kept_body)),
            ..Change::new(shard, std::iter::once(put).chain(unref).collect::<Mutations>())
        });
        submitted.await?;
        Ok(Reply::Published(Published { modified, replaced }))
    }

    /// Deletes a key; true when there was one.
    pub(crate) async fn delete(
        self: &Rc<Self>,
        bucket: BucketId,
        key: &[u8],
        condition: &Condition,
    ) -> Result<bool, EngineError> {
        let _changing = self.changing.enter();
        let index_key = object_key(bucket, key);
        let _lock = self.locks.lock(&index_key).await;
        self.live_bucket(bucket)?;
        let Some(current) = self.lookup(bucket, key).await? else { return Ok(false) };
        check_condition(condition, Some(&current.etag))?;
        let counters = CounterDelta { bucket, objects: -1, bytes: -to_i64(current.size), uploads: 0 };
        let shard = virtual_shard(bucket, key);
        let unref = unref_of(shard, &current);
        let delete = Planned::Delete { key: index_key };
        self.submit(Change {
            release: held_by(&current),
            counters: Some(counters),
            ..Change::new(shard, std::iter::once(delete).chain(unref).collect::<Mutations>())
        })
        .await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etag(byte: u8) -> Etag {
        Etag { md5: [byte; 16], parts: 0 }
    }

    #[test]
    fn conditions_follow_the_table_of_aws() {
        let matching = |m| Condition { if_match: Some(m), if_none_match: None };
        let unless = |m| Condition { if_match: None, if_none_match: Some(m) };
        let one = || EtagMatch::OneOf(vec![etag(1)]);
        let current = etag(1);
        let other = etag(2);
        assert_eq!(check_condition(&Condition::default(), None), Ok(()));
        assert_eq!(check_condition(&matching(one()), None), Err(EngineError::NoSuchKey));
        assert_eq!(check_condition(&matching(one()), Some(&current)), Ok(()));
        assert_eq!(check_condition(&matching(one()), Some(&other)), Err(EngineError::PreconditionFailed));
        assert_eq!(check_condition(&matching(EtagMatch::Any), Some(&other)), Ok(()));
        assert_eq!(check_condition(&unless(EtagMatch::Any), None), Ok(()));
        assert_eq!(
            check_condition(&unless(EtagMatch::Any), Some(&current)),
            Err(EngineError::PreconditionFailed)
        );
        assert_eq!(check_condition(&unless(one()), Some(&other)), Ok(()));
        assert_eq!(check_condition(&unless(one()), Some(&current)), Err(EngineError::PreconditionFailed));
    }
}
