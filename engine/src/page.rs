//! A page of an index on the heap, checked once, and the values that point into it.
//!
//! A page is opened from bytes that passed their extent's checksum; then the archive is validated
//! and where each key and value lies is noted, so that no later access looks at the archive's
//! pointers again. Keys ascend strictly within a page.

use crate::heap::allocated_bytes;
use ashlar_disk_format::error::{DecodeError, Field, Structure};
use ashlar_disk_format::index_page::IndexPageView;
use std::ops::{Bound, Deref, Range};
use std::rc::Rc;

/// Where an entry's bytes lie in its page.
#[derive(Debug, Clone, Copy)]
struct Slot {
    key: (u32, u32),
    /// `None` is a tombstone.
    value: Option<(u32, u32)>,
}

/// A checked page.
#[derive(Debug)]
pub(crate) struct Page {
    bytes: Box<[u8]>,
    slots: Box<[Slot]>,
}

impl Page {
    /// Checks that `bytes` are page `page` of run `run`.
    ///
    /// # Errors
    /// When they are not.
    pub(crate) fn open(bytes: Box<[u8]>, run: u64, page: u32) -> Result<Self, DecodeError> {
        let view = IndexPageView::validate(&bytes)?;
        expect(Field::Index, u64::from(page), u64::from(view.page_number()))?;
        expect(Field::Sequence, run, view.run())?;
        let base = bytes.as_ptr().addr();
        let place = |part: &[u8]| {
            // An empty slice need not point anywhere.
            let start = if part.is_empty() { 0 } else { part.as_ptr().addr().saturating_sub(base) };
            (narrow(start), narrow(start + part.len()))
        };
        let slot = |index| Slot { key: place(view.key(index)), value: view.value(index).map(place) };
        let slots = (0..view.len()).map(slot).collect();
        Ok(Self { bytes, slots })
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn key(&self, index: usize) -> &[u8] {
        &self.bytes[range(self.slots[index].key)]
    }

    /// The value, or `None` for a tombstone.
    pub(crate) fn value(&self, index: usize) -> Option<&[u8]> {
        self.slots[index].value.map(|place| &self.bytes[range(place)])
    }

    /// The value as a handle that keeps the page alive.
    pub(crate) fn shared_value(self: &Rc<Self>, index: usize) -> Option<Value> {
        let range = range(self.slots[index].value?);
        Some(Value(Bytes::InPage { page: Rc::clone(self), range }))
    }

    /// Where `key` is.
    pub(crate) fn find(&self, key: &[u8]) -> Option<usize> {
        let index = self.first_from(Bound::Included(key));
        (index < self.len() && self.key(index) == key).then_some(index)
    }

    /// The first entry behind the bound; [`Self::len`] when there is none.
    pub(crate) fn first_from(&self, bound: Bound<&[u8]>) -> usize {
        self.slots.partition_point(|slot| {
            let key = &self.bytes[range(slot.key)];
            match bound {
                Bound::Included(start) => key < start,
                Bound::Excluded(start) => key <= start,
                Bound::Unbounded => false,
            }
        })
    }

    /// Memory taken, bytes.
    pub(crate) fn bytes(&self) -> usize {
        allocated_bytes(self.bytes.len()) + allocated_bytes(size_of_val(&*self.slots))
    }
}

fn expect(field: Field, expected: u64, found: u64) -> Result<(), DecodeError> {
    if expected == found {
        return Ok(());
    }
    Err(DecodeError::Mismatch { structure: Structure::IndexPage, field, expected, found })
}

fn narrow(offset: usize) -> u32 {
    let Ok(offset) = u32::try_from(offset) else { unreachable!("a page is at most 64 KiB") };
    offset
}

fn range((start, end): (u32, u32)) -> Range<usize> {
    let wide = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
    wide(start)..wide(end)
}

/// A value of the index; cheap to clone, keeps alive what it points into.
#[derive(Clone)]
pub struct Value(Bytes);

#[derive(Clone)]
enum Bytes {
    Own(Rc<[u8]>),
    InPage { page: Rc<Page>, range: Range<usize> },
}

impl From<Rc<[u8]>> for Value {
    fn from(bytes: Rc<[u8]>) -> Self {
        Self(Bytes::Own(bytes))
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Own(bytes) => bytes,
            Bytes::InPage { page, range } => &page.bytes[range.clone()],
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Value {}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Value({})", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_disk_format::index_page::encode_index_page;

    #[test]
    fn finds_entries_and_refuses_other_pages() {
        let entries: [(&[u8], Option<&[u8]>); 3] = [(b"a", Some(b"1")), (b"c", None), (b"e", Some(b""))];
        let bytes = encode_index_page(7, 3, &entries);
        let page = Rc::new(Page::open(bytes.clone().into(), 7, 3).unwrap());
        assert_eq!(page.len(), 3);
        assert_eq!((page.key(0), page.value(0)), (&b"a"[..], Some(&b"1"[..])));
        assert_eq!(page.value(1), None);
        assert_eq!(page.shared_value(1), None);
        assert_eq!(page.shared_value(2).as_deref(), Some(&b""[..]));
        assert_eq!([page.find(b"a"), page.find(b"b"), page.find(b"e")], [Some(0), None, Some(2)]);
        assert_eq!(page.first_from(Bound::Unbounded), 0);
        assert_eq!(page.first_from(Bound::Excluded(b"a")), 1);
        assert_eq!(page.first_from(Bound::Included(b"d")), 2);
        assert_eq!(page.first_from(Bound::Excluded(b"e")), 3);
        assert!(Page::open(bytes.clone().into(), 8, 3).is_err());
        assert!(Page::open(bytes.into(), 7, 4).is_err());
    }
}
