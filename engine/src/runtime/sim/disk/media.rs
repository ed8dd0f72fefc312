//! The sectors of a disk: the stable image, and over it every version written since the last flush.
//!
//! Invariant: the newest cached version of a sector is what a read sees; a flush moves exactly the
//! versions that were complete when it started; a durable write replaces every cached version of
//! its sectors, so nothing older can come back over it.

use crate::runtime::sim::power::Loss;
use crate::runtime::sim::random::Dice;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Bytes of a sector: what a device writes whole unless a cut tears it.
pub(crate) const SECTOR: usize = 4096;
const SECTOR_BYTES: u64 = 4096;
/// The piece that even a torn sector holds whole.
const PIECE: usize = 512;

type Page = Rc<[u8]>;

#[derive(Debug, Clone)]
struct Version {
    sequence: u64,
    page: Page,
}

/// Absent sectors are zero.
#[derive(Debug, Clone, Default)]
pub(crate) struct Media {
    stable: BTreeMap<u64, Page>,
    cache: BTreeMap<u64, Vec<Version>>,
    sequence: u64,
}

/// Number of the sector that starts at or before `offset`.
pub(crate) fn sector_of(offset: u64) -> u64 {
    offset >> SECTOR_BYTES.trailing_zeros()
}

fn zeros() -> Page {
    Rc::from(vec![0; SECTOR])
}

impl Media {
    /// Number of the newest write.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Sectors with content that a cut may take.
    pub(crate) fn volatile_sectors(&self) -> usize {
        self.cache.len()
    }

    fn current(&self, sector: u64) -> Option<&Page> {
        let cached = self.cache.get(&sector).and_then(|versions| versions.last());
        cached.map(|version| &version.page).or_else(|| self.stable.get(&sector))
    }

    /// Copies whole sectors from `offset` on.
    pub(crate) fn read(&self, offset: u64, target: &mut [u8]) {
        for (sector, piece) in (sector_of(offset)..).zip(target.chunks_mut(SECTOR)) {
            match self.current(sector) {
                Some(page) => piece.copy_from_slice(&page[..piece.len()]),
                None => piece.fill(0),
            }
        }
    }

    /// Stores whole sectors from `offset` on.
    pub(crate) fn write(&mut self, offset: u64, source: &[u8], durable: bool) {
        self.sequence += 1;
        for (sector, piece) in (sector_of(offset)..).zip(source.chunks(SECTOR)) {
            self.put(sector, Rc::from(piece), durable);
        }
    }

    /// Stores those sectors for which the dice say so.
    pub(crate) fn write_some(&mut self, offset: u64, source: &[u8], durable: bool, dice: &mut Dice) {
        self.sequence += 1;
        for (sector, piece) in (sector_of(offset)..).zip(source.chunks(SECTOR)) {
            if dice.coin() {
                self.put(sector, Rc::from(piece), durable);
            }
        }
    }

    fn put(&mut self, sector: u64, page: Page, durable: bool) {
        if durable {
            self.cache.remove(&sector);
            self.stable.insert(sector, page);
        } else {
            let version = Version { sequence: self.sequence, page };
            self.cache.entry(sector).or_default().push(version);
        }
    }

    /// Makes zero, durably.
    pub(crate) fn zero(&mut self, offset: u64, length: u64) {
        let sectors = sector_of(offset)..sector_of(offset + length);
        drop(self.stable.extract_if(sectors.clone(), |_, _| true).collect::<Vec<_>>());
        drop(self.cache.extract_if(sectors, |_, _| true).collect::<Vec<_>>());
    }

    /// Changes bytes behind everybody's back, in every version.
    pub(crate) fn flip(&mut self, offset: u64, mask: u8) {
        let sector = sector_of(offset);
        let Ok(position) = usize::try_from(offset % SECTOR_BYTES) else { return };
        let page = self.stable.entry(sector).or_insert_with(zeros);
        flip_in(page, position, mask);
        for version in self.cache.get_mut(&sector).into_iter().flatten() {
            flip_in(&mut version.page, position, mask);
        }
    }

    pub(crate) fn erase(&mut self) {
        self.stable.clear();
        self.cache.clear();
    }

