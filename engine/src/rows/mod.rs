//! Rows: filled in memory, encoded, written to their group, read back, verified, mended.
//!
//! Invariants: an extent lies within one chunk; every byte handed upward passed the checksum that
//! the extent (its parent) holds; a mended chunk is written back only after that check.

mod announce;
mod blob;
mod carry;
mod carry_plan;
mod data;
mod gaps;
mod geometry;
mod mend;
mod open;
mod pages;
mod read;
mod rebuild;
mod row;
mod scrub;
mod sums;
mod walk;
mod write;

pub(crate) use announce::{Announcement, Announcements};
pub(crate) use blob::{read_blob, write_blob};
pub(crate) use carry::carry;
pub(crate) use data::{Appended, DataWriter};
pub(crate) use gaps::Gaps;
pub(crate) use geometry::Geometry;
pub(crate) use mend::{GoodChunk, RowPlace, gather, good_chunk, rebuild};
pub(crate) use open::open_prepared;
pub(crate) use pages::RowPages;
pub(crate) use read::{read_body, read_body_at_once, read_chunk, read_extent};
pub(crate) use rebuild::{Rebuilt, rebuild_member};
pub(crate) use row::{Extents, RowAddress, RowBuffer, RowIdentity, SpareRows};
pub(crate) use scrub::{ScrubbedGroup, scrub_group};
pub(crate) use write::{write_chunk, write_row};
