//! ListParts and ListMultipartUploads.

use crate::op::convert::{algorithm_of, checksum_value, date, type_of};
use crate::op::request::{Answer, Request, Target, invalid};
use crate::value::checksum::{ChecksumAlgorithm, ChecksumType};
use crate::value::etag::ETag;
use crate::value::upload_id::UploadId;
use crate::wire::reply::Reply;
use crate::xml::multipart::{PartRow, PartsPage, UploadRow, UploadsPage, list_parts, list_uploads};
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::{self, Bucket, UploadInit, UploadQuery};

impl<R: Runtime> Request<'_, R> {
    /// ListParts.
    pub(crate) async fn list_parts(&self, target: Target<'_>) -> Answer<R> {
        const MARKER: &str = "part-number-marker";
        let max_parts = self.row_count("max-parts")?;
        let marker = match self.query.get(MARKER) {
            None | Some("") => 0,
            Some(digits) => digits.parse::<u16>().ok().ok_or_else(|| invalid(MARKER, digits))?,
        };
        let upload = self.upload(target).await?;
        let max = usize::try_from(max_parts).unwrap_or(0);
        let found =
            self.core.engine.list_parts(target.bucket, target.key_bytes(), upload.id, marker, max).await?;
        let values: Vec<_> =
            found.parts.iter().map(|part| part.checksum.as_ref().and_then(checksum_value)).collect();
        let checksum = declared(&upload.init);
        let page = PartsPage {
            bucket: &target.bucket.name,
            key: target.key,
            upload_id: self.query.get("uploadId").unwrap_or_default(),
            owner: self.core.owner(),
            marker,
            next_marker: found.parts.last().filter(|_| found.truncated).map(|part| part.number),
            max_parts,
            encoding: self.encoding()?,
            checksum,
        };
        let rows = found.parts.iter().zip(&values).map(|(part, value)| PartRow {
            number: part.number,
            modified: date(part.modified),
            etag: ETag::of_md5(part.md5),
            size: part.size,
            checksum: value.as_ref().filter(|_| checksum.is_some()),
        });
        let mut document = Vec::new();
        list_parts(&mut document, &page, rows);
        Ok(Reply::document(200, document))
    }

    /// ListMultipartUploads.
    pub(crate) async fn list_uploads(&self, bucket: &Bucket) -> Answer<R> {
        let max_uploads = self.row_count("max-uploads")?;
        let prefix = self.query.get("prefix").unwrap_or_default();
        let delimiter = self.query.get("delimiter").filter(|delimiter| !delimiter.is_empty());
        let key_marker = self.query.get("key-marker").unwrap_or_default();
        let upload_marker = self.query.get("upload-id-marker").unwrap_or_default();
        // Without a key the other marker means nothing, as on AWS.
        let after_upload = if key_marker.is_empty() || upload_marker.is_empty() {
            None
        } else {
            let id = UploadId::parse(upload_marker).ok();
            let id = id.ok_or_else(|| invalid("upload-id-marker", upload_marker))?;
            Some(types::UploadId(id.to_bytes()))
        };
        let encoding = self.encoding()?;
        let query = UploadQuery {
            prefix: prefix.as_bytes().to_vec(),
            delimiter: delimiter.map(|delimiter| delimiter.as_bytes().to_vec()),
            key_marker: (!key_marker.is_empty()).then(|| key_marker.as_bytes().to_vec()),
            upload_marker: after_upload,
            max: usize::try_from(max_uploads).unwrap_or(0),
        };
        let found = if query.max == 0 {
            types::UploadPage::default()
        } else {
            self.core.engine.list_uploads(bucket, query).await?
        };
        let next = found.next.as_ref().filter(|_| found.truncated).map(|(key, id)| {
            let id = id.map(|id| UploadId::from_bytes(id.0).to_string()).unwrap_or_default();
            (String::from_utf8_lossy(key), id)
        });
        let page = UploadsPage {
            bucket: &bucket.name,
            prefix,
            delimiter,
            key_marker,
            upload_id_marker: upload_marker,
            next: next.as_ref().map(|(key, id)| (key.as_ref(), id.as_str())),
            max_uploads,
            encoding,
        };
        let ids: Vec<String> =
            found.uploads.iter().map(|upload| UploadId::from_bytes(upload.id.0).to_string()).collect();
        let rows = found.uploads.iter().zip(&ids).map(|(upload, id)| UploadRow {
            key: core::str::from_utf8(&upload.key).unwrap_or_default(),
            upload_id: id,
            owner: self.core.owner(),
            initiated: date(upload.created),
            checksum: declared(&upload.init),
        });
        let prefixes = found.prefixes.iter().filter_map(|prefix| core::str::from_utf8(prefix).ok());
        let mut document = Vec::new();
        list_uploads(&mut document, &page, rows, prefixes);
        Ok(Reply::document(200, document))
    }
}

/// How an upload is checked, if it said so.
fn declared(init: &UploadInit) -> Option<(ChecksumAlgorithm, ChecksumType)> {
    algorithm_of(init.checksum_algorithm).map(|algorithm| (algorithm, type_of(init.checksum_kind)))
}
