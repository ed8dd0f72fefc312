//! Names of buckets, by the rules for general purpose buckets of the AWS page "Bucket naming rules".

use crate::error::{DetailName, S3Error, S3Failure};
use crate::limits::{BUCKET_NAME_BYTES_MAX, BUCKET_NAME_BYTES_MIN};
use arrayvec::ArrayString;

/// A legal bucket name: 3 to 63 bytes of `a-z 0-9 . -`, never shaped like an IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(ArrayString<BUCKET_NAME_BYTES_MAX>);

/// Which rule a name breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketNameError {
    /// Not 3 to 63 bytes.
    Length {
        /// Bytes found.
        found: usize,
    },
    /// A byte outside `a-z 0-9 . -`.
    Byte {
        /// Where.
        index: usize,
    },
    /// Does not begin and end with a letter or digit.
    Border,
    /// Two dots side by side.
    AdjacentDots,
    /// Shaped like an IPv4 address.
    Ipv4,
    /// A prefix or suffix that AWS reserves.
    Reserved,
}

impl BucketName {
    /// Checks a name.
    ///
    /// # Errors
    /// The first rule that the name breaks.
    pub fn parse(name: &[u8]) -> Result<Self, BucketNameError> {
        if !(BUCKET_NAME_BYTES_MIN..=BUCKET_NAME_BYTES_MAX).contains(&name.len()) {
            return Err(BucketNameError::Length { found: name.len() });
        }
        if let Some(index) = name.iter().position(|&byte| !is_name_byte(byte)) {
            return Err(BucketNameError::Byte { index });
        }
        let borders = [name.first(), name.last()];
        if borders.iter().flatten().any(|byte| !byte.is_ascii_alphanumeric()) {
            return Err(BucketNameError::Border);
        }
        if name.windows(2).any(|pair| pair == b"..") {
            return Err(BucketNameError::AdjacentDots);
        }
        // Every byte was just found to be ASCII, and the length to fit.
        let Ok(text) = core::str::from_utf8(name) else { return Err(BucketNameError::Byte { index: 0 }) };
        if text.parse::<core::net::Ipv4Addr>().is_ok() || is_dotted_quad(text) {
            return Err(BucketNameError::Ipv4);
        }
        if RESERVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            || RESERVED_SUFFIXES.iter().any(|suffix| text.ends_with(suffix))
        {
            return Err(BucketNameError::Reserved);
        }
        let Ok(stored) = ArrayString::from(text) else {
            return Err(BucketNameError::Length { found: name.len() });
        };
        Ok(Self(stored))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl core::fmt::Display for BucketName {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl From<BucketNameError> for S3Failure {
    fn from(error: BucketNameError) -> Self {
        let failure = Self::new(S3Error::InvalidBucketName);
        match error {
            BucketNameError::Length { found } => {
                failure.number(DetailName::ProposedSize, u64::try_from(found).unwrap_or(u64::MAX))
            }
            BucketNameError::Byte { .. }
            | BucketNameError::Border
            | BucketNameError::AdjacentDots
            | BucketNameError::Ipv4
            | BucketNameError::Reserved => failure,
        }
    }
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-'
}

/// Four groups of digits, whatever their values: `Ipv4Addr` refuses `999.1.1.1` and leading zeros, AWS the shape.
fn is_dotted_quad(text: &str) -> bool {
    text.split('.').count() == 4
        && text.split('.').all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()))
}

const RESERVED_PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const RESERVED_SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

#[cfg(test)]
mod tests {
    use super::{BucketName, BucketNameError};

    #[test]
    fn legal_names_pass() {
        let longest = "a".repeat(63);
        for name in ["abc", "a.b", "my-bucket.2", "123", "1.2.3", longest.as_str()] {
            assert_eq!(
                BucketName::parse(name.as_bytes()).map(|name| name.as_str().to_owned()),
                Ok(name.into())
            );
        }
    }

    #[test]
    fn each_rule_refuses() {
        let long = "a".repeat(64);
        let rows: [(&str, BucketNameError); 9] = [
            ("ab", BucketNameError::Length { found: 2 }),
            (&long, BucketNameError::Length { found: 64 }),
            ("aBc", BucketNameError::Byte { index: 1 }),
            ("a_c", BucketNameError::Byte { index: 1 }),
            ("-ab", BucketNameError::Border),
            ("ab.", BucketNameError::Border),
            ("a..b", BucketNameError::AdjacentDots),
            ("192.168.5.4", BucketNameError::Ipv4),
            ("xn--abc", BucketNameError::Reserved),
        ];
        for (name, error) in rows {
            assert_eq!(BucketName::parse(name.as_bytes()), Err(error), "{name}");
        }
        assert_eq!(BucketName::parse(b"999.1.01.1"), Err(BucketNameError::Ipv4));
        assert_eq!(BucketName::parse(b"abc-s3alias"), Err(BucketNameError::Reserved));
    }
}
