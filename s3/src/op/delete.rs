//! DeleteObject and DeleteObjects.

use crate::error::{S3Error, S3Failure};
use crate::http::etag_condition::EtagCondition;
use crate::http::etag_condition::WriteCondition;
use crate::op::convert::{condition, tag_match, write_failure};
use crate::op::hashes::Expected;
use crate::op::request::{Answer, Request, Target};
use crate::op::unsupported::no_such_version;
use crate::wire::exchange::Exchange;
use crate::wire::reply::Reply;
use crate::xml::listing::{DeleteRow, delete_result};
use crate::xml::request::{DeleteObject, delete};
use ashlar_engine::error::EngineError;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::{Bucket, Condition};
use futures_util::stream::{self, StreamExt as _};
use std::rc::Rc;

/// Deletions of one request that are under way at a time.
const DELETIONS_AT_ONCE: usize = 32;

impl<R: Runtime> Request<'_, R> {
    /// DeleteObject: 204 whether or not there was anything.
    pub(crate) async fn delete_object(&self, target: Target<'_>) -> Answer<R> {
        let wanted = WriteCondition::of_write(self.head)?;
        let engine = &self.core.engine;
        match engine.delete(target.bucket, target.key_bytes(), condition(&wanted)).await {
            // What shall be gone is gone, also if it should have been of some tag.
            Ok(_) | Err(EngineError::NoSuchKey) => Ok(Reply::absent(204)),
            Err(error) => Err(write_failure(error, &wanted).into()),
        }
    }

    /// DeleteObjects: each object has its own outcome.
    pub(crate) async fn delete_objects(
        &self,
        bucket: &Rc<Bucket>,
        exchange: &mut Exchange<'_, R>,
    ) -> Answer<R> {
        let expected = Expected::of(self.head)?;
        if !expected.is_given() {
            return Err(S3Failure::new(S3Error::InvalidRequest)
                .message("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
                .into());
        }
        let (document, share) = self.receive_document(exchange, &expected).await?;
        let request = delete(&document)?;
        drop(document);
        let deletions = request.objects.iter().map(|object| self.delete_one(bucket, object));
        // Several at a time share one write of the log.
        let outcomes = stream::iter(deletions).buffered(DELETIONS_AT_ONCE);
        let failures: Vec<Option<S3Failure>> = outcomes.map(Result::err).collect().await;
        let rows = request.objects.iter().zip(&failures).map(|(object, failure)| DeleteRow {
            key: object.key.as_str(),
            version_id: object.version_id.as_deref(),
            failure: failure.as_ref(),
        });
        let mut answer = Vec::new();
        delete_result(&mut answer, request.is_quiet, rows);
        Ok(Reply::document(200, answer).holding(share))
    }

    async fn delete_one(&self, bucket: &Rc<Bucket>, object: &DeleteObject) -> Result<(), S3Failure> {
        if let Some(id) = &object.version_id {
            no_such_version(id)?;
        }
        let tags = object.etag.as_deref().and_then(|tag| EtagCondition::parse(tag.as_bytes()));
        let wanted = Condition { if_match: tags.as_ref().map(tag_match), if_none_match: None };
        match self.core.engine.delete(bucket, object.key.as_bytes(), wanted).await {
            Ok(_) | Err(EngineError::NoSuchKey) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
