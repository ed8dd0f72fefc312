//! Message bodies as one state machine over two framings: the outer one of HTTP (none, length, chunked) and the
//! inner one of S3 (plain or aws-chunked). No I/O, and no byte of payload is kept or copied: a step says where in
//! the input the payload lies, and `direct_remaining` how much may bypass the parser altogether.
//!
//! ```text
//! outer chunked:  5 CRLF │hello│ CRLF  0 CRLF  CRLF          borders may fall anywhere in the inner stream
//! inner chunked:  size[;chunk-signature=64 hex] CRLF data CRLF … 0[;chunk-signature=…] CRLF [trailers] CRLF
//! ```
//!
//! It checks grammar and lengths, never signatures: `auth::payload` sits on top and does. Invariant: after an
//! error or `End` no byte of the input belongs to this body any more; after an error the connection is closed.

pub mod reader;
mod chunk_line;
pub mod error;

#[cfg(test)]
mod tests;

pub use error::BodyError;
pub use reader::{BodyCoding, BodyEvent, BodyReader, BodyStep};
