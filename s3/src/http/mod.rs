//! HTTP/1.1 grammars over borrowed bytes: no I/O, no S3 policy.

/// Message bodies: outer framing and inner aws-chunked, as one state machine.
pub mod body;
/// HTTP dates.
pub mod date;
/// `If-Match` and its relatives.
pub mod etag_condition;
/// Request heads.
pub mod head;
/// Typed access to request headers.
pub mod headers;
/// CRLF lines that arrive in pieces.
mod line;
/// Percent encoding, as S3 reads it and as SigV4 writes it.
pub mod percent;
/// Query strings.
pub mod query;
/// `Range`.
pub mod range;
/// Response heads.
pub mod response;
/// Request targets: whose bucket, which key.
pub mod uri;
