//! Typed access to request headers. Duplicates and odd casing are settled here.

use crate::error::{DetailName, S3Error, S3Failure};
use crate::http::head::{RequestHead, parse_decimal};
use crate::http::percent::{Plus, decode};
use crate::value::bucket_name::BucketName;
use crate::value::checksum::{ChecksumAlgorithm, ChecksumType, ChecksumValue};
use crate::value::metadata::Metadata;
use crate::value::object_key::ObjectKey;
use crate::value::part_number::PartNumber;

/// The object that a copy reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySource {
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: ObjectKey<'static>,
    /// Its version, if one was named.
    pub version_id: Option<String>,
}

/// What a request says about the checksum of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChecksumRequest {
    /// A value sent in the head.
    pub value: Option<ChecksumValue>,
    /// The `-N` behind that value, which only the composite checksum of a whole upload has.
    pub part_count: Option<u16>,
    /// The algorithm whose value a trailer will carry.
    pub trailer: Option<ChecksumAlgorithm>,
    /// `x-amz-checksum-algorithm`, or else `x-amz-sdk-checksum-algorithm`.
    pub algorithm: Option<ChecksumAlgorithm>,
    /// `x-amz-checksum-type`
    pub checksum_type: Option<ChecksumType>,
}

/// System metadata that is stored with an object and sent back as it came.
pub const STORED_HEADERS: [&str; 6] = [
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
];

fn invalid(header: &'static str) -> S3Failure {
    S3Failure::new(S3Error::InvalidArgument).note(DetailName::ArgumentName, header)
}

/// A header as text, trimmed. `None` if it is absent or empty.
///
/// # Errors
/// `InvalidArgument` if it is not UTF-8, or was sent several times with different values.
pub fn text<'b>(head: &RequestHead<'b>, name: &'static str) -> Result<Option<&'b str>, S3Failure> {
    let mut values = head.values(name).map(<[u8]>::trim_ascii);
    let Some(first) = values.next().filter(|value| !value.is_empty()) else { return Ok(None) };
    if values.any(|other| other != first) {
        return Err(invalid(name));
    }
    core::str::from_utf8(first).map(Some).ok().ok_or_else(|| invalid(name))
}

/// `x-amz-decoded-content-length`, in bytes.
///
/// # Errors
/// `InvalidArgument` if it is no number.
pub fn decoded_content_length(head: &RequestHead<'_>) -> Result<Option<u64>, S3Failure> {
    const NAME: &str = "x-amz-decoded-content-length";
    text(head, NAME)?.map(|digits| parse_decimal(digits.as_bytes()).ok_or_else(|| invalid(NAME))).transpose()
}

/// User metadata.
///
/// # Errors
/// `MetadataTooLarge`, or an illegal name.
pub fn metadata(head: &RequestHead<'_>) -> Result<Metadata, S3Failure> {
    const PREFIX: &str = "x-amz-meta-";
    let mut metadata = Metadata::new();
    for (name, value) in head.headers() {
        let Some((start, rest)) = name.split_at_checked(PREFIX.len()) else { continue };
        if start.eq_ignore_ascii_case(PREFIX) {
            metadata.add(rest, value)?;
        }
    }
    Ok(metadata)
}

/// `Content-Encoding` as it is stored: as it came, spaces included, but without `aws-chunked`, wherever it stands.
/// `None` if nothing else remains.
#[must_use]
pub fn stored_content_encoding(head: &RequestHead<'_>) -> Option<Vec<u8>> {
    let mut stored: Vec<u8> = Vec::new();
    let tokens = head.values("content-encoding").flat_map(|value| value.split(|&byte| byte == b','));
    for token in tokens {
        let name = token.trim_ascii();
        if name.is_empty() || name.eq_ignore_ascii_case(b"aws-chunked") {
            continue;
        }
        if stored.is_empty() {
            stored.extend_from_slice(name);
        } else {
            stored.push(b',');
            stored.extend_from_slice(token.trim_ascii_end());
        }
    }
    (!stored.is_empty()).then_some(stored)
}

/// `Content-MD5`.
///
/// # Errors
/// `InvalidDigest` if it is not base64 of 16 bytes.
pub fn content_md5(head: &RequestHead<'_>) -> Result<Option<[u8; 16]>, S3Failure> {
    // An empty header is a wrong one here: AWS refuses it.
    if head.header("content-md5").is_some_and(|value| value.trim_ascii().is_empty()) {
        return Err(S3Error::InvalidDigest.into());
    }
    let Some(base64) = text(head, "content-md5")? else { return Ok(None) };
    crate::checksum::md5::parse_content_md5(base64).map(Some).ok_or_else(|| S3Error::InvalidDigest.into())
}

