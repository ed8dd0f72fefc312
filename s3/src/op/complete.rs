//! CompleteMultipartUpload: the object's tag and checksum from those of its parts; the key's owner verifies the
//! parts once more when it puts the object together.

use crate::checksum::combine::{CompositeChecksum, FullObjectCrc};
use crate::checksum::md5::CompositeETag;
use crate::error::{DetailName, S3Error, S3Failure};
use crate::http::etag_condition::WriteCondition;
use crate::http::head::parse_decimal;
use crate::http::headers;
use crate::limits::{PART_BYTES_MIN, PART_NUMBER_MAX};
use crate::op::convert::{
    algorithm_of, checksum_value, condition, shown_checksum, shown_etag, stored_checksum, stored_composite,
    stored_etag, type_of, write_failure,
};
use crate::op::hashes::Expected;
use crate::op::multipart::kept_algorithm;
use crate::op::refusal::Refusal;
use crate::op::request::{Answer, Request, Target, invalid};
use crate::value::checksum::ChecksumType;
use crate::value::etag::ETag;
use crate::wire::exchange::Exchange;
use crate::wire::reply::Reply;
use crate::xml::multipart::complete;
use crate::xml::request::{CompletePart, complete_multipart_upload};
use ashlar_engine::error::EngineError;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::{Checksum, NamedPart, ObjectMeta, Part, Upload};

impl<R: Runtime> Request<'_, R> {
    /// CompleteMultipartUpload.
    pub(crate) async fn complete_upload(
        &self,
        target: Target<'_>,
        exchange: &mut Exchange<'_, R>,
    ) -> Answer<R> {
        let id = self.engine_upload_id()?;
        let wanted = WriteCondition::of_write(self.head)?;
        // The checksum in the head is that of the object, not that of the document.
        let expected = Expected::without_checksum(self.head)?;
        let (document, share) = self.receive_document(exchange, &expected).await?;
        let parts = complete_multipart_upload(&document)?;
        drop(document);
        let etag = composite_etag(&parts)?;
        let upload = self.core.engine.upload(target.bucket, target.key_bytes(), id).await?;
        let meta = match &upload {
            Some(upload) => self.finished(target, upload, &parts, &etag).await?,
            // Completed already, perhaps by this very request, whose answer was lost: the owner knows.
            None => ObjectMeta { etag: stored_etag(&etag), checksum: None, metadata: Vec::new() },
        };
        let checksum = meta.checksum.clone();
        let names =
            parts.iter().map(|part| NamedPart { number: part.number.get(), md5: part.etag.md5() }).collect();
        let engine = &self.core.engine;
        let (bucket, key) = (target.bucket, target.key_bytes());
        let completed = engine.complete_upload(bucket, key, id, names, meta, condition(&wanted));
        Box::pin(completed).await.map_err(|error| write_failure(error, &wanted))?;
        let checksum = if upload.is_some() { checksum } else { self.completed_before(target, &etag).await? };
        Ok(self.completed(target, &etag, checksum.as_ref()).holding(share))
    }

    /// What an earlier completion made, if it was of the same parts.
    async fn completed_before(&self, target: Target<'_>, etag: &ETag) -> Result<Option<Checksum>, Refusal> {
        let object = self.core.engine.lookup(target.bucket, target.key_bytes()).await?;
        match object.filter(|object| shown_etag(object.etag()) == *etag) {
            Some(object) => Ok(object.checksum().cloned()),
            None => Err(S3Error::NoSuchUpload.into()),
        }
    }

    fn completed(&self, target: Target<'_>, etag: &ETag, checksum: Option<&Checksum>) -> Reply<R> {
        let value = checksum.and_then(checksum_value);
        let shown = checksum.zip(value.as_ref()).map(|(stored, value)| shown_checksum(stored, value));
        let host = String::from_utf8_lossy(self.head.host());
        let location = format!("http://{host}/{}/{}", target.bucket.name, target.key);
        let mut document = Vec::new();
        complete(&mut document, &location, &target.bucket.name, target.key, etag, shown);
        Reply::document(200, document)
    }

    /// What the finished object will be, from the stored parts that are named.
    async fn finished(
        &self,
        target: Target<'_>,
        upload: &Upload,
        parts: &[CompletePart],
        etag: &ETag,
    ) -> Result<ObjectMeta, Refusal> {
        let max = usize::from(PART_NUMBER_MAX);
        let stored =
            self.core.engine.list_parts(target.bucket, target.key_bytes(), upload.id, 0, max).await?;
        let named = pick(parts, &stored.parts)?;
        check_sizes(&named)?;
        self.check_object_size(&named)?;
        let checksum = object_checksum(upload, parts, &named)?;
        let sent = headers::checksum(self.head)?;
        if let Some(kind) = sent.checksum_type
            && upload.init.checksum_algorithm != 0
            && kind != type_of(upload.init.checksum_kind)
        {
            return Err(S3Failure::new(S3Error::InvalidRequest)
                .message("The upload was created with another checksum type.")
                .into());
        }
        let is_other_count = sent.part_count.is_some_and(|count| u32::from(count) != checksum.parts);
        if sent.value.is_some() && (is_other_count || sent.value != checksum_value(&checksum)) {
            return Err(S3Error::BadDigest.into());
        }
        let metadata = upload.init.metadata.clone();
        Ok(ObjectMeta { etag: stored_etag(etag), checksum: Some(checksum), metadata })
    }

    /// `x-amz-mp-object-size`
    fn check_object_size(&self, parts: &[&Part]) -> Result<(), S3Failure> {
        const NAME: &str = "x-amz-mp-object-size";
        let Some(digits) = headers::text(self.head, NAME)? else { return Ok(()) };
        let expected = parse_decimal(digits.as_bytes()).ok_or_else(|| invalid(NAME, digits))?;
        let found: u64 = parts.iter().map(|part| part.size).sum();
        if expected == found {
            return Ok(());
        }
        Err(S3Failure::new(S3Error::InvalidRequest)
            .message("The provided 'x-amz-mp-object-size' header does not match what was computed.")
            .number(DetailName::ProposedSize, found))
    }
}

