//! CopyObject: the engine copies the bytes, this decides what stands beside them.

use crate::checksum::hasher::ChecksumHasher;
use crate::error::{S3Error, S3Failure};
use crate::http::etag_condition::{ReadConditions, WriteCondition};
use crate::http::headers::{self, CopySource};
use crate::op::convert::{
    algorithm_of, checksum_value, condition, date, shown_checksum, shown_etag, stored_checksum, write_failure,
};
use crate::op::metadata;
use crate::op::refusal::Refusal;
use crate::op::request::{Answer, Request, Target, invalid};
use crate::op::unsupported::no_such_version;
use crate::value::checksum::ChecksumAlgorithm;
use crate::wire::reply::Reply;
use crate::xml::multipart::copy_object;
use ashlar_engine::Object;
use ashlar_engine::error::EngineError;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::{Checksum, ObjectMeta};

impl<R: Runtime> Request<'_, R> {
    /// CopyObject.
    pub(crate) async fn copy_object(&self, target: Target<'_>) -> Answer<R> {
        let (named, source) = self.copy_source().await?;
        let wanted = WriteCondition::of_write(self.head)?;
        let replaces = self.replaces_metadata()?;
        let requested = headers::checksum(self.head)?.algorithm;
        let is_same = named.bucket.as_str() == target.bucket.name && named.key.as_str() == target.key;
        if is_same && !replaces && requested.is_none() {
            return Err(S3Failure::new(S3Error::InvalidRequest)
                .message(
                    "This copy request is illegal because it is trying to copy an object to itself without changing \
                     the object's metadata, storage class, website redirect location or encryption attributes.",
                )
                .into());
        }
        self.look_early(target, &wanted).await?;
        let checksum = self.checksum_of_copy(&source, requested).await?;
        let metadata = if replaces { metadata::of_request(self.head)? } else { source.metadata().to_vec() };
        let etag = source.etag().clone();
        let tag = shown_etag(&etag);
        let meta = ObjectMeta { etag, checksum: checksum.clone(), metadata };
        let engine = &self.core.engine;
        let copied = engine.copy(&source, target.bucket, target.key_bytes(), meta, condition(&wanted));
        let published = Box::pin(copied).await.map_err(|error| write_failure(error, &wanted))?;
        let value = checksum.as_ref().and_then(checksum_value);
        let shown =
            checksum.as_ref().zip(value.as_ref()).map(|(stored, value)| shown_checksum(stored, value));
        let mut document = Vec::new();
        copy_object(&mut document, &tag, date(published.modified), shown);
        Ok(Reply::document(200, document))
    }

    /// The object that a copy reads, if its conditions hold.
    pub(crate) async fn copy_source(&self) -> Result<(CopySource, Object), Refusal> {
        let Some(named) = headers::copy_source(self.head)? else {
            return Err(invalid("x-amz-copy-source", "").into());
        };
        if let Some(id) = &named.version_id {
            no_such_version(id)?;
        }
        let bucket = self.bucket(named.bucket.as_str())?;
        let source = self.object(Target { bucket: &bucket, key: named.key.as_str() }).await?;
        let tag = shown_etag(source.etag()).text();
        ReadConditions::of_copy_source(self.head).evaluate_copy_source(&tag, date(source.modified()))?;
        Ok((named, source))
    }

    /// `x-amz-metadata-directive`
    fn replaces_metadata(&self) -> Result<bool, S3Failure> {
        match headers::text(self.head, "x-amz-metadata-directive")? {
            None | Some("COPY") => Ok(false),
            Some("REPLACE") => Ok(true),
            Some(other) => Err(invalid("x-amz-metadata-directive", other)),
        }
    }

    /// The source's checksum, or, if the request names another algorithm, a new one over all bytes.
    async fn checksum_of_copy(
        &self,
        source: &Object,
        requested: Option<ChecksumAlgorithm>,
    ) -> Result<Option<Checksum>, EngineError> {
        let present = source.checksum();
        let Some(algorithm) = requested else { return Ok(present.cloned()) };
        if present.is_some_and(|present| algorithm_of(present.algorithm) == Some(algorithm)) {
            return Ok(present.cloned());
        }
        let mut hasher = ChecksumHasher::new(algorithm);
        let mut reader = self.core.engine.read(source, 0..source.size());
        while let Some(slice) = reader.next().await? {
            hasher.update(slice.bytes());
        }
        Ok(Some(stored_checksum(&hasher.finish())))
    }
}
