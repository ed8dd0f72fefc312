//! What of a body lies in groups that are to be emptied, and the body once it was moved.
//!
//! A tree is walked piece by piece: a range of the body at a time, so that neither time nor memory grow with it. Only
//! the pages above what moved are written anew; everything else stays where it is, and is not counted again.

use super::space::{BodySpace, read_page};
use super::tree::{build_tree, raise};
use crate::error::EngineError;
use crate::limits::{CLEAN_BATCH_PAGES, INLINE_EXTENTS_MAX};
use crate::pool::PoolView;
use crate::rows::RowPages;
use crate::runtime::Runtime;
use ashlar_disk_format::constants::EXTENT_PAGE_DEPTH_MAX;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::units::{Generation, GroupId, RowOffset};
use ashlar_disk_format::value::BodyEntry;
use futures_util::future::LocalBoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

/// Where an extent begins; no two have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Origin(Generation, RowOffset, u8, u32);

fn origin(extent: &Extent) -> Origin {
    Origin(extent.generation, extent.row, extent.member, extent.payload_offset)
}

/// Extents that have a new place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moves {
    places: BTreeMap<Origin, Vec<Extent>>,
}

impl Moves {
    /// `source` is at `target` too.
    pub(crate) fn insert(&mut self, source: &Extent, target: Vec<Extent>) {
        self.places.insert(origin(source), target);
    }

    /// Where an extent is besides.
    pub(crate) fn of(&self, source: &Extent) -> Option<&[Extent]> {
        self.places.get(&origin(source)).map(Vec::as_slice)
    }
}

/// What a stretch of a body holds in the groups that are to be emptied.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Data of the body, in order.
    pub(crate) extents: Vec<Extent>,
    /// Extent pages are there, too.
    pub(crate) has_pages: bool,
    /// Groups in which pages lie that cannot be read; what they lead to cannot be found.
    pub(crate) unreadable: Vec<GroupId>,
    /// Pages that were read.
    pub(crate) pages: usize,
    /// How far the body was looked through; `None`: to its end.
    pub(crate) until: Option<u64>,
}

/// Looks through a body from byte `from` on, until about `bytes` were found or many pages were read.
///
/// # Errors
/// When the walk itself cannot go on: memory, closing.
pub(crate) async fn find_held<R: Runtime>(
    view: &Rc<PoolView<R>>,
    entries: &[BodyEntry],
    from: u64,
    groups: &BTreeSet<GroupId>,
    bytes: u64,
) -> Result<Held, EngineError> {
    let mut held = Held::default();
    let mut found = 0;
    let mut pending = Vec::new();
    push_all(&mut pending, 0, entries);
    while let Some((start, entry)) = pending.pop() {
        if start + entry.length() <= from {
            continue;
        }
        match entry {
            BodyEntry::Data(extent) if groups.contains(&extent.group) => {
                found += u64::from(extent.length);
                if found > bytes && !held.extents.is_empty() {
                    held.until = Some(start);
                    return Ok(held);
                }
                held.extents.push(extent);
            }
            BodyEntry::Data(_) | BodyEntry::Shared { .. } => {}
            BodyEntry::Page { page, .. } => {
                if held.pages >= CLEAN_BATCH_PAGES {
                    held.until = Some(start.max(from));
                    return Ok(held);
                }
                held.pages += 1;
                held.has_pages |= groups.contains(&page.group);
                match read_page(view, &page).await {
                    Ok(below) => push_all(&mut pending, start, &below.entries),
                    Err(error) if error.is_damage() => held.unreadable.push(page.group),
                    Err(other) => return Err(other),
                }
            }
        }
    }
    Ok(held)
}

/// Puts entries that begin at byte `start` of the body on the stack, the first on top.
pub(super) fn push_all(pending: &mut Vec<(u64, BodyEntry)>, start: u64, entries: &[BodyEntry]) {
    let first = pending.len();
    let mut at = start;
    for entry in entries {
        pending.push((at, entry.clone()));
        at = at.saturating_add(entry.length());
    }
    pending[first..].reverse();
}

/// A body whose extents are exchanged for their copies.
pub(crate) struct Rewriting<'a, R: Runtime> {
    pub(crate) view: &'a Rc<PoolView<R>>,
    /// Where new extent pages go.
    pub(crate) pages: &'a RowPages<R>,
    /// Their pages are written anew, too.
    pub(crate) groups: &'a BTreeSet<GroupId>,
    pub(crate) moves: &'a Moves,
    /// Only what reaches into these bytes of the body.
    pub(crate) range: Range<u64>,
    /// What becomes live with the new body.
    pub(crate) hold: BodySpace,
    /// What dies with the old one: extents and pages, each for itself.
    pub(crate) dead: Vec<BodyEntry>,
}

impl<R: Runtime> std::fmt::Debug for Rewriting<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rewriting").field("range", &self.range).finish_non_exhaustive()
    }
}

impl<R: Runtime> Rewriting<'_, R> {
    /// The new entries; new pages are durable and proved when this returns.
    ///
    /// # Errors
    /// When a page cannot be read or written.
    pub(crate) async fn run(&mut self, entries: &[BodyEntry]) -> Result<Vec<BodyEntry>, EngineError> {
        let new = self.level(entries, 0).await?;
        if new.len() <= INLINE_EXTENTS_MAX {
            return Ok(new);
        }
        build_tree(self.pages, new, &mut self.hold).await
    }

    /// The new place of one extent that is no part of a tree; itself when it has none.
    pub(crate) fn exchange(&mut self, extent: &Extent) -> Vec<Extent> {
        let Some(new) = self.moves.of(extent) else { return vec![extent.clone()] };
        new.iter().for_each(|new| self.hold.add(new));
        self.dead.push(BodyEntry::Data(extent.clone()));
        new.to_vec()
    }

    fn level<'b>(
        &'b mut self,
        entries: &'b [BodyEntry],
        start: u64,
    ) -> LocalBoxFuture<'b, Result<Vec<BodyEntry>, EngineError>> {
        Box::pin(async move {
            let mut new = Vec::with_capacity(entries.len());
            let mut at = start;
            for entry in entries {
                let bytes = at..at.saturating_add(entry.length());
                at = bytes.end;
                if bytes.end <= self.range.start || self.range.end <= bytes.start {
                    new.push(entry.clone());
                    continue;
                }
                match entry {
                    BodyEntry::Data(extent) => {
                        new.extend(self.exchange(extent).into_iter().map(BodyEntry::Data))
                    }
                    BodyEntry::Page { depth, page, .. } => {
                        new.extend(self.page(entry, *depth, page, bytes.start).await?);
                    }
                    BodyEntry::Shared { .. } => new.push(entry.clone()),
                }
            }
            Ok(new)
        })
    }

    /// A page over what is below it now; the page itself when nothing changed.
    async fn page(
        &mut self,
        entry: &BodyEntry,
        depth: u8,
        page: &Extent,
        start: u64,
    ) -> Result<Vec<BodyEntry>, EngineError> {
        let old = match read_page(self.view, page).await {
            Ok(old) => old.entries,
            // It stays as it is; who looks for its group has said so.
            Err(error) if error.is_damage() => return Ok(vec![entry.clone()]),
            Err(other) => return Err(other),
        };
        assert!(depth <= EXTENT_PAGE_DEPTH_MAX, "decoders refuse deeper trees");
        let new = self.level(&old, start).await?;
        if new == old && !self.groups.contains(&page.group) {
            return Ok(vec![entry.clone()]);
        }
        self.dead.push(BodyEntry::Data(page.clone()));
        raise(self.pages, &new, depth, &mut self.hold).await
    }
}
