//! Seeded randomness: one independent stream per purpose, so that drawing more in one place does
//! not change what happens in another.

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// What a stream of dice is for. Disks count up from [`Purpose::Disks`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Schedule,
    Identifiers,
    Network,
    Loss,
    Disks,
}

impl Purpose {
    const fn stream(self) -> u64 {
        match self {
            Self::Schedule => 1,
            Self::Identifiers => 2,
            Self::Network => 3,
            Self::Loss => 4,
            Self::Disks => 1000,
        }
    }
}

/// A seeded source of decisions.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(purpose.stream() + index);
        Self(generator)
    }

    /// A number smaller than `count`, which is not 0.
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.0.random_range(0..count)
    }

    /// An index into something of `count` elements, which is not empty.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }

    /// A number from `low` to `high`, both included; `low` when they are the wrong way round.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high.max(low))
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

/// Which of a series of events are picked; the first one has number 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Pick {
    /// None.
    #[default]
    Never,
    /// Every one.
    Always,
    /// Those with these numbers.
    At(Vec<u64>),
    /// Each with a chance of one in so many.
    OneIn(u32),
}

impl Pick {
    pub(crate) fn hits(&self, number: u64, dice: &mut Dice) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::At(numbers) => numbers.contains(&number),
            Self::OneIn(count) => dice.below(u64::from((*count).max(1))) == 0,
        }
    }
}
