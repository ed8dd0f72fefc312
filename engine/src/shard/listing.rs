//! One core's share of a listing: an ordered scan that seeks past each common prefix.

use super::message::ListCall;
use super::objects::wall_time;
use super::state::Shard;
use super::uploads::upload_of;
use crate::error::EngineError;
use crate::limits::LIST_BYTES_MAX;
use crate::runtime::Runtime;
use crate::types::{ListEntry, ListPage, UploadId, UploadPage, UploadQuery};
use ashlar_disk_format::constants::NAME_BYTES_MAX;
use ashlar_disk_format::key::{
    decode_object_key, decode_upload_key, object_key, object_prefix, prefix_end, upload_key, upload_prefix,
};
use ashlar_disk_format::units::BucketId;
use ashlar_disk_format::value::{decode_object, decode_upload};
use std::ops::Bound;

/// The common prefix that `name` is rolled up to: through the first delimiter behind `prefix`.
fn common_prefix<'a>(name: &'a [u8], prefix: &[u8], delimiter: Option<&[u8]>) -> Option<&'a [u8]> {
    let delimiter = delimiter?;
    let rest = name.get(prefix.len()..)?;
    let at = rest.windows(delimiter.len()).position(|window| window == delimiter)?;
    name.get(..prefix.len() + at + delimiter.len())
}

/// What of a marker a key can hold. No name that comes behind the marker comes before this.
fn seekable(marker: &[u8]) -> &[u8] {
    &marker[..marker.len().min(NAME_BYTES_MAX)]
}

impl<R: Runtime> Shard<R> {
    /// At most `max` entries of this core's keys, in order; fewer where names are long.
    pub(crate) async fn list(&self, call: &ListCall) -> Result<ListPage, EngineError> {
        let query = &call.query;
        if query.prefix.len() > NAME_BYTES_MAX {
            return Ok(ListPage::default());
        }
        let start = object_prefix(call.bucket, &query.prefix);
        let end = prefix_end(&start);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut scan = self.index.scan(Bound::Included(&start), end);
        if let Some(after) = &query.after {
            scan.seek(&object_key(call.bucket, seekable(after)));
        }
        let mut page = ListPage::default();
        let mut bytes = 0;
        while let Some(entry) = scan.next().await? {
            let (_, name) = decode_object_key(&entry.key)?;
            let full = page.entries.len() == query.max || bytes >= LIST_BYTES_MAX;
            if query.after.as_ref().is_some_and(|after| name <= *after) {
                continue;
            }
            if let Some(common) = common_prefix(&name, &query.prefix, query.delimiter.as_deref()) {
                let passed = query.after.as_deref().is_some_and(|after| common <= after);
                if !passed {
                    if full {
                        page.truncated = true;
                        break;
                    }
                    bytes += common.len();
                    page.entries.push(ListEntry::Prefix(common.to_vec()));
                }
                let Some(next) = prefix_end(&object_prefix(call.bucket, common)) else { break };
                scan.seek(&next);
                continue;
            }
            if full {
                page.truncated = true;
                break;
            }
            bytes += name.len();
            let record = decode_object(&entry.value)?;
            page.entries.push(ListEntry::Object {
                key: name,
                size: record.size,
                modified: wall_time(record.modified_ms),
                etag: record.etag,
                checksum: record.checksum.map_or((0, 0), |sum| (sum.algorithm, sum.kind)),
            });
        }
        Ok(page)
    }

    /// At most `max` uploads and common prefixes of this core's keys, in order; fewer where they are long.
    pub(crate) async fn list_uploads(
        &self,
        bucket: BucketId,
        query: &UploadQuery,
    ) -> Result<UploadPage, EngineError> {
        if query.prefix.len() > NAME_BYTES_MAX {
            return Ok(UploadPage::default());
        }
        let start = upload_prefix(bucket, &query.prefix);
        let end = prefix_end(&start);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut scan = self.index.scan(Bound::Included(&start), end);
        if let Some(marker) = &query.key_marker {
            scan.seek(&upload_key(bucket, seekable(marker), [0; 16]));
        }
        let mut page = UploadPage::default();
        let mut bytes = 0;
        while let Some(entry) = scan.next().await? {
            let (_, name, id) = decode_upload_key(&entry.key)?;
            let id = UploadId(id);
            if is_behind(&name, id, query) {
                continue;
            }
            let count = page.uploads.len() + page.prefixes.len();
            let full = count == query.max || bytes >= LIST_BYTES_MAX;
            if let Some(common) = common_prefix(&name, &query.prefix, query.delimiter.as_deref()) {
                let passed = query.key_marker.as_deref().is_some_and(|marker| common <= marker);
                if !passed {
                    if full {
                        page.truncated = true;
                        break;
                    }
                    bytes += common.len();
                    page.next = Some((common.to_vec(), None));
                    page.prefixes.push(common.to_vec());
                }
                let Some(next) = prefix_end(&upload_prefix(bucket, common)) else { break };
                scan.seek(&next);
                continue;
            }
            if full {
                page.truncated = true;
                break;
            }
            bytes += name.len() + entry.value.len();
            page.next = Some((name.clone(), Some(id)));
            page.uploads.push(upload_of(name, id, decode_upload(&entry.value)?));
        }
        Ok(page)
    }
}

/// True when the marker says that the client has seen this upload.
fn is_behind(name: &[u8], id: UploadId, query: &UploadQuery) -> bool {
    let Some(marker) = query.key_marker.as_deref() else { return false };
    match query.upload_marker {
        Some(upload) => (name, id) <= (marker, upload),
        None => name <= marker,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_roll_up_through_the_first_delimiter_behind_the_prefix() {
        let slash: Option<&[u8]> = Some(b"/");
        assert_eq!(common_prefix(b"a/b/c", b"", slash), Some(&b"a/"[..]));
        assert_eq!(common_prefix(b"a/b/c", b"a/", slash), Some(&b"a/b/"[..]));
        assert_eq!(common_prefix(b"a/b", b"a/", slash), None);
        assert_eq!(common_prefix(b"a--b", b"", Some(b"--")), Some(&b"a--"[..]));
        assert_eq!(common_prefix(b"a/b", b"", None), None);
    }
}
