//! Where the bytes of a body and the parts of a multipart object are.
#![expect(missing_docs, reason = "rkyv's derive gives the fields of an enum's resolver no documentation")]

use crate::constants::EXTENT_PAGE_DEPTH_MAX;
use crate::error::{DecodeError, Field, Structure};
use crate::extent::{ArchivedExtent, Extent};
use crate::key::SharedId;
use rkyv::{Archive, Deserialize, Serialize};
use smallvec::SmallVec;

/// Entries of a body. Those of a small one stand in its record.
pub type Entries = SmallVec<[BodyEntry; 4]>;

/// Where a body is: entries in the order of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Body(
    /// The entries.
    pub Entries,
);

/// One stretch of a body.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub enum BodyEntry {
    /// Bytes that this record owns.
    Data(Extent),
    /// Bytes that an extent page describes.
    Page {
        /// Bytes of the body that it covers.
        length: u64,
        /// Levels of pages below it; 0: its entries are data.
        depth: u8,
        /// Where the page is.
        page: Extent,
    },
    /// Bytes of a shared body.
    Shared {
        /// The shared body.
        id: SharedId,
        /// This record's token among its sharers.
        token: u64,
        /// Where in the shared body the bytes begin.
        offset: u64,
        /// How many.
        length: u64,
    },
}

/// One part of a finished multipart object.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct PartInfo {
    /// Its number, 1 to 10000.
    pub number: u16,
    /// Bytes.
    pub size: u64,
    /// Its checksum, as the client asked for; may be empty.
    pub checksum: Vec<u8>,
}

/// The parts of a multipart object.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub enum PartTable {
    /// It was put whole.
    None,
    /// They stand here.
    Inline(Vec<PartInfo>),
    /// They stand in a blob.
    Page {
        /// How many parts.
        count: u32,
        /// Where the blob is.
        extents: Vec<Extent>,
    },
}

const STRUCTURE: Structure = Structure::Value;

impl BodyEntry {
    /// Bytes of the body that the entry covers.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Data(extent) => u64::from(extent.length),
            Self::Page { length, .. } | Self::Shared { length, .. } => *length,
        }
    }

    /// The extent that the entry holds directly: data or a page.
    #[must_use]
    pub fn extent(&self) -> Option<&Extent> {
        match self {
            Self::Data(extent) | Self::Page { page: extent, .. } => Some(extent),
            Self::Shared { .. } => None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), DecodeError> {
        if let Some(extent) = self.extent() {
            extent.check()?;
        }
        match self {
            Self::Data(_) | Self::Shared { .. } => Ok(()),
            Self::Page { depth, .. } => {
                let deepest = u64::from(EXTENT_PAGE_DEPTH_MAX);
                crate::bytes::within(STRUCTURE, Field::Depth, 0..=deepest, u64::from(*depth))
            }
        }
    }
}

impl PartTable {
    /// Bytes of its archive besides the fixed part.
    pub(super) fn archived_bytes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Inline(infos) => {
                infos.iter().map(|info| size_of::<ArchivedPartInfo>() + info.checksum.len()).sum()
            }
            Self::Page { extents, .. } => {
                extents.iter().map(|extent| size_of::<ArchivedExtent>() + crc_bytes(extent)).sum()
            }
        }
    }
}

fn crc_bytes(extent: &Extent) -> usize {
    extent.crcs.len() * size_of::<u32>()
}

impl Body {
    /// Bytes of its archive besides the fixed part.
    pub(super) fn archived_bytes(&self) -> usize {
        self.0.iter().map(|entry| size_of::<ArchivedBodyEntry>() + entry.extent().map_or(0, crc_bytes)).sum()
    }

    /// The extents that the body holds directly: data and pages, not what pages or shared bodies hold.
    pub fn extents(&self) -> impl Iterator<Item = &Extent> {
        self.0.iter().filter_map(BodyEntry::extent)
    }

    /// Bytes of the body; `None` when they do not fit 64 bits.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.0.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.length()))
    }

    /// Checks each entry, and that together they are as long as the record says.
    pub(super) fn check(&self, size: u64) -> Result<(), DecodeError> {
        self.0.iter().try_for_each(BodyEntry::check)?;
        let found = self.length();
        if found == Some(size) {
            return Ok(());
        }
        let (structure, field, found) = (STRUCTURE, Field::Length, found.unwrap_or(u64::MAX));
        Err(DecodeError::Mismatch { structure, field, expected: size, found })
    }
}

impl PartTable {
    /// The extents that the table holds directly.
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        match self {
            Self::None | Self::Inline(_) => &[],
            Self::Page { extents, .. } => extents,
        }
    }
}
