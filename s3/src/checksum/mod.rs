//! Incremental checksums over bodies, and what is put together from those of parts.

/// Values of a whole object from the values of its parts.
pub mod combine;

/// Incremental hashers behind one enum.
pub mod hasher;

/// MD5: `Content-MD5` and ETags.
pub mod md5;