/// What the head says about checksums.
///
/// # Errors
/// `InvalidRequest` for unknown names, several values, a value and a trailer together, or a wrong value;
/// `NotImplemented` for a value of an algorithm that we do not have.
pub fn checksum(head: &RequestHead<'_>) -> Result<ChecksumRequest, S3Failure> {
    let refuse = |message| Err(S3Failure::new(S3Error::InvalidRequest).message(message));
    let mut request = ChecksumRequest::default();
    if head.headers().any(|(name, _)| is_unknown_checksum(name)) {
        return Err(S3Failure::new(S3Error::NotImplemented).note(DetailName::Header, "x-amz-checksum-*"));
    }
    for algorithm in ChecksumAlgorithm::ALL {
        let Some(base64) = text(head, algorithm.header_name())? else { continue };
        if request.value.is_some() {
            return refuse(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            );
        }
        let (base64, count) = base64.trim().split_once('-').map_or((base64, None), |(it, n)| (it, Some(n)));
        let count = count.map(|digits| PartNumber::parse(digits).map(PartNumber::get));
        let (Some(value), Ok(count)) = (ChecksumValue::parse(algorithm, base64), count.transpose()) else {
            return refuse("Value for the x-amz-checksum- header is invalid.");
        };
        (request.value, request.part_count) = (Some(value), count);
    }
    if let Some(names) = text(head, "x-amz-trailer")? {
        let Some(algorithm) = ChecksumAlgorithm::of_header(names.trim()) else {
            return refuse("The value specified in the x-amz-trailer header is not supported");
        };
        if request.value.is_some() {
            return refuse("Expecting a single x-amz-checksum- header");
        }
        request.trailer = Some(algorithm);
    }
    for name in ["x-amz-checksum-algorithm", "x-amz-sdk-checksum-algorithm"] {
        if let (None, Some(algorithm)) = (request.algorithm, text(head, name)?) {
            let Some(algorithm) = ChecksumAlgorithm::parse(algorithm) else {
                return refuse("Checksum algorithm provided is unsupported.");
            };
            request.algorithm = Some(algorithm);
        }
    }
    if let Some(name) = text(head, "x-amz-checksum-type")? {
        let Some(checksum_type) = ChecksumType::parse(name) else {
            return refuse("Value for x-amz-checksum-type header is invalid.");
        };
        request.checksum_type = Some(checksum_type);
    }
    Ok(request)
}

/// A checksum that we cannot compute must not pass for one that was checked.
fn is_unknown_checksum(name: &str) -> bool {
    let Some((start, rest)) = name.split_at_checked(CHECKSUM_PREFIX.len()) else { return false };
    let is_setting =
        ["algorithm", "type", "mode"].into_iter().any(|setting| rest.eq_ignore_ascii_case(setting));
    start.eq_ignore_ascii_case(CHECKSUM_PREFIX) && !is_setting && ChecksumAlgorithm::of_header(name).is_none()
}

const CHECKSUM_PREFIX: &str = "x-amz-checksum-";

/// Whether the client wants to see checksums (`x-amz-checksum-mode: ENABLED`).
#[must_use]
pub fn wants_checksums(head: &RequestHead<'_>) -> bool {
    head.header("x-amz-checksum-mode").is_some_and(|mode| mode.eq_ignore_ascii_case(b"enabled"))
}

/// `x-amz-copy-source`: `[/]bucket/key[?versionId=id]`, unescaped once.
///
/// # Errors
/// `InvalidArgument` if it names no object.
pub fn copy_source(head: &RequestHead<'_>) -> Result<Option<CopySource>, S3Failure> {
    const NAME: &str = "x-amz-copy-source";
    if head.header(NAME).is_none() {
        return Ok(None);
    }
    let raw = text(head, NAME)?.ok_or_else(|| invalid(NAME))?.as_bytes();
    let raw = raw.strip_prefix(b"/").unwrap_or(raw);
    let (path, version_id) = split_version(raw);
    let path = decode(path, Plus::Literal);
    let slash = path.iter().position(|&byte| byte == b'/').ok_or_else(|| invalid(NAME))?;
    let (bucket, key) = path.split_at_checked(slash).ok_or_else(|| invalid(NAME))?;
    let key = key.get(1..).unwrap_or_default().to_vec();
    if key.is_empty() {
        return Err(invalid(NAME));
    }
    let version_id = match version_id {
        Some(raw) => {
            let bytes = decode(raw, Plus::Literal).into_owned();
            Some(String::from_utf8(bytes).ok().ok_or_else(|| invalid(NAME))?)
        }
        None => None,
    };
    Ok(Some(CopySource { bucket: BucketName::parse(bucket)?, key: ObjectKey::parse(key)?, version_id }))
}

