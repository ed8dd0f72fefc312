//! Multipart uploads.

use super::body::Body;
use super::objects::published;
use super::{Engine, unexpected};
use crate::error::EngineError;
use crate::limits::LIST_MAX;
use crate::runtime::{CoreId, Runtime};
use crate::shard::{CompleteCall, PartCall, Reply, Request};
use crate::types::{
    Bucket, Checksum, Condition, NamedPart, ObjectMeta, Part, PartPage, Published, Upload, UploadId,
    UploadInit, UploadPage, UploadQuery,
};
use futures_util::future::join_all;

impl<R: Runtime> Engine<R> {
    /// Begins an upload.
    ///
    /// # Errors
    /// [`EngineError::NoSuchBucket`], [`EngineError::Full`].
    pub async fn create_upload(
        &self,
        bucket: &Bucket,
        key: &[u8],
        init: UploadInit,
    ) -> Result<UploadId, EngineError> {
        let _guard = self.enter()?;
        let owner = self.shard.router.object(bucket.id, key);
        let request = Request::CreateUpload { bucket: bucket.id, key: key.to_vec(), init };
        let Reply::UploadCreated(id) = self.ask(owner, request).await? else { return Err(unexpected()) };
        Ok(id)
    }

    /// An upload in progress.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn upload(
        &self,
        bucket: &Bucket,
        key: &[u8],
        id: UploadId,
    ) -> Result<Option<Upload>, EngineError> {
        let _guard = self.enter()?;
        let owner = self.shard.router.object(bucket.id, key);
        let Reply::Upload(upload) =
            self.ask(owner, Request::Upload { bucket: bucket.id, key: key.to_vec(), id }).await?
        else {
            return Err(unexpected());
        };
        Ok(upload.map(|upload| *upload))
    }

    /// Stores a part.
    ///
    /// # Errors
    /// [`EngineError::NoSuchUpload`].
    #[expect(clippy::too_many_arguments, reason = "a part is named by all of these")]
    pub async fn put_part(
        &self,
        bucket: &Bucket,
        key: &[u8],
        id: UploadId,
        number: u16,
        body: Body,
        md5: [u8; 16],
        checksum: Option<Checksum>,
    ) -> Result<Part, EngineError> {
        self.wait_for_records(body.patience).await;
        let own = self.enter()?;
        let Body { place, length, pins, parts: _, patience: _ } = body;
        let call = PartCall {
            bucket: bucket.id,
            key: key.to_vec(),
            id,
            number,
            size: length,
            body: place,
            md5,
            checksum,
        };
        let owner = self.shard.router.object(bucket.id, key);
        let reply = self.ask_holding(owner, Request::PutPart(Box::new(call)), (own, pins)).await;
        let Reply::Part(part) = reply? else { return Err(unexpected()) };
        Ok(*part)
    }

    /// The parts stored so far, those with numbers above `after`.
    ///
    /// # Errors
    /// [`EngineError::NoSuchUpload`].
    pub async fn list_parts(
        &self,
        bucket: &Bucket,
        key: &[u8],
        id: UploadId,
        after: u16,
        max: usize,
    ) -> Result<PartPage, EngineError> {
        let _guard = self.enter()?;
        let owner = self.shard.router.object(bucket.id, key);
        let request = Request::ListParts { bucket: bucket.id, key: key.to_vec(), id, after, max };
        let Reply::Parts(page) = self.ask(owner, request).await? else { return Err(unexpected()) };
        Ok(page)
    }

    /// A page of a bucket's uploads: every core's share, merged.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub async fn list_uploads(&self, bucket: &Bucket, query: UploadQuery) -> Result<UploadPage, EngineError> {
        let _guard = self.enter()?;
        let query = UploadQuery { max: query.max.min(LIST_MAX), ..query };
        let cores = 0..self.runtime().cores();
        let calls = cores.map(|core| {
            let query = Box::new(query.clone());
            self.ask(CoreId(core), Request::ListUploads { bucket: bucket.id, query })
        });
        let mut pages = Vec::new();
        for reply in join_all(calls).await {
            let Reply::Uploads(page) = reply? else { return Err(unexpected()) };
            pages.push(page);
        }
        Ok(merge(pages, query.max))
    }

    /// Makes an object of the named parts, which are in ascending order. Asked again after it
    /// succeeded, it gives the same answer.
    ///
    /// # Errors
    /// [`EngineError::NoSuchUpload`], [`EngineError::InvalidPart`], and those of conditions.
    #[expect(clippy::too_many_arguments, reason = "a completion is named by all of these")]
    pub async fn complete_upload(
        &self,
        bucket: &Bucket,
        key: &[u8],
        id: UploadId,
        parts: Vec<NamedPart>,
        meta: ObjectMeta,
        condition: Condition,
    ) -> Result<Published, EngineError> {
        let own = self.enter()?;
        let call = CompleteCall { bucket: bucket.id, key: key.to_vec(), id, parts, meta, condition };
        let owner = self.shard.router.object(bucket.id, key);
        // The owner writes pages for the new object, which nothing names until its record is durable.
        published(self.ask_holding(owner, Request::Complete(Box::new(call)), own).await?)
    }

    /// Drops an upload and its parts.
    ///
    /// # Errors
    /// [`EngineError::NoSuchUpload`].
    pub async fn abort_upload(&self, bucket: &Bucket, key: &[u8], id: UploadId) -> Result<(), EngineError> {
        let _guard = self.enter()?;
        let owner = self.shard.router.object(bucket.id, key);
        let Reply::Done =
            self.ask(owner, Request::Abort { bucket: bucket.id, key: key.to_vec(), id }).await?
        else {
            return Err(unexpected());
        };
        Ok(())
    }
}

/// One line of a merged listing: a common prefix, or an upload.
type Line = (Vec<u8>, Option<UploadId>);

fn merge(pages: Vec<UploadPage>, max: usize) -> UploadPage {
    let mut truncated = pages.iter().any(|page| page.truncated);
    // Behind the end of a share that was cut its core may have more.
    let end = pages.iter().filter(|page| page.truncated).filter_map(|page| page.next.clone()).min();
    let mut lines: Vec<(Line, Option<Upload>)> = Vec::new();
    for page in pages {
        lines.extend(page.prefixes.into_iter().map(|prefix| ((prefix, None), None)));
        lines.extend(
            page.uploads.into_iter().map(|upload| ((upload.key.clone(), Some(upload.id)), Some(upload))),
        );
    }
    lines.retain(|(line, _)| end.as_ref().is_none_or(|end| line <= end));
    lines.sort_by(|(a, _), (b, _)| a.cmp(b));
    lines.dedup_by(|(a, _), (b, _)| a == b);
    if lines.len() > max {
        lines.truncate(max);
        truncated = true;
    }
    let next = lines.last().map(|(line, _)| line.clone());
    let mut merged = UploadPage { truncated, next, ..UploadPage::default() };
    for ((name, _), upload) in lines {
        match upload {
            Some(upload) => merged.uploads.push(upload),
            None => merged.prefixes.push(name),
        }
    }
    merged
}
