//! Verified pages of runs, kept for the next look.

use super::page::Page;
use crate::cache::{Cache, Cached};
use std::rc::Rc;

/// Which page of which run of this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PageName {
    /// Number that the index gave the run when it opened or wrote it; never reused.
    pub(super) run: u64,
    /// 0-based page of the run.
    pub(super) page: u32,
}

/// The pages held.
pub(super) type PageCache = Cache<PageName, Rc<Page>>;

impl Cached for Rc<Page> {
    fn is_in_use(&self) -> bool {
        Self::strong_count(self) > 1
    }
}
