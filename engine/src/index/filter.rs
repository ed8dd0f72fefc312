//! Which keys a run does not hold: a blocked Bloom filter.
//!
//! All bits of a key lie in one 64-byte block, so a question costs one cache line (Putze, Sanders,
//! Singler: *Cache-, Hash- and Space-Efficient Bloom Filters*, 2007). At 10 bits per key about one
//! absent key in a hundred is said to be there; a present key is never denied.

use ashlar_disk_format::error::{DecodeError, Field, Structure};
use xxhash_rust::xxh3::xxh3_64;

/// Bits of one block: a cache line.
const BLOCK_BITS: u64 = 512;
/// Bytes of one block.
const BLOCK_BYTES: usize = 64;
/// Bits that select a bit within a block.
const SELECT_BITS: u32 = 9;
/// Most bits set for one key: that many selections fit one 64-bit hash.
const HASHES_MAX: u8 = 7;
/// A builder for many keys has a multiple of this many blocks, so that it can be folded by any of
/// its divisors.
const FOLD_BLOCKS: usize = 12;

const _: () = assert!(1 << SELECT_BITS == BLOCK_BITS);
const _: () = assert!(BLOCK_BYTES as u64 * 8 == BLOCK_BITS);
const _: () = assert!(HASHES_MAX as u32 * SELECT_BITS <= u64::BITS);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(align(64))]
struct Block([u64; 8]);

const _: () = assert!(size_of::<Block>() == BLOCK_BYTES);

/// Says "no" or "perhaps" for a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filter {
    blocks: Box<[Block]>,
    hashes: u8,
}

/// The hash that all filters of an index share, so that a get hashes its key once.
pub(super) fn filter_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

impl Filter {
    /// False when the key is certainly absent.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let block = &self.blocks[block_of(hash, self.blocks.len())];
        selections(hash, self.hashes).all(|(word, bit)| block.0[word] & bit != 0)
    }

    /// Memory taken, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * BLOCK_BYTES
    }

    /// Bits set per key.
    pub(super) fn hashes(&self) -> u8 {
        self.hashes
    }

    /// The bytes of the manifest's `filter`: the words of the blocks, little-endian.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.blocks.iter().flat_map(|block| block.0).flat_map(u64::to_le_bytes).collect()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When the length or the number of hashes cannot be.
    pub(super) fn decode(bytes: &[u8], hashes: u8) -> Result<Self, DecodeError> {
        if !(1..=HASHES_MAX).contains(&hashes) {
            return Err(out_of_range(Field::Count, 1, u64::from(HASHES_MAX), u64::from(hashes)));
        }
        let (words, rest) = bytes.as_chunks::<8>();
        let (words, partial) = words.as_chunks::<8>();
        if words.is_empty() || !rest.is_empty() || !partial.is_empty() {
            let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            return Err(out_of_range(Field::Length, BLOCK_BYTES as u64, u64::MAX, found));
        }
        let blocks = words.iter().map(|block| Block(block.map(u64::from_le_bytes))).collect();
        Ok(Self { blocks, hashes })
    }
}

/// Collects the keys of a run whose number is known only as an upper bound.
#[derive(Debug)]
pub(super) struct FilterBuilder {
    blocks: Vec<Block>,
    hashes: u8,
    bits_per_key: u8,
    keys: u64,
}

impl FilterBuilder {
    /// A builder for at most about `keys_max` keys; more only raises the rate of false answers.
    pub(super) fn new(keys_max: u64, bits_per_key: u8) -> Self {
        let blocks = blocks_for(keys_max, bits_per_key);
        let blocks = if blocks >= 10 * FOLD_BLOCKS { blocks.next_multiple_of(FOLD_BLOCKS) } else { blocks };
        // The best number of bits per key is ln 2 of the bits per key, rounded down.
        let hashes = (u16::from(bits_per_key) * 69).div_euclid(100);
        let hashes = u8::try_from(hashes).unwrap_or(HASHES_MAX).clamp(1, HASHES_MAX);
        Self { blocks: vec![Block::default(); blocks], hashes, bits_per_key, keys: 0 }
    }

    /// Adds a key by its hash.
    pub(super) fn add(&mut self, hash: u64) {
        let index = block_of(hash, self.blocks.len());
        let block = &mut self.blocks[index];
        for (word, bit) in selections(hash, self.hashes) {
            block.0[word] |= bit;
        }
        self.keys += 1;
    }

