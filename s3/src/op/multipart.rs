//! Multipart uploads: begin, add a part, give up.

use crate::auth::payload::{VerifiedBody, lacks_length};
use crate::error::{DetailName, S3Error, S3Failure};
use crate::http::headers;
use crate::limits::UPLOAD_BYTES_MAX;
use crate::op::convert::{algorithm_number, algorithm_of, stored_checksum, type_number};
use crate::op::hashes::Expected;
use crate::op::metadata;
use crate::op::refusal::Refusal;
use crate::op::request::{Answer, Request, Target};
use crate::value::checksum::ChecksumAlgorithm;
use crate::value::etag::ETag;
use crate::value::upload_id::UploadId;
use crate::wire::exchange::Exchange;
use crate::wire::reply::Reply;
use crate::xml::multipart::initiate;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::{self, Upload, UploadInit};

impl<R: Runtime> Request<'_, R> {
    /// CreateMultipartUpload. Without an algorithm the parts are still checked, by the one that AWS uses then.
    pub(crate) async fn create_upload(&self, target: Target<'_>) -> Answer<R> {
        let metadata = metadata::of_request(self.head)?;
        let checksum = headers::checksum(self.head)?;
        let algorithm = checksum.algorithm;
        if algorithm.is_none() && checksum.checksum_type.is_some() {
            return Err(S3Failure::new(S3Error::InvalidRequest)
                .message("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
                .into());
        }
        let kind = algorithm
            .map(|algorithm| (algorithm, checksum.checksum_type.unwrap_or(algorithm.default_type())));
        if let Some((algorithm, kind)) = kind
            && !algorithm.allows(kind)
        {
            return Err(S3Failure::new(S3Error::InvalidRequest)
                .message("The checksum type is not supported with the checksum algorithm.")
                .into());
        }
        let init = UploadInit {
            metadata,
            checksum_algorithm: algorithm.map_or(0, algorithm_number),
            checksum_kind: kind.map_or(0, |(_, kind)| type_number(kind)),
            owner: self.proof.access_key().to_owned(),
        };
        let id = self.core.engine.create_upload(target.bucket, target.key_bytes(), init).await?;
        let mut document = Vec::new();
        initiate(&mut document, &target.bucket.name, target.key, &UploadId::from_bytes(id.0).to_string());
        let mut reply = Reply::document(200, document);
        if let Some((algorithm, kind)) = kind {
            reply.set("x-amz-checksum-algorithm", algorithm.name());
            reply.set("x-amz-checksum-type", kind.name());
        }
        Ok(reply)
    }

    /// UploadPart.
    pub(crate) async fn upload_part(&self, target: Target<'_>, exchange: &mut Exchange<'_, R>) -> Answer<R> {
        let number = self.part_number()?;
        if lacks_length(self.head) {
            return Err(S3Error::MissingContentLength.into());
        }
        let expected = Expected::of(self.head)?;
        let body = VerifiedBody::new(self.proof, self.head, UPLOAD_BYTES_MAX)?;
        let upload = self.upload(target).await?;
        let kept = kept_algorithm(&upload);
        check_algorithm(&upload, expected.algorithm())?;
        let (stored, hashes) = Box::pin(self.receive_payload(exchange, body, &expected, kept)).await?;
        let checksum = Some(stored_checksum(&hashes.kept));
        let engine = &self.core.engine;
        let key = target.key_bytes();
        engine.put_part(target.bucket, key, upload.id, number.get(), stored, hashes.md5, checksum).await?;
        let mut reply = Reply::of_length(200, 0).with("ETag", ETag::of_md5(hashes.md5).quoted());
        let shown = hashes.named.unwrap_or(hashes.kept);
        reply.set(shown.algorithm().header_name(), shown.to_base64());
        Ok(reply)
    }

    /// AbortMultipartUpload.
    pub(crate) async fn abort_upload(&self, target: Target<'_>) -> Answer<R> {
        let id = self.engine_upload_id()?;
        self.core.engine.abort_upload(target.bucket, target.key_bytes(), id).await?;
        Ok(Reply::absent(204))
    }

    /// `uploadId`, as the engine has it.
    pub(crate) fn engine_upload_id(&self) -> Result<types::UploadId, S3Failure> {
        Ok(types::UploadId(self.upload_id()?.to_bytes()))
    }

    /// The upload that a request names.
    pub(crate) async fn upload(&self, target: Target<'_>) -> Result<Upload, Refusal> {
        let found =
            self.core.engine.upload(target.bucket, target.key_bytes(), self.engine_upload_id()?).await?;
        let id = self.query.get("uploadId").unwrap_or_default();
        found.ok_or_else(|| S3Failure::new(S3Error::NoSuchUpload).text(DetailName::UploadId, id).into())
    }
}

/// The algorithm of the checksums that an upload's parts are kept with.
pub(crate) fn kept_algorithm(upload: &Upload) -> ChecksumAlgorithm {
    algorithm_of(upload.init.checksum_algorithm).unwrap_or(ChecksumAlgorithm::Crc64Nvme)
}

/// A part may name no other algorithm than its upload did.
fn check_algorithm(upload: &Upload, named: Option<ChecksumAlgorithm>) -> Result<(), S3Failure> {
    match (algorithm_of(upload.init.checksum_algorithm), named) {
        (Some(expected), Some(named)) if expected != named => Err(S3Failure::new(S3Error::InvalidRequest)
            .message("Checksum Type mismatch occurred: the upload was created with another algorithm.")),
        (Some(_) | None, _) => Ok(()),
    }
}
