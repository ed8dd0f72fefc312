//! Keys that stores get wrong: control bytes, path look-alikes, shared prefixes, nothing but delimiters.
//!
//! All are UTF-8 of 1 to 1024 bytes, as S3 demands of keys.

use rand::{Rng, RngExt as _};

/// The keys of one run. Few enough that operations meet each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPool(Vec<Vec<u8>>);

impl KeyPool {
    /// Draws a pool of at most `count` different keys.
    pub fn new(random: &mut impl Rng, count: usize) -> Self {
        assert!(count > 0, "a run needs keys");
        let mut keys: Vec<Vec<u8>> = (0..count).map(|_| draw(random).into_bytes()).collect();
        keys.sort();
        keys.dedup();
        Self(keys)
    }

    /// One of the keys.
    pub fn pick(&self, random: &mut impl Rng) -> Vec<u8> {
        self.0.get(random.random_range(0..self.0.len())).cloned().unwrap_or_default()
    }

    /// A prefix to list by: nothing, a key, or the beginning of one. May end within a character.
    pub fn prefix(&self, random: &mut impl Rng) -> Vec<u8> {
        let mut key = self.pick(random);
        match random.random_range(0..4_u32) {
            0 => Vec::new(),
            1 => key,
            _ => {
                key.truncate(random.random_range(0..=key.len().min(6)));
                key
            }
        }
    }

    /// A place to list from, which need not be a key.
    pub fn marker(&self, random: &mut impl Rng) -> Vec<u8> {
        let mut marker = self.prefix(random);
        if random.random_bool(0.3) {
            marker.push(random.random_range(0..=u8::MAX));
        }
        marker
    }

    /// Every key, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }
}

/// A delimiter: mostly the usual one.
pub(super) fn delimiter(random: &mut impl Rng) -> Vec<u8> {
    let choice = ["/", "/", "/", "//", "a", "%", "\u{0}", "/b", "\u{e9}"];
    choice.get(random.random_range(0..choice.len())).copied().unwrap_or("/").as_bytes().to_vec()
}

fn draw(random: &mut impl Rng) -> String {
    match random.random_range(0..8_u32) {
        0 => (*pick(random, &ODD)).to_owned(),
        1 => {
            // Long, and the same for all but the last bytes.
            let shared = "shared/".repeat(random.random_range(1..140));
            format!("{shared}{:02}", random.random_range(0..40_u32))
        }
        2 => pick(random, &["x", "\u{e9}", "\u{10ffff}"]).repeat(random.random_range(1..=256)),
        3 => random.random_range(0..100_u32).to_string(),
        _ => {
            let pieces = random.random_range(1..7);
            (0..pieces).map(|_| *pick(random, &PIECES)).collect()
        }
    }
}

fn pick<'a, T>(random: &mut impl Rng, from: &'a [T]) -> &'a T {
    let index = random.random_range(0..from.len());
    from.get(index).unwrap_or_else(|| unreachable!("{index} was drawn below {}", from.len()))
}

/// Put together, these make keys that are prefixes of each other, with delimiters everywhere.
const PIECES: [&str; 12] = ["/", "/", "a", "a", "b", "//", "\u{0}", "\u{1}", "%", "\u{e9}", "\u{ff}", "a/b"];

/// Whole keys that have broken stores.
const ODD: [&str; 24] = [
    ".",
    "..",
    "../a",
    "a/..",
    "./",
    "/",
    "//",
    "///",
    "/a",
    "a/",
    "a//b",
    "\u{0}",
    "a\u{0}",
    "a\u{0}b",
    "\u{0}\u{0}",
    "\u{0}\u{1}",
    "\u{7f}",
    "\u{ff}\u{ff}",
    "\u{10ffff}",
    "\u{fffe}",
    " ",
    "+",
    "%2F",
    "\n",
];

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn keys_obey_the_rules_of_s3() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let pool = KeyPool::new(&mut random, 3000);
        for key in pool.iter() {
            assert!((1..=1024).contains(&key.len()), "{}", key.len());
            assert!(std::str::from_utf8(key).is_ok());
        }
        for odd in ODD {
            assert!(pool.iter().any(|key| key == odd.as_bytes()), "{odd:?}");
        }
    }

    #[test]
    fn many_keys_are_beginnings_of_others() {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let pool = KeyPool::new(&mut random, 200);
        let keys: Vec<_> = pool.iter().collect();
        let beginnings = keys.windows(2).filter(|pair| pair[1].starts_with(pair[0])).count();
        assert!(beginnings > 10, "{beginnings} of {}", keys.len());
    }
}
