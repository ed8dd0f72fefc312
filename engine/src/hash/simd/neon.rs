//! Four lanes in 16-byte registers of 64-bit Arm.

use super::Block;
use std::arch::aarch64::{
    uint32x4_t, vaddq_u32, vandq_u32, vbslq_u32, vdupq_n_u32, veorq_u32, vld1q_u8, vld1q_u32, vmvnq_u32,
    vorrq_u32, vreinterpretq_u8_u32, vreinterpretq_u32_u8, vreinterpretq_u32_u64, vreinterpretq_u64_u32,
    vrev32q_u8, vshlq_n_u32, vshrq_n_u32, vst1q_u32, vtrn1q_u32, vtrn1q_u64, vtrn2q_u32, vtrn2q_u64,
};

compress_in_lanes!(
    #[target_feature(enable = "neon")]
    vreg
);

type Register = uint32x4_t;

/// Lanes of a register.
pub(super) const LANES: usize = 4;

#[inline]
#[target_feature(enable = "neon")]
fn splat(word: u32) -> Register {
    vdupq_n_u32(word)
}

#[inline]
#[target_feature(enable = "neon")]
fn load(words: &[u32; LANES]) -> Register {
    // SAFETY: the load reads four words; the reference is to exactly that many, initialised, which
    // nobody writes while it lives.
    unsafe { vld1q_u32(words.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(words: &mut [u32; LANES], register: Register) {
    // SAFETY: the store writes four words; the exclusive reference is to exactly that many, and every
    // bit pattern is a valid word.
    unsafe { vst1q_u32(words.as_mut_ptr(), register) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_quarter(quarter: &[u8; 16]) -> Register {
    // SAFETY: the load reads 16 bytes at any alignment; the reference is to exactly that many
    // initialised bytes, which nobody writes while it lives.
    let bytes = unsafe { vld1q_u8(quarter.as_ptr()) };
    vreinterpretq_u32_u8(bytes)
}

#[inline]
#[target_feature(enable = "neon")]
fn add(left: Register, right: Register) -> Register {
    vaddq_u32(left, right)
}

/// To the left by `LEFT`, which is 32 less `RIGHT`.
#[inline]
#[target_feature(enable = "neon")]
fn rotate<const LEFT: i32, const RIGHT: i32>(register: Register) -> Register {
    const { assert!(LEFT + RIGHT == 32, "a rotation moves every bit") };
    vorrq_u32(vshlq_n_u32::<LEFT>(register), vshrq_n_u32::<RIGHT>(register))
}

#[inline]
#[target_feature(enable = "neon")]
fn shift<const RIGHT: i32>(register: Register) -> Register {
    vshrq_n_u32::<RIGHT>(register)
}

#[inline]
#[target_feature(enable = "neon")]
fn xor3(x: Register, y: Register, z: Register) -> Register {
    veorq_u32(x, veorq_u32(y, z))
}

/// The bits of `y` where `x` is set, those of `z` elsewhere.
#[inline]
#[target_feature(enable = "neon")]
fn choose(x: Register, y: Register, z: Register) -> Register {
    vbslq_u32(x, y, z)
}

/// `y ^ (x | !z)`
#[inline]
#[target_feature(enable = "neon")]
fn fold(x: Register, y: Register, z: Register) -> Register {
    veorq_u32(y, vorrq_u32(x, vmvnq_u32(z)))
}

#[inline]
#[target_feature(enable = "neon")]
fn majority(x: Register, y: Register, z: Register) -> Register {
    vorrq_u32(vandq_u32(x, y), vandq_u32(z, vorrq_u32(x, y)))
}

/// Between the two byte orders, in every word.
#[inline]
#[target_feature(enable = "neon")]
fn swap_bytes(register: Register) -> Register {
    vreinterpretq_u32_u8(vrev32q_u8(vreinterpretq_u8_u32(register)))
}

/// The sixteen words of every lane's block at `at`: four 4 × 4 transpositions.
#[inline]
#[target_feature(enable = "neon")]
fn words(lanes: &[&[Block]; LANES], at: usize) -> [Register; 16] {
    let mut words = [splat(0); 16];
    for (index, words) in words.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let mut rows = [splat(0); LANES];
        for (row, blocks) in rows.iter_mut().zip(lanes) {
            *row = load_quarter(&blocks[at].as_chunks::<16>().0[index]);
        }
        *words = transpose(rows);
    }
    words
}

#[inline]
#[target_feature(enable = "neon")]
fn transpose(rows: [Register; 4]) -> [Register; 4] {
    let [a, b, c, d] = rows;
    let (even_ab, odd_ab) =
        (vreinterpretq_u64_u32(vtrn1q_u32(a, b)), vreinterpretq_u64_u32(vtrn2q_u32(a, b)));
    let (even_cd, odd_cd) =
        (vreinterpretq_u64_u32(vtrn1q_u32(c, d)), vreinterpretq_u64_u32(vtrn2q_u32(c, d)));
    [
        vreinterpretq_u32_u64(vtrn1q_u64(even_ab, even_cd)),
        vreinterpretq_u32_u64(vtrn1q_u64(odd_ab, odd_cd)),
        vreinterpretq_u32_u64(vtrn2q_u64(even_ab, even_cd)),
        vreinterpretq_u32_u64(vtrn2q_u64(odd_ab, odd_cd)),
    ]
}
