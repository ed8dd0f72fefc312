//! Bit-matrix products in 64-byte registers.

use std::arch::x86_64::{
    __m512i, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512, _mm512_set1_epi64, _mm512_setzero_si512,
    _mm512_storeu_si512, _mm512_xor_si512,
};
use std::ops::Range;

use super::Factors;
use crate::stripe::field::AFFINE_MATRICES;

sum_with_registers!("avx512f,gfni");

type Register = __m512i;

const LANE_BYTES: usize = 64;

/// With four outputs: 16 sums, 4 inputs and a matrix of the 32 registers.
const WIDE: usize = 4;

#[inline]
#[target_feature(enable = "avx512f,gfni")]
fn zero() -> Register {
    _mm512_setzero_si512()
}

#[inline]
#[target_feature(enable = "avx512f,gfni")]
fn load(lane: &[u8; LANE_BYTES]) -> Register {
    // SAFETY: the load reads LANE_BYTES bytes at any alignment; the reference is to exactly that
    // many initialised bytes, which nobody writes while it lives.
    unsafe { _mm512_loadu_si512(lane.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,gfni")]
fn store(lane: &mut [u8; LANE_BYTES], register: Register) {
    // SAFETY: the store writes LANE_BYTES bytes at any alignment; the exclusive reference is to
    // exactly that many bytes, and every bit pattern is a valid byte.
    unsafe { _mm512_storeu_si512(lane.as_mut_ptr().cast(), register) }
}

#[inline]
#[target_feature(enable = "avx512f,gfni")]
fn xor(left: Register, right: Register) -> Register {
    _mm512_xor_si512(left, right)
}

/// The affine instruction takes whole bytes.
#[inline]
#[target_feature(enable = "avx512f,gfni")]
fn split(register: Register) -> Register {
    register
}

/// The bit matrix of the multiplication by `factor`, once for every 8 bytes.
#[inline]
#[target_feature(enable = "avx512f,gfni")]
fn table(factor: u8) -> Register {
    _mm512_set1_epi64(AFFINE_MATRICES[usize::from(factor)].cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f,gfni")]
fn product(matrix: Register, bytes: Register) -> Register {
    _mm512_gf2p8affine_epi64_epi8::<0>(bytes, matrix)
}
