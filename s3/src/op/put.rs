//! PutObject.

use crate::auth::payload::{VerifiedBody, lacks_length};
use crate::error::S3Error;
use crate::http::etag_condition::WriteCondition;
use crate::limits::UPLOAD_BYTES_MAX;
use crate::op::convert::{condition, shown_etag, stored_checksum, write_failure};
use crate::op::hashes::Expected;
use crate::op::metadata;
use crate::op::refusal::Refusal;
use crate::op::request::{Answer, Request, Target};
use crate::value::checksum::ChecksumAlgorithm;
use crate::value::etag::ETag;
use crate::wire::exchange::Exchange;
use crate::wire::reply::Reply;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::ObjectMeta;

impl<R: Runtime> Request<'_, R> {
    /// PutObject. The condition is looked at twice: early, to save the body's transfer, and by the key's owner
    /// when it publishes, which alone decides.
    pub(crate) async fn put_object(&self, target: Target<'_>, exchange: &mut Exchange<'_, R>) -> Answer<R> {
        if lacks_length(self.head) {
            return Err(S3Error::MissingContentLength.into());
        }
        let metadata = metadata::of_request(self.head)?;
        let expected = Expected::of(self.head)?;
        let wanted = WriteCondition::of_write(self.head)?;
        let body = VerifiedBody::new(self.proof, self.head, UPLOAD_BYTES_MAX)?;
        self.look_early(target, &wanted).await?;
        let kept = expected.algorithm().unwrap_or(ChecksumAlgorithm::Crc64Nvme);
        let (stored, hashes) = self.receive_payload(exchange, body, &expected, kept).await?;
        let tag = ETag::of_md5(hashes.md5);
        let checksum = stored_checksum(&hashes.kept);
        let meta = ObjectMeta {
            etag: crate::op::convert::stored_etag(&tag),
            checksum: Some(checksum.clone()),
            metadata,
        };
        let engine = &self.core.engine;
        let published =
            engine.publish(target.bucket, target.key_bytes(), stored, meta, condition(&wanted)).await;
        published.map_err(|error| write_failure(error, &wanted))?;
        let mut reply = Reply::of_length(200, 0).with("ETag", tag.quoted());
        metadata::show_checksum(&mut reply, Some(&checksum));
        Ok(reply)
    }

    /// Refuses a conditional write whose condition does not hold now.
    pub(crate) async fn look_early(
        &self,
        target: Target<'_>,
        wanted: &WriteCondition<'_>,
    ) -> Result<(), Refusal> {
        if *wanted == WriteCondition::None {
            return Ok(());
        }
        let current = self.core.engine.lookup(target.bucket, target.key_bytes()).await?;
        let tag = current.map(|object| shown_etag(object.etag()).text());
        wanted.evaluate(tag.as_deref())?;
        Ok(())
    }
}
