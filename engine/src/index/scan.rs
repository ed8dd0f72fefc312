//! Walks through the index in key order.

use super::limits::SCAN_HIDDEN_MAX;
use super::memtable::Memtable;
use super::run::Keep;
use super::run_cursor::{RunCursor, settle_all};
use super::state::{Shared, State};
use super::store::PageStore;
use super::yielding::give_way;
use crate::error::EngineError;
use crate::page::{Page, Value};
use std::ops::Bound;
use std::rc::Rc;

/// One entry of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanEntry {
    /// The key.
    pub key: Rc<[u8]>,
    /// What it leads to.
    pub value: Value,
}

/// A walk in key order over what lives. Not a snapshot: an entry that is put or deleted ahead of
/// the walk is seen so; every key that lives all the while is seen exactly once.
#[derive(Debug)]
pub struct Scan<S> {
    shared: Rc<Shared<S>>,
    /// Everything before it is done.
    position: Bound<Rc<[u8]>>,
    end: Bound<Box<[u8]>>,
    /// The version of the state that `cursors` are for, newest run first.
    version: Option<u64>,
    cursors: Vec<RunCursor<S>>,
    /// Whether the pages that it reads are worth keeping.
    keep: Keep,
}

/// Newest entry of the least key, as found in one synchronous look.
struct Found {
    key: Rc<[u8]>,
    value: Option<Value>,
}

/// Where an entry is.
enum Source<'a> {
    /// In a table, with its value.
    Table(Option<&'a Rc<[u8]>>),
    /// In a run, by page and slot.
    Run(&'a Rc<Page>, usize),
}

impl<S: PageStore> Scan<S> {
    pub(super) fn new(shared: Rc<Shared<S>>, start: Bound<&[u8]>, end: Bound<&[u8]>, keep: Keep) -> Self {
        let (position, end) = (start.map(Rc::from), end.map(Box::from));
        Self { shared, position, end, version: None, cursors: Vec::new(), keep }
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// When a page cannot be read. The scan stays where it is and may be asked again.
    pub async fn next(&mut self) -> Result<Option<ScanEntry>, EngineError> {
        let mut hidden = 0;
        loop {
            self.prepare().await?;
            let Some(found) = self.look() else { return Ok(None) };
            self.pass(&found.key);
            self.position = Bound::Excluded(Rc::clone(&found.key));
            if let Some(value) = found.value {
                return Ok(Some(ScanEntry { key: found.key, value }));
            }
            hidden += 1;
            if hidden >= SCAN_HIDDEN_MAX {
                hidden = 0;
                give_way().await;
            }
        }
    }

    /// Goes on at `key`, skipping what lies before it without reading it. Never goes back.
    pub fn seek(&mut self, key: &[u8]) {
        let ahead = match &self.position {
            Bound::Included(at) | Bound::Excluded(at) => key > &**at,
            Bound::Unbounded => true,
        };
        if !ahead {
            return;
        }
        self.position = Bound::Included(key.into());
        for cursor in &mut self.cursors {
            if cursor.key().is_none_or(|at| at < key) {
                cursor.seek(Bound::Included(key));
            }
        }
    }

    /// Brings the cursors to the current runs, each on an entry behind the position or at its end.
    async fn prepare(&mut self) -> Result<(), EngineError> {
        loop {
            let version = self.shared.state.borrow().version;
            if self.version != Some(version) {
                let runs = self.shared.state.borrow().runs.clone();
                let from = self.position.as_ref().map(|key| &**key);
                let cursor = |run: &Rc<_>| RunCursor::new(Rc::clone(run), from, self.keep);
                // A page that cannot hold anything of the walk is not read: it may be lost.
                let end = self.end.as_ref().map(|key| &**key);
                let inside = runs.iter().filter(|run| run.begins_before(end));
                self.cursors = inside.map(cursor).collect();
                self.version = Some(version);
            }
            settle_all(&mut self.cursors).await?;
            // Reading takes time, in which a flush or a merge may have moved entries.
            if self.version == Some(self.shared.state.borrow().version) {
                return Ok(());
            }
        }
    }

    /// The least key behind the position, before the end, and what its newest entry says. The cursors are prepared.
    fn look(&self) -> Option<Found> {
        let state = self.shared.state.borrow();
        let from = self.position.as_ref().map(|key| &**key);
        let (least, source) = self.least(&state, from)?;
        let inside = match &self.end {
            Bound::Included(end) => least <= &**end,
            Bound::Excluded(end) => least < &**end,
            Bound::Unbounded => true,
        };
        inside.then(|| Found {
            key: least.into(),
            value: match source {
                Source::Table(value) => value.cloned().map(Value::from),
                Source::Run(page, slot) => page.shared_value(slot),
            },
        })
    }

    /// The least key, and the newest of its entries: of equal keys that of the newest source.
    fn least<'a>(&'a self, state: &'a State<S>, from: Bound<&[u8]>) -> Option<(&'a [u8], Source<'a>)> {
        let tables = std::iter::once(&state.active).chain(state.frozen.as_ref().map(|frozen| &*frozen.table));
        let in_table = |table: &'a Memtable| table.first_from(from);
        let in_tables = tables.filter_map(in_table).map(|(key, value)| (key, Source::Table(value)));
        let in_run = |(page, slot): (&'a Rc<Page>, usize)| (page.key(slot), Source::Run(page, slot));
        let in_runs = self.cursors.iter().filter_map(RunCursor::entry).map(in_run);
        in_tables.chain(in_runs).reduce(|least, next| if next.0 < least.0 { next } else { least })
    }

    fn pass(&mut self, key: &[u8]) {
        for cursor in &mut self.cursors {
            if cursor.key() == Some(key) {
                cursor.advance();
            }
        }
    }
}
