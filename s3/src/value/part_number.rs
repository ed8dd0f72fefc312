//! Part numbers of a multipart upload: 1 to 10,000.

use crate::error::{DetailName, S3Error, S3Failure};
use crate::limits::PART_NUMBER_MAX;

/// A legal part number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartNumber(u16);

/// Not a decimal number from 1 to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartNumberError;

impl PartNumber {
    /// Checks a number.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number == 0 || number > PART_NUMBER_MAX { None } else { Some(Self(number)) }
    }

    /// Reads decimal digits.
    ///
    /// # Errors
    /// Anything but digits, or a number out of range.
    pub fn parse(text: &str) -> Result<Self, PartNumberError> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PartNumberError);
        }
        text.parse().ok().and_then(Self::new).ok_or(PartNumberError)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl From<PartNumberError> for S3Failure {
    fn from(_: PartNumberError) -> Self {
        Self::new(S3Error::InvalidArgument)
            .message("Part number must be an integer between 1 and 10000, inclusive")
            .note(DetailName::ArgumentName, "partNumber")
    }
}

#[cfg(test)]
mod tests {
    use super::PartNumber;

    #[test]
    fn the_range_is_closed_and_signs_are_refused() {
        assert_eq!(PartNumber::parse("1").map(PartNumber::get), Ok(1));
        assert_eq!(PartNumber::parse("10000").map(PartNumber::get), Ok(10_000));
        for text in ["0", "10001", "", "+1", "-1", " 1", "1a", "99999999999"] {
            assert!(PartNumber::parse(text).is_err(), "{text}");
        }
    }
}
