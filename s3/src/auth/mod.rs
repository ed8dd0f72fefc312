//! SigV4 (AWS page "Create a signed AWS API request"). `verify` is the only maker of `Authenticated`, `payload`
//! the only maker of verified bodies; a handler that takes them cannot be called without a signature's proof.

/// Bodies whose hash, chunk signatures and trailers are checked as they pass.
pub mod payload;

/// Requests to `Authenticated`, or a refusal.
pub mod verify;

/// Signatures of aws-chunked bodies.
pub mod chunk_signature;

/// Signing keys, strings to sign, signatures.
pub mod signature;

/// Canonical requests.
pub mod canonical;

/// The query parameters of presigned URLs.
pub mod presigned;

/// The `Authorization` header.
pub mod authorization;

/// Secrets and who has them.
pub mod credentials;

/// Why a request is not authenticated.
pub mod error;

#[cfg(test)]
mod verify_tests;

pub use credentials::{SecretKey, SecretLookup};
pub use error::AuthError;
pub use payload::{BodyProgress, VerifiedBody};
pub use verify::{AuthConfig, Authenticated, Authenticator, PayloadMode};
