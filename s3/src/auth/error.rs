//! Why a request is not authenticated. Carries nothing secret and no computed signature.

use crate::error::{DetailName, S3Error, S3Failure};
use crate::limits::REGION_BYTES_MAX;
use arrayvec::ArrayString;

/// Why a request is not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// No credentials at all.
    Anonymous,
    /// Credentials in more than one place.
    SeveralMechanisms,
    /// Signature version 2, 4A, or something unknown.
    UnsupportedMechanism,
    /// The `Authorization` header is not of SigV4's form.
    HeaderMalformed(&'static str),
    /// The query parameters are not of SigV4's form.
    QueryMalformed(&'static str),
    /// The scope names another region.
    Region {
        /// Ours.
        expected: ArrayString<REGION_BYTES_MAX>,
        /// Whether the scope stood in the query.
        presigned: bool,
    },
    /// No such access key.
    UnknownAccessKey,
    /// A session token; we give out none.
    SessionToken,
    /// A required header is missing.
    MissingHeader(&'static str),
    /// A header that changes the request's meaning is not signed.
    UnsignedHeader,
    /// The request's date lies too far from ours.
    Skewed,
    /// The presigned URL is past its life.
    Expired,
    /// The presigned URL is dated in the future.
    NotYetValid,
    /// `x-amz-content-sha256` is none of its forms.
    ContentSha256,
    /// The signature is another.
    Mismatch,
}

impl From<AuthError> for S3Failure {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Anonymous => Self::new(S3Error::AccessDenied),
            AuthError::SeveralMechanisms => Self::new(S3Error::InvalidArgument).message(
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
                 parameter or the Authorization header should be specified",
            ),
            AuthError::UnsupportedMechanism => Self::new(S3Error::InvalidRequest).message(
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            ),
            AuthError::HeaderMalformed(message) => {
                Self::new(S3Error::AuthorizationHeaderMalformed).message(message)
            }
            AuthError::QueryMalformed(message) => {
                Self::new(S3Error::AuthorizationQueryParametersError).message(message)
            }
            AuthError::Region { expected, presigned } => {
                let row = if presigned {
                    S3Error::AuthorizationQueryParametersError
                } else {
                    S3Error::AuthorizationHeaderMalformed
                };
                Self::new(row)
                    .message("The region in the credential scope is wrong; see Region for the expected one.")
                    .text(DetailName::Region, &expected)
            }
            AuthError::UnknownAccessKey => Self::new(S3Error::InvalidAccessKeyId),
            AuthError::SessionToken => Self::new(S3Error::InvalidToken),
            AuthError::MissingHeader(name) => Self::new(S3Error::InvalidRequest)
                .message("Missing required header for this request")
                .note(DetailName::Header, name),
            AuthError::UnsignedHeader => {
                Self::new(S3Error::AccessDenied).message("There were headers present in the request which were not signed")
            }
            AuthError::Skewed => Self::new(S3Error::RequestTimeTooSkewed)
                .number(DetailName::MaxAllowedSkewMilliseconds, crate::limits::CLOCK_SKEW_S.unsigned_abs() * 1000),
            AuthError::Expired => Self::new(S3Error::AccessDenied).message("Request has expired"),
            AuthError::NotYetValid => Self::new(S3Error::AccessDenied).message("Request is not valid yet"),
            AuthError::ContentSha256 => Self::new(S3Error::InvalidArgument)
                .message(
                    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                     STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid \
                     sha256 value.",
                )
                .note(DetailName::ArgumentName, "x-amz-content-sha256"),
            AuthError::Mismatch => Self::new(S3Error::SignatureDoesNotMatch),
        }
    }
}
