//! Answers about multipart uploads and copies.

use crate::value::checksum::{ChecksumAlgorithm, ChecksumType, ChecksumValue};
use crate::value::etag::ETag;
use crate::xml::listing::{Owner, encoding_type, prefixes};
use crate::xml::writer::{KeyEncoding, XmlWriter};
use arrayvec::ArrayString;
use core::fmt::Write as _;
use jiff::Timestamp;

/// Longest text of a checksum: base64 of 32 bytes, and the number of parts behind it, bytes.
pub const CHECKSUM_TEXT_BYTES_MAX: usize = 64;

/// A checksum as documents show it. `part_count` is the `N` of a composite value.
#[derive(Clone, Copy, Debug)]
pub struct ShownChecksum<'a> {
    /// The value.
    pub value: &'a ChecksumValue,
    /// `N`, if the value is composite.
    pub part_count: Option<u16>,
}

impl ShownChecksum<'_> {
    /// The text in headers and documents: base64, for composite values with `-N`.
    #[must_use]
    pub fn text(&self) -> ArrayString<CHECKSUM_TEXT_BYTES_MAX> {
        let mut text = ArrayString::new();
        let written = match self.part_count {
            None => write!(text, "{}", self.value.to_base64()),
            Some(count) => write!(text, "{}-{count}", self.value.to_base64()),
        };
        assert!(written.is_ok(), "the longest checksum and the largest number fit");
        text
    }

    pub(super) fn write(&self, xml: &mut XmlWriter<'_>, with_type: bool) {
        xml.text(self.value.algorithm().element_name(), &self.text());
        if with_type {
            let composite = self.part_count.is_some();
            let kind = if composite { ChecksumType::Composite } else { ChecksumType::FullObject };
            xml.text("ChecksumType", kind.name());
        }
    }
}

/// Writes `InitiateMultipartUploadResult`.
pub fn initiate(target: &mut Vec<u8>, bucket: &str, key: &str, upload_id: &str) {
    let mut xml = XmlWriter::begin(target);
    xml.root("InitiateMultipartUploadResult").text("Bucket", bucket).text("Key", key);
    xml.text("UploadId", upload_id).close("InitiateMultipartUploadResult");
}

/// Writes `CompleteMultipartUploadResult`. `location` is the object's address.
pub fn complete(
    target: &mut Vec<u8>,
    location: &str,
    bucket: &str,
    key: &str,
    etag: &ETag,
    checksum: Option<ShownChecksum<'_>>,
) {
    let mut xml = XmlWriter::begin(target);
    xml.root("CompleteMultipartUploadResult").text("Location", location).text("Bucket", bucket);
    xml.text("Key", key).etag(etag);
    if let Some(checksum) = checksum {
        checksum.write(&mut xml, true);
    }
    xml.close("CompleteMultipartUploadResult");
}

/// Writes `CopyObjectResult`.
pub fn copy_object(
    target: &mut Vec<u8>,
    etag: &ETag,
    modified: Timestamp,
    checksum: Option<ShownChecksum<'_>>,
) {
    copy_result(target, "CopyObjectResult", etag, modified, checksum);
}

/// Writes `CopyPartResult`.
pub fn copy_part(
    target: &mut Vec<u8>,
    etag: &ETag,
    modified: Timestamp,
    checksum: Option<ShownChecksum<'_>>,
) {
    copy_result(target, "CopyPartResult", etag, modified, checksum);
}

fn copy_result(
    target: &mut Vec<u8>,
    root: &'static str,
    etag: &ETag,
    modified: Timestamp,
    checksum: Option<ShownChecksum<'_>>,
) {
    let mut xml = XmlWriter::begin(target);
    xml.root(root).date("LastModified", modified).etag(etag);
    if let Some(checksum) = checksum {
        checksum.write(&mut xml, root == "CopyObjectResult");
    }
    xml.close(root);
}

/// One part of a listing.
#[derive(Clone, Copy, Debug)]
pub struct PartRow<'a> {
    /// Its number.
    pub number: u16,
    /// When it was uploaded.
    pub modified: Timestamp,
    /// Its tag.
    pub etag: ETag,
    /// Its size, in bytes.
    pub size: u64,
    /// Its checksum, if the upload has them.
    pub checksum: Option<&'a ChecksumValue>,
}

