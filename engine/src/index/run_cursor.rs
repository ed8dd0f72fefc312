//! Walks through a run in key order.
//!
//! A cursor is *settled* when it stands on an entry whose page is loaded, or at the end. Moving is
//! synchronous and may leave it unsettled at a page border; [`RunCursor::settle`] does the reading.

use super::run::{Keep, Run};
use super::store::PageStore;
use crate::error::EngineError;
use crate::page::Page;
use futures_util::future::try_join_all;
use std::ops::Bound;
use std::rc::Rc;

/// A place in a run.
#[derive(Debug)]
pub(super) struct RunCursor<S> {
    run: Rc<Run<S>>,
    keep: Keep,
    page_index: usize,
    page: Option<Rc<Page>>,
    slot: usize,
    /// Where to go on in the page that is not yet loaded.
    from: Bound<Box<[u8]>>,
}

impl<S: PageStore> RunCursor<S> {
    /// A cursor at the first entry behind `bound`, not settled.
    pub(super) fn new(run: Rc<Run<S>>, bound: Bound<&[u8]>, keep: Keep) -> Self {
        let page_index = first_page(&run, bound);
        Self { run, keep, page_index, page: None, slot: 0, from: bound.map(Box::from) }
    }

    /// Moves forward to the first entry behind `bound`.
    pub(super) fn seek(&mut self, bound: Bound<&[u8]>) {
        let target = first_page(&self.run, bound);
        if target > self.page_index {
            self.page = None;
            self.page_index = target;
        }
        self.from = bound.map(Box::from);
        if let Some(page) = &self.page {
            self.slot = page.first_from(bound).max(self.slot);
            self.skip_foreign();
        }
    }

    /// True when it stands on an entry or at the end.
    pub(super) fn is_settled(&self) -> bool {
        self.page.is_some() || self.page_index >= self.run.page_count()
    }

    /// Reads pages until it is settled.
    ///
    /// # Errors
    /// When a page cannot be read; the cursor stays where it is.
    pub(super) async fn settle(&mut self) -> Result<(), EngineError> {
        while !self.is_settled() {
            let page = self.run.page(self.page_index, self.keep).await?;
            self.slot = page.first_from(self.from.as_ref().map(|key| &**key));
            self.page = Some(page);
            self.skip_foreign();
        }
        Ok(())
    }

    /// Bars the run from merging when the page that the cursor waits for is lost.
    pub(super) async fn bar_if_damaged(&mut self) {
        if let Err(error) = self.settle().await
            && error.is_damage()
        {
            self.run.bar();
        }
    }

    /// The key it stands on; `None` at the end or when not settled.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.page.as_ref().map(|page| page.key(self.slot))
    }

    /// The page and the slot it stands on.
    pub(super) fn entry(&self) -> Option<(&Rc<Page>, usize)> {
        self.page.as_ref().map(|page| (page, self.slot))
    }

    /// Goes on by one entry.
    pub(super) fn advance(&mut self) {
        self.slot += 1;
        self.skip_foreign();
    }

    /// Moves to the next entry that is ours, or to the next page.
    fn skip_foreign(&mut self) {
        let Some(page) = &self.page else { return };
        while self.slot < page.len() && !self.run.serves(page.key(self.slot)) {
            self.slot += 1;
        }
        if self.slot >= page.len() {
            self.page = None;
            self.page_index += 1;
            self.from = Bound::Unbounded;
        }
    }
}

/// Settles all cursors, reading for them at the same time.
///
/// # Errors
/// When one of them cannot.
pub(super) async fn settle_all<S: PageStore>(cursors: &mut [RunCursor<S>]) -> Result<(), EngineError> {
    if cursors.iter().all(RunCursor::is_settled) {
        return Ok(());
    }
    let waiting = cursors.iter_mut().filter(|cursor| !cursor.is_settled());
    try_join_all(waiting.map(RunCursor::settle)).await?;
    Ok(())
}

fn first_page<S: PageStore>(run: &Run<S>, bound: Bound<&[u8]>) -> usize {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) if key > &*run.tables().last_key => run.page_count(),
        Bound::Included(key) | Bound::Excluded(key) => run.page_from(key),
        Bound::Unbounded => 0,
    }
}
