//! One connection's bytes, in and out, in the engine's buffers. Knows HTTP framing and time, nothing of S3.

pub(crate) mod reply;
pub(crate) mod exchange;
pub(crate) mod window;
pub(crate) mod link;
pub(crate) mod tls;
pub(crate) mod crowd;
pub(crate) mod pace;
pub(crate) mod fault;
