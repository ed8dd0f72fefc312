//! Buckets. Every core holds all settings, so looking one up asks nobody.

use super::{Engine, unexpected};
use crate::error::EngineError;
use crate::runtime::Runtime;
use crate::shard::{BucketStep, Reply, Request};
use crate::types::Bucket;
use std::rc::Rc;

impl<R: Runtime> Engine<R> {
    /// A bucket's settings.
    #[must_use]
    pub fn bucket(&self, name: &str) -> Option<Rc<Bucket>> {
        self.shard.buckets.borrow().get(name).cloned()
    }

    /// Every bucket, by name.
    #[must_use]
    pub fn buckets(&self) -> Vec<Rc<Bucket>> {
        self.shard.buckets.borrow().values().cloned().collect()
    }

    /// Creates a bucket; every core knows it when this returns.
    ///
    /// # Errors
    /// [`EngineError::BucketExists`].
    pub async fn create_bucket(
        &self,
        name: &str,
        owner: &str,
        region: &str,
    ) -> Result<Rc<Bucket>, EngineError> {
        let _guard = self.enter()?;
        let id = self.shard.next_bucket().ok_or(EngineError::Full)?;
        let step = BucketStep::Create {
            name: name.to_owned(),
            owner: owner.to_owned(),
            region: region.to_owned(),
            id,
        };
        let core = self.shard.router.bucket(name);
        let Reply::Bucket(record) = self.ask(core, Request::Bucket(step)).await? else {
            return Err(unexpected());
        };
        self.bucket(&record.name).ok_or(EngineError::NoSuchBucket)
    }

    /// Deletes an empty bucket; uploads in progress in it are dropped.
    ///
    /// # Errors
    /// [`EngineError::NoSuchBucket`], [`EngineError::BucketNotEmpty`].
    pub async fn delete_bucket(&self, name: &str) -> Result<(), EngineError> {
        let _guard = self.enter()?;
        let core = self.shard.router.bucket(name);
        let step = BucketStep::Delete { name: name.to_owned() };
        let Reply::Done = self.ask(core, Request::Bucket(step)).await? else { return Err(unexpected()) };
        Ok(())
    }
}
