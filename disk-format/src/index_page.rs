//! One page of a sorted run: entries in ascending key order, checked once when read and then used in place.
//!
//! Own numbers of the frame: run, page number, count of entries, 0.

use crate::archive::{Frame, access};
use crate::bytes::within;
use crate::constants::{INDEX_KEY_BYTES_MAX, INDEX_PAGE_MAGIC};
use crate::error::{DecodeError, Field, Structure};
use crate::extent::expect_own;
use rkyv::{Archive, Deserialize, Serialize};
use std::cmp::Ordering;

/// One entry of a page.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct IndexEntry {
    /// Index key.
    pub key: Vec<u8>,
    /// Value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// The archive of a page.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct IndexPage {
    /// Entries in strictly ascending key order.
    pub entries: Vec<IndexEntry>,
}

const FRAME: Frame = Frame { structure: Structure::IndexPage, magic: INDEX_PAGE_MAGIC, version: 1 };

/// The page as written.
///
/// # Panics
/// When keys do not ascend strictly, or one is above [`INDEX_KEY_BYTES_MAX`].
#[must_use]
pub fn encode_index_page<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    run: u64,
    page_number: u32,
    entries: &[(K, Option<V>)],
) -> Vec<u8> {
    let entry = |(key, value): &(K, Option<V>)| IndexEntry {
        key: key.as_ref().to_vec(),
        value: value.as_ref().map(|value| value.as_ref().to_vec()),
    };
    let page = IndexPage { entries: entries.iter().map(entry).collect() };
    for entry in &page.entries {
        assert!(
            entry.key.len() <= INDEX_KEY_BYTES_MAX,
            "keys are built by the key module, which bounds them"
        );
    }
    let ascending = page.entries.iter().zip(page.entries.iter().skip(1)).all(|(a, b)| a.key < b.key);
    assert!(ascending, "a run is merged in key order without repeats");
    FRAME.encode([run, u64::from(page_number), page.entries.len() as u64, 0], &page)
}

/// A checked page, used in place.
#[derive(Debug, Clone, Copy)]
pub struct IndexPageView<'a> {
    run: u64,
    page_number: u32,
    page: &'a ArchivedIndexPage,
}

impl<'a> IndexPageView<'a> {
    /// Checks everything: frame, checksum, archive, counts, key order.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong.
    pub fn validate(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let view = Self::open(bytes, true)?;
        let structure = Structure::IndexPage;
        for (index, entry) in view.page.entries.iter().enumerate() {
            within(structure, Field::Key, 0..=INDEX_KEY_BYTES_MAX as u64, entry.key.len() as u64)?;
            let previous = index.checked_sub(1).map(|before| view.key(before));
            if previous.is_some_and(|previous| previous >= entry.key.as_slice()) {
                return Err(DecodeError::Unordered { structure, field: Field::Key, position: index as u64 });
            }
        }
        Ok(view)
    }

    /// A page that was validated before and has stayed in memory since: skips checksum and key order. The
    /// archive is still checked, because nothing here is unsafe; on other bytes this gives an error or wrong
    /// answers, never a panic.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong.
    pub fn trusted(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::open(bytes, false)
    }

    fn open(bytes: &'a [u8], verify: bool) -> Result<Self, DecodeError> {
        let structure = Structure::IndexPage;
        let (found, archive) = FRAME.open(bytes, verify)?;
        let page = access::<IndexPage>(structure, archive)?;
        within(structure, Field::Index, 0..=u64::from(u32::MAX), found[1])?;
        let page_number = u32::try_from(found[1]).unwrap_or(u32::MAX);
        let [run, ..] = found;
        expect_own(structure, found, [run, u64::from(page_number), page.entries.len() as u64, 0])?;
        Ok(Self { run, page_number, page })
    }

    /// The run that the page belongs to.
    #[must_use]
    pub fn run(&self) -> u64 {
        self.run
    }

    /// 0-based number of the page in its run.
    #[must_use]
    pub fn page_number(&self) -> u32 {
        self.page_number
    }

    /// How many entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.page.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.page.entries.is_empty()
    }

    /// Key of an entry; empty behind the end.
    #[must_use]
    pub fn key(&self, index: usize) -> &'a [u8] {
        self.page.entries.get(index).map_or(&[], |entry| entry.key.as_slice())
    }

    /// Value of an entry; `None` for a tombstone and behind the end.
    #[must_use]
    pub fn value(&self, index: usize) -> Option<&'a [u8]> {
        self.page.entries.get(index)?.value.as_ref().map(|value| value.as_slice())
    }

    /// Where `key` is, or where it would stand.
    ///
    /// # Errors
    /// The index of the first entry above `key`, as in [`slice::binary_search`].
    pub fn find(&self, key: &[u8]) -> Result<usize, usize> {
        self.page.entries.binary_search_by(|entry| -> Ordering { entry.key.as_slice().cmp(key) })
    }
}
