//! How a cache does, by kind of what it holds.

/// What a cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Pages of an index.
    Page,
    /// Bytes of bodies.
    Body,
}

/// How a cache did since it was made, with one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    /// Blocks that were there.
    pub hits: u64,
    /// Blocks that had to be read.
    pub misses: u64,
    /// Blocks that left to make room.
    pub evicted: u64,
    /// Memory that is taken now, bytes.
    pub bytes: usize,
}

/// The statistics of each kind.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pages: CacheStatistics,
    bodies: CacheStatistics,
}

impl Tally {
    pub(super) fn of(&self, kind: Kind) -> CacheStatistics {
        match kind {
            Kind::Page => self.pages,
            Kind::Body => self.bodies,
        }
    }

    pub(super) fn of_mut(&mut self, kind: Kind) -> &mut CacheStatistics {
        match kind {
            Kind::Page => &mut self.pages,
            Kind::Body => &mut self.bodies,
        }
    }
}
