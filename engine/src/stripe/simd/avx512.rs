//! Nibble shuffles in 64-byte registers, for processors without GFNI.

use std::arch::x86_64::{
    __m128i, __m512i, _mm_loadu_si128, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_loadu_si512,
    _mm512_set1_epi8, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_srli_epi64, _mm512_storeu_si512,
    _mm512_xor_si512,
};
use std::ops::Range;

use super::Factors;
use crate::stripe::field::NIBBLE_PRODUCTS;

sum_with_registers!("avx512f,avx512bw");

type Register = __m512i;

const LANE_BYTES: usize = 64;

/// With four outputs: 8 sums and 4 nibble registers of the 32 there are.
const WIDE: usize = 2;

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn zero() -> Register {
    _mm512_setzero_si512()
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(lane: &[u8; LANE_BYTES]) -> Register {
    // SAFETY: the load reads LANE_BYTES bytes at any alignment; the reference is to exactly that
    // many initialised bytes, which nobody writes while it lives.
    unsafe { _mm512_loadu_si512(lane.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store(lane: &mut [u8; LANE_BYTES], register: Register) {
    // SAFETY: the store writes LANE_BYTES bytes at any alignment; the exclusive reference is to
    // exactly that many bytes, and every bit pattern is a valid byte.
    unsafe { _mm512_storeu_si512(lane.as_mut_ptr().cast(), register) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn xor(left: Register, right: Register) -> Register {
    _mm512_xor_si512(left, right)
}

/// The low and the high nibble of every byte, each in a byte of its own.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn split(register: Register) -> [Register; 2] {
    let mask = _mm512_set1_epi8(15);
    let high = _mm512_srli_epi64::<4>(register);
    [_mm512_and_si512(register, mask), _mm512_and_si512(high, mask)]
}

/// The products of the low and of the high nibbles with `factor`, in all
/// four 16-byte lanes (the shuffle does not cross them).
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn table(factor: u8) -> [Register; 2] {
    let (halves, _) = NIBBLE_PRODUCTS[usize::from(factor)].as_chunks::<16>();
    let (low, high) = (load_half(&halves[0]), load_half(&halves[1]));
    [_mm512_broadcast_i32x4(low), _mm512_broadcast_i32x4(high)]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn product(table: [Register; 2], nibbles: [Register; 2]) -> Register {
    let low = _mm512_shuffle_epi8(table[0], nibbles[0]);
    let high = _mm512_shuffle_epi8(table[1], nibbles[1]);
    _mm512_xor_si512(low, high)
}

/// The 16 bytes of one half of a product table.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_half(half: &[u8; 16]) -> __m128i {
    // SAFETY: the load reads 16 bytes at any alignment; the reference is to exactly that many
    // initialised bytes of an immutable static.
    unsafe { _mm_loadu_si128(half.as_ptr().cast()) }
}
