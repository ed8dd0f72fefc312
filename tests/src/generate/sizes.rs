//! Sizes of bodies: mostly next to the borders where the engine changes its way.

use rand::{Rng, RngExt as _};

/// A size of at most `bytes_max`.
pub fn size(random: &mut impl Rng, bytes_max: u64) -> u64 {
    let wanted = match random.random_range(0..10_u32) {
        0..=5 => BORDERS.get(random.random_range(0..BORDERS.len())).copied().unwrap_or_default(),
        6 | 7 => random.random_range(0..=300),
        // As many kilobytes as megabytes: what is drawn is the number of bits.
        _ => {
            let bits = random.random_range(8..=LARGEST_BITS);
            random.random_range(0..1_u64 << bits)
        }
    };
    wanted.min(bytes_max)
}

/// Both sides of the write unit (4 KiB), of the checksum block (64 KiB), of common inline bounds (128 KiB), of the
/// highest chunk (1 MiB), and of rows of a few chunks.
const BORDERS: [u64; 26] = [
    0, 1, 2, 511, 512, 4095, 4096, 4097, 8192, 16_384, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073,
    262_144, 262_145, 1_048_575, 1_048_576, 1_048_577, 2_097_152, 3_145_727, 4_194_304, 4_194_305, 6_291_457,
];

/// Sizes drawn by bits stay below 8 MiB.
const LARGEST_BITS: u32 = 23;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeSet;

    #[test]
    fn every_border_is_met_and_no_bound_is_broken() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let seen: BTreeSet<u64> = (0..4000).map(|_| size(&mut random, u64::MAX)).collect();
        for border in BORDERS {
            assert!(seen.contains(&border), "{border}");
        }
        assert!(seen.iter().all(|bytes| *bytes < 1 << LARGEST_BITS));
        assert!((0..1000).all(|_| size(&mut random, 5000) <= 5000));
    }
}
