//! HTTP/1.1 grammars over borrowed bytes: no I/O, no S3 policy.

/// Typed access to request headers.
pub mod headers;

/// `If-Match` and its relatives.
pub mod etag_condition;

/// Message bodies: outer framing and inner aws-chunked, as one state machine.
pub mod body;

/// Request targets: whose bucket, which key.
pub mod uri;

/// Query strings.
pub mod query;

/// `Range`.
pub mod range;

/// Response heads.
pub mod response;

/// Request heads.
pub mod head;

/// CRLF lines that arrive in pieces.
mod line;

/// HTTP dates.
pub mod date;

/// Percent encoding, as S3 reads it and as SigV4 writes it.
pub mod percent;
