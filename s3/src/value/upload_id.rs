//! Names of multipart uploads: 16 opaque bytes, shown as 32 hex digits.

use crate::error::{S3Error, S3Failure};

/// The name of an upload. Unguessable if its maker drew it at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId([u8; 16]);

/// Not a name that we can have given. AWS answers such names with `NoSuchUpload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadIdError;

impl UploadId {
    /// The upload of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads 32 lower-case hex digits.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, UploadIdError> {
        let mut bytes = [0; 16];
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(UploadIdError);
        }
        hex::decode_to_slice(text, &mut bytes).ok().ok_or(UploadIdError)?;
        Ok(Self(bytes))
    }
}

impl core::fmt::Display for UploadId {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl From<UploadIdError> for S3Failure {
    fn from(_: UploadIdError) -> Self {
        Self::new(S3Error::NoSuchUpload)
    }
}

#[cfg(test)]
mod tests {
    use super::{UploadId, UploadIdError};

    #[test]
    fn text_and_back_and_only_one_spelling() {
        let id = UploadId::from_bytes([0xab; 16]);
        assert_eq!(UploadId::parse(&id.to_string()), Ok(id));
        assert_eq!(UploadId::parse(&id.to_string().to_uppercase()), Err(UploadIdError));
        assert_eq!(UploadId::parse("ab"), Err(UploadIdError));
        assert_eq!(UploadId::parse(""), Err(UploadIdError));
    }
}
