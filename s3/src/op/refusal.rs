//! Why an operation gives no reply of its own.

use crate::auth::error::AuthError;
use crate::error::{S3Error, S3Failure};
use crate::http::body::error::BodyError;
use crate::wire::fault::WireFault;
use ashlar_engine::error::EngineError;

/// Why an operation gives no reply of its own.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The client is told.
    Failure(S3Failure),
    /// There is nobody left to tell.
    Gone,
}

impl From<S3Failure> for Refusal {
    fn from(failure: S3Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<S3Error> for Refusal {
    fn from(error: S3Error) -> Self {
        Self::Failure(error.into())
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        Self::Failure(error.into())
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::Failure(error.into())
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        Self::Failure(error.into())
    }
}

impl From<WireFault> for Refusal {
    fn from(fault: WireFault) -> Self {
        match fault {
            WireFault::TimedOut => S3Error::RequestTimeout.into(),
            WireFault::Ended => S3Error::IncompleteBody.into(),
            WireFault::Crowded => S3Error::SlowDown.into(),
            WireFault::Gone => Self::Gone,
        }
    }
}