    /// The filter. When far fewer keys came than was thought, it is folded: a block is chosen by
    /// the top of `hash * blocks`, so the block among `blocks / f` is the old one's index over `f`,
    /// and uniting each `f` neighbours gives the very filter that fewer blocks would have given.
    pub(super) fn finish(self) -> Filter {
        let needed = blocks_for(self.keys, self.bits_per_key);
        let fits = |factor: &usize| {
            self.blocks.len().is_multiple_of(*factor) && self.blocks.len() >= needed * *factor
        };
        let factor = (2..=FOLD_BLOCKS).rev().find(fits).unwrap_or(1);
        let blocks = self.blocks.chunks_exact(factor).map(|group| {
            group.iter().fold(Block::default(), |mut all, block| {
                all.0.iter_mut().zip(block.0).for_each(|(word, more)| *word |= more);
                all
            })
        });
        Filter { blocks: blocks.collect(), hashes: self.hashes }
    }
}

fn blocks_for(keys: u64, bits_per_key: u8) -> usize {
    // Rounded down, so that a filter keeps to its bits per key; the smallest has one block.
    let blocks = keys.saturating_mul(u64::from(bits_per_key)) >> SELECT_BITS;
    usize::try_from(blocks).unwrap_or(usize::MAX).max(1)
}

fn block_of(hash: u64, blocks: usize) -> usize {
    let blocks = u128::from(u64::try_from(blocks).unwrap_or(u64::MAX));
    let index = (u128::from(hash) * blocks) >> u64::BITS;
    usize::try_from(index).unwrap_or(0)
}

/// The word and the bit within the word of each bit of a key.
fn selections(hash: u64, hashes: u8) -> impl Iterator<Item = (usize, u64)> {
    // The top of `hash` chose the block, so its keys agree there; mixing spreads the rest upward
    // and folds it down again (the finaliser of splitmix64).
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let mixed = mixed ^ (mixed >> 31);
    (0..u32::from(hashes)).map(move |number| {
        let bit = (mixed >> (number * SELECT_BITS)) & (BLOCK_BITS - 1);
        (usize::try_from(bit >> 6).unwrap_or(0), 1 << (bit & 63))
    })
}

fn out_of_range(field: Field, minimum: u64, maximum: u64, found: u64) -> DecodeError {
    DecodeError::OutOfRange { structure: Structure::RunManifest, field, minimum, maximum, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> u64 {
        filter_hash(&number.to_le_bytes())
    }

    fn filled(keys: u64, keys_max: u64) -> Filter {
        let mut builder = FilterBuilder::new(keys_max, 10);
        (0..keys).for_each(|number| builder.add(hash(number)));
        builder.finish()
    }

    fn false_answers_per_mille(filter: &Filter) -> u64 {
        let wrong = (1_000_000..1_100_000).filter(|number| filter.may_hold(hash(*number))).count();
        u64::try_from(wrong).unwrap().div_ceil(100)
    }

    #[test]
    fn never_denies_and_rarely_errs() {
        let filter = filled(50_000, 50_000);
        assert!((0..50_000).all(|number| filter.may_hold(hash(number))));
        assert!(filter.bytes() * 8 <= 50_000 * 10 + 12 * 512, "{} bytes", filter.bytes());
        let rate = false_answers_per_mille(&filter);
        assert!(rate <= 15, "{rate} ‰ false answers");
    }

    #[test]
    fn folding_keeps_every_key_and_the_rate() {
        let folded = filled(50_000, 210_000);
        assert!((0..50_000).all(|number| folded.may_hold(hash(number))));
        assert!(folded.bytes() * 8 <= 50_000 * 14, "{} bytes", folded.bytes());
        assert!(false_answers_per_mille(&folded) <= 15);
    }

    #[test]
    fn survives_its_encoding_and_refuses_others() {
        let filter = filled(1000, 1000);
        let bytes = filter.encode();
        assert_eq!(Filter::decode(&bytes, filter.hashes()).unwrap(), filter);
        assert!(Filter::decode(&bytes[1..], filter.hashes()).is_err());
        assert!(Filter::decode(&[], filter.hashes()).is_err());
        assert!(Filter::decode(&bytes, 0).is_err());
        assert!(Filter::decode(&bytes, 8).is_err());
    }
}
