//! Nibble shuffles in 16-byte registers of 64-bit Arm.

use std::arch::aarch64::{
    uint8x16_t, vandq_u8, vdupq_n_u8, veorq_u8, vld1q_u8, vqtbl1q_u8, vshrq_n_u8, vst1q_u8,
};
use std::ops::Range;

use super::Factors;
use crate::stripe::field::NIBBLE_PRODUCTS;

sum_with_registers!("neon");

type Register = uint8x16_t;

const LANE_BYTES: usize = 16;

/// With four outputs: 16 sums and 8 nibble registers of the 32 there are.
const WIDE: usize = 4;

#[inline]
#[target_feature(enable = "neon")]
fn zero() -> Register {
    vdupq_n_u8(0)
}

#[inline]
#[target_feature(enable = "neon")]
fn load(lane: &[u8; LANE_BYTES]) -> Register {
    // SAFETY: the load reads LANE_BYTES bytes at any alignment; the reference is to exactly that
    // many initialised bytes, which nobody writes while it lives.
    unsafe { vld1q_u8(lane.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(lane: &mut [u8; LANE_BYTES], register: Register) {
    // SAFETY: the store writes LANE_BYTES bytes at any alignment; the exclusive reference is to
    // exactly that many bytes, and every bit pattern is a valid byte.
    unsafe { vst1q_u8(lane.as_mut_ptr(), register) }
}

#[inline]
#[target_feature(enable = "neon")]
fn xor(left: Register, right: Register) -> Register {
    veorq_u8(left, right)
}

/// The low and the high nibble of every byte, each in a byte of its own.
#[inline]
#[target_feature(enable = "neon")]
fn split(register: Register) -> [Register; 2] {
    [vandq_u8(register, vdupq_n_u8(15)), vshrq_n_u8::<4>(register)]
}

/// The products of the low and of the high nibbles with `factor`.
#[inline]
#[target_feature(enable = "neon")]
fn table(factor: u8) -> [Register; 2] {
    let (halves, _) = NIBBLE_PRODUCTS[usize::from(factor)].as_chunks::<16>();
    [load(&halves[0]), load(&halves[1])]
}

#[inline]
#[target_feature(enable = "neon")]
fn product(table: [Register; 2], nibbles: [Register; 2]) -> Register {
    veorq_u8(vqtbl1q_u8(table[0], nibbles[0]), vqtbl1q_u8(table[1], nibbles[1]))
}
