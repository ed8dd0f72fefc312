//! Request documents, as checked types.

use crate::error::{DetailName, S3Error, S3Failure};
use crate::limits::{DELETE_KEY_COUNT_MAX, PART_NUMBER_MAX};
use crate::value::checksum::{ChecksumAlgorithm, ChecksumValue};
use crate::value::etag::{ETag, strip_quotes};
use crate::value::object_key::ObjectKey;
use crate::value::part_number::PartNumber;
use crate::xml::reader::{XmlError, XmlReader};

/// One part of a Complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletePart {
    /// Its number. Numbers rise strictly.
    pub number: PartNumber,
    /// The tag that its upload returned.
    pub etag: ETag,
    /// The checksum that its upload returned, if named.
    pub checksum: Option<ChecksumValue>,
}

/// A DeleteObjects request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteRequest {
    /// Whether only failures are to be reported.
    pub is_quiet: bool,
    /// 1 to 1000 objects, in order.
    pub objects: Vec<DeleteObject>,
}

/// One object of a DeleteObjects request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteObject {
    /// The key.
    pub key: ObjectKey<'static>,
    /// The version, if named.
    pub version_id: Option<String>,
    /// The tag that the object must have, without quotes, or `*`.
    pub etag: Option<String>,
}

/// A CreateBucket request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateBucketRequest {
    /// `LocationConstraint`, if named and not empty.
    pub location: Option<String>,
}

/// Reads `CompleteMultipartUpload`.
///
/// # Errors
/// `MalformedXML`, also for no or too many parts; `InvalidPartOrder`; `InvalidPart` for a tag that is not ours.
pub fn complete_multipart_upload(document: &[u8]) -> Result<Vec<CompletePart>, S3Failure> {
    let mut reader = XmlReader::begin(document, "CompleteMultipartUpload")?;
    let mut parts: Vec<CompletePart> = Vec::new();
    while let Some(name) = reader.child()? {
        if name != "Part" {
            reader.skip()?;
            continue;
        }
        let part = complete_part(&mut reader)?;
        if parts.last().is_some_and(|previous| previous.number >= part.number) {
            return Err(S3Error::InvalidPartOrder.into());
        }
        parts.push(part);
    }
    reader.finish()?;
    // Numbers rise and are bounded, so there cannot be more parts than numbers.
    assert!(parts.len() <= usize::from(PART_NUMBER_MAX), "part numbers rise strictly");
    if parts.is_empty() {
        return Err(S3Error::MalformedXML.into());
    }
    Ok(parts)
}

fn complete_part(reader: &mut XmlReader<'_>) -> Result<CompletePart, S3Failure> {
    let (mut number, mut etag, mut checksum) = (None, None, None);
    while let Some(name) = reader.child()? {
        let text = reader.text()?;
        let algorithm = ChecksumAlgorithm::ALL.into_iter().find(|algorithm| algorithm.element_name() == name);
        match (name.as_str(), algorithm) {
            ("PartNumber", _) => number = Some(PartNumber::parse(text.trim())?),
            ("ETag", _) => etag = Some(text),
            (_, Some(algorithm)) => {
                let value = ChecksumValue::parse(algorithm, &text);
                checksum = Some(value.ok_or(S3Failure::new(S3Error::InvalidPart))?);
            }
            _ => {}
        }
    }
    let (Some(number), Some(etag)) = (number, etag) else { return Err(S3Error::MalformedXML.into()) };
    let invalid = || S3Failure::new(S3Error::InvalidPart).number(DetailName::PartNumber, number.get().into());
    Ok(CompletePart { number, etag: ETag::parse(&etag).ok_or_else(invalid)?, checksum })
}

