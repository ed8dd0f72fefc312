//! One connection's bytes, in and out, in the engine's buffers. Knows HTTP framing and time, nothing of S3.

/// Replies, and how they are sent.
pub mod reply;

/// One request's body, and what becomes of its rest.
pub mod exchange;

/// Bytes received and not yet used.
pub mod window;

/// The lowest rate of a body.
pub mod pace;

/// What may befall a connection.
pub mod fault;
