//! The answer of GetObjectAttributes.

use crate::value::checksum::ChecksumValue;
use crate::value::etag::ETag;
use crate::xml::multipart::ShownChecksum;
use crate::xml::writer::XmlWriter;

/// What is shown: the request says which.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// The tag, shown without quotes.
    pub etag: Option<&'a ETag>,
    /// The checksum.
    pub checksum: Option<ShownChecksum<'a>>,
    /// Its parts, if it was made of some.
    pub parts: Option<&'a AttributeParts>,
    /// Whether the storage class is shown.
    pub has_storage_class: bool,
    /// Its size, in bytes.
    pub size: Option<u64>,
}

/// A page of parts.
#[derive(Clone, Debug)]
pub struct AttributeParts {
    /// Parts in all.
    pub count: u32,
    /// The part that the page follows.
    pub marker: u16,
    /// Most rows of the page.
    pub max: u32,
    /// The last part of the page, if more follow.
    pub next: Option<u16>,
    /// Number, size in bytes, checksum.
    pub rows: Vec<(u16, u64, Option<ChecksumValue>)>,
}

/// Writes `GetObjectAttributesResponse`.
pub fn object_attributes(target: &mut Vec<u8>, shown: &Attributes<'_>) {
    let mut xml = XmlWriter::begin(target);
    xml.root("GetObjectAttributesResponse");
    if let Some(tag) = shown.etag {
        xml.text("ETag", &tag.text());
    }
    if let Some(checksum) = &shown.checksum {
        xml.open("Checksum");
        checksum.write(&mut xml, true);
        xml.close("Checksum");
    }
    if let Some(parts) = shown.parts {
        xml.open("ObjectParts").number("PartsCount", parts.count.into());
        xml.number("PartNumberMarker", parts.marker.into());
        if let Some(next) = parts.next {
            xml.number("NextPartNumberMarker", next.into());
        }
        xml.number("MaxParts", parts.max.into()).boolean("IsTruncated", parts.next.is_some());
        for (number, size, checksum) in &parts.rows {
            xml.open("Part").number("PartNumber", (*number).into()).number("Size", *size);
            if let Some(value) = checksum {
                ShownChecksum { value, part_count: None }.write(&mut xml, false);
            }
            xml.close("Part");
        }
        xml.close("ObjectParts");
    }
    if shown.has_storage_class {
        xml.text("StorageClass", "STANDARD");
    }
    if let Some(size) = shown.size {
        xml.number("ObjectSize", size);
    }
    xml.close("GetObjectAttributesResponse");
}

#[cfg(test)]
mod tests {
    use super::{AttributeParts, Attributes, object_attributes};

    #[test]
    fn elements_have_the_names_that_sdks_read() {
        let parts = AttributeParts { count: 3, marker: 1, max: 1, next: Some(2), rows: vec![(2, 5, None)] };
        let shown = Attributes {
            etag: None,
            checksum: None,
            parts: Some(&parts),
            has_storage_class: false,
            size: Some(15),
        };
        let mut document = Vec::new();
        object_attributes(&mut document, &shown);
        let document = String::from_utf8(document).unwrap();
        let expected = "<ObjectParts><PartsCount>3</PartsCount><PartNumberMarker>1</PartNumberMarker>\
                        <NextPartNumberMarker>2</NextPartNumberMarker><MaxParts>1</MaxParts>\
                        <IsTruncated>true</IsTruncated><Part><PartNumber>2</PartNumber><Size>5</Size></Part>\
                        </ObjectParts><ObjectSize>15</ObjectSize>";
        assert!(document.contains(expected), "{document}");
    }
}
