//! Buckets: settings on every core, decided by the owner of the name.
//!
//! Creating: the owner makes the record durable, then every core installs it, then the client is
//! answered. Deleting: refused when the cores' counters say that it holds objects. Else every core
//! freezes its share and says how much it holds; when all together hold nothing the owner makes the
//! deletion durable and every core removes it, else all thaw. A change that meets a frozen bucket is
//! told to come again. No request takes a lock for any of this.

use super::commit::{Change, Planned, PlannedValue};
use super::message::{BucketStep, Reply, Request};
use super::router::bucket_shard;
use super::state::Shard;
use crate::error::EngineError;
use crate::mesh::Lane;
use crate::runtime::{CoreId, Runtime, TaskQueue};
use crate::types::{Bucket, UploadQuery};
use ashlar_disk_format::key::{bucket_key, bucket_prefix, decode_upload_key, prefix_end, upload_prefix};
use ashlar_disk_format::units::BucketId;
use ashlar_disk_format::value::{BucketRecord, BucketState, decode_bucket, encode_bucket};
use std::ops::Bound;
use std::rc::Rc;

/// Uploads of a removed bucket aborted between two looks.
const ABORT_BATCH: usize = 100;

/// Objects of a bucket by the counters of all cores.
fn objects_in(held: Vec<Reply>) -> i64 {
    held.into_iter()
        .map(|reply| if let Reply::Live(counts) = reply { counts.into_iter().sum() } else { 0 })
        .sum()
}

impl<R: Runtime> Shard<R> {
    /// One step, on this core.
    pub(crate) async fn bucket_step(self: &Rc<Self>, step: BucketStep) -> Result<Reply, EngineError> {
        match step {
            BucketStep::Create { name, owner, region, id } => {
                self.create_bucket(name, owner, region, id).await.map(Reply::Bucket)
            }
            BucketStep::Delete { name } => self.delete_bucket(&name).await.map(|()| Reply::Done),
            BucketStep::Install(record) => {
                self.install(record);
                Ok(Reply::Done)
            }
            BucketStep::Count(bucket) => Ok(Reply::Live(vec![self.counter(bucket).objects])),
            BucketStep::Freeze(bucket) => {
                self.frozen.borrow_mut().insert(bucket);
                self.changing.pass().await;
                Ok(Reply::Live(vec![self.counter(bucket).objects]))
            }
            BucketStep::Thaw(bucket) => {
                self.frozen.borrow_mut().remove(&bucket);
                Ok(Reply::Done)
            }
            BucketStep::Remove(bucket) => {
                self.remove(bucket);
                Ok(Reply::Done)
            }
            BucketStep::DropOrphans => self.drop_orphans().await.map(|()| Reply::Done),
            BucketStep::Collect => self.collect_buckets().await.map(Reply::Buckets),
        }
    }

    async fn create_bucket(
        self: &Rc<Self>,
        name: String,
        owner: String,
        region: String,
        id: BucketId,
    ) -> Result<BucketRecord, EngineError> {
        let key = bucket_key(&name);
        let _lock = self.locks.lock(&key).await;
        if self.buckets.borrow().contains_key(&name) {
            return Err(EngineError::BucketExists);
        }
        if self.is_low() {
            return Err(EngineError::Full);
        }
        let created = super::objects::milliseconds(self.view.runtime.wall());
        let record = BucketRecord { id, name, created_ms: created, owner, region, state: BucketState::Live };
        let value = PlannedValue::Ready(encode_bucket(&record));
        self.submit_bucket(&record.name, Planned::Put { key: key.into(), value }).await?;
        self.everywhere(|| BucketStep::Install(record.clone())).await?;
        Ok(record)
    }

    async fn delete_bucket(self: &Rc<Self>, name: &str) -> Result<(), EngineError> {
        let key = bucket_key(name);
        let _lock = self.locks.lock(&key).await;
        let Some(bucket) = self.buckets.borrow().get(name).map(|bucket| bucket.id) else {
            return Err(EngineError::NoSuchBucket);
        };
        // Most refusals need not disturb who writes to the bucket.
        if objects_in(self.everywhere(|| BucketStep::Count(bucket)).await?) > 0 {
            return Err(EngineError::BucketNotEmpty);
        }
        let held = match self.everywhere(|| BucketStep::Freeze(bucket)).await {
            Ok(held) => held,
            Err(error) => {
                self.everywhere(|| BucketStep::Thaw(bucket)).await?;
                return Err(error);
            }
        };
        if objects_in(held) != 0 {
            self.everywhere(|| BucketStep::Thaw(bucket)).await?;
            return Err(EngineError::BucketNotEmpty);
        }
        let deleted = self.submit_bucket(name, Planned::Delete { key }).await;
        if let Err(error) = deleted {
            self.everywhere(|| BucketStep::Thaw(bucket)).await?;
            return Err(error);
        }
        self.everywhere(|| BucketStep::Remove(bucket)).await?;
        Ok(())
    }

