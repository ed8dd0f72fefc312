//! Why a body is refused.

use crate::error::{DetailName, S3Error, S3Failure};

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// More payload than the limit.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// More payload than `x-amz-decoded-content-length`.
    DecodedLengthExceeded {
        /// Bytes announced.
        expected: u64,
    },
    /// The body ended before it was whole.
    Incomplete {
        /// Bytes of payload announced, if any were.
        expected: Option<u64>,
        /// Bytes of payload received.
        found: u64,
    },
    /// A size line of the outer framing is none.
    OuterChunk,
    /// A size line of the inner framing is none.
    ChunkSize,
    /// Data of an inner chunk is not followed by CRLF.
    ChunkEnd,
    /// A chunk that should be signed carries no signature, or no legal one.
    ChunkSignature,
    /// Trailers are not `name:value`, too long, or not allowed here.
    Trailer,
    /// Bytes after the end of the inner framing.
    Excess,
    /// A chunk's signature is wrong.
    ChunkSignatureMismatch,
    /// The trailers' signature is wrong or missing.
    TrailerSignatureMismatch,
    /// The payload does not hash to `x-amz-content-sha256`.
    PayloadHashMismatch,
}

impl From<BodyError> for S3Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => {
                Self::new(S3Error::EntityTooLarge).number(DetailName::MaxSizeAllowed, limit)
            }
            BodyError::Incomplete { .. }
            | BodyError::DecodedLengthExceeded { .. }
            | BodyError::OuterChunk
            | BodyError::ChunkEnd
            | BodyError::Excess => Self::new(S3Error::IncompleteBody),
            BodyError::ChunkSize => Self::new(S3Error::InvalidChunkSizeError),
            BodyError::Trailer => Self::new(S3Error::MalformedTrailerError),
            BodyError::ChunkSignature
            | BodyError::ChunkSignatureMismatch
            | BodyError::TrailerSignatureMismatch => Self::new(S3Error::SignatureDoesNotMatch),
            BodyError::PayloadHashMismatch => Self::new(S3Error::XAmzContentSHA256Mismatch),
        }
    }
}
