//! Who holds something in a set of groups: a walk through one core's index, in batches.
//!
//! A batch is bounded in bytes, records, entries and pages. Between batches nothing is held but the place where the walk
//! goes on. Whoever asks for a batch has entered the shard, so that what is found there stays readable meanwhile.

use super::state::Shard;
use crate::body::{Held, find_held};
use crate::error::EngineError;
use crate::limits::{
    CLEAN_BATCH_BYTES, CLEAN_BATCH_ENTRIES, CLEAN_BATCH_HEAP_BYTES, CLEAN_BATCH_PAGES_ALL, CLEAN_TURN_ENTRIES,
};
use crate::runtime::Runtime;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::key::Space;
use ashlar_disk_format::units::GroupId;
use ashlar_disk_format::value::{BodyEntry, Entries, decode_object, decode_part, decode_shared, may_lie_in};
use std::collections::BTreeSet;
use std::ops::{Bound, Range};
use std::rc::Rc;

/// The key spaces whose records have bodies. An upload's parts become an object, and an object's body a shared one: in
/// this order nothing changes over to a space that was walked already.
const SPACES: [Space; 3] = [Space::Part, Space::Object, Space::Shared];

/// Where the walk goes on.
#[derive(Debug)]
struct Cursor {
    /// Spaces that are done.
    space: usize,
    /// The key that it stopped at.
    key: Option<Rc<[u8]>>,
    /// The first byte of that key's body that was not looked at; `None`: all of it was.
    from: Option<u64>,
}

/// A record that holds something in the groups.
#[derive(Debug)]
pub(super) struct Find {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// The part of its body that was looked at.
    pub(super) range: Range<u64>,
    /// What it holds there.
    pub(super) extents: Vec<Extent>,
    /// Groups in which pages of its body lie that cannot be read.
    pub(super) unreadable: Vec<GroupId>,
    /// Pages of its body that were read.
    pages: usize,
}

impl Find {
    /// Something was found that can be given a new address.
    pub(super) fn is_movable(&self) -> bool {
        self.range.start < self.range.end
    }
}

/// One walk.
pub(super) struct Holders<R: Runtime> {
    shard: Rc<Shard<R>>,
    groups: Rc<BTreeSet<GroupId>>,
    /// Finds of a batch, at most.
    records_max: usize,
    cursor: Cursor,
    /// Pages of the index, or values, cannot be read; there may be more than was found.
    pub(super) is_blind: bool,
}

impl<R: Runtime> Holders<R> {
    pub(super) fn new(shard: &Rc<Shard<R>>, groups: BTreeSet<GroupId>, records_max: usize) -> Self {
        let cursor = Cursor { space: 0, key: None, from: None };
        Self { shard: Rc::clone(shard), groups: Rc::new(groups), records_max, cursor, is_blind: false }
    }

    pub(super) fn groups(&self) -> &Rc<BTreeSet<GroupId>> {
        &self.groups
    }

    /// The next records that hold something in the groups, and whether those were the last.
    pub(super) async fn next(&mut self) -> Result<(Vec<Find>, bool), EngineError> {
        let mut finds: Vec<Find> = Vec::new();
        let (mut bytes, mut heap, mut entries, mut pages) = (0, 0, 0, 0);
        while let Some(space) = SPACES.get(self.cursor.space) {
            let first = [space.number()];
            let end = [space.number() + 1];
            let start = match (&self.cursor.key, self.cursor.from) {
                (None, _) => Bound::Included(&first[..]),
                (Some(key), Some(_)) => Bound::Included(&**key),
                (Some(key), None) => Bound::Excluded(&**key),
            };
            let mut scan = self.shard.index.sweep(start, Bound::Excluded(&end));
            loop {
                let is_full = bytes >= CLEAN_BATCH_BYTES
                    || finds.len() >= self.records_max
                    || heap >= CLEAN_BATCH_HEAP_BYTES
                    || pages >= CLEAN_BATCH_PAGES_ALL
                    || entries >= CLEAN_BATCH_ENTRIES;
                if is_full {
                    return Ok((finds, false));
                }
                let entry = match scan.next().await {
                    Ok(Some(entry)) => entry,
                    Ok(None) => break,
                    // What lies behind a lost page of the index is not found.
                    Err(error) if error.is_damage() => {
                        self.is_blind = true;
                        break;
                    }
                    Err(other) => return Err(other),
                };
                entries += 1;
                if usize::rem_euclid(entries, CLEAN_TURN_ENTRIES) == 0 {
                    self.shard.view.runtime.turn().await;
                }
                let from =
                    self.cursor.from.take().filter(|_| self.cursor.key.as_deref() == Some(&*entry.key));
                let find = self
                    .examine(&entry.key, &entry.value, from.unwrap_or(0), CLEAN_BATCH_BYTES - bytes)
                    .await?;
                self.cursor.key = Some(Rc::clone(&entry.key));
                let Some((find, until)) = find else { continue };
                pages += find.pages;
                self.cursor.from = until;
                bytes += find.extents.iter().map(|extent| u64::from(extent.length)).sum::<u64>();
                heap += find.key.len() + find.value.len() + find.extents.len() * size_of::<Extent>();
                if find.is_movable() || !find.unreadable.is_empty() {
                    finds.push(find);
                }
                if until.is_some() {
                    return Ok((finds, false));
                }
            }
            self.cursor = Cursor { space: self.cursor.space + 1, key: None, from: None };
        }
        Ok((finds, true))
    }

    /// What a record holds in the groups from byte `from` of its body on, and where that ends if it is not all.
    async fn examine(
        &mut self,
        key: &[u8],
        value: &[u8],
        from: u64,
        bytes: u64,
    ) -> Result<Option<(Find, Option<u64>)>, EngineError> {
        let may_hold = may_lie_in(value, |group| self.groups.contains(&group));
        if may_hold == Ok(false) {
            return Ok(None);
        }
        // A value that nobody can read keeps its space.
        let (Ok(_), Ok((entries, table))) = (may_hold, addresses(key, value)) else {
            self.is_blind = true;
            return Ok(None);
        };
        let length = entries.iter().map(BodyEntry::length).sum::<u64>();
        let Held { mut extents, has_pages, unreadable, pages, until } =
            find_held(&self.shard.view, &entries, from, &self.groups, bytes.max(1)).await?;
        if from == 0 {
            extents.extend(table.into_iter().filter(|extent| self.groups.contains(&extent.group)));
        }
        // The table of parts belongs to an empty body, too.
        let range = from..until.unwrap_or(length.max(1));
        let holds = has_pages || !extents.is_empty();
        let range = if holds { range } else { 0..0 };
        Ok(Some((
            Find { key: key.to_vec(), value: value.to_vec(), range, extents, unreadable, pages },
            until,
        )))
    }
}

/// Where the bytes are that a value keeps alive: those of its body, and those of its table of parts.
fn addresses(key: &[u8], value: &[u8]) -> Result<(Entries, Vec<Extent>), EngineError> {
    Ok(match Space::of(key)? {
        Space::Object => {
            let record = decode_object(value)?;
            let table = record.parts.extents().to_vec();
            (record.body.0, table)
        }
        Space::Part => (decode_part(value)?.body.0, Vec::new()),
        Space::Shared => (decode_shared(value)?.body.0, Vec::new()),
        Space::Bucket | Space::Upload | Space::SharedRef | Space::Unref => (Entries::new(), Vec::new()),
    })
}
