//! Sixteen lanes in 64-byte registers.

use super::Block;
use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_loadu_si512, _mm512_rol_epi32, _mm512_set_epi64, _mm512_set1_epi32,
    _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_srli_epi32, _mm512_storeu_si512,
    _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64,
};

compress_in_lanes!(
    #[target_feature(enable = "avx512f,avx512bw")]
    zmm_reg
);

type Register = __m512i;

/// Lanes of a register.
pub(super) const LANES: usize = 16;

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn splat(word: u32) -> Register {
    _mm512_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(words: &[u32; LANES]) -> Register {
    // SAFETY: the load reads 64 bytes at any alignment; the reference is to exactly that many
    // initialised bytes, which nobody writes while it lives.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store(words: &mut [u32; LANES], register: Register) {
    // SAFETY: the store writes 64 bytes at any alignment; the exclusive reference is to exactly that
    // many bytes, and every bit pattern is a valid word.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), register) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_block(block: &Block) -> Register {
    // SAFETY: the load reads 64 bytes at any alignment; the reference is to exactly that many
    // initialised bytes, which nobody writes while it lives.
    unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add(left: Register, right: Register) -> Register {
    _mm512_add_epi32(left, right)
}

/// To the left by `LEFT`, which is 32 less `RIGHT`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rotate<const LEFT: i32, const RIGHT: i32>(register: Register) -> Register {
    const { assert!(LEFT + RIGHT == 32, "a rotation moves every bit") };
    _mm512_rol_epi32::<LEFT>(register)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shift<const RIGHT: u32>(register: Register) -> Register {
    _mm512_srli_epi32::<RIGHT>(register)
}

// The constant of a ternary operation is its column of results, for the arguments 000 to 111. The result takes the
// place of the first argument, so the one that was computed last goes last: the others can be copied meanwhile.

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn xor3(x: Register, y: Register, z: Register) -> Register {
    _mm512_ternarylogic_epi32::<0x96>(z, y, x)
}

/// The bits of `y` where `x` is set, those of `z` elsewhere.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn choose(x: Register, y: Register, z: Register) -> Register {
    _mm512_ternarylogic_epi32::<0xd8>(z, y, x)
}

/// `y ^ (x | !z)`
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn fold(x: Register, y: Register, z: Register) -> Register {
    _mm512_ternarylogic_epi32::<0x63>(z, y, x)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn majority(x: Register, y: Register, z: Register) -> Register {
    _mm512_ternarylogic_epi32::<0xe8>(x, y, z)
}

/// Between the two byte orders, in every word.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn swap_bytes(register: Register) -> Register {
    const LOW: i64 = 0x0405_0607_0001_0203;
    const HIGH: i64 = 0x0c0d_0e0f_0809_0a0b;
    let order = _mm512_set_epi64(HIGH, LOW, HIGH, LOW, HIGH, LOW, HIGH, LOW);
    _mm512_shuffle_epi8(register, order)
}

/// The sixteen words of every lane's block at `at`: a 16 × 16 transposition.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn words(lanes: &[&[Block]; LANES], at: usize) -> [Register; 16] {
    let mut rows = [_mm512_setzero_si512(); 16];
    for (row, blocks) in rows.iter_mut().zip(lanes) {
        *row = load_block(&blocks[at]);
    }
    // Within each 16 bytes: four rows by four words.
    let mut fours = [_mm512_setzero_si512(); 16];
    for first in [0, 4, 8, 12] {
        let [a, b, c, d] = [rows[first], rows[first + 1], rows[first + 2], rows[first + 3]];
        let (low_ab, high_ab) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (low_cd, high_cd) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        fours[first] = _mm512_unpacklo_epi64(low_ab, low_cd);
        fours[first + 1] = _mm512_unpackhi_epi64(low_ab, low_cd);
        fours[first + 2] = _mm512_unpacklo_epi64(high_ab, high_cd);
        fours[first + 3] = _mm512_unpackhi_epi64(high_ab, high_cd);
    }
    // Then the groups of 16 bytes, four by four.
    let mut words = [_mm512_setzero_si512(); 16];
    for word in [0, 1, 2, 3] {
        let [a, b, c, d] = [fours[word], fours[word + 4], fours[word + 8], fours[word + 12]];
        let (front_ab, back_ab) = (_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0xee>(a, b));
        let (front_cd, back_cd) = (_mm512_shuffle_i32x4::<0x44>(c, d), _mm512_shuffle_i32x4::<0xee>(c, d));
        words[word] = _mm512_shuffle_i32x4::<0x88>(front_ab, front_cd);
        words[word + 4] = _mm512_shuffle_i32x4::<0xdd>(front_ab, front_cd);
        words[word + 8] = _mm512_shuffle_i32x4::<0x88>(back_ab, back_cd);
        words[word + 12] = _mm512_shuffle_i32x4::<0xdd>(back_ab, back_cd);
    }
    words
}
