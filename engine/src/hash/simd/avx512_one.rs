//! One lane, in 16-byte registers of which all words are alike. Faster than scalar code, because a choice, a
//! majority or a sum of three bits takes one instruction, so that the chain from word to word is shorter.

use super::Block;
use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_rol_epi32, _mm_set_epi64x, _mm_set1_epi32,
    _mm_shuffle_epi8, _mm_srli_epi32, _mm_ternarylogic_epi32,
};

compress_in_lanes!(
    #[target_feature(enable = "avx512f,avx512vl,avx512bw")]
    xmm_reg
);

type Register = __m128i;

/// Lanes of a register: one, in all words.
pub(super) const LANES: usize = 1;

#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn splat(word: u32) -> Register {
    _mm_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn load(words: &[u32; LANES]) -> Register {
    splat(words[0])
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn store(words: &mut [u32; LANES], register: Register) {
    words[0] = _mm_cvtsi128_si32(register).cast_unsigned();
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn add(left: Register, right: Register) -> Register {
    _mm_add_epi32(left, right)
}

/// To the left by `LEFT`, which is 32 less `RIGHT`.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn rotate<const LEFT: i32, const RIGHT: i32>(register: Register) -> Register {
    const { assert!(LEFT + RIGHT == 32, "a rotation moves every bit") };
    _mm_rol_epi32::<LEFT>(register)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn shift<const RIGHT: i32>(register: Register) -> Register {
    _mm_srli_epi32::<RIGHT>(register)
}

// The constant of a ternary operation is its column of results, for the arguments 000 to 111. The result takes the
// place of the first argument, so the one that was computed last goes last: the others can be copied meanwhile.

#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn xor3(x: Register, y: Register, z: Register) -> Register {
    _mm_ternarylogic_epi32::<0x96>(z, y, x)
}

/// The bits of `y` where `x` is set, those of `z` elsewhere.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn choose(x: Register, y: Register, z: Register) -> Register {
    _mm_ternarylogic_epi32::<0xd8>(z, y, x)
}

/// `y ^ (x | !z)`
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn fold(x: Register, y: Register, z: Register) -> Register {
    _mm_ternarylogic_epi32::<0x63>(z, y, x)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn majority(x: Register, y: Register, z: Register) -> Register {
    _mm_ternarylogic_epi32::<0xe8>(x, y, z)
}

/// Between the two byte orders, in every word.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn swap_bytes(register: Register) -> Register {
    _mm_shuffle_epi8(register, _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203))
}

/// The sixteen words of the block at `at`.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn words(lanes: &[&[Block]; LANES], at: usize) -> [Register; 16] {
    let mut words = [splat(0); 16];
    for (word, bytes) in words.iter_mut().zip(lanes[0][at].as_chunks::<4>().0) {
        *word = splat(u32::from_le_bytes(*bytes));
    }
    words
}