/// Cuts `?versionId=…` off the end. A key may hold `?` itself, so only this very suffix counts.
fn split_version(raw: &[u8]) -> (&[u8], Option<&[u8]>) {
    const MARK: &[u8] = b"?versionId=";
    match raw.windows(MARK.len()).rposition(|window| window == MARK) {
        Some(at) => (raw.get(..at).unwrap_or(raw), raw.get(at + MARK.len()..)),
        None => (raw, None),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        checksum, content_md5, copy_source, decoded_content_length, metadata, stored_content_encoding,
    };
    use crate::error::S3Error;
    use crate::http::head;
    use crate::value::checksum::ChecksumAlgorithm;

    fn with_head<T>(lines: &str, judge: impl FnOnce(&head::RequestHead<'_>) -> T) -> T {
        let bytes = format!("PUT /b/k HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        judge(&head::parse(bytes.as_bytes()).unwrap().unwrap())
    }

    #[test]
    fn aws_chunked_is_never_stored() {
        let rows = [
            ("", None),
            ("Content-Encoding: aws-chunked\r\n", None),
            ("Content-Encoding: gzip, aws-chunked\r\n", Some("gzip")),
            ("Content-Encoding: AWS-Chunked,gzip,br\r\n", Some("gzip,br")),
            ("Content-Encoding: deflate, gzip\r\n", Some("deflate, gzip")),
            ("Content-Encoding: deflate, aws-chunked , gzip \r\n", Some("deflate, gzip")),
            ("Content-Encoding: gzip\r\nContent-Encoding: aws-chunked\r\n", Some("gzip")),
        ];
        for (lines, expected) in rows {
            let found = with_head(lines, stored_content_encoding);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{lines}");
        }
    }

    #[test]
    fn copy_sources() {
        let read = |value: &str| {
            with_head(&format!("x-amz-copy-source: {value}\r\n"), copy_source).map(|source| {
                source.map(|it| (it.bucket.to_string(), it.key.as_str().to_owned(), it.version_id))
            })
        };
        let plain = |key: &str| Ok(Some(("abc".to_owned(), key.to_owned(), None)));
        assert_eq!(read("abc/k"), plain("k"));
        assert_eq!(read("/abc/k+x"), plain("k+x"));
        assert_eq!(read("abc%2Fdir/a%2525"), plain("dir/a%25"));
        assert_eq!(read("abc//k?x"), plain("/k?x"));
        assert_eq!(read("abc/k?versionId=v1"), Ok(Some(("abc".into(), "k".into(), Some("v1".into())))));
        for value in ["", "abc", "abc/", "/", "a_c/k", "abc/%ff"] {
            assert!(read(value).is_err(), "{value}");
        }
        assert_eq!(with_head("", copy_source), Ok(None));
    }

    #[test]
    fn checksums() {
        let value =
            with_head("x-amz-checksum-crc32: y/Q5Jg==\r\nx-amz-sdk-checksum-algorithm: crc32\r\n", checksum);
        let value = value.unwrap();
        assert_eq!(value.value.as_ref().unwrap().as_bytes(), [0xcb, 0xf4, 0x39, 0x26]);
        assert_eq!(value.algorithm, Some(ChecksumAlgorithm::Crc32));
        assert_eq!(value.part_count, None);
        let composite = with_head("x-amz-checksum-crc32: y/Q5Jg==-3\r\n", checksum).unwrap();
        assert_eq!((composite.value, composite.part_count), (value.value, Some(3)));
        let trailer = with_head("x-amz-trailer: x-amz-checksum-crc64nvme\r\n", checksum).unwrap();
        assert_eq!(trailer.trailer, Some(ChecksumAlgorithm::Crc64Nvme));
        for lines in [
            "x-amz-checksum-crc32: AAAA\r\n",
            "x-amz-checksum-crc32: y/Q5Jg==-0\r\n",
            "x-amz-checksum-crc32: y/Q5Jg==-\r\n",
            "x-amz-checksum-crc32: y/Q5Jg==\r\nx-amz-checksum-crc32c: y/Q5Jg==\r\n",
            "x-amz-checksum-crc32: y/Q5Jg==\r\nx-amz-trailer: x-amz-checksum-crc32\r\n",
            "x-amz-trailer: x-amz-meta-a\r\n",
            "x-amz-checksum-algorithm: CRC16\r\n",
            "x-amz-checksum-type: PARTIAL\r\n",
        ] {
            assert_eq!(
                with_head(lines, checksum).map_err(|it| it.error),
                Err(S3Error::InvalidRequest),
                "{lines}"
            );
        }
    }

    #[test]
    fn small_headers() {
        let md5 = |lines| with_head(lines, content_md5).map_err(|it| it.error);
        assert_eq!(md5("Content-MD5: \r\n"), Err(S3Error::InvalidDigest));
        assert_eq!(md5("Content-MD5: AAAA\r\n"), Err(S3Error::InvalidDigest));
        assert_eq!(md5("Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), Ok(Some([0; 16])));
        assert_eq!(
            with_head("x-amz-decoded-content-length: 66560\r\n", decoded_content_length),
            Ok(Some(66_560))
        );
        assert!(with_head("x-amz-decoded-content-length: -1\r\n", decoded_content_length).is_err());
        let found =
            with_head("X-Amz-Meta-A: 1\r\nx-amz-meta-a: 2\r\nx-amz-metadata: 3\r\n", metadata).unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), [("a", &b"1,2"[..])]);
    }
}