/// What ListParts echoes and says.
#[derive(Clone, Copy, Debug)]
pub struct PartsPage<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The key.
    pub key: &'a str,
    /// The upload.
    pub upload_id: &'a str,
    /// Who owns it.
    pub owner: Owner<'a>,
    /// `part-number-marker`
    pub marker: u16,
    /// Where the next page begins, if there is more.
    pub next_marker: Option<u16>,
    /// `max-parts`, clamped.
    pub max_parts: u32,
    /// `encoding-type`
    pub encoding: KeyEncoding,
    /// How the upload is checked, if it is.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
}

/// Writes `ListPartsResult`.
pub fn list_parts<'a>(target: &mut Vec<u8>, page: &PartsPage<'_>, parts: impl Iterator<Item = PartRow<'a>>) {
    let mut xml = XmlWriter::begin(target);
    xml.root("ListPartsResult").text("Bucket", page.bucket).key("Key", page.key, page.encoding);
    encoding_type(&mut xml, page.encoding);
    xml.text("UploadId", page.upload_id);
    page.owner.write(&mut xml, "Initiator");
    page.owner.write(&mut xml, "Owner");
    xml.text("StorageClass", "STANDARD").number("PartNumberMarker", page.marker.into());
    if let Some(next) = page.next_marker {
        xml.number("NextPartNumberMarker", next.into());
    }
    xml.number("MaxParts", page.max_parts.into()).boolean("IsTruncated", page.next_marker.is_some());
    if let Some((algorithm, kind)) = page.checksum {
        xml.text("ChecksumAlgorithm", algorithm.name()).text("ChecksumType", kind.name());
    }
    for part in parts {
        xml.open("Part").number("PartNumber", part.number.into()).date("LastModified", part.modified);
        xml.etag(&part.etag).number("Size", part.size);
        if let Some(value) = part.checksum {
            ShownChecksum { value, part_count: None }.write(&mut xml, false);
        }
        xml.close("Part");
    }
    xml.close("ListPartsResult");
}

/// One upload of a listing.
#[derive(Clone, Copy, Debug)]
pub struct UploadRow<'a> {
    /// The key.
    pub key: &'a str,
    /// The upload.
    pub upload_id: &'a str,
    /// Who began it.
    pub owner: Owner<'a>,
    /// When it began.
    pub initiated: Timestamp,
    /// How it is checked, if it is.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
}

/// What ListMultipartUploads echoes and says.
#[derive(Clone, Copy, Debug)]
pub struct UploadsPage<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// `prefix`
    pub prefix: &'a str,
    /// `delimiter`, if sent and not empty.
    pub delimiter: Option<&'a str>,
    /// `key-marker`
    pub key_marker: &'a str,
    /// `upload-id-marker`
    pub upload_id_marker: &'a str,
    /// Key and upload where the next page begins, if there is more.
    pub next: Option<(&'a str, &'a str)>,
    /// `max-uploads`, clamped.
    pub max_uploads: u32,
    /// `encoding-type`
    pub encoding: KeyEncoding,
}

/// Writes `ListMultipartUploadsResult`.
pub fn list_uploads<'a>(
    target: &mut Vec<u8>,
    page: &UploadsPage<'_>,
    uploads: impl Iterator<Item = UploadRow<'a>>,
    common_prefixes: impl Iterator<Item = &'a str>,
) {
    let mut xml = XmlWriter::begin(target);
    xml.root("ListMultipartUploadsResult").text("Bucket", page.bucket);
    xml.key("KeyMarker", page.key_marker, page.encoding).text("UploadIdMarker", page.upload_id_marker);
    if let Some((key, upload_id)) = page.next {
        xml.key("NextKeyMarker", key, page.encoding).text("NextUploadIdMarker", upload_id);
    }
    xml.key("Prefix", page.prefix, page.encoding).maybe_key("Delimiter", page.delimiter, page.encoding);
    encoding_type(&mut xml, page.encoding);
    xml.number("MaxUploads", page.max_uploads.into()).boolean("IsTruncated", page.next.is_some());
    for upload in uploads {
        xml.open("Upload").key("Key", upload.key, page.encoding).text("UploadId", upload.upload_id);
        upload.owner.write(&mut xml, "Initiator");
        upload.owner.write(&mut xml, "Owner");
        xml.text("StorageClass", "STANDARD").date("Initiated", upload.initiated);
        if let Some((algorithm, kind)) = upload.checksum {
            xml.text("ChecksumAlgorithm", algorithm.name()).text("ChecksumType", kind.name());
        }
        xml.close("Upload");
    }
    prefixes(&mut xml, page.encoding, common_prefixes);
    xml.close("ListMultipartUploadsResult");
}