    /// Moves every version up to `sequence` to the stable image.
    pub(crate) fn settle(&mut self, sequence: u64) {
        let stable = &mut self.stable;
        self.cache.retain(|sector, versions| {
            let settled = versions.iter().rposition(|version| version.sequence <= sequence);
            if let Some(position) = settled {
                stable.insert(*sector, Rc::clone(&versions[position].page));
                versions.drain(..=position);
            }
            !versions.is_empty()
        });
    }

    /// Keeps or forgets each un-flushed sector by lot, as after a flush that failed.
    pub(crate) fn lose_some(&mut self, dice: &mut Dice) {
        for (sector, mut versions) in std::mem::take(&mut self.cache) {
            if dice.coin()
                && let Some(version) = versions.pop()
            {
                self.stable.insert(sector, version.page);
            }
        }
    }

    /// The power goes: decides what becomes of the cache.
    pub(crate) fn crash(&mut self, loss: Loss, dice: &mut Dice) {
        match loss {
            Loss::Process => {}
            Loss::DropAll => self.cache.clear(),
            Loss::KeepAll => self.settle(u64::MAX),
            Loss::Prefix => {
                let oldest = self.cache.values().flatten().map(|version| version.sequence).min();
                let kept = dice.between(oldest.map_or(0, |oldest| oldest - 1), self.sequence);
                self.settle(kept);
                self.cache.clear();
            }
            Loss::Random | Loss::Torn => {
                for (sector, versions) in std::mem::take(&mut self.cache) {
                    let torn = loss == Loss::Torn && dice.coin();
                    let old = self.stable.get(&sector).map_or_else(zeros, Rc::clone);
                    let choices: Vec<Page> = std::iter::once(old)
                        .chain(versions.into_iter().map(|version| version.page))
                        .collect();
                    self.stable.insert(sector, survivor(&choices, torn, dice));
                }
            }
        }
    }

    /// The power goes while this write is under way.
    ///
    /// `durable` matters only when the process alone dies: what a device then finishes is as
    /// durable as if somebody had waited for it.
    pub(crate) fn crash_write(
        &mut self,
        offset: u64,
        source: &[u8],
        durable: bool,
        (loss, dice): (Loss, &mut Dice),
    ) {
        let sectors = source.len().div_ceil(SECTOR);
        match loss {
            Loss::DropAll => {}
            Loss::KeepAll => self.write(offset, source, true),
            Loss::Process => {
                if dice.coin() {
                    self.write(offset, source, durable);
                }
            }
            Loss::Prefix => {
                let kept = dice.index(sectors + 1) * SECTOR;
                self.write(offset, &source[..kept.min(source.len())], true);
            }
            Loss::Random | Loss::Torn => match dice.below(4) {
                0 => {}
                1 => self.write(offset, source, true),
                _ => {
                    for (sector, piece) in (sector_of(offset)..).zip(source.chunks(SECTOR)) {
                        let old = self.current(sector).map_or_else(zeros, Rc::clone);
                        let choices = [old, Rc::from(piece)];
                        let torn = loss == Loss::Torn && dice.coin();
                        let page = survivor(&choices, torn, dice);
                        self.put(sector, page, true);
                    }
                }
            },
        }
    }

    /// The power goes while this range is being zeroed.
    pub(crate) fn crash_zero(&mut self, offset: u64, length: u64, dice: &mut Dice) {
        let sectors = sector_of(offset)..sector_of(offset + length);
        let present: Vec<u64> = self.stable.range(sectors).map(|(sector, _)| *sector).collect();
        for sector in present {
            if dice.coin() {
                self.stable.remove(&sector);
            }
        }
    }
}

fn flip_in(page: &mut Page, position: usize, mask: u8) {
    let mut bytes = page.to_vec();
    bytes[position] ^= mask;
    *page = Rc::from(bytes);
}

/// One of the choices, or a mixture of them in pieces.
fn survivor(choices: &[Page], torn: bool, dice: &mut Dice) -> Page {
    if !torn {
        return Rc::clone(&choices[dice.index(choices.len())]);
    }
    let mut bytes = Vec::with_capacity(SECTOR);
    while bytes.len() < SECTOR {
        let chosen = &choices[dice.index(choices.len())];
        bytes.extend_from_slice(&chosen[bytes.len()..bytes.len() + PIECE]);
    }
    Rc::from(bytes)
}
