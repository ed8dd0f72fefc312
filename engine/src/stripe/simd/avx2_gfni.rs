//! Bit-matrix products in 32-byte registers, for processors with GFNI but
//! without AVX-512.

use std::arch::x86_64::{
    __m256i, _mm256_gf2p8affine_epi64_epi8, _mm256_loadu_si256, _mm256_set1_epi64x, _mm256_setzero_si256,
    _mm256_storeu_si256, _mm256_xor_si256,
};
use std::ops::Range;

use super::Factors;
use crate::stripe::field::AFFINE_MATRICES;

sum_with_registers!("avx2,gfni");

type Register = __m256i;

const LANE_BYTES: usize = 32;

/// With four outputs: 8 sums, 2 inputs and a matrix of the 16 registers.
const WIDE: usize = 2;

#[inline]
#[target_feature(enable = "avx2,gfni")]
fn zero() -> Register {
    _mm256_setzero_si256()
}

#[inline]
#[target_feature(enable = "avx2,gfni")]
fn load(lane: &[u8; LANE_BYTES]) -> Register {
    // SAFETY: the load reads LANE_BYTES bytes at any alignment; the reference is to exactly that
    // many initialised bytes, which nobody writes while it lives.
    unsafe { _mm256_loadu_si256(lane.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,gfni")]
fn store(lane: &mut [u8; LANE_BYTES], register: Register) {
    // SAFETY: the store writes LANE_BYTES bytes at any alignment; the exclusive reference is to
    // exactly that many bytes, and every bit pattern is a valid byte.
    unsafe { _mm256_storeu_si256(lane.as_mut_ptr().cast(), register) }
}

#[inline]
#[target_feature(enable = "avx2,gfni")]
fn xor(left: Register, right: Register) -> Register {
    _mm256_xor_si256(left, right)
}

/// The affine instruction takes whole bytes.
#[inline]
#[target_feature(enable = "avx2,gfni")]
fn split(register: Register) -> Register {
    register
}

/// The bit matrix of the multiplication by `factor`, once for every 8 bytes.
#[inline]
#[target_feature(enable = "avx2,gfni")]
fn table(factor: u8) -> Register {
    _mm256_set1_epi64x(AFFINE_MATRICES[usize::from(factor)].cast_signed())
}

#[inline]
#[target_feature(enable = "avx2,gfni")]
fn product(matrix: Register, bytes: Register) -> Register {
    _mm256_gf2p8affine_epi64_epi8::<0>(bytes, matrix)
}
