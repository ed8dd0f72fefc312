//! Objects: publish, look up, delete, list.

use super::body::{Body, Object};
use super::hold::Found;
use super::{Engine, unexpected};
use crate::error::EngineError;
use crate::limits::LIST_MAX;
use crate::runtime::{CoreId, Runtime};
use crate::shard::{CallKey, ListCall, PublishCall, Reply, Request, SharingStep, shared_by};
use crate::types::{Bucket, Condition, ListEntry, ListPage, ListQuery, ObjectMeta, Published};
use ashlar_disk_format::key::SharedId;
use ashlar_disk_format::units::BucketId;
use ashlar_disk_format::value::ObjectRecord;
use futures_util::future::join_all;

impl<R: Runtime> Engine<R> {
    /// Gives a key a new object; durable when this returns.
    ///
    /// # Errors
    /// [`EngineError::PreconditionFailed`] and its kin change nothing.
    pub async fn publish(
        &self,
        bucket: &Bucket,
        key: &[u8],
        body: Body,
        meta: ObjectMeta,
        condition: Condition,
    ) -> Result<Published, EngineError> {
        self.wait_for_records(body.patience).await;
        let own = self.enter()?;
        let Body { place, length, pins, parts, patience: _ } = body;
        let call = PublishCall { bucket: bucket.id, size: length, body: place, meta, condition, parts };
        let owner = self.shard.router.object(bucket.id, key);
        if owner == self.runtime().core() {
            return published(self.shard.publish(key, call, Some((own, pins))).await?);
        }
        let request = Request::Publish { key: CallKey::from_slice(key), call: Box::new(call) };
        published(self.ask_holding(owner, request, (own, pins)).await?)
    }

    /// The object of a key.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn lookup(&self, bucket: &Bucket, key: &[u8]) -> Result<Option<Object>, EngineError> {
        let guard = self.enter()?;
        let now = self.runtime().now();
        let Some(found) = self.locate(bucket.id, key).await? else { return Ok(None) };
        Ok(Some(Object { hold: self.holds.hold((bucket.id, key), found, (guard, now)) }))
    }

    /// The record of a key, and where its bytes are when it shares them. They stay there for who entered before.
    pub(super) async fn locate(&self, bucket: BucketId, key: &[u8]) -> Result<Option<Found>, EngineError> {
        let Some(record) = self.record(bucket, key).await? else { return Ok(None) };
        let Some(sharing) = shared_by(&record) else { return Ok(Some((record, None))) };
        Box::pin(self.locate_shared(bucket, key, record, sharing)).await
    }

    /// The record of a key; without a call if this core owns it.
    async fn record(&self, bucket: BucketId, key: &[u8]) -> Result<Option<ObjectRecord>, EngineError> {
        let owner = self.shard.router.object(bucket, key);
        if owner == self.runtime().core() {
            return self.shard.lookup(bucket, key).await;
        }
        let request = Request::Lookup { bucket, key: CallKey::from_slice(key) };
        let Reply::Object(record) = self.ask(owner, request).await? else { return Err(unexpected()) };
        Ok(record.map(|record| *record))
    }

    async fn locate_shared(
        &self,
        bucket: BucketId,
        key: &[u8],
        record: ObjectRecord,
        (id, _token): (SharedId, u64),
    ) -> Result<Option<Found>, EngineError> {
        let owner = self.shard.router.object(bucket, key);
        let body_owner = self.shard.router.core(id.vshard());
        let question = Request::Sharing(SharingStep::Where(id));
        let Reply::Where(shared) = self.ask(body_owner, question).await? else {
            return Err(unexpected());
        };
        if let Some(shared) = shared {
            if shared.size != record.size {
                return Err(EngineError::SharedBodyMissing { id });
            }
            return Ok(Some((record, Some(shared))));
        }
        // The body died between the two questions, so the object was replaced or deleted. Its owner answers
        // both at once.
        let held = Request::LookupHeld { bucket, key: key.to_vec() };
        let Reply::Held(held) = self.ask(owner, held).await? else { return Err(unexpected()) };
        Ok(held.map(|held| {
            let (record, shared) = *held;
            (record, shared.map(Box::new))
        }))
    }

    /// Deletes a key; true when it had an object. Works on a full pool.
    ///
    /// # Errors
    /// [`EngineError::PreconditionFailed`] changes nothing.
    pub async fn delete(
        &self,
        bucket: &Bucket,
        key: &[u8],
        condition: Condition,
    ) -> Result<bool, EngineError> {
        let _guard = self.enter()?;
        let owner = self.shard.router.object(bucket.id, key);
        let request = Request::Delete { bucket: bucket.id, key: key.to_vec(), condition };
        let Reply::Existed(existed) = self.ask(owner, request).await? else { return Err(unexpected()) };
        Ok(existed)
    }

    /// A page of a bucket's keys: every core's share, merged.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub async fn list(&self, bucket: &Bucket, query: ListQuery) -> Result<ListPage, EngineError> {
        let _guard = self.enter()?;
        let query = ListQuery { max: query.max.min(LIST_MAX), ..query };
        if query.max == 0 {
            return Ok(ListPage::default());
        }
        let max = query.max;
        let call = ListCall { bucket: bucket.id, query };
        let cores = 0..self.runtime().cores();
        let calls = cores.map(|core| self.ask(CoreId(core), Request::List(Box::new(call.clone()))));
        let mut pages = Vec::new();
        for reply in join_all(calls).await {
            let Reply::Listed(page) = reply? else { return Err(unexpected()) };
            pages.push(page);
        }
        Ok(merge(pages, max))
    }
}

