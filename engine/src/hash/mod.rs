//! MD5 and SHA-256 of bodies, many at once on each core.
//!
//! A body's MD5 is its ETag and its SHA-256 is what the client signed, and both are chains that one body
//! alone cannot widen. So the bodies that a core receives at the same time are hashed side by side:
//! [`Lanes`] gathers them, `queue` keeps what is to be hashed, `stream` cuts messages into blocks, `simd` holds the
//! compression functions.
//! [`Md5`] and [`Sha256`] are for what is short or alone.

mod alone;
mod digests;
mod lanes;
mod queue;
pub mod simd;
mod stream;

#[cfg(test)]
mod tests;

pub use alone::{Md5, Sha256, sha256};
pub use digests::{BodyDigests, Ends};
pub use lanes::{BodyHasher, Lanes, LanesServed, RowHash};
