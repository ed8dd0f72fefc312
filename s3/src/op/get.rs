//! GetObject and HeadObject: conditions, then the range or part, then the bytes.

use crate::error::{DetailName, S3Error, S3Failure};
use crate::http::date::parse_http_date;
use crate::http::etag_condition::{EtagCondition, ReadConditions, ReadVerdict};
use crate::http::head::Method;
use crate::http::headers::wants_checksums;
use crate::http::range::{ByteRange, RangeRequest};
use crate::op::convert::{date, shown_etag};
use crate::op::metadata;
use crate::op::refusal::Refusal;
use crate::op::request::{Answer, Request, Target, invalid};
use crate::value::part_number::PartNumber;
use crate::wire::reply::Reply;
use ashlar_engine::Object;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::{Checksum, ChecksumBytes};

/// Response headers that a signed query may override.
const OVERRIDES: [(&str, &str); 6] = [
    ("response-content-type", "Content-Type"),
    ("response-cache-control", "Cache-Control"),
    ("response-content-disposition", "Content-Disposition"),
    ("response-content-encoding", "Content-Encoding"),
    ("response-content-language", "Content-Language"),
    ("response-expires", "Expires"),
];

/// What of an object is sent.
struct Selection {
    status: u16,
    start: u64,
    length: u64,
    /// Parts in all, if one was asked for.
    part_count: Option<u32>,
    /// The checksum of exactly these bytes, if it is stored.
    checksum: Option<Checksum>,
}

impl<R: Runtime> Request<'_, R> {
    /// GetObject and HeadObject: HEAD gets the same head without the body.
    pub(crate) async fn get_object(&self, target: Target<'_>) -> Answer<R> {
        let object = self.object(target).await?;
        let tag = shown_etag(object.etag()).text();
        match ReadConditions::of_read(self.head).evaluate(&tag, date(object.modified())) {
            ReadVerdict::Proceed => {}
            ReadVerdict::NotModified => return Ok(not_modified(&object)),
            ReadVerdict::Failed(name) => {
                return Err(S3Failure::new(S3Error::PreconditionFailed)
                    .note(DetailName::Condition, name)
                    .into());
            }
        }
        let selection = self.select(&object, &tag).await?;
        let (start, length) = (selection.start, selection.length);
        let mut reply = if self.head.method() == Method::Head || length == 0 {
            Reply::of_length(selection.status, length)
        } else {
            let reader = self.core.engine.read(&object, start..start + length);
            Reply::object(selection.status, reader, length)
        };
        metadata::describe(&mut reply, &object);
        if selection.status == 206 && length > 0 {
            let last = start + length - 1;
            reply.set("Content-Range", format!("bytes {start}-{last}/{}", object.size()));
        }
        if let Some(count) = selection.part_count {
            reply.set("x-amz-mp-parts-count", u64::from(count));
        }
        if wants_checksums(self.head) {
            metadata::show_checksum(&mut reply, selection.checksum.as_ref());
        }
        self.override_headers(&mut reply)?;
        Ok(reply)
    }

    /// The object of a key.
    pub(crate) async fn object(&self, target: Target<'_>) -> Result<Object, Refusal> {
        let found = self.core.engine.lookup(target.bucket, target.key_bytes()).await?;
        found.ok_or_else(|| S3Failure::new(S3Error::NoSuchKey).text(DetailName::Key, target.key).into())
    }

    async fn select(&self, object: &Object, tag: &str) -> Result<Selection, Refusal> {
        let size = object.size();
        let range = self.head.header("range").and_then(RangeRequest::parse);
        if self.query.has("partNumber") {
            if self.head.header("range").is_some() {
                return Err(S3Failure::new(S3Error::InvalidRequest)
                    .message("Cannot specify both Range header and partNumber query parameter")
                    .into());
            }
            return self.select_part(object, self.part_number()?).await;
        }
        let Some(range) = range.filter(|_| self.range_applies(object, tag)) else {
            let checksum = object.checksum().cloned();
            return Ok(Selection { status: 200, start: 0, length: size, part_count: None, checksum });
        };
        let ByteRange { start, length } = range.resolve(size).map_err(|error| {
            let sent = self.head.header("range").unwrap_or_default();
            S3Failure::from(error).text(DetailName::RangeRequested, &String::from_utf8_lossy(sent))
        })?;
        let is_whole = length == size;
        let checksum = object.checksum().filter(|_| is_whole).cloned();
        Ok(Selection { status: 206, start, length, part_count: None, checksum })
    }

    /// `If-Range` (RFC 9110 section 13.1.5): with another version, the whole object is sent.
    fn range_applies(&self, object: &Object, tag: &str) -> bool {
        let Some(value) = self.head.header("if-range") else { return true };
        match parse_http_date(value) {
            Some(since) => since.as_second() == date(object.modified()).as_second(),
            // A weak tag is never strong enough for a range.
            None => {
                !value.starts_with(b"W/") && EtagCondition::parse(value).is_some_and(|tags| tags.matches(tag))
            }
        }
    }

    async fn select_part(&self, object: &Object, number: PartNumber) -> Result<Selection, Refusal> {
        let found = self.core.engine.object_part(object, number.get()).await?;
        if let Some(part) = found {
            let whole = object.checksum();
            let checksum = whole.filter(|_| !part.checksum.is_empty()).map(|whole| Checksum {
                value: ChecksumBytes::from_slice(&part.checksum),
                kind: whole.kind,
                parts: 0,
                algorithm: whole.algorithm,
            });
            return Ok(Selection {
                status: 206,
                start: part.offset,
                length: part.size,
                part_count: Some(part.count),
                checksum,
            });
        }
        if object.is_multipart() || number.get() != 1 {
            return Err(S3Error::InvalidPartNumber.into());
        }
        // An object that was put whole is its own first part.
        let checksum = object.checksum().cloned();
        let status = if object.size() == 0 { 200 } else { 206 };
        Ok(Selection { status, start: 0, length: object.size(), part_count: None, checksum })
    }

    /// `response-*`. The signature covers the query, and only signed requests get here.
    fn override_headers(&self, reply: &mut Reply<R>) -> Result<(), S3Failure> {
        for (parameter, header) in OVERRIDES {
            let Some(value) = self.query.get(parameter).filter(|value| !value.is_empty()) else { continue };
            if value.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
                return Err(invalid(parameter, ""));
            }
            reply.set(header, value.to_owned());
        }
        Ok(())
    }
}

/// A 304 has what a cache needs to go on, and no body.
fn not_modified<R: Runtime>(object: &Object) -> Reply<R> {
    let mut whole: Reply<R> = Reply::absent(304);
    metadata::describe(&mut whole, object);
    whole
}
