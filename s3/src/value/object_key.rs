//! Keys of objects: opaque bytes that happen to be UTF-8. `.`, `..`, `//` and a leading `/` are ordinary.

use crate::error::{DetailName, S3Error, S3Failure};
use crate::limits::KEY_BYTES_MAX;
use std::borrow::Cow;

/// A legal key: 1 to 1024 bytes of UTF-8. Borrows from the request when nothing had to be unescaped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey<'a>(Cow<'a, str>);

/// Why bytes are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKeyError {
    /// No bytes.
    Empty,
    /// More than 1024 bytes.
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Not UTF-8 from this byte on.
    NotUtf8 {
        /// Bytes that were.
        valid_bytes: usize,
    },
}

impl<'a> ObjectKey<'a> {
    /// Checks a key that is already unescaped.
    ///
    /// # Errors
    /// What makes it no key.
    pub fn parse(bytes: impl Into<Cow<'a, [u8]>>) -> Result<Self, ObjectKeyError> {
        let text = match bytes.into() {
            Cow::Borrowed(bytes) => match core::str::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text),
                Err(error) => return Err(ObjectKeyError::NotUtf8 { valid_bytes: error.valid_up_to() }),
            },
            Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Cow::Owned(text),
                Err(error) => {
                    return Err(ObjectKeyError::NotUtf8 { valid_bytes: error.utf8_error().valid_up_to() });
                }
            },
        };
        if text.is_empty() {
            return Err(ObjectKeyError::Empty);
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(ObjectKeyError::TooLong { found: text.len() });
        }
        Ok(Self(text))
    }

    /// The key's bytes, as stored and compared.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same key, free of the request's buffer.
    #[must_use]
    pub fn into_owned(self) -> ObjectKey<'static> {
        ObjectKey(Cow::Owned(self.0.into_owned()))
    }
}

impl From<ObjectKeyError> for S3Failure {
    fn from(error: ObjectKeyError) -> Self {
        match error {
            ObjectKeyError::Empty => Self::new(S3Error::InvalidRequest).message("A key must not be empty."),
            ObjectKeyError::TooLong { found } => Self::new(S3Error::KeyTooLongError)
                .number(DetailName::ProposedSize, u64::try_from(found).unwrap_or(u64::MAX))
                .number(DetailName::MaxSizeAllowed, 1024),
            ObjectKeyError::NotUtf8 { .. } => {
                Self::new(S3Error::InvalidURI).message("A key must be a sequence of UTF-8 characters.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ObjectKey, ObjectKeyError};

    #[test]
    fn dots_slashes_and_controls_are_ordinary() {
        for key in ["a", "../..", "//", "/a", "a/", "\u{0}", "ü/\u{1f600}"] {
            assert_eq!(ObjectKey::parse(key.as_bytes()).unwrap().as_bytes(), key.as_bytes());
        }
    }

    #[test]
    fn length_is_counted_in_bytes() {
        let longest = "ü".repeat(512);
        assert!(ObjectKey::parse(longest.as_bytes()).is_ok());
        let longer = format!("{longest}a");
        assert_eq!(ObjectKey::parse(longer.as_bytes()), Err(ObjectKeyError::TooLong { found: 1025 }));
        assert_eq!(ObjectKey::parse(&b""[..]), Err(ObjectKeyError::Empty));
        assert_eq!(ObjectKey::parse(&b"a\xff"[..]), Err(ObjectKeyError::NotUtf8 { valid_bytes: 1 }));
    }
}