/// The tag over the parts' tags. A part's own tag is never composite.
fn composite_etag(parts: &[CompletePart]) -> Result<ETag, S3Failure> {
    let mut composite = CompositeETag::new();
    for part in parts {
        if part.etag.part_count().is_some() {
            return Err(no_part(part));
        }
        composite.add(&part.etag);
    }
    composite.finish().ok_or_else(|| S3Error::MalformedXML.into())
}

fn no_part(part: &CompletePart) -> S3Failure {
    S3Failure::new(S3Error::InvalidPart).number(DetailName::PartNumber, part.number.get().into())
}

/// The stored parts that are named. Both are in ascending order.
fn pick<'s>(named: &[CompletePart], stored: &'s [Part]) -> Result<Vec<&'s Part>, S3Failure> {
    let mut found = Vec::with_capacity(named.len());
    for part in named {
        let position = stored.binary_search_by_key(&part.number.get(), |stored| stored.number).ok();
        let matching = position.and_then(|position| stored.get(position));
        let matching =
            matching.filter(|stored| stored.md5 == part.etag.md5()).ok_or_else(|| no_part(part))?;
        let value = matching.checksum.as_ref().and_then(checksum_value);
        if part.checksum.is_some() && part.checksum != value {
            return Err(no_part(part));
        }
        found.push(matching);
    }
    Ok(found)
}

/// Every part but the last has the smallest size at least.
fn check_sizes(parts: &[&Part]) -> Result<(), S3Failure> {
    let others = parts.split_last().map(|(_, others)| others).unwrap_or_default();
    match others.iter().find(|part| part.size < PART_BYTES_MIN) {
        None => Ok(()),
        Some(part) => Err(S3Failure::new(S3Error::EntityTooSmall)
            .number(DetailName::ProposedSize, part.size)
            .number(DetailName::MinSizeAllowed, PART_BYTES_MIN)
            .number(DetailName::PartNumber, part.number.into())),
    }
}

/// The object's checksum, from those of its parts.
fn object_checksum(upload: &Upload, named: &[CompletePart], parts: &[&Part]) -> Result<Checksum, Refusal> {
    let algorithm = kept_algorithm(upload);
    let is_declared = algorithm_of(upload.init.checksum_algorithm).is_some();
    let kind = if is_declared { type_of(upload.init.checksum_kind) } else { ChecksumType::FullObject };
    let values = parts.iter().map(|part| (part.checksum.as_ref().and_then(checksum_value), part.size));
    let damaged = || Refusal::from(EngineError::InvalidPart);
    match kind {
        ChecksumType::Composite => {
            if named.iter().any(|part| part.checksum.is_none()) {
                return Err(S3Failure::new(S3Error::InvalidRequest)
                    .message("The complete request must include the checksum for each part.")
                    .into());
            }
            let mut composite = CompositeChecksum::new(algorithm);
            for (value, _) in values {
                value.and_then(|value| composite.add(&value)).ok_or_else(damaged)?;
            }
            let (value, count) = composite.finish();
            Ok(stored_composite(&value, count))
        }
        ChecksumType::FullObject => {
            let mut whole = FullObjectCrc::new(algorithm).ok_or_else(damaged)?;
            for (value, size) in values {
                value.and_then(|value| whole.add(&value, size)).ok_or_else(damaged)?;
            }
            Ok(stored_checksum(&whole.finish()))
        }
    }
}
