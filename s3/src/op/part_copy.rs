//! UploadPartCopy: the bytes are read and written again, so that the part has an MD5 and a checksum of its own.

use crate::auth::payload::HashedBy;
use crate::error::{DetailName, S3Error, S3Failure};
use crate::http::range::{ByteRange, copy_source_range};
use crate::limits::UPLOAD_BYTES_MAX;
use crate::op::convert::{date, stored_checksum};
use crate::op::hashes::Hashers;
use crate::op::multipart::kept_algorithm;
use crate::op::request::{Answer, Request, Target};
use crate::value::etag::ETag;
use crate::wire::reply::Reply;
use crate::xml::multipart::{ShownChecksum, copy_part};
use ashlar_engine::runtime::Runtime;
use ashlar_engine::{Body, Object};

impl<R: Runtime> Request<'_, R> {
    /// UploadPartCopy.
    pub(crate) async fn copy_part(&self, target: Target<'_>) -> Answer<R> {
        let number = self.part_number()?;
        let upload = self.upload(target).await?;
        let (_, source) = self.copy_source().await?;
        let range = self.source_range(&source)?;
        let kept = kept_algorithm(&upload);
        let mut hashers = Hashers::new(None, kept, HashedBy::Nothing);
        let engine = &self.core.engine;
        let stored = if range.length == 0 {
            Body::empty()
        } else {
            let _place = engine.copy_place().await;
            let mut writer = engine.begin_copy(range.length)?;
            let mut reader = engine.read(&source, range.start..range.start + range.length);
            while let Some(slice) = reader.next().await? {
                hashers.update(slice.bytes());
                writer.write(slice.bytes()).await?;
            }
            writer.finish().await?
        };
        let hashes = hashers.finish();
        let checksum = Some(stored_checksum(&hashes.kept));
        let key = target.key_bytes();
        let part = engine
            .put_part(target.bucket, key, upload.id, number.get(), stored, hashes.md5, checksum)
            .await?;
        let is_declared = upload.init.checksum_algorithm != 0;
        let shown = is_declared.then_some(ShownChecksum { value: &hashes.kept, part_count: None });
        let mut document = Vec::new();
        copy_part(&mut document, &ETag::of_md5(hashes.md5), date(part.modified), shown);
        Ok(Reply::document(200, document))
    }

    fn source_range(&self, source: &Object) -> Result<ByteRange, S3Failure> {
        let range = match self.head.header("x-amz-copy-source-range") {
            Some(value) => copy_source_range(value, source.size())?,
            None => ByteRange { start: 0, length: source.size() },
        };
        if range.length > UPLOAD_BYTES_MAX {
            return Err(S3Failure::new(S3Error::InvalidRequest)
                .message(
                    "The specified copy source is larger than the maximum allowable size for a copy source.",
                )
                .number(DetailName::MaxSizeAllowed, UPLOAD_BYTES_MAX));
        }
        Ok(range)
    }
}
