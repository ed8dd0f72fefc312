//! Extent pages: a tree over a body's extents, so that its record stays small.
//!
//! A page of depth d holds data entries and pages of depth d-1. Bodies that are put together from
//! parts bring pages of different depths; lower ones are lifted by pages of one entry first.

use super::space::BodySpace;
use crate::error::EngineError;
use crate::limits::{INLINE_EXTENTS_MAX, PAGE_EXTENTS_MAX};
use crate::rows::RowPages;
use crate::runtime::Runtime;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::extent_page::ExtentPage;
use ashlar_disk_format::value::BodyEntry;

/// Puts pages over `entries` until a record can hold what is left. The space of the new pages is
/// added to `space`; they are durable when this returns.
///
/// # Errors
/// When pages cannot be written.
pub(crate) async fn build_tree<R: Runtime>(
    pages: &RowPages<R>,
    entries: Vec<BodyEntry>,
    space: &mut BodySpace,
) -> Result<Vec<BodyEntry>, EngineError> {
    let mut entries = entries;
    while entries.len() > INLINE_EXTENTS_MAX {
        let depth = entries.iter().filter_map(page_depth).max();
        let Some(depth) = depth else {
            entries = raise(pages, &entries, 0, space).await?;
            continue;
        };
        let mut level = Vec::with_capacity(entries.len());
        for entry in entries {
            level.push(lift(pages, entry, depth, space).await?);
        }
        entries = raise(pages, &level, depth + 1, space).await?;
    }
    Ok(entries)
}

fn page_depth(entry: &BodyEntry) -> Option<u8> {
    match entry {
        BodyEntry::Page { depth, .. } => Some(*depth),
        BodyEntry::Data(_) | BodyEntry::Shared { .. } => None,
    }
}

/// A page entry of lower depth becomes one of `depth`; data stays data.
async fn lift<R: Runtime>(
    pages: &RowPages<R>,
    entry: BodyEntry,
    depth: u8,
    space: &mut BodySpace,
) -> Result<BodyEntry, EngineError> {
    let mut entry = entry;
    while let Some(own) = page_depth(&entry)
        && own < depth
    {
        let mut lifted = raise(pages, std::slice::from_ref(&entry), own + 1, space).await?;
        let Some(page) = lifted.pop() else { unreachable!("one entry makes one page") };
        entry = page;
    }
    Ok(entry)
}

/// One level of pages of `depth` over all entries.
pub(super) async fn raise<R: Runtime>(
    pages: &RowPages<R>,
    entries: &[BodyEntry],
    depth: u8,
    space: &mut BodySpace,
) -> Result<Vec<BodyEntry>, EngineError> {
    let mut lengths = Vec::new();
    let mut encoded = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let (page, count) = largest_page(rest, depth);
        lengths.push(rest[..count].iter().map(BodyEntry::length).sum::<u64>());
        encoded.push(page);
        rest = &rest[count..];
    }
    let extents: Vec<Extent> = pages.place(&encoded).await?;
    Ok(extents
        .into_iter()
        .zip(lengths)
        .map(|(page, length)| {
            space.add(&page);
            BodyEntry::Page { length, depth, page }
        })
        .collect())
}

/// The page of as many entries as fit.
fn largest_page(entries: &[BodyEntry], depth: u8) -> (Vec<u8>, usize) {
    let mut count = entries.len().min(PAGE_EXTENTS_MAX);
    loop {
        let page = ExtentPage { depth, entries: entries[..count].to_vec() };
        if let Some(encoded) = page.encode() {
            return (encoded, count);
        }
        assert!(count > 1, "one entry fits a page");
        count = count.div_ceil(2);
    }
}
