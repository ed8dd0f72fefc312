//! `Range` (RFC 9110 section 14). S3 serves one range; several, or a malformed one, are ignored and the whole
//! object is sent.

use crate::error::{DetailName, S3Error, S3Failure};
use crate::http::head::parse_decimal;

/// A range as asked for, before the object's size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeRequest {
    /// `bytes=first-last`, both inclusive, `first <= last`.
    Closed {
        /// First byte, 0-based.
        first: u64,
        /// Last byte, 0-based.
        last: u64,
    },
    /// `bytes=first-`
    From {
        /// First byte, 0-based.
        first: u64,
    },
    /// `bytes=-count`
    Suffix {
        /// Bytes before the end.
        count: u64,
    },
}

/// Bytes of an object: never empty, never past its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte, 0-based.
    pub start: u64,
    /// Bytes.
    pub length: u64,
}

/// The range holds no byte of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsatisfiable {
    /// The object's size, in bytes; the response carries `Content-Range: bytes */size`.
    pub size: u64,
}

impl RangeRequest {
    /// Reads a `Range` value. `None` means that the header is to be ignored.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let (unit, set) = value.split_at_checked(6)?;
        if !unit.eq_ignore_ascii_case(b"bytes=") {
            return None;
        }
        let set = set.trim_ascii();
        let dash = set.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (set.get(..dash)?, set.get(dash + 1..)?);
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Suffix { count: parse_decimal(last)? }),
            (false, true) => Some(Self::From { first: parse_decimal(first)? }),
            (false, false) => {
                let (first, last) = (parse_decimal(first)?, parse_decimal(last)?);
                (first <= last).then_some(Self::Closed { first, last })
            }
        }
    }

    /// The bytes of an object of `size` bytes.
    ///
    /// # Errors
    /// There are none.
    pub fn resolve(self, size: u64) -> Result<ByteRange, Unsatisfiable> {
        let (start, end) = match self {
            Self::Closed { first, last } => (first, last.saturating_add(1).min(size)),
            Self::From { first } => (first, size),
            Self::Suffix { count } => (size.saturating_sub(count), size),
        };
        match end.checked_sub(start) {
            None | Some(0) => Err(Unsatisfiable { size }),
            Some(length) => Ok(ByteRange { start, length }),
        }
    }
}

impl ByteRange {
    /// Last byte, 0-based, as `Content-Range` wants it.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.start + self.length - 1
    }
}

/// Reads `x-amz-copy-source-range`: only `bytes=first-last`, and wholly within the source.
///
/// # Errors
/// `InvalidArgument` for any other form, or if it passes the end.
pub fn copy_source_range(value: &[u8], source_size: u64) -> Result<ByteRange, S3Failure> {
    let Some(RangeRequest::Closed { first, last }) = RangeRequest::parse(value) else {
        return Err(S3Failure::new(S3Error::InvalidArgument)
            .message("The x-amz-copy-source-range value must be of the form bytes=first-last")
            .note(DetailName::ArgumentName, "x-amz-copy-source-range"));
    };
    if last >= source_size {
        return Err(S3Failure::new(S3Error::InvalidArgument)
            .message("Range specified is not valid for source object of size")
            .number(DetailName::ActualObjectSize, source_size));
    }
    Ok(ByteRange { start: first, length: last - first + 1 })
}

impl From<Unsatisfiable> for S3Failure {
    fn from(error: Unsatisfiable) -> Self {
        Self::new(S3Error::InvalidRange).number(DetailName::ActualObjectSize, error.size)
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteRange, RangeRequest, Unsatisfiable, copy_source_range};
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn forms() {
        let rows = [
            ("bytes=0-4", Some(RangeRequest::Closed { first: 0, last: 4 })),
            ("Bytes=7-", Some(RangeRequest::From { first: 7 })),
            ("bytes=-262144", Some(RangeRequest::Suffix { count: 262_144 })),
            ("bytes=0-1,3-4", None),
            ("bytes=4-3", None),
            ("bytes=-", None),
            ("bytes=", None),
            ("bytes", None),
            ("bytes=a-b", None),
            ("bytes=0--1", None),
            ("items=0-1", None),
            ("bytes=0-99999999999999999999", None),
        ];
        for (value, expected) in rows {
            assert_eq!(RangeRequest::parse(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn resolving() {
        let rows = [
            ("bytes=0-4", 10, Ok(ByteRange { start: 0, length: 5 })),
            ("bytes=8-100", 10, Ok(ByteRange { start: 8, length: 2 })),
            ("bytes=-3", 10, Ok(ByteRange { start: 7, length: 3 })),
            ("bytes=-30", 10, Ok(ByteRange { start: 0, length: 10 })),
            ("bytes=10-", 10, Err(Unsatisfiable { size: 10 })),
            ("bytes=11-12", 10, Err(Unsatisfiable { size: 10 })),
            ("bytes=-0", 10, Err(Unsatisfiable { size: 10 })),
            ("bytes=0-", 0, Err(Unsatisfiable { size: 0 })),
            ("bytes=-5", 0, Err(Unsatisfiable { size: 0 })),
        ];
        for (value, size, expected) in rows {
            assert_eq!(RangeRequest::parse(value.as_bytes()).unwrap().resolve(size), expected, "{value}");
        }
    }

    #[test]
    fn a_copy_range_is_strict() {
        assert_eq!(copy_source_range(b"bytes=2-9", 10), Ok(ByteRange { start: 2, length: 8 }));
        for value in ["bytes=2-10", "bytes=2-", "bytes=-2", "2-9"] {
            assert!(copy_source_range(value.as_bytes(), 10).is_err(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_resolved_range_lies_within_the_object(value in "bytes=[0-9]{0,19}-[0-9]{0,19}", size: u64) {
            if let Some(Ok(range)) = RangeRequest::parse(value.as_bytes()).map(|range| range.resolve(size)) {
                prop_assert!(range.length > 0);
                prop_assert!(range.last() < size);
            }
        }
    }
}
