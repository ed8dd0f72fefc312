//! Objects: publish, look up, delete, list, copy.

use super::body::{Body, Object};
use super::hold::Hold;
use super::{Engine, unexpected};
use crate::body::BodyPlace;
use crate::body::BodySpace;
use crate::error::EngineError;
use crate::limits::{LIST_MAX, PARTS_INLINE_MAX, PARTS_PER_PAGE};
use crate::number::to_u32;
use crate::runtime::{CoreId, Runtime};
use crate::shard::{ListCall, PublishCall, Reply, Request};
use crate::types::{Bucket, Condition, ListEntry, ListPage, ListQuery, ObjectMeta, Published};
use ashlar_disk_format::part_page;
use ashlar_disk_format::value::PartTable;
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
        let own = self.enter()?;
        let Body { place, length, guard, parts } = body;
        let call = PublishCall {
            bucket: bucket.id,
            key: key.to_vec(),
            size: length,
            body: place,
            meta,
            condition,
            parts,
        };
        let owner = self.shard.router.object(bucket.id, key);
        let reply = self.ask_holding(owner, Request::Publish(Box::new(call)), [Some(own), guard]).await;
        let Reply::Published(published) = reply? else { return Err(unexpected()) };
        Ok(published)
    }

    /// The object of a key.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn lookup(&self, bucket: &Bucket, key: &[u8]) -> Result<Option<Object>, EngineError> {
        let guard = self.enter()?;
        let owner = self.shard.router.object(bucket.id, key);
        let Reply::Object(record) =
            self.ask(owner, Request::Lookup { bucket: bucket.id, key: key.to_vec() }).await?
        else {
            return Err(unexpected());
        };
        let now = self.runtime().now();
        Ok(record.map(|record| {
            let hold = Hold::new(bucket.id, key, record.sequence, guard, now);
            Object { record, hold }
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

    /// Gives `key` the bytes of `source`, under its own metadata. A multipart object stays one.
    ///
    /// # Errors
    /// As publishing, and as reading the source.
    pub async fn copy(
        &self,
        source: &Object,
        bucket: &Bucket,
        key: &[u8],
        meta: ObjectMeta,
        condition: Condition,
    ) -> Result<Published, EngineError> {
        let _place = self.copy_place().await;
        let mut writer = self.begin_body(Some(source.size()))?;
        let mut reader = self.read(source, 0..source.size());
        while let Some(slice) = reader.next().await? {
            writer.write(slice.bytes()).await?;
        }
        let mut body = writer.finish().await?;
        let infos = self.part_infos(source).await?;
        body.parts = if infos.is_empty() {
            PartTable::None
        } else if infos.len() <= PARTS_INLINE_MAX {
            PartTable::Inline(infos)
        } else {
            let pages: Vec<Vec<u8>> = infos.chunks(PARTS_PER_PAGE).map(part_page::encode).collect();
            let extents = self.shard.body_pages.place(&pages).await?;
            let mut held = BodySpace::default();
            for extent in &extents {
                held.add(extent);
            }
            if let BodyPlace::Stored { space, .. } = &mut body.place {
                space.merge(&held);
            } else {
                // More parts than fit a record, all together small: only empty parts do that.
                return Err(EngineError::InvalidPart);
            }
            PartTable::Page { count: to_u32(infos.len()), extents }
        };
        self.publish(bucket, key, body, meta, condition).await
    }
}

/// Merges the cores' shares: the first `max` entries in order, equal prefixes once.
fn merge(pages: Vec<ListPage>, max: usize) -> ListPage {
    let mut truncated = pages.iter().any(|page| page.truncated);
    let mut entries: Vec<ListEntry> = pages.into_iter().flat_map(|page| page.entries).collect();
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
}
