//! Bodies that anyone who knows the seed can tell byte by byte, without storing or making them.
//!
//! A pool of random bytes is made once. A body is a sequence of pages, and each page is a stretch of the pool whose
//! beginning follows from the seed, the object and the page. So a body is sent and compared straight from the pool,
//! it does not compress, and pages of different objects differ, which keeps a server that stores equal blocks once
//! from being flattered.

/// Bytes in the pool. Large enough that two pages rarely begin at the same place, small enough to be quickly made.
const POOL_BYTES: u64 = 8 << 20;

/// Bytes in a page.
const PAGE_BYTES: u64 = 64 << 10;

/// Random numbers that are the same on every machine and in every version (SplitMix64, by Sebastiano Vigna).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// Numbers that follow from `seed`.
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// The next number below `bound`, or 0 if that is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }
}

const fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Every body of one seed.
#[derive(Debug)]
pub(super) struct Content {
    seed: u64,
    pool: Vec<u8>,
}

impl Content {
    /// The bodies that follow from `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let words = (0..POOL_BYTES.div_ceil(8)).flat_map(|_| random.next().to_le_bytes());
        Self { seed, pool: words.collect() }
    }

    /// What `object` holds from `offset` on: at least one byte, up to the end of the page, and no more than `most`.
    /// Empty only if `most` is 0.
    pub(super) fn at(&self, object: u64, offset: u64, most: u64) -> &[u8] {
        let page = offset.checked_div(PAGE_BYTES).unwrap_or(0);
        let within = offset - page * PAGE_BYTES;
        let chosen = mixed(mixed(self.seed ^ mixed(object)).wrapping_add(page));
        let begin = chosen.checked_rem(POOL_BYTES - PAGE_BYTES).unwrap_or(0) + within;
        let length = most.min(PAGE_BYTES - within);
        let begin = usize::try_from(begin).unwrap_or(usize::MAX);
        let end = begin.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        self.pool.get(begin..end).unwrap_or_default()
    }

    /// Whether `bytes` are what `object` holds from `offset` on.
    pub(super) fn matches(&self, object: u64, mut offset: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let expected = self.at(object, offset, byte_count(bytes));
            let (part, rest) = bytes.split_at(expected.len());
            if part != expected {
                return false;
            }
            offset += byte_count(part);
            bytes = rest;
        }
        true
    }
}

/// How many bytes there are.
pub(super) fn byte_count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(content: &Content, object: u64, size: u64) -> Vec<u8> {
        let mut body = Vec::new();
        while byte_count(&body) < size {
            let offset = byte_count(&body);
            body.extend_from_slice(content.at(object, offset, size - offset));
        }
        body
    }

    #[test]
    fn a_body_follows_from_its_seed_and_object() {
        let content = Content::new(1);
        let size = 3 * PAGE_BYTES + 5;
        assert_eq!(body(&content, 7, size), body(&Content::new(1), 7, size));
        assert_ne!(body(&content, 7, 64), body(&content, 8, 64));
        assert_ne!(body(&content, 7, 64), body(&Content::new(2), 7, 64));
        let whole = body(&content, 7, size);
        let page = usize::try_from(PAGE_BYTES).unwrap();
        assert_ne!(whole[..page], whole[page..2 * page]);
    }

    #[test]
    fn a_match_is_found_in_any_pieces_and_one_wrong_bit_is_not_one() {
        let content = Content::new(3);
        let mut whole = body(&content, 9, 2 * PAGE_BYTES + 100);
        for piece in [1000, 65_536, 100_000] {
            let mut offset = 0;
            for part in whole.chunks(piece) {
                assert!(content.matches(9, offset, part));
                offset += byte_count(part);
            }
        }
        assert!(!content.matches(10, 0, &whole));
        whole[70_000] ^= 1;
        assert!(!content.matches(9, 0, &whole));
    }

    #[test]
    fn the_first_numbers_are_the_published_ones() {
        // From the reference implementation with seed 1234567.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
        assert!(random.below(10) < 10);
        assert_eq!(random.below(0), 0);
    }
}
