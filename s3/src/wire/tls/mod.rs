//! TLS of one connection. `session` and `incoming` are plain functions over bytes, with rustls in them; `stream` does
//! the waiting.
//!
//! Memory: an idle connection holds one buffer of the smallest size. What an exchange needs is taken before it begins
//! and given back after it, so that nobody who holds the buffers of a body waits for those of TLS.

pub(crate) mod stream;
mod session;
mod incoming;
#[cfg(test)]
mod tests;
