//! One request and its response on a connection that waits, for the few requests that are not measured.

use super::endpoint::Endpoint;
use super::response::{Head, ResponseError, ResponseReader};
use std::fmt;
use std::io::{Read, Write};
use std::time::Duration;

/// A server that says nothing for this long counts as gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Answers to these requests are short; more than this is not kept.
const BODY_BYTES_KEPT: usize = 1 << 20;

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, or the first mebibyte of it.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ExchangeError {
    /// The connection failed.
    Connection(std::io::Error),
    /// What came was no response.
    Response(ResponseError),
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(formatter, "connection failed: {error}"),
            Self::Response(error) => write!(formatter, "bad response: {error}"),
        }
    }
}

impl std::error::Error for ExchangeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connection(error) => Some(error),
            Self::Response(error) => Some(error),
        }
    }
}

/// Sends `head` on a new connection and waits for the response. The request must have no body and be no HEAD.
///
/// # Errors
///
/// When the server cannot be reached, falls silent, or answers what is no HTTP response.
pub fn exchange(endpoint: &Endpoint, head: &[u8]) -> Result<Answer, ExchangeError> {
    let mut stream = endpoint.connect().map_err(ExchangeError::Connection)?;
    stream.socket().set_read_timeout(Some(SILENCE_MAX)).map_err(ExchangeError::Connection)?;
    stream.write_all(head).map_err(ExchangeError::Connection)?;
    stream.flush().map_err(ExchangeError::Connection)?;
    let mut reader = ResponseReader::new(false);
    let mut body = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while !reader.is_complete() {
        let count = stream.read(&mut buffer).map_err(ExchangeError::Connection)?;
        if count == 0 {
            reader.end().map_err(ExchangeError::Response)?;
            break;
        }
        let mut keep = |_: Head, bytes: &[u8]| {
            let room = BODY_BYTES_KEPT.saturating_sub(body.len()).min(bytes.len());
            body.extend_from_slice(&bytes[..room]);
        };
        reader.feed(&buffer[..count], &mut keep).map_err(ExchangeError::Response)?;
    }
    let head = reader.head().ok_or(ExchangeError::Response(ResponseError::Truncated))?;
    Ok(Answer { status: head.status, body })
}
