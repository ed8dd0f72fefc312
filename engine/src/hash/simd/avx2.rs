//! Eight lanes in 32-byte registers.

use super::Block;
use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_set_epi64x, _mm256_set1_epi32, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_storeu_si256, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

compress_in_lanes!(
    #[target_feature(enable = "avx2")]
    ymm_reg
);

type Register = __m256i;

/// Lanes of a register.
pub(super) const LANES: usize = 8;

#[inline]
#[target_feature(enable = "avx2")]
fn splat(word: u32) -> Register {
    _mm256_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(words: &[u32; LANES]) -> Register {
    // SAFETY: the load reads 32 bytes at any alignment; the reference is to exactly that many
    // initialised bytes, which nobody writes while it lives.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(words: &mut [u32; LANES], register: Register) {
    // SAFETY: the store writes 32 bytes at any alignment; the exclusive reference is to exactly that
    // many bytes, and every bit pattern is a valid word.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), register) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_half(half: &[u8; 32]) -> Register {
    // SAFETY: the load reads 32 bytes at any alignment; the reference is to exactly that many
    // initialised bytes, which nobody writes while it lives.
    unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(left: Register, right: Register) -> Register {
    _mm256_add_epi32(left, right)
}

/// To the left by `LEFT`, which is 32 less `RIGHT`.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const LEFT: i32, const RIGHT: i32>(register: Register) -> Register {
    const { assert!(LEFT + RIGHT == 32, "a rotation moves every bit") };
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(register), _mm256_srli_epi32::<RIGHT>(register))
}

#[inline]
#[target_feature(enable = "avx2")]
fn shift<const RIGHT: i32>(register: Register) -> Register {
    _mm256_srli_epi32::<RIGHT>(register)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor3(x: Register, y: Register, z: Register) -> Register {
    _mm256_xor_si256(x, _mm256_xor_si256(y, z))
}

/// The bits of `y` where `x` is set, those of `z` elsewhere.
#[inline]
#[target_feature(enable = "avx2")]
fn choose(x: Register, y: Register, z: Register) -> Register {
    _mm256_xor_si256(z, _mm256_and_si256(x, _mm256_xor_si256(y, z)))
}

/// `y ^ (x | !z)`
#[inline]
#[target_feature(enable = "avx2")]
fn fold(x: Register, y: Register, z: Register) -> Register {
    let ones = _mm256_set1_epi32(-1);
    _mm256_xor_si256(y, _mm256_or_si256(x, _mm256_xor_si256(z, ones)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn majority(x: Register, y: Register, z: Register) -> Register {
    _mm256_or_si256(_mm256_and_si256(x, y), _mm256_and_si256(z, _mm256_or_si256(x, y)))
}

/// Between the two byte orders, in every word.
#[inline]
#[target_feature(enable = "avx2")]
fn swap_bytes(register: Register) -> Register {
    const LOW: i64 = 0x0405_0607_0001_0203;
    const HIGH: i64 = 0x0c0d_0e0f_0809_0a0b;
    _mm256_shuffle_epi8(register, _mm256_set_epi64x(HIGH, LOW, HIGH, LOW))
}

/// The sixteen words of every lane's block at `at`: two 8 × 8 transpositions.
#[inline]
#[target_feature(enable = "avx2")]
fn words(lanes: &[&[Block]; LANES], at: usize) -> [Register; 16] {
    let mut fronts = [_mm256_setzero_si256(); 8];
    let mut backs = [_mm256_setzero_si256(); 8];
    for ((front, back), blocks) in fronts.iter_mut().zip(&mut backs).zip(lanes) {
        let (halves, _) = blocks[at].as_chunks::<32>();
        *front = load_half(&halves[0]);
        *back = load_half(&halves[1]);
    }
    let mut words = [_mm256_setzero_si256(); 16];
    for (words, rows) in words.as_chunks_mut::<8>().0.iter_mut().zip([&fronts, &backs]) {
        *words = transpose(rows);
    }
    words
}

#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: &[Register; 8]) -> [Register; 8] {
    // Within each 16 bytes: four rows by four words.
    let mut fours = [_mm256_setzero_si256(); 8];
    for first in [0, 4] {
        let [a, b, c, d] = [rows[first], rows[first + 1], rows[first + 2], rows[first + 3]];
        let (low_ab, high_ab) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (low_cd, high_cd) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        fours[first] = _mm256_unpacklo_epi64(low_ab, low_cd);
        fours[first + 1] = _mm256_unpackhi_epi64(low_ab, low_cd);
        fours[first + 2] = _mm256_unpacklo_epi64(high_ab, high_cd);
        fours[first + 3] = _mm256_unpackhi_epi64(high_ab, high_cd);
    }
    // Then the halves.
    let mut words = [_mm256_setzero_si256(); 8];
    for word in [0, 1, 2, 3] {
        words[word] = _mm256_permute2x128_si256::<0x20>(fours[word], fours[word + 4]);
        words[word + 4] = _mm256_permute2x128_si256::<0x31>(fours[word], fours[word + 4]);
    }
    words
}
