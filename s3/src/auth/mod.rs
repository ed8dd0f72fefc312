//! SigV4 (AWS page "Create a signed AWS API request"). `verify` is the only maker of `Authenticated`, `payload`
//! the only maker of verified bodies; a handler that takes them cannot be called without a signature's proof.

pub mod payload;
pub mod verify;
pub mod chunk_signature;
pub mod signature;
mod hmac;
pub mod canonical;
pub mod presigned;
pub mod authorization;
pub mod credentials;
pub mod error;

#[cfg(test)]
mod verify_tests;

pub use credentials::{SecretKey, SecretLookup};
pub use error::AuthError;
pub use payload::{BodyProgress, VerifiedBody};
pub use verify::{AuthConfig, Authenticated, Authenticator, PayloadMode};