#[cfg(test)]
mod tests {
    use super::{
        Owner, PartRow, PartsPage, ShownChecksum, UploadRow, UploadsPage, complete, copy_part, initiate,
        list_parts, list_uploads,
    };
    use crate::value::checksum::{ChecksumAlgorithm, ChecksumType, ChecksumValue};
    use crate::value::etag::ETag;
    use crate::xml::writer::KeyEncoding;
    use jiff::Timestamp;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut target = Vec::new();
        write(&mut target);
        let text = String::from_utf8(target).unwrap();
        let start = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
        text.strip_prefix(start).unwrap().replace(" xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"", "")
    }

    const OWNER: Owner<'_> = Owner { id: "i", display_name: "d" };
    const TAG: &str = "<ETag>&quot;01010101010101010101010101010101&quot;</ETag>";

    #[test]
    fn golden_initiate_complete_copy() {
        let text = written(|target| initiate(target, "abc", "a&b", "u"));
        let expected = "<InitiateMultipartUploadResult><Bucket>abc</Bucket><Key>a&amp;b</Key><UploadId>u</UploadId>\
            </InitiateMultipartUploadResult>";
        assert_eq!(text, expected);
        let value = ChecksumValue::from_bytes(ChecksumAlgorithm::Crc32, &[0; 4]).unwrap();
        let checksum = Some(ShownChecksum { value: &value, part_count: Some(2) });
        let text = written(|target| complete(target, "l", "abc", "k", &ETag::of_md5([1; 16]), checksum));
        let expected = format!(
            "<CompleteMultipartUploadResult><Location>l</Location><Bucket>abc</Bucket><Key>k</Key>{TAG}\
             <ChecksumCRC32>AAAAAA==-2</ChecksumCRC32><ChecksumType>COMPOSITE</ChecksumType>\
             </CompleteMultipartUploadResult>"
        );
        assert_eq!(text, expected);
        let text = written(|target| copy_part(target, &ETag::of_md5([1; 16]), Timestamp::UNIX_EPOCH, None));
        let expected = format!(
            "<CopyPartResult><LastModified>1970-01-01T00:00:00.000Z</LastModified>{TAG}</CopyPartResult>"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn golden_listings() {
        let page = PartsPage {
            bucket: "abc",
            key: "a b",
            upload_id: "u",
            owner: OWNER,
            marker: 0,
            next_marker: Some(1),
            max_parts: 1,
            encoding: KeyEncoding::Url,
            checksum: Some((ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject)),
        };
        let part = PartRow {
            number: 1,
            modified: Timestamp::UNIX_EPOCH,
            etag: ETag::of_md5([1; 16]),
            size: 5,
            checksum: None,
        };
        let text = written(|target| list_parts(target, &page, [part].into_iter()));
        assert!(
            text.contains("<Key>a+b</Key><EncodingType>url</EncodingType><UploadId>u</UploadId>"),
            "{text}"
        );
        assert!(
            text.contains("<NextPartNumberMarker>1</NextPartNumberMarker><MaxParts>1</MaxParts>"),
            "{text}"
        );
        assert!(
            text.contains("<ChecksumType>FULL_OBJECT</ChecksumType><Part><PartNumber>1</PartNumber>"),
            "{text}"
        );
        let page = UploadsPage {
            bucket: "abc",
            prefix: "",
            delimiter: None,
            key_marker: "",
            upload_id_marker: "",
            next: None,
            max_uploads: 1000,
            encoding: KeyEncoding::Plain,
        };
        let upload = UploadRow {
            key: "k",
            upload_id: "u",
            owner: OWNER,
            initiated: Timestamp::UNIX_EPOCH,
            checksum: None,
        };
        let text = written(|target| list_uploads(target, &page, [upload].into_iter(), ["p/"].into_iter()));
        let expected = "<ListMultipartUploadsResult><Bucket>abc</Bucket><KeyMarker></KeyMarker>\
            <UploadIdMarker></UploadIdMarker><Prefix></Prefix><MaxUploads>1000</MaxUploads>\
            <IsTruncated>false</IsTruncated><Upload><Key>k</Key><UploadId>u</UploadId>\
            <Initiator><ID>i</ID><DisplayName>d</DisplayName></Initiator>\
            <Owner><ID>i</ID><DisplayName>d</DisplayName></Owner><StorageClass>STANDARD</StorageClass>\
            <Initiated>1970-01-01T00:00:00.000Z</Initiated></Upload>\
            <CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListMultipartUploadsResult>";
        assert_eq!(text, expected);
    }
}
