//! Answers that list buckets, objects and deletions.

use crate::error::S3Failure;
use crate::value::checksum::{ChecksumAlgorithm, ChecksumType};
use crate::value::etag::ETag;
use crate::xml::writer::{KeyEncoding, XmlWriter};
use jiff::Timestamp;

/// Who owns things.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The canonical user id.
    pub id: &'a str,
    /// The name.
    pub display_name: &'a str,
}

impl Owner<'_> {
    pub(super) fn write(&self, xml: &mut XmlWriter<'_>, element: &'static str) {
        xml.open(element).text("ID", self.id).text("DisplayName", self.display_name).close(element);
    }
}

/// One row of ListBuckets.
#[derive(Clone, Copy, Debug)]
pub struct BucketRow<'a> {
    /// The name.
    pub name: &'a str,
    /// When it was created.
    pub created: Timestamp,
    /// Its region, shown if the request asked for pages.
    pub region: Option<&'a str>,
}

/// Writes `ListAllMyBucketsResult`.
pub fn list_buckets<'a>(
    target: &mut Vec<u8>,
    owner: Owner<'_>,
    buckets: impl Iterator<Item = BucketRow<'a>>,
    prefix: Option<&str>,
    next_token: Option<&str>,
) {
    let mut xml = XmlWriter::begin(target);
    xml.root("ListAllMyBucketsResult");
    owner.write(&mut xml, "Owner");
    xml.open("Buckets");
    for bucket in buckets {
        xml.open("Bucket").text("Name", bucket.name).date("CreationDate", bucket.created);
        xml.maybe("BucketRegion", bucket.region).close("Bucket");
    }
    xml.close("Buckets").maybe("Prefix", prefix).maybe("ContinuationToken", next_token);
    xml.close("ListAllMyBucketsResult");
}

/// One object of a listing.
#[derive(Clone, Copy, Debug)]
pub struct ObjectRow<'a> {
    /// The key.
    pub key: &'a str,
    /// When it was written.
    pub modified: Timestamp,
    /// Its tag.
    pub etag: ETag,
    /// Its size, in bytes.
    pub size: u64,
    /// How its checksum was made, if it has one.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    /// Who owns it, if the request wants to know.
    pub owner: Option<Owner<'a>>,
}

/// What both versions of a listing echo and say.
#[derive(Clone, Copy, Debug)]
pub struct ListPage<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// `prefix`
    pub prefix: &'a str,
    /// `delimiter`, if sent and not empty.
    pub delimiter: Option<&'a str>,
    /// `max-keys`, clamped.
    pub max_keys: u32,
    /// `encoding-type`
    pub encoding: KeyEncoding,
    /// Whether there is more.
    pub is_truncated: bool,
}

/// What only version 1 echoes and says.
#[derive(Clone, Copy, Debug)]
pub struct ListV1<'a> {
    /// `marker`
    pub marker: &'a str,
    /// Where the next page begins; AWS sends it only with a delimiter.
    pub next_marker: Option<&'a str>,
}

/// What only version 2 echoes and says.
#[derive(Clone, Copy, Debug)]
pub struct ListV2<'a> {
    /// `start-after`, if sent.
    pub start_after: Option<&'a str>,
    /// `continuation-token`, if sent.
    pub token: Option<&'a str>,
    /// The next page's token.
    pub next_token: Option<&'a str>,
    /// Keys and common prefixes on this page.
    pub key_count: u32,
}

/// Writes `ListBucketResult` of version 1.
pub fn list_objects_v1<'a>(
    target: &mut Vec<u8>,
    page: &ListPage<'_>,
    version: ListV1<'_>,
    objects: impl Iterator<Item = ObjectRow<'a>>,
    common_prefixes: impl Iterator<Item = &'a str>,
) {
    let mut xml = XmlWriter::begin(target);
    xml.root("ListBucketResult");
    page_head(&mut xml, page);
    xml.key("Marker", version.marker, page.encoding);
    xml.maybe_key("NextMarker", version.next_marker, page.encoding);
    rows(&mut xml, page, objects, common_prefixes);
    xml.close("ListBucketResult");
}

/// Writes `ListBucketResult` of version 2.
pub fn list_objects_v2<'a>(
    target: &mut Vec<u8>,
    page: &ListPage<'_>,
    version: ListV2<'_>,
    objects: impl Iterator<Item = ObjectRow<'a>>,
    common_prefixes: impl Iterator<Item = &'a str>,
) {
    let mut xml = XmlWriter::begin(target);
    xml.root("ListBucketResult");
    page_head(&mut xml, page);
    xml.number("KeyCount", version.key_count.into());
    xml.maybe_key("StartAfter", version.start_after, page.encoding);
    xml.maybe("ContinuationToken", version.token).maybe("NextContinuationToken", version.next_token);
    rows(&mut xml, page, objects, common_prefixes);
    xml.close("ListBucketResult");
}

