//! Listings of objects, in both versions.

use crate::error::S3Failure;
use crate::op::convert::{algorithm_of, date, shown_etag, type_of};
use crate::op::refusal::Refusal;
use crate::op::request::{Answer, Request, invalid};
use crate::wire::reply::Reply;
use crate::xml::listing::{self, ListV1, ListV2, ObjectRow, Owner, list_objects_v1, list_objects_v2};
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::{Bucket, ListEntry, ListPage, ListQuery};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crc_fast::{CrcAlgorithm, checksum};

/// What a row of a listing takes besides its key: without an owner, and with a checksum.
const ROW_BYTES: usize = 320;

/// What a listing was asked for, but for where it begins.
struct Asked<'q> {
    prefix: &'q str,
    delimiter: Option<&'q str>,
    max_keys: u32,
    encoding: crate::xml::writer::KeyEncoding,
}

impl Asked<'_> {
    fn page<'p>(&'p self, bucket: &'p str, is_truncated: bool) -> listing::ListPage<'p> {
        listing::ListPage {
            bucket,
            prefix: self.prefix,
            delimiter: self.delimiter,
            max_keys: self.max_keys,
            encoding: self.encoding,
            is_truncated,
        }
    }
}

impl<R: Runtime> Request<'_, R> {
    /// ListObjects.
    pub(crate) async fn list_objects_v1(&self, bucket: &Bucket) -> Answer<R> {
        let asked = self.asked()?;
        let marker = self.query.get("marker").unwrap_or_default();
        let found = self.find(bucket, &asked, marker).await?;
        let last = found.entries.last().and_then(entry_name);
        let version =
            ListV1 { marker, next_marker: last.filter(|_| found.truncated && asked.delimiter.is_some()) };
        let mut document = Vec::with_capacity(document_bytes(&found));
        let rows = objects(&found, Some(self.core.owner()));
        let page = asked.page(&bucket.name, found.truncated);
        list_objects_v1(&mut document, &page, version, rows, prefixes(&found));
        Ok(self.listing(bucket, document))
    }

    /// ListObjectsV2.
    pub(crate) async fn list_objects_v2(&self, bucket: &Bucket) -> Answer<R> {
        let asked = self.asked()?;
        let start_after = self.query.get("start-after").filter(|key| !key.is_empty());
        let token = self.query.get("continuation-token");
        let resumed = token
            .map(|token| read_token(token).ok_or_else(|| invalid("continuation-token", token)))
            .transpose()?;
        let after = resumed.as_deref().or(start_after).unwrap_or_default();
        let found = self.find(bucket, &asked, after).await?;
        let next_token =
            found.entries.last().filter(|_| found.truncated).map(|entry| write_token(entry.name()));
        let version = ListV2 {
            start_after,
            token,
            next_token: next_token.as_deref(),
            key_count: u32::try_from(found.entries.len()).unwrap_or(u32::MAX),
        };
        let wants_owner =
            self.query.get("fetch-owner").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let mut document = Vec::with_capacity(document_bytes(&found));
        let rows = objects(&found, wants_owner.then(|| self.core.owner()));
        let page = asked.page(&bucket.name, found.truncated);
        list_objects_v2(&mut document, &page, version, rows, prefixes(&found));
        Ok(self.listing(bucket, document))
    }

    fn asked(&self) -> Result<Asked<'_>, S3Failure> {
        Ok(Asked {
            prefix: self.query.get("prefix").unwrap_or_default(),
            delimiter: self.query.get("delimiter").filter(|delimiter| !delimiter.is_empty()),
            max_keys: self.row_count("max-keys")?,
            encoding: self.encoding()?,
        })
    }

    async fn find(&self, bucket: &Bucket, asked: &Asked<'_>, after: &str) -> Result<ListPage, Refusal> {
        let query = ListQuery {
            prefix: asked.prefix.as_bytes().to_vec(),
            delimiter: asked.delimiter.map(|delimiter| delimiter.as_bytes().to_vec()),
            after: (!after.is_empty()).then(|| after.as_bytes().to_vec()),
            max: usize::try_from(asked.max_keys).unwrap_or(0),
        };
        Ok(self.core.engine.list(bucket, query).await?)
    }

    fn listing(&self, bucket: &Bucket, document: Vec<u8>) -> Reply<R> {
        Reply::document(200, document).with("x-amz-bucket-region", self.region_of(bucket).to_owned())
    }
}

/// About what the document of a page will take.
fn document_bytes(page: &ListPage) -> usize {
    let names: usize = page.entries.iter().map(|entry| entry.name().len()).sum();
    names + page.entries.len() * ROW_BYTES + ROW_BYTES
}

fn entry_name(entry: &ListEntry) -> Option<&str> {
    // Keys were UTF-8 when they came in.
    core::str::from_utf8(entry.name()).ok()
}

pub(crate) fn objects<'p>(
    page: &'p ListPage,
    owner: Option<Owner<'p>>,
) -> impl Iterator<Item = ObjectRow<'p>> {
    page.entries.iter().filter_map(move |entry| match entry {
        ListEntry::Object { key, size, modified, etag, checksum: (algorithm, kind) } => Some(ObjectRow {
            key: core::str::from_utf8(key).ok()?,
            modified: date(*modified),
            etag: shown_etag(etag),
            size: *size,
            checksum: algorithm_of(*algorithm).map(|algorithm| (algorithm, type_of(*kind))),
            owner,
        }),
        ListEntry::Prefix(_) => None,
    })
}

pub(crate) fn prefixes(page: &ListPage) -> impl Iterator<Item = &str> {
    page.entries.iter().filter_map(|entry| match entry {
        ListEntry::Prefix(prefix) => core::str::from_utf8(prefix).ok(),
        ListEntry::Object { .. } => None,
    })
}

/// A token is a name with a checksum in front, so that what we did not write is told from what we did.
fn write_token(name: &[u8]) -> String {
    let mut bytes = token_sum(name).to_vec();
    bytes.extend_from_slice(name);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_token(token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (sum, name) = bytes.split_at_checked(4)?;
    if sum != token_sum(name) || name.is_empty() {
        return None;
    }
    String::from_utf8(name.to_vec()).ok()
}

fn token_sum(name: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = checksum(CrcAlgorithm::Crc32Iscsi, name).to_le_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::{read_token, write_token};

    #[test]
    fn tokens_are_told_from_nonsense() {
        assert_eq!(read_token(&write_token(b"a/b c")).as_deref(), Some("a/b c"));
        for nonsense in ["", "nonsense", "AAAAAA", "%", "a/b"] {
            assert_eq!(read_token(nonsense), None, "{nonsense}");
        }
        let mut changed = write_token(b"key");
        changed.pop();
        assert_eq!(read_token(&changed), None);
    }
}
