//! The root of one sorted run: where its pages are, their first keys (fences) and the filter over all keys.
//!
//! Own numbers of the frame: run, entries, 0, 0.

use crate::archive::{Frame, decode};
use crate::bytes::within;
use crate::constants::{RUN_MANIFEST_MAGIC, VIRTUAL_SHARDS};
use crate::error::{DecodeError, Field, Structure};
use crate::extent::{Extent, expect_own};
use crate::units::VirtualShard;
use rkyv::{Archive, Deserialize, Serialize};

/// One page of a run.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct PageRef {
    /// Key of its first entry: the fence.
    pub first_key: Vec<u8>,
    /// Where it is.
    pub extent: Extent,
}

/// One sorted run.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct RunManifest {
    /// Its number; never reused, greater is newer.
    pub run: u64,
    /// Its level in the merge tree; 0 is the newest.
    pub level: u8,
    /// Entries over all pages.
    pub entries: u64,
    /// How many of them are tombstones.
    pub tombstones: u64,
    /// Bytes of all pages.
    pub bytes: u64,
    /// First virtual shard whose keys it may hold.
    pub first_vshard: VirtualShard,
    /// Last virtual shard whose keys it may hold.
    pub last_vshard: VirtualShard,
    /// Key of its last entry.
    pub last_key: Vec<u8>,
    /// Its pages, in key order.
    pub pages: Vec<PageRef>,
    /// Bloom filter over all keys.
    pub filter: Vec<u8>,
    /// Hashes per key in the filter.
    pub filter_hashes: u8,
}

const FRAME: Frame = Frame { structure: Structure::RunManifest, magic: RUN_MANIFEST_MAGIC, version: 1 };

impl RunManifest {
    /// The manifest as written.
    ///
    /// # Panics
    /// When the fences do not ascend: a run is written in key order.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert_eq!(self.check(), Ok(()), "a run is written in key order");
        FRAME.encode([self.run, self.entries, 0, 0], self)
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong; each extent is checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (found, archive) = FRAME.open(bytes, true)?;
        let manifest: Self = decode(Structure::RunManifest, archive)?;
        expect_own(Structure::RunManifest, found, [manifest.run, manifest.entries, 0, 0])?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), DecodeError> {
        let structure = Structure::RunManifest;
        let last = u64::from(VIRTUAL_SHARDS - 1);
        within(structure, Field::VirtualShard, 0..=last, u64::from(self.last_vshard.0))?;
        let last = u64::from(self.last_vshard.0);
        within(structure, Field::VirtualShard, 0..=last, u64::from(self.first_vshard.0))?;
        within(structure, Field::Entries, 0..=self.entries, self.tombstones)?;
        let fences = self.pages.iter().zip(self.pages.iter().skip(1));
        for (position, (page, next)) in (1..).zip(fences) {
            if page.first_key >= next.first_key {
                return Err(DecodeError::Unordered { structure, field: Field::Key, position });
            }
        }
        if self.pages.last().is_some_and(|page| page.first_key > self.last_key) {
            let position = self.pages.len() as u64;
            return Err(DecodeError::Unordered { structure, field: Field::Key, position });
        }
        self.pages.iter().try_for_each(|page| page.extent.check())
    }
}