fn page_head(xml: &mut XmlWriter<'_>, page: &ListPage<'_>) {
    xml.text("Name", page.bucket).key("Prefix", page.prefix, page.encoding);
    xml.maybe_key("Delimiter", page.delimiter, page.encoding).number("MaxKeys", page.max_keys.into());
    encoding_type(xml, page.encoding);
    xml.boolean("IsTruncated", page.is_truncated);
}

pub(super) fn encoding_type(xml: &mut XmlWriter<'_>, encoding: KeyEncoding) {
    match encoding {
        KeyEncoding::Plain => {}
        KeyEncoding::Url => {
            xml.text("EncodingType", "url");
        }
    }
}

fn rows<'a>(
    xml: &mut XmlWriter<'_>,
    page: &ListPage<'_>,
    objects: impl Iterator<Item = ObjectRow<'a>>,
    common_prefixes: impl Iterator<Item = &'a str>,
) {
    for object in objects {
        xml.open("Contents").key("Key", object.key, page.encoding).date("LastModified", object.modified);
        xml.etag(&object.etag);
        if let Some((algorithm, checksum_type)) = object.checksum {
            xml.text("ChecksumAlgorithm", algorithm.name()).text("ChecksumType", checksum_type.name());
        }
        xml.number("Size", object.size);
        if let Some(owner) = object.owner {
            owner.write(xml, "Owner");
        }
        xml.text("StorageClass", "STANDARD").close("Contents");
    }
    prefixes(xml, page.encoding, common_prefixes);
}

/// What a listing of versions echoes and says.
#[derive(Clone, Copy, Debug)]
pub struct VersionsPage<'a> {
    /// As of other listings.
    pub page: ListPage<'a>,
    /// `key-marker`
    pub key_marker: &'a str,
    /// `version-id-marker`
    pub version_id_marker: &'a str,
    /// Where the next page begins, if there is more.
    pub next_key_marker: Option<&'a str>,
}

/// Writes `ListVersionsResult` of a bucket in which every object is its own only version.
pub fn list_versions<'a>(
    target: &mut Vec<u8>,
    versions: &VersionsPage<'_>,
    objects: impl Iterator<Item = ObjectRow<'a>>,
    common_prefixes: impl Iterator<Item = &'a str>,
) {
    let encoding = versions.page.encoding;
    let mut xml = XmlWriter::begin(target);
    xml.root("ListVersionsResult");
    page_head(&mut xml, &versions.page);
    xml.key("KeyMarker", versions.key_marker, encoding);
    xml.text("VersionIdMarker", versions.version_id_marker);
    if let Some(next) = versions.next_key_marker {
        xml.key("NextKeyMarker", next, encoding).text("NextVersionIdMarker", "null");
    }
    for object in objects {
        xml.open("Version").key("Key", object.key, encoding).text("VersionId", "null");
        xml.boolean("IsLatest", true).date("LastModified", object.modified).etag(&object.etag);
        xml.number("Size", object.size);
        if let Some(owner) = object.owner {
            owner.write(&mut xml, "Owner");
        }
        xml.text("StorageClass", "STANDARD").close("Version");
    }
    prefixes(&mut xml, encoding, common_prefixes);
    xml.close("ListVersionsResult");
}

pub(super) fn prefixes<'a>(
    xml: &mut XmlWriter<'_>,
    encoding: KeyEncoding,
    common_prefixes: impl Iterator<Item = &'a str>,
) {
    for prefix in common_prefixes {
        xml.open("CommonPrefixes").key("Prefix", prefix, encoding).close("CommonPrefixes");
    }
}

/// What became of one object of a DeleteObjects request.
#[derive(Clone, Copy, Debug)]
pub struct DeleteRow<'a> {
    /// The key.
    pub key: &'a str,
    /// The version, as named in the request.
    pub version_id: Option<&'a str>,
    /// The failure, if there was one.
    pub failure: Option<&'a S3Failure>,
}

