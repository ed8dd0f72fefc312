//! The newest entries, in memory, in key order.
//!
//! Owns what was put since the last freeze; an entry without a value is a tombstone, which hides
//! whatever older runs say. Never does I/O and never forgets: it is dropped whole after its run
//! is installed.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

/// What the heap and the tree spend on one entry besides key and value, bytes: two fat pointers,
/// two allocation headers, the reference counts and the entry's share of tree nodes.
const ENTRY_OVERHEAD_BYTES: usize = 96;

/// Key and value; without a value it is deleted.
pub(super) type Entry<'a> = (&'a [u8], Option<&'a Rc<[u8]>>);

/// Sorted entries with a running total of the memory they take.
#[derive(Debug, Default)]
pub(super) struct Memtable {
    entries: BTreeMap<Box<[u8]>, Option<Rc<[u8]>>>,
    bytes: usize,
}

impl Memtable {
    /// Sets `key`, or leaves a tombstone.
    pub(super) fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.bytes += value_bytes(value);
        let Some(place) = self.entries.get_mut(key) else {
            self.bytes += key.len() + ENTRY_OVERHEAD_BYTES;
            self.entries.insert(key.into(), value.map(Rc::from));
            return;
        };
        self.bytes -= value_bytes(place.as_deref());
        // What is replaced is mostly as long, and nobody reads it: then its memory serves.
        match (place.as_mut().and_then(Rc::get_mut), value) {
            (Some(memory), Some(value)) if memory.len() == value.len() => memory.copy_from_slice(value),
            _ => *place = value.map(Rc::from),
        }
    }

    /// `None`: says nothing about the key. `Some(None)`: deleted.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Rc<[u8]>>> {
        self.entries.get(key).cloned()
    }

    /// The first entry behind the bound; it may be deleted.
    pub(super) fn first_from(&self, bound: Bound<&[u8]>) -> Option<Entry<'_>> {
        let mut behind = self.entries.range::<[u8], _>((bound, Bound::Unbounded));
        behind.next().map(|(key, value)| (&**key, value.as_ref()))
    }

    /// All entries in key order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.entries.iter().map(|(key, value)| (&**key, value.as_deref()))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Memory taken, bytes, estimated.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn value_bytes(value: Option<&[u8]>) -> usize {
    value.map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_deletes_and_counts() {
        let mut table = Memtable::default();
        assert_eq!((table.len(), table.bytes()), (0, 0));
        table.put(b"b", Some(b"12345"));
        table.put(b"a", Some(b"1"));
        let full = table.bytes();
        table.put(b"b", None);
        assert_eq!(table.bytes(), full - 5);
        assert_eq!(table.get(b"b"), Some(None));
        assert_eq!(table.get(b"c"), None);
        assert_eq!(table.get(b"a").unwrap().unwrap().as_ref(), b"1");
        assert_eq!(table.len(), 2);
        let keys: Vec<&[u8]> = table.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"a", b"b"]);
    }

    #[test]
    fn who_holds_a_value_keeps_it_as_it_was() {
        let mut table = Memtable::default();
        table.put(b"a", Some(b"first"));
        let held = table.get(b"a").unwrap().unwrap();
        for value in [b"other", b"third"] {
            table.put(b"a", Some(value));
            assert_eq!(table.get(b"a").unwrap().unwrap().as_ref(), value);
        }
        assert_eq!(held.as_ref(), b"first");
        assert_eq!(table.bytes(), 1 + 5 + ENTRY_OVERHEAD_BYTES);
    }

    #[test]
    fn finds_the_first_behind_a_bound() {
        let mut table = Memtable::default();
        table.put(b"a", None);
        table.put(b"c", None);
        let first = |bound| table.first_from(bound).map(|(key, _)| key.to_vec());
        assert_eq!(first(Bound::Unbounded), Some(b"a".to_vec()));
        assert_eq!(first(Bound::Included(b"a")), Some(b"a".to_vec()));
        assert_eq!(first(Bound::Excluded(b"a")), Some(b"c".to_vec()));
        assert_eq!(first(Bound::Included(b"b")), Some(b"c".to_vec()));
        assert_eq!(first(Bound::Excluded(b"c")), None);
    }
}
