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

/// Arithmetic only: device size to zones and back.
pub mod layout;

/// Pure choice: many superblock copies to the one to trust.
pub mod superblock_quorum;

/// The root record of a pool.
pub mod superblock;

/// Who this device is; readable by every future version.
pub mod label;

/// What a checkpoint pins: runs, groups, log positions.
pub mod checkpoint;

/// The root of one sorted run: fences and filter.
pub mod run_manifest;

/// One page of a sorted run.
pub mod index_page;

/// One page of the extents of a big body.
pub mod extent_page;

/// A page of an object's part table.
pub mod part_page;

/// What the index stores under a key.
pub mod value;

/// The key spaces of the index and their byte order.
pub mod key;

/// Framing of the log records at the end of a row.
pub mod record;

/// The header of one chunk of a row.
pub mod chunk;

/// The first block of each segment.
pub mod segment;

/// Which segments form a group.
pub mod group;

/// A pointer with proof: where bytes are and what they hash to.
pub mod extent;

/// Code families and shapes: `4+2` and the like.
pub mod code;

/// `rkyv` archives, and the framed ones with a header and a checksum.
mod archive;

/// Format version and feature flags.
pub mod version;

/// Little-endian cursor over bytes.
mod bytes;

/// CRC32C.
pub mod checksum;

/// Why bytes were refused.
pub mod error;

/// Newtypes of everything that is counted or addressed.
pub mod units;

/// Sizes, limits and magic numbers, tied together by assertions.
pub mod constants;

pub use error::DecodeError;