/// Writes `DeleteResult`. Of a quiet request only failures are shown.
pub fn delete_result<'a>(target: &mut Vec<u8>, is_quiet: bool, rows: impl Iterator<Item = DeleteRow<'a>>) {
    let mut xml = XmlWriter::begin(target);
    xml.root("DeleteResult");
    for row in rows {
        match row.failure {
            None if is_quiet => {}
            None => {
                xml.open("Deleted").text("Key", row.key).maybe("VersionId", row.version_id).close("Deleted");
            }
            Some(failure) => {
                xml.open("Error").text("Key", row.key).maybe("VersionId", row.version_id);
                xml.text("Code", failure.error.code()).text("Message", failure.message_text()).close("Error");
            }
        }
    }
    xml.close("DeleteResult");
}

#[cfg(test)]
mod tests {
    use super::{
        BucketRow, DeleteRow, ListPage, ListV1, ListV2, ObjectRow, Owner, delete_result, list_buckets,
        list_objects_v1, list_objects_v2,
    };
    use crate::error::{S3Error, S3Failure};
    use crate::value::etag::ETag;
    use crate::xml::writer::KeyEncoding;
    use jiff::Timestamp;

    const START: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    const NS: &str = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut target = Vec::new();
        write(&mut target);
        String::from_utf8(target).unwrap()
    }

    fn row(key: &str) -> ObjectRow<'_> {
        let (modified, etag) = (Timestamp::UNIX_EPOCH, ETag::of_md5([0xab; 16]));
        ObjectRow { key, modified, etag, size: 7, checksum: None, owner: None }
    }

    fn page(encoding: KeyEncoding) -> ListPage<'static> {
        ListPage {
            bucket: "abc",
            prefix: "p q",
            delimiter: Some("/"),
            max_keys: 2,
            encoding,
            is_truncated: true,
        }
    }

    #[test]
    fn golden_v2_with_url_encoding() {
        let version = ListV2 { start_after: Some("a b"), token: None, next_token: Some("t=="), key_count: 2 };
        let text = written(|target| {
            let objects = [row("p q&\u{1}")].into_iter();
            list_objects_v2(target, &page(KeyEncoding::Url), version, objects, ["p q/x y/"].into_iter());
        });
        let expected = format!(
            "{START}<ListBucketResult{NS}><Name>abc</Name><Prefix>p+q</Prefix><Delimiter>/</Delimiter>\
             <MaxKeys>2</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
             <KeyCount>2</KeyCount><StartAfter>a+b</StartAfter><NextContinuationToken>t==</NextContinuationToken>\
             <Contents><Key>p+q%26%01</Key><LastModified>1970-01-01T00:00:00.000Z</LastModified>\
             <ETag>&quot;abababababababababababababababab&quot;</ETag><Size>7</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>\
             <CommonPrefixes><Prefix>p+q/x+y/</Prefix></CommonPrefixes></ListBucketResult>"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn v1_has_markers_and_plain_keys() {
        let version = ListV1 { marker: "m&", next_marker: None };
        let text = written(|target| {
            list_objects_v1(
                target,
                &page(KeyEncoding::Plain),
                version,
                [row("a b")].into_iter(),
                [].into_iter(),
            );
        });
        assert!(text.contains("<Marker>m&amp;</Marker><Contents><Key>a b</Key>"), "{text}");
        assert!(!text.contains("KeyCount") && !text.contains("EncodingType"), "{text}");
    }

    #[test]
    fn buckets_and_deletions() {
        let owner = Owner { id: "i", display_name: "d" };
        let bucket = BucketRow { name: "abc", created: Timestamp::UNIX_EPOCH, region: None };
        let text = written(|target| list_buckets(target, owner, [bucket].into_iter(), None, None));
        let expected = format!(
            "{START}<ListAllMyBucketsResult{NS}><Owner><ID>i</ID><DisplayName>d</DisplayName></Owner><Buckets>\
             <Bucket><Name>abc</Name><CreationDate>1970-01-01T00:00:00.000Z</CreationDate></Bucket></Buckets>\
             </ListAllMyBucketsResult>"
        );
        assert_eq!(text, expected);
        let failure = S3Failure::from(S3Error::AccessDenied);
        let rows = [
            DeleteRow { key: "a", version_id: None, failure: None },
            DeleteRow { key: "<", version_id: None, failure: Some(&failure) },
        ];
        let text = written(|target| delete_result(target, false, rows.into_iter()));
        assert!(
            text.contains("<Deleted><Key>a</Key></Deleted><Error><Key>&lt;</Key><Code>AccessDenied</Code>")
        );
        let text = written(|target| delete_result(target, true, rows.into_iter()));
        assert!(!text.contains("Deleted"));
    }
}
