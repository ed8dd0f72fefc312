//! One connection's bytes, in and out, in the engine's buffers. Knows HTTP framing and time, nothing of S3.

/// Replies, and how they are sent.
pub(crate) mod reply;

/// One request's body, and what becomes of its rest.
pub(crate) mod exchange;

/// Bytes received and not yet used.
pub(crate) mod window;

/// The lowest rate of a body.
pub(crate) mod pace;

/// What may befall a connection.
pub(crate) mod fault;
