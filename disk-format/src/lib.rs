//! What the bytes on an Ashlar device mean: every structure that a device holds, as a type with an
//! encoder and a decoder. `docs/disk-format.md` draws them byte by byte.
//!
//! ```text
//! byte 0        64 KiB   128 KiB       1 MiB                                   end - 256 KiB      end
//! │ label A │ … │ slot 0 │ slot 1 │ … │ segment 0 │ segment 1 │ …  │ segment N-1 │ label B │ slots 2, 3 │
//!                                          │
//!                                          └ segment header, then the chunks of rows
//! ```
//!
//! No I/O, no clock, no randomness, no unsafe code. A decoder takes bytes that may be anything and answers
//! with a checked value or a [`DecodeError`] that names the culprit; it never panics and never allocates more
//! than a small multiple of the bytes it was given. An encoder takes values of our own making and asserts
//! that they are within the limits.
//!
//! Modules are listed top layer first; a module imports only from modules listed after it.
#![forbid(unsafe_code)]

pub mod layout;
pub mod superblock_quorum;
pub mod superblock;
pub mod label;
pub mod checkpoint;
pub mod run_manifest;
pub mod index_page;
pub mod extent_page;
pub mod part_page;
pub mod value;
pub mod key;
pub mod record;
pub mod chunk;
pub mod segment;
pub mod group;
pub mod extent;
pub mod code;
mod archive;
pub mod version;
mod bytes;
pub mod checksum;
pub mod error;
pub mod units;
pub mod constants;

pub use error::DecodeError;
