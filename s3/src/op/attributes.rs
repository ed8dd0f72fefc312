//! GetObjectAttributes, and ListObjectVersions of buckets that have no versions but `null`.

use crate::error::S3Failure;
use crate::op::convert::{checksum_value, date, shown_checksum, shown_etag};
use crate::op::list::{objects, prefixes};
use crate::op::refusal::Refusal;
use crate::op::request::{Answer, Request, Target, invalid};
use crate::wire::reply::Reply;
use crate::xml::attributes::{AttributeParts, Attributes, object_attributes};
use crate::xml::listing::{ListPage, VersionsPage, list_versions};
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::{Bucket, ListQuery};
use ashlar_engine::{Object, ObjectPart};

/// Parts on one page of attributes. Each is a look-up of its own, so pages are short; clients follow the markers.
const PART_ROWS_MAX: u32 = 32;

impl<R: Runtime> Request<'_, R> {
    /// GetObjectAttributes.
    pub(crate) async fn object_attributes(&self, target: Target<'_>) -> Answer<R> {
        const NAME: &str = "x-amz-object-attributes";
        let values = self.head.values(NAME).flat_map(|value| value.split(|&byte| byte == b','));
        let names: Vec<&[u8]> = values.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()).collect();
        let known: [&[u8]; 5] = [b"ETag", b"Checksum", b"ObjectParts", b"StorageClass", b"ObjectSize"];
        if names.is_empty() || names.iter().any(|name| !known.contains(name)) {
            return Err(invalid(NAME, "").into());
        }
        let wants = |name: &str| names.contains(&name.as_bytes());
        let object = self.object(target).await?;
        let etag = shown_etag(object.etag());
        let value = object.checksum().and_then(checksum_value);
        let shown =
            object.checksum().zip(value.as_ref()).map(|(stored, value)| shown_checksum(stored, value));
        let parts = if wants("ObjectParts") { self.attribute_parts(&object).await? } else { None };
        let attributes = Attributes {
            etag: wants("ETag").then_some(&etag),
            checksum: shown.filter(|_| wants("Checksum")),
            parts: parts.as_ref(),
            has_storage_class: wants("StorageClass"),
            size: wants("ObjectSize").then(|| object.size()),
        };
        let mut document = Vec::new();
        object_attributes(&mut document, &attributes);
        Ok(Reply::document(200, document).with("Last-Modified", date(object.modified())))
    }

    async fn attribute_parts(&self, object: &Object) -> Result<Option<AttributeParts>, Refusal> {
        let number = |name: &'static str| -> Result<Option<u16>, S3Failure> {
            let Some(text) = crate::http::headers::text(self.head, name)? else { return Ok(None) };
            text.parse().ok().map(Some).ok_or_else(|| invalid(name, text))
        };
        let marker = number("x-amz-part-number-marker")?.unwrap_or(0);
        let max = number("x-amz-max-parts")?.map_or(PART_ROWS_MAX, |max| u32::from(max).min(PART_ROWS_MAX));
        let Some(first) = self.core.engine.object_part(object, 1).await? else { return Ok(None) };
        let mut page = AttributeParts { count: first.count, marker, max, next: None, rows: Vec::new() };
        for number in marker.saturating_add(1).. {
            if u32::from(number) > first.count {
                break;
            }
            if u32::try_from(page.rows.len()).is_ok_and(|rows| rows == max) {
                page.next = Some(number.saturating_sub(1));
                break;
            }
            let Some(part) = self.core.engine.object_part(object, number).await? else { break };
            page.rows.push((number, part.size, checksum_of(object, &part)));
        }
        Ok(Some(page))
    }

    /// ListObjectVersions: every object is its own only version, whose id is `null`.
    pub(crate) async fn list_versions(&self, bucket: &Bucket) -> Answer<R> {
        let max_keys = self.row_count("max-keys")?;
        let encoding = self.encoding()?;
        let prefix = self.query.get("prefix").unwrap_or_default();
        let delimiter = self.query.get("delimiter").filter(|delimiter| !delimiter.is_empty());
        let key_marker = self.query.get("key-marker").unwrap_or_default();
        let query = ListQuery {
            prefix: prefix.as_bytes().to_vec(),
            delimiter: delimiter.map(|delimiter| delimiter.as_bytes().to_vec()),
            after: (!key_marker.is_empty()).then(|| key_marker.as_bytes().to_vec()),
            max: usize::try_from(max_keys).unwrap_or(0),
        };
        let found = self.core.engine.list(bucket, query).await?;
        let last = found.entries.last().and_then(|entry| core::str::from_utf8(entry.name()).ok());
        let page = VersionsPage {
            page: ListPage {
                bucket: &bucket.name,
                prefix,
                delimiter,
                max_keys,
                encoding,
                is_truncated: found.truncated,
            },
            key_marker,
            version_id_marker: self.query.get("version-id-marker").unwrap_or_default(),
            next_key_marker: last.filter(|_| found.truncated),
        };
        let mut document = Vec::new();
        list_versions(&mut document, &page, objects(&found, Some(self.core.owner())), prefixes(&found));
        Ok(Reply::document(200, document))
    }
}

fn checksum_of(object: &Object, part: &ObjectPart) -> Option<crate::value::checksum::ChecksumValue> {
    let algorithm = crate::op::convert::algorithm_of(object.checksum()?.algorithm)?;
    crate::value::checksum::ChecksumValue::from_bytes(algorithm, &part.checksum)
}
