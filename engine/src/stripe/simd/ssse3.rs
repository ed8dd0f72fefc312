//! Nibble shuffles in 16-byte registers, for x86-64 without AVX2.

use std::arch::x86_64::{
    __m128i, _mm_and_si128, _mm_loadu_si128, _mm_set1_epi8, _mm_setzero_si128, _mm_shuffle_epi8,
    _mm_srli_epi64, _mm_storeu_si128, _mm_xor_si128,
};
use std::ops::Range;

use super::Factors;
use crate::stripe::field::NIBBLE_PRODUCTS;

sum_with_registers!("ssse3");

type Register = __m128i;

const LANE_BYTES: usize = 16;

/// With four outputs: 8 sums and 4 nibble registers of the 16 there are.
const WIDE: usize = 2;

#[inline]
#[target_feature(enable = "ssse3")]
fn zero() -> Register {
    _mm_setzero_si128()
}

#[inline]
#[target_feature(enable = "ssse3")]
fn load(lane: &[u8; LANE_BYTES]) -> Register {
    // SAFETY: the load reads LANE_BYTES bytes at any alignment; the reference is to exactly that
    // many initialised bytes, which nobody writes while it lives.
    unsafe { _mm_loadu_si128(lane.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "ssse3")]
fn store(lane: &mut [u8; LANE_BYTES], register: Register) {
    // SAFETY: the store writes LANE_BYTES bytes at any alignment; the exclusive reference is to
    // exactly that many bytes, and every bit pattern is a valid byte.
    unsafe { _mm_storeu_si128(lane.as_mut_ptr().cast(), register) }
}

#[inline]
#[target_feature(enable = "ssse3")]
fn xor(left: Register, right: Register) -> Register {
    _mm_xor_si128(left, right)
}

/// The low and the high nibble of every byte, each in a byte of its own.
#[inline]
#[target_feature(enable = "ssse3")]
fn split(register: Register) -> [Register; 2] {
    let mask = _mm_set1_epi8(15);
    let high = _mm_srli_epi64::<4>(register);
    [_mm_and_si128(register, mask), _mm_and_si128(high, mask)]
}

/// The products of the low and of the high nibbles with `factor`.
#[inline]
#[target_feature(enable = "ssse3")]
fn table(factor: u8) -> [Register; 2] {
    let (halves, _) = NIBBLE_PRODUCTS[usize::from(factor)].as_chunks::<16>();
    let (low, high) = (load_half(&halves[0]), load_half(&halves[1]));
    [low, high]
}

#[inline]
#[target_feature(enable = "ssse3")]
fn product(table: [Register; 2], nibbles: [Register; 2]) -> Register {
    let low = _mm_shuffle_epi8(table[0], nibbles[0]);
    let high = _mm_shuffle_epi8(table[1], nibbles[1]);
    _mm_xor_si128(low, high)
}

/// The 16 bytes of one half of a product table.
#[inline]
#[target_feature(enable = "ssse3")]
fn load_half(half: &[u8; 16]) -> __m128i {
    // SAFETY: the load reads 16 bytes at any alignment; the reference is to exactly that many
    // initialised bytes of an immutable static.
    unsafe { _mm_loadu_si128(half.as_ptr().cast()) }
}
