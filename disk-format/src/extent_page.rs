//! One page of the extents of a big body: written like data, named by an extent that the record (or the page
//! above) holds, so that a 50 TB object has a small record and a range read fetches only the pages it needs.
//!
//! Own numbers of the frame: depth (0: entries are data), count of entries, bytes of the body covered, 0.

use crate::archive::{Frame, decode};
use crate::bytes::within;
use crate::constants::{EXTENT_PAGE_BYTES_MAX, EXTENT_PAGE_DEPTH_MAX, EXTENT_PAGE_MAGIC};
use crate::error::{DecodeError, Field, Structure};
use crate::extent::expect_own;
use crate::value::BodyEntry;

/// A page of body entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtentPage {
    /// Levels of pages below this one.
    pub depth: u8,
    /// Entries in the order of the body's bytes.
    pub entries: Vec<BodyEntry>,
}

const FRAME: Frame = Frame { structure: Structure::ExtentPage, magic: EXTENT_PAGE_MAGIC, version: 1 };

impl ExtentPage {
    /// Bytes of the body that the page covers; `None` when they do not fit 64 bits.
    #[must_use]
    pub fn covered(&self) -> Option<u64> {
        self.entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.length()))
    }

    /// The page as written; `None` when it would be above [`EXTENT_PAGE_BYTES_MAX`], so that the caller splits.
    ///
    /// # Panics
    /// When the page covers 2^64 bytes.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let Some(covered) = self.covered() else { unreachable!("a body is shorter than 2^64 bytes") };
        let page = FRAME.encode(own(self, covered), &self.entries);
        (page.len() <= EXTENT_PAGE_BYTES_MAX).then_some(page)
    }

    /// Reads a page.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong; each extent is checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let structure = Structure::ExtentPage;
        within(structure, Field::Length, 0..=EXTENT_PAGE_BYTES_MAX as u64, bytes.len() as u64)?;
        let (found, archive) = FRAME.open(bytes, true)?;
        let entries: Vec<BodyEntry> = decode(structure, archive)?;
        entries.iter().try_for_each(BodyEntry::check)?;
        within(structure, Field::Depth, 0..=u64::from(EXTENT_PAGE_DEPTH_MAX), found[0])?;
        let page = Self { depth: u8::try_from(found[0]).unwrap_or(EXTENT_PAGE_DEPTH_MAX), entries };
        for entry in &page.entries {
            check_level(page.depth, entry)?;
        }
        let Some(covered) = page.covered() else {
            let (maximum, found) = (u64::MAX - 1, u64::MAX);
            return Err(DecodeError::OutOfRange {
                structure,
                field: Field::Covered,
                minimum: 0,
                maximum,
                found,
            });
        };
        expect_own(structure, found, own(&page, covered))?;
        Ok(page)
    }
}

fn own(page: &ExtentPage, covered: u64) -> [u64; 4] {
    [u64::from(page.depth), page.entries.len() as u64, covered, 0]
}

/// Pages stand only above pages one level lower, so that a reader's descent ends.
fn check_level(depth: u8, entry: &BodyEntry) -> Result<(), DecodeError> {
    let below = match entry {
        BodyEntry::Data(_) | BodyEntry::Shared { .. } => return Ok(()),
        BodyEntry::Page { depth, .. } => u64::from(*depth) + 1,
    };
    let structure = Structure::ExtentPage;
    if below == u64::from(depth) {
        return Ok(());
    }
    Err(DecodeError::Mismatch { structure, field: Field::Depth, expected: below, found: u64::from(depth) })
}