    async fn submit_bucket(self: &Rc<Self>, name: &str, planned: Planned) -> Result<(), EngineError> {
        self.submit(Change::new(bucket_shard(name), vec![planned])).await
    }

    /// Takes one step on every core, this one included, one after another.
    async fn everywhere(self: &Rc<Self>, step: impl Fn() -> BucketStep) -> Result<Vec<Reply>, EngineError> {
        let mut replies = Vec::new();
        for core in 0..self.view.runtime.cores() {
            let core = CoreId(core);
            let reply = if core == self.core() {
                Box::pin(self.bucket_step(step())).await?
            } else {
                let reply = self.post.call(core, Request::Bucket(step()), Lane::System).await;
                reply.ok_or(EngineError::Closing)?.checked()?
            };
            replies.push(reply);
        }
        Ok(replies)
    }

    /// From now on this core knows the bucket.
    pub(crate) fn install(&self, record: BucketRecord) {
        let bucket = Rc::new(Bucket {
            id: record.id,
            name: record.name,
            created: super::objects::wall_time(record.created_ms),
            owner: record.owner,
            region: record.region,
        });
        self.bucket_ids.borrow_mut().insert(bucket.id, Rc::clone(&bucket));
        self.buckets.borrow_mut().insert(bucket.name.clone(), bucket);
    }

    fn remove(self: &Rc<Self>, bucket: BucketId) {
        let known = self.bucket_ids.borrow_mut().remove(&bucket);
        if let Some(known) = known {
            self.buckets.borrow_mut().remove(&known.name);
        }
        self.frozen.borrow_mut().remove(&bucket);
        self.abort_uploads_of(bucket);
    }

    /// Drops what uploads a removed bucket still had, in the background.
    pub(crate) fn abort_uploads_of(self: &Rc<Self>, bucket: BucketId) {
        let shard = Rc::clone(self);
        self.view.runtime.spawn(TaskQueue::Background, async move {
            let query = UploadQuery { max: ABORT_BATCH, ..UploadQuery::default() };
            while !shard.closing.get() {
                let Ok(page) = shard.list_uploads(bucket, &query).await else { return };
                if page.uploads.is_empty() {
                    return;
                }
                for upload in page.uploads {
                    if shard.abort_upload(bucket, &upload.key, upload.id).await.is_err() {
                        return;
                    }
                }
            }
        });
    }

    /// Drops what uploads of buckets still hold whose removal a restart cut short. One look per bucket
    /// that has uploads.
    async fn drop_orphans(self: &Rc<Self>) -> Result<(), EngineError> {
        let first = upload_prefix(BucketId(0), b"");
        let end = prefix_end(&first[..1]);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut scan = self.index.scan(Bound::Included(&first), end);
        loop {
            let entry = match scan.next().await {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok(()),
                // What lies there keeps its space until it can be read.
                Err(error) if error.is_damage() => return Ok(()),
                Err(other) => return Err(other),
            };
            let (bucket, _, _) = decode_upload_key(&entry.key)?;
            if !self.bucket_ids.borrow().contains_key(&bucket) {
                self.abort_uploads_of(bucket);
            }
            let Some(next) = prefix_end(&upload_prefix(bucket, b"")) else { return Ok(()) };
            scan.seek(&next);
        }
    }

    /// The settings of the buckets whose names this core owns.
    async fn collect_buckets(&self) -> Result<Vec<BucketRecord>, EngineError> {
        let start = bucket_prefix();
        let end = prefix_end(&start);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut scan = self.index.scan(Bound::Included(&start), end);
        let mut records = Vec::new();
        while let Some(entry) = scan.next().await? {
            records.push(decode_bucket(&entry.value)?);
        }
        Ok(records)
    }
}
