//! Buckets, and configurations that were never set.

use crate::error::{DetailName, S3Error, S3Failure};
use crate::op::hashes::Expected;
use crate::op::request::{Answer, Request, Target, invalid};
use crate::value::bucket_name::BucketName;
use crate::wire::exchange::Exchange;
use crate::wire::reply::Reply;
use crate::xml::listing::{BucketRow, list_buckets};
use crate::xml::request::create_bucket;
use crate::xml::unset::{self, UnsetConfiguration};
use ashlar_engine::error::EngineError;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::Bucket;
use std::rc::Rc;

/// The region whose buckets may be created again by their owner, and whose location is shown as empty.
const FIRST_REGION: &str = "us-east-1";
/// Most buckets of one ListBuckets page, as on AWS.
const BUCKET_ROWS_MAX: usize = 10_000;

impl<R: Runtime> Request<'_, R> {
    /// ListBuckets. The continuation token is the last name shown.
    pub(crate) fn list_buckets(&self) -> Answer<R> {
        let max = match self.query.get("max-buckets") {
            None => BUCKET_ROWS_MAX,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|count| (1..=BUCKET_ROWS_MAX).contains(count))
                .ok_or_else(|| invalid("max-buckets", digits))?,
        };
        let is_paged = self.query.has("max-buckets");
        let prefix = self.query.get("prefix");
        let after = self.query.get("continuation-token").unwrap_or_default();
        let region = self.query.get("bucket-region");
        let all = self.core.engine.buckets();
        let mut rows: Vec<&Rc<Bucket>> = all
            .iter()
            .filter(|bucket| {
                bucket.name.starts_with(prefix.unwrap_or_default()) && bucket.name.as_str() > after
            })
            .filter(|bucket| region.is_none_or(|region| region == self.region_of(bucket)))
            .take(max + 1)
            .collect();
        let is_truncated = rows.len() > max;
        rows.truncate(max);
        let next = rows.last().filter(|_| is_truncated).map(|bucket| bucket.name.as_str());
        let rows = rows.iter().map(|bucket| BucketRow {
            name: &bucket.name,
            created: crate::op::convert::date(bucket.created),
            region: is_paged.then(|| self.region_of(bucket)),
        });
        let mut document = Vec::new();
        list_buckets(&mut document, self.core.owner(), rows, prefix, next);
        Ok(Reply::document(200, document))
    }

    /// CreateBucket. Clients sign for the region that a bucket says it lies in, so there is only ours.
    pub(crate) async fn create_bucket(&self, name: &BucketName, exchange: &mut Exchange<'_, R>) -> Answer<R> {
        let expected = Expected::of(self.head)?;
        let (document, _share) = self.receive_document(exchange, &expected).await?;
        let region = create_bucket(&document)?.location.unwrap_or_default();
        if !region.is_empty() && region != self.core.config.region {
            return Err(S3Error::IllegalLocationConstraintException.into());
        }
        let created =
            self.core.engine.create_bucket(name.as_str(), &self.core.config.owner_id, &region).await;
        match created {
            Ok(_) => {}
            Err(EngineError::BucketExists) if self.core.config.region == FIRST_REGION => {}
            Err(error) => {
                return Err(S3Failure::from(error).text(DetailName::BucketName, name.as_str()).into());
            }
        }
        Ok(Reply::of_length(200, 0).with("Location", format!("/{name}")))
    }

    /// DeleteBucket.
    pub(crate) async fn delete_bucket(&self, bucket: &Bucket) -> Answer<R> {
        self.core.engine.delete_bucket(&bucket.name).await?;
        Ok(Reply::absent(204))
    }

    /// HeadBucket.
    pub(crate) fn head_bucket(&self, bucket: &Bucket) -> Answer<R> {
        Ok(Reply::of_length(200, 0)
            .with("x-amz-bucket-region", self.region_of(bucket).to_owned())
            .with("x-amz-access-point-alias", "false")
            .with("Content-Type", "application/xml"))
    }

    /// GetBucketLocation.
    pub(crate) fn bucket_location(&self, bucket: &Bucket) -> Answer<R> {
        let mut document = Vec::new();
        unset::location(&mut document, self.region_of(bucket));
        Ok(Reply::document(200, document))
    }

    /// A configuration that was never set, of a bucket that exists.
    pub(crate) fn unset(&self, what: UnsetConfiguration) -> Answer<R> {
        let mut document = Vec::new();
        unset::write(&mut document, what, self.core.owner())?;
        Ok(Reply::document(200, document))
    }

    /// The same of an object, which must exist.
    pub(crate) async fn unset_of_object(&self, target: Target<'_>, what: UnsetConfiguration) -> Answer<R> {
        self.object(target).await?;
        self.unset(what)
    }

    /// The region that a bucket is said to lie in.
    pub(crate) fn region_of<'b>(&'b self, bucket: &'b Bucket) -> &'b str {
        if bucket.region.is_empty() { &self.core.config.region } else { &bucket.region }
    }
}

/// A preflight, which nobody signs: no bucket has rules.
pub(crate) fn preflight() -> S3Failure {
    S3Failure::new(S3Error::AccessDenied).message("CORSResponse: CORS is not enabled for this bucket.")
}
