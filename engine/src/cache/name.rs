//! Which verified bytes.

use super::statistics::Kind;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::units::{Generation, RowOffset};
use xxhash_rust::xxh3::xxh3_64;

/// What a cache holds something under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// A page of an index.
    Page {
        /// Number that the cache gave the run; never reused.
        run: u64,
        /// 0-based page of the run.
        page: u32,
    },
    /// Bytes of a body, by where their extent begins. Generations of groups are never reused either.
    Body {
        generation: Generation,
        row: RowOffset,
        member: u8,
        /// In the chunk's payload, bytes.
        offset: u32,
    },
}

impl Name {
    pub(super) fn of(extent: &Extent) -> Self {
        Self::Body {
            generation: extent.generation,
            row: extent.row,
            member: extent.member,
            offset: extent.payload_offset,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Page { .. } => Kind::Page,
            Self::Body { .. } => Kind::Body,
        }
    }

    /// The same in every run of the program, so that a simulated one can be replayed.
    pub(super) fn hash(&self) -> u64 {
        let (kind, first, second, third) = match *self {
            Self::Page { run, page } => (0, run, page, 0),
            Self::Body { generation, row, member, offset } => {
                (1 + u64::from(member), generation.0, row.0, offset)
            }
        };
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..16].copy_from_slice(&(u64::from(second) << 32 | u64::from(third)).to_le_bytes());
        bytes[16..].copy_from_slice(&kind.to_le_bytes());
        xxh3_64(&bytes)
    }
}