/// Reads `Delete`.
///
/// # Errors
/// `MalformedXML`, also for no or more than 1000 objects; `NotImplemented` for a condition that we do not look at;
/// what is wrong with a key.
pub fn delete(document: &[u8]) -> Result<DeleteRequest, S3Failure> {
    let mut reader = XmlReader::begin(document, "Delete")?;
    let mut request = DeleteRequest { is_quiet: false, objects: Vec::new() };
    while let Some(name) = reader.child()? {
        match name.as_str() {
            "Quiet" => request.is_quiet = reader.text()?.trim().eq_ignore_ascii_case("true"),
            "Object" => {
                if request.objects.len() == DELETE_KEY_COUNT_MAX {
                    return Err(S3Error::MalformedXML.into());
                }
                request.objects.push(delete_object(&mut reader)?);
            }
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    if request.objects.is_empty() {
        return Err(S3Error::MalformedXML.into());
    }
    Ok(request)
}

fn delete_object(reader: &mut XmlReader<'_>) -> Result<DeleteObject, S3Failure> {
    let (mut key, mut version_id, mut etag) = (None, None, None);
    while let Some(name) = reader.child()? {
        let text = reader.text()?;
        match name.as_str() {
            "Key" => key = Some(text),
            "VersionId" => version_id = Some(text),
            "ETag" => etag = Some(strip_quotes(text.trim()).to_owned()),
            // Conditions too: to pass over one would delete what the client wanted to keep.
            "LastModifiedTime" | "Size" => return Err(S3Error::NotImplemented.into()),
            _ => {}
        }
    }
    let key = key.ok_or(XmlError::Schema("Key"))?;
    let key = ObjectKey::parse(key.into_bytes())?;
    Ok(DeleteObject { key, version_id: version_id.filter(|id| !id.is_empty()), etag })
}

/// Reads `CreateBucketConfiguration`. An empty body is one without a location.
///
/// # Errors
/// `MalformedXML`.
pub fn create_bucket(document: &[u8]) -> Result<CreateBucketRequest, S3Failure> {
    if document.trim_ascii().is_empty() {
        return Ok(CreateBucketRequest::default());
    }
    let mut reader = XmlReader::begin(document, "CreateBucketConfiguration")?;
    let mut location = None;
    while let Some(name) = reader.child()? {
        match name.as_str() {
            "LocationConstraint" => location = Some(reader.text()?.trim().to_owned()),
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    Ok(CreateBucketRequest { location: location.filter(|name| !name.is_empty()) })
}

#[cfg(test)]
mod tests {
    use super::{complete_multipart_upload, create_bucket, delete};
    use crate::error::S3Error;

    const TAG: &str = "d41d8cd98f00b204e9800998ecf8427e";

    fn complete(parts: &[(&str, &str)]) -> Result<Vec<(u16, String)>, S3Error> {
        let parts: String = parts
            .iter()
            .map(|(number, tag)| format!("<Part><ETag>{tag}</ETag><PartNumber>{number}</PartNumber></Part>"))
            .collect();
        let document = format!("<CompleteMultipartUpload xmlns='x'>{parts}</CompleteMultipartUpload>");
        complete_multipart_upload(document.as_bytes())
            .map(|parts| parts.iter().map(|part| (part.number.get(), part.etag.text().to_string())).collect())
            .map_err(|failure| failure.error)
    }

    #[test]
    fn completing() {
        let quoted = format!("&quot;{TAG}&quot;");
        let good = [(1, TAG.to_owned()), (7, TAG.to_owned())];
        assert_eq!(complete(&[("1", &quoted), ("7", TAG)]), Ok(good.to_vec()));
        assert_eq!(complete(&[]), Err(S3Error::MalformedXML));
        assert_eq!(complete(&[("7", TAG), ("1", TAG)]), Err(S3Error::InvalidPartOrder));
        assert_eq!(complete(&[("1", TAG), ("1", TAG)]), Err(S3Error::InvalidPartOrder));
        assert_eq!(complete(&[("0", TAG)]), Err(S3Error::InvalidArgument));
        assert_eq!(complete(&[("1", "nonsense")]), Err(S3Error::InvalidPart));
        let none = complete_multipart_upload(b"<CompleteMultipartUpload><Part/></CompleteMultipartUpload>");
        assert_eq!(none.map_err(|it| it.error), Err(S3Error::MalformedXML));
    }

    #[test]
    fn part_checksums() {
        let document = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{TAG}</ETag>\
             <ChecksumCRC32>y/Q5Jg==</ChecksumCRC32></Part></CompleteMultipartUpload>"
        );
        let parts = complete_multipart_upload(document.as_bytes()).unwrap();
        assert_eq!(parts[0].checksum.as_ref().unwrap().as_bytes(), [0xcb, 0xf4, 0x39, 0x26]);
        let wrong = document.replace("y/Q5Jg==", "AA==");
        assert_eq!(
            complete_multipart_upload(wrong.as_bytes()).map_err(|it| it.error),
            Err(S3Error::InvalidPart)
        );
    }

    #[test]
    fn deleting() {
        let request = delete(
            b"<Delete><Quiet>true</Quiet><Object><Key> a&amp;b </Key><VersionId/><ETag>\"x\"</ETag></Object></Delete>",
        )
        .unwrap();
        assert!(request.is_quiet);
        assert_eq!(request.objects[0].key.as_str(), " a&b ");
        assert_eq!(request.objects[0].version_id, None);
        assert_eq!(request.objects[0].etag.as_deref(), Some("x"));
        let many = |count| {
            let objects = "<Object><Key>k</Key></Object>".repeat(count);
            delete(format!("<Delete>{objects}</Delete>").as_bytes())
                .map(|it| it.objects.len())
                .map_err(|it| it.error)
        };
        assert_eq!(many(1000), Ok(1000));
        assert_eq!(many(1001), Err(S3Error::MalformedXML));
        assert_eq!(many(0), Err(S3Error::MalformedXML));
        for condition in ["<Size>9</Size>", "<LastModifiedTime>2015-01-01T00:00:00Z</LastModifiedTime>"] {
            let document = format!("<Delete><Object><Key>k</Key>{condition}</Object></Delete>");
            let refused = delete(document.as_bytes()).map_err(|it| it.error);
            assert_eq!(refused, Err(S3Error::NotImplemented), "{condition}");
        }
    }

    #[test]
    fn creating() {
        let located = b"<CreateBucketConfiguration><LocationConstraint>eu</LocationConstraint></CreateBucketConfiguration>";
        assert_eq!(create_bucket(located).unwrap().location.as_deref(), Some("eu"));
        assert_eq!(create_bucket(b"\r\n").unwrap().location, None);
        assert!(create_bucket(b"<Other/>").is_err());
    }
}