/// The owner's answer to a publication.
pub(super) fn published(reply: Reply) -> Result<Published, EngineError> {
    if let Reply::Refused(error) = reply {
        return Err(error);
    }
    let Reply::Published(published) = reply else { return Err(unexpected()) };
    Ok(published)
}

/// Merges the cores' shares: the first `max` entries in order, equal prefixes once. Nothing behind the end of
/// a share that was cut: its core may have names before that.
fn merge(pages: Vec<ListPage>, max: usize) -> ListPage {
    let mut truncated = pages.iter().any(|page| page.truncated);
    let ends = pages.iter().filter(|page| page.truncated).filter_map(|page| page.entries.last());
    let end = ends.map(|entry| entry.name().to_vec()).min();
    let mut entries: Vec<ListEntry> = pages.into_iter().flat_map(|page| page.entries).collect();
    entries.retain(|entry| end.as_deref().is_none_or(|end| entry.name() <= end));
    entries.sort_by(|a, b| a.name().cmp(b.name()));
    entries.dedup_by(|a, b| matches!((&*a, &*b), (ListEntry::Prefix(a), ListEntry::Prefix(b)) if a == b));
    if entries.len() > max {
        entries.truncate(max);
        truncated = true;
    }
    ListPage { entries, truncated }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(names: &[&str], truncated: bool) -> ListPage {
        let entry = |name: &&str| ListEntry::Prefix(name.as_bytes().to_vec());
        ListPage { entries: names.iter().map(entry).collect(), truncated }
    }

    #[test]
    fn shares_merge_in_order_and_prefixes_appear_once() {
        let merged = merge(vec![page(&["a", "c"], false), page(&["a", "b"], false)], 10);
        assert_eq!(merged, page(&["a", "b", "c"], false));
    }

    #[test]
    fn a_page_is_cut_and_says_so() {
        let merged = merge(vec![page(&["a", "c"], true), page(&["b", "d"], true)], 2);
        assert_eq!(merged, page(&["a", "b"], true));
        let merged = merge(vec![page(&["a"], false), page(&["b"], false)], 1);
        assert_eq!(merged, page(&["a"], true));
    }

    #[test]
    fn nothing_follows_the_end_of_a_share_that_was_cut() {
        let merged = merge(vec![page(&["a", "d"], false), page(&["b", "c"], true)], 10);
        assert_eq!(merged, page(&["a", "b", "c"], true));
    }
}
