//! MD5: `Content-MD5` and ETags. Of no use against attackers, but what S3 clients compare.

use crate::value::etag::ETag;
use crate::value::part_number::PartNumber;
use ashlar_engine::hash::Md5;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// An MD5 under way.
#[derive(Clone, Default)]
pub struct Md5Hasher(Md5);

/// The ETag of a multipart object under way: the MD5 of the parts' MD5s.
#[derive(Clone, Default, Debug)]
pub struct CompositeETag {
    hasher: Md5Hasher,
    part_count: u16,
}

impl core::fmt::Debug for Md5Hasher {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("Md5Hasher")
    }
}

impl Md5Hasher {
    /// The MD5 of no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The MD5 of all bytes taken.
    #[must_use]
    pub fn finish(self) -> [u8; 16] {
        self.0.finish()
    }
}

impl CompositeETag {
    /// No parts yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next part's ETag, in order of part numbers.
    pub fn add(&mut self, part: &ETag) {
        self.hasher.update(&part.md5());
        self.part_count = self.part_count.saturating_add(1);
    }

    /// The object's ETag. `None` if there were no parts, or more than an upload may have.
    #[must_use]
    pub fn finish(self) -> Option<ETag> {
        Some(ETag::of_parts(self.hasher.finish(), PartNumber::new(self.part_count)?))
    }
}

/// Reads a `Content-MD5` value. `None` if it is not base64 of 16 bytes, which S3 answers with `InvalidDigest`.
#[must_use]
pub fn parse_content_md5(base64: &str) -> Option<[u8; 16]> {
    let mut decoded = [0; 32];
    let count = STANDARD.decode_slice(base64.trim(), &mut decoded).ok()?;
    decoded.get(..count)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{CompositeETag, Md5Hasher, parse_content_md5};
    use crate::value::etag::ETag;

    fn md5(bytes: &[u8]) -> [u8; 16] {
        let mut hasher = Md5Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    #[test]
    fn rfc_1321_vector() {
        assert_eq!(hex::encode(md5(b"message digest")), "f96b697d7cb7938d525a2f31aaf161d0");
    }

    #[test]
    fn the_tag_of_parts_is_the_md5_of_their_md5s() {
        let mut composite = CompositeETag::new();
        composite.add(&ETag::of_md5(md5(b"a")));
        composite.add(&ETag::of_md5(md5(b"b")));
        let expected = md5(&[md5(b"a"), md5(b"b")].concat());
        let tag = composite.finish().unwrap();
        assert_eq!(tag.text().as_str(), format!("{}-2", hex::encode(expected)));
        assert_eq!(CompositeETag::new().finish(), None);
    }

    #[test]
    fn content_md5_is_base64_of_16_bytes() {
        assert_eq!(parse_content_md5("1B2M2Y8AsgTpgAmY7PhCfg=="), Some(md5(b"")));
        assert_eq!(parse_content_md5("1B2M2Y8AsgTpgAmY7PhC"), None);
        assert_eq!(parse_content_md5("bad content"), None);
        assert_eq!(parse_content_md5(""), None);
    }
}
