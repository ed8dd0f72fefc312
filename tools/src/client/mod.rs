//! A small S3 client for measuring: it signs, sends and reads HTTP/1.1, with or without TLS, and does nothing behind
//! one's back (no retries, no redirects), so that every request counted is a request sent.

mod endpoint;
mod exchange;
mod response;
mod signer;
mod wire;

pub use endpoint::{Endpoint, EndpointError};
pub use exchange::{Answer, ExchangeError, exchange};
pub use response::{Head, ResponseError, ResponseReader, error_code};
pub use signer::{Credentials, Method, Payload, Request, SignStyle, Signer};
pub use wire::Wire;
