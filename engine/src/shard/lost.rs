//! Which records of this core need what lies in rows that are not whole.
//!
//! Such a row may be one that a loss of power tore, or its place was claimed in vain: then nobody refers to it. What a record
//! refers to is read: of a row of which too few chunks are good the one that is needed may still be.

use super::holders::{Find, Holders};
use super::message::{LostCall, LostReport};
use super::state::Shard;
use crate::error::EngineError;
use crate::limits::{LOST_BATCH_RECORDS, SCRUB_PAUSE_FACTOR, SCRUB_PAUSE_MAX};
use crate::rows::read_extent;
use crate::runtime::Runtime;
use crate::types::LostObject;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::key::{
    Space, decode_object_key, decode_part_key, decode_shared_key, prefix_end, shared_ref_prefix,
};
use ashlar_disk_format::units::BucketId;
use ashlar_disk_format::value::decode_shared_ref;
use std::ops::Bound;
use std::rc::Rc;

impl<R: Runtime> Shard<R> {
    /// What this core's records hold in the gaps and nobody can read. One walk through the index, beside requests.
    ///
    /// # Errors
    /// When it cannot go on: closing, memory.
    pub(crate) async fn lost(self: &Rc<Self>, call: LostCall) -> Result<LostReport, EngineError> {
        let runtime = &self.view.runtime;
        let mut report =
            LostReport { is_index_damaged: self.has_lost_index(&call).await?, ..LostReport::default() };
        let mut holders = Holders::new(self, call.gaps.keys().copied().collect(), LOST_BATCH_RECORDS);
        let mut named: Option<Vec<u8>> = None;
        loop {
            let (began, requests) = (runtime.now(), self.epochs.begun());
            let guard = self.enter()?;
            let (finds, is_over) = holders.next().await?;
            for find in finds {
                // Of a large body there are several.
                if named.as_ref() == Some(&find.key) || !self.is_lost(&find, &call).await? {
                    continue;
                }
                match self.name(&find.key, &mut report).await {
                    Err(error) if !error.is_damage() => return Err(error),
                    result => report.may_be_more |= result.is_err(),
                }
                named = Some(find.key);
            }
            drop(guard);
            if is_over {
                report.may_be_more |= holders.is_blind;
                return Ok(report);
            }
            if self.epochs.begun() == requests + 1 {
                runtime.turn().await;
            } else {
                let took = runtime.now().since(began);
                runtime.sleep(took.saturating_mul(SCRUB_PAUSE_FACTOR).min(SCRUB_PAUSE_MAX)).await;
            }
        }
    }

    /// Something of the index itself lies there and cannot be read. It may still be in memory, but not after a restart.
    async fn has_lost_index(self: &Rc<Self>, call: &LostCall) -> Result<bool, EngineError> {
        for extent in self.index.held_in(|extent| call.has(extent)) {
            let guard = self.enter()?;
            let is_read = self.can_read(&extent).await?;
            // Or it was written elsewhere meanwhile.
            if !is_read && !self.index.held_in(|held| *held == extent).is_empty() {
                return Ok(true);
            }
            drop(guard);
        }
        Ok(false)
    }

    async fn can_read(&self, extent: &Extent) -> Result<bool, EngineError> {
        if self.closing.get() {
            return Err(EngineError::Closing);
        }
        match read_extent(&self.view, self.view.runtime.reserve(), extent, 0..extent.length).await {
            Ok(_bytes) => Ok(true),
            Err(error) if error.is_damage() => Ok(false),
            Err(other) => Err(other),
        }
    }

    async fn is_lost(&self, find: &Find, call: &LostCall) -> Result<bool, EngineError> {
        if !find.unreadable.is_empty() {
            return Ok(true);
        }
        for extent in find.extents.iter().filter(|extent| call.has(extent)) {
            if !self.can_read(extent).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whose record it is, in the words of a client.
    async fn name(&self, key: &[u8], report: &mut LostReport) -> Result<(), EngineError> {
        match Space::of(key)? {
            Space::Part => {
                let (bucket, key, _upload, _number) = decode_part_key(key)?;
                report.add(LostObject { bucket: self.bucket_name(bucket), key, is_upload: true });
            }
            Space::Shared => {
                let first = shared_ref_prefix(decode_shared_key(key)?);
                let end = prefix_end(&first);
                let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                let mut scan = self.index.sweep(Bound::Included(&first), end);
                while report.has_room()
                    && let Some(entry) = scan.next().await?
                {
                    let sharer = decode_shared_ref(&entry.value)?;
                    let bucket = self.bucket_name(sharer.bucket);
                    report.add(LostObject { bucket, key: sharer.key, is_upload: false });
                }
                report.may_be_more |= !report.has_room();
            }
            Space::Object | Space::Bucket | Space::Upload | Space::SharedRef | Space::Unref => {
                let (bucket, key) = decode_object_key(key)?;
                report.add(LostObject { bucket: self.bucket_name(bucket), key, is_upload: false });
            }
        }
        Ok(())
    }

    fn bucket_name(&self, id: BucketId) -> String {
        let buckets = self.buckets.borrow();
        let found = buckets.values().find(|bucket| bucket.id == id).map(|bucket| bucket.name.clone());
        found.unwrap_or_else(|| format!("(bucket {})", id.0))
    }
}
