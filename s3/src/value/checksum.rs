//! Checksum algorithms that S3 knows, how they cover an object, and their values.

use arrayvec::{ArrayString, ArrayVec};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest value that we keep, in bytes: SHA-256.
pub const CHECKSUM_BYTES_MAX: usize = 32;

/// An algorithm of the `x-amz-checksum-*` family that we compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumAlgorithm {
    /// CRC-32/ISO-HDLC.
    Crc32,
    /// CRC-32/ISCSI.
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// How a checksum covers an object of several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChecksumType {
    /// Over the parts' checksums, shown with `-N`.
    Composite,
    /// Over all bytes.
    FullObject,
}

/// A checksum that has the length its algorithm demands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChecksumValue {
    algorithm: ChecksumAlgorithm,
    bytes: ArrayVec<u8, CHECKSUM_BYTES_MAX>,
}

impl ChecksumAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// The name in `x-amz-checksum-algorithm` and in XML.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header or trailer that carries a value.
    #[must_use]
    pub const fn header_name(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The XML element that carries a value.
    #[must_use]
    pub const fn element_name(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
        }
    }

    /// Bytes of a value.
    #[must_use]
    pub const fn value_bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Reads a name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The algorithm whose value stands under this header or trailer name, in any case.
    #[must_use]
    pub fn of_header(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.header_name().eq_ignore_ascii_case(name))
    }

    /// What AWS does with a multipart upload that names only the algorithm.
    #[must_use]
    pub const fn default_type(self) -> ChecksumType {
        match self {
            Self::Crc64Nvme => ChecksumType::FullObject,
            Self::Crc32 | Self::Crc32c | Self::Sha1 | Self::Sha256 => ChecksumType::Composite,
        }
    }

    /// Whether AWS allows the pair: CRC64NVME is never composite, SHA never covers a whole multipart object.
    #[must_use]
    pub const fn allows(self, checksum_type: ChecksumType) -> bool {
        match (self, checksum_type) {
            (Self::Crc32 | Self::Crc32c, _)
            | (Self::Crc64Nvme, ChecksumType::FullObject)
            | (Self::Sha1 | Self::Sha256, ChecksumType::Composite) => true,
            (Self::Crc64Nvme, ChecksumType::Composite)
            | (Self::Sha1 | Self::Sha256, ChecksumType::FullObject) => false,
        }
    }
}

impl ChecksumType {
    /// The text of `x-amz-checksum-type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Composite => "COMPOSITE",
            Self::FullObject => "FULL_OBJECT",
        }
    }

    /// Reads that text, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Composite, Self::FullObject].into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

impl ChecksumValue {
    /// The value of these bytes, if there are as many as the algorithm makes.
    #[must_use]
    pub fn from_bytes(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != algorithm.value_bytes() {
            return None;
        }
        let bytes = ArrayVec::try_from(bytes).ok()?;
        Some(Self { algorithm, bytes })
    }

    /// Reads base64. `None` if that is no value of the algorithm.
    #[must_use]
    pub fn parse(algorithm: ChecksumAlgorithm, base64: &str) -> Option<Self> {
        let mut decoded = [0; 64];
        let count = STANDARD.decode_slice(base64.trim(), &mut decoded).ok()?;
        Self::from_bytes(algorithm, decoded.get(..count)?)
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }

    /// The bytes, most significant first.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The value in base64, as headers and XML carry it.
    #[must_use]
    pub fn to_base64(&self) -> ArrayString<44> {
        let mut encoded = [0; 44];
        let count = STANDARD.encode_slice(&self.bytes, &mut encoded).unwrap_or(0);
        let text = encoded.get(..count).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or("");
        assert!(!text.is_empty(), "44 digits hold 32 bytes");
        let mut stored = ArrayString::new();
        stored.push_str(text);
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::{ChecksumAlgorithm, ChecksumType, ChecksumValue};

    #[test]
    fn names_and_back() {
        for algorithm in ChecksumAlgorithm::ALL {
            assert_eq!(ChecksumAlgorithm::parse(&algorithm.name().to_lowercase()), Some(algorithm));
            assert_eq!(ChecksumAlgorithm::of_header(algorithm.header_name()), Some(algorithm));
            assert!(algorithm.allows(algorithm.default_type()));
        }
        assert_eq!(ChecksumAlgorithm::parse("MD4"), None);
        assert_eq!(ChecksumType::parse("full_object"), Some(ChecksumType::FullObject));
    }

    #[test]
    fn a_value_has_the_length_of_its_algorithm() {
        let value = ChecksumValue::parse(ChecksumAlgorithm::Crc32, "y/Q5Jg==").unwrap();
        assert_eq!(value.as_bytes(), [0xcb, 0xf4, 0x39, 0x26]);
        assert_eq!(value.to_base64().as_str(), "y/Q5Jg==");
        assert_eq!(ChecksumValue::parse(ChecksumAlgorithm::Crc64Nvme, "y/Q5Jg=="), None);
        assert_eq!(ChecksumValue::parse(ChecksumAlgorithm::Crc32, "y/Q5"), None);
        assert_eq!(ChecksumValue::parse(ChecksumAlgorithm::Crc32, "####"), None);
        let longest = ChecksumValue::from_bytes(ChecksumAlgorithm::Sha256, &[7; 32]).unwrap();
        assert_eq!(longest.to_base64().len(), 44);
    }
}
