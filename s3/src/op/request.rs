//! What an operation is given: only requests whose signature was verified get this far.

use crate::auth::verify::Authenticated;
use crate::error::{DetailName, S3Error, S3Failure};
use crate::front::Core;
use crate::http::head::RequestHead;
use crate::http::query::Query;
use crate::limits::LIST_ROW_COUNT_MAX;
use crate::op::refusal::Refusal;
use crate::value::part_number::PartNumber;
use crate::value::upload_id::UploadId;
use crate::wire::reply::Reply;
use crate::xml::writer::KeyEncoding;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::Bucket;
use std::rc::Rc;

/// What every operation gives.
pub(crate) type Answer<R> = Result<Reply<R>, Refusal>;

/// A request whose signature was verified.
pub(crate) struct Request<'r, R: Runtime> {
    pub(crate) core: &'r Core<R>,
    pub(crate) head: &'r RequestHead<'r>,
    pub(crate) query: &'r Query<'r>,
    pub(crate) proof: &'r Authenticated,
}

/// An object that a request names, in a bucket that exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'r> {
    pub(crate) bucket: &'r Rc<Bucket>,
    pub(crate) key: &'r str,
}

impl Target<'_> {
    /// The key as stored.
    pub(crate) const fn key_bytes(&self) -> &[u8] {
        self.key.as_bytes()
    }
}

impl<R: Runtime> Request<'_, R> {
    /// The bucket of this name.
    pub(crate) fn bucket(&self, name: &str) -> Result<Rc<Bucket>, S3Failure> {
        self.core
            .engine
            .bucket(name)
            .ok_or_else(|| S3Failure::new(S3Error::NoSuchBucket).text(DetailName::BucketName, name))
    }

    /// A parameter that holds a number of rows: decimal, clamped to what one page may have.
    pub(crate) fn row_count(&self, name: &'static str) -> Result<u32, S3Failure> {
        match self.query.get(name) {
            None | Some("") => Ok(LIST_ROW_COUNT_MAX),
            Some(digits) => {
                // As on AWS, what is no 32-bit number is an error, not a large page.
                let count: Option<i32> = digits.parse().ok();
                let count =
                    count.and_then(|count| u32::try_from(count).ok()).ok_or_else(|| invalid(name, digits))?;
                Ok(count.min(LIST_ROW_COUNT_MAX))
            }
        }
    }

    /// `encoding-type`
    pub(crate) fn encoding(&self) -> Result<KeyEncoding, S3Failure> {
        match self.query.get("encoding-type") {
            None | Some("") => Ok(KeyEncoding::Plain),
            Some("url") => Ok(KeyEncoding::Url),
            Some(other) => Err(invalid("encoding-type", other)),
        }
    }

    /// `partNumber`
    pub(crate) fn part_number(&self) -> Result<PartNumber, S3Failure> {
        Ok(PartNumber::parse(self.query.get("partNumber").unwrap_or_default())?)
    }

    /// `uploadId`
    pub(crate) fn upload_id(&self) -> Result<UploadId, S3Failure> {
        Ok(UploadId::parse(self.query.get("uploadId").unwrap_or_default())?)
    }
}

/// `InvalidArgument`, naming the argument.
pub(crate) fn invalid(name: &'static str, value: &str) -> S3Failure {
    S3Failure::new(S3Error::InvalidArgument)
        .note(DetailName::ArgumentName, name)
        .text(DetailName::ArgumentValue, value)
}
