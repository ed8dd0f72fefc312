//! Sums of chunks over GF(2^8), in the widest registers the processor has.
//!
//! One operation serves encoding, decoding and XOR: every output chunk is a sum
//! of the input chunks, each multiplied by one coefficient. A kernel keeps the
//! running sums of up to four outputs in registers while it goes once through
//! the inputs, so each input byte is loaded once for four outputs.
//!
//! [`scalar`] is the reference; tests compare every kernel with it. A kernel
//! only handles whole blocks of [`BLOCK_BYTES`]; the rest of a chunk is always
//! scalar.
//!
//! How the kernels multiply by a constant:
//!
//! - shuffle kernels look up both nibbles of each byte in a table of 16 products
//!   (J. Plank, K. Greenan, E. Miller, "Screaming fast Galois field arithmetic
//!   using Intel SIMD instructions", FAST 2013);
//! - GFNI kernels apply the multiplication as an 8 × 8 bit matrix.

use std::ops::Range;

/// Loops shared by all vector kernels. The including file provides, for its
/// register type, `LANE_BYTES`, `WIDE` (registers of one output summed at a
/// time) and the functions `zero`, `load`, `store`, `xor`, `split`, `table` and
/// `product`, all with the target features named in the argument.
macro_rules! sum_with_registers {
    ($features:literal) => {
        /// Registers in one block.
        const LANES_PER_BLOCK: usize = $crate::stripe::simd::BLOCK_BYTES.div_ceil(LANE_BYTES);

        /// Writes the given blocks of up to four outputs.
        #[target_feature(enable = $features)]
        pub(super) fn sum(
            factors: Factors<'_>,
            inputs: &[&[u8]],
            outputs: &mut [&mut [u8]],
            blocks: Range<usize>,
        ) {
            let lanes = blocks.start * LANES_PER_BLOCK..blocks.end * LANES_PER_BLOCK;
            let first_is_xor = factors.row(0, inputs.len()).iter().all(|&factor| factor == 1);
            match (outputs, first_is_xor) {
                ([a], true) => sum_rows::<1, true>(factors, inputs, [a], lanes),
                ([a], false) => sum_rows::<1, false>(factors, inputs, [a], lanes),
                ([a, b], true) => sum_rows::<2, true>(factors, inputs, [a, b], lanes),
                ([a, b], false) => sum_rows::<2, false>(factors, inputs, [a, b], lanes),
                ([a, b, c], true) => sum_rows::<3, true>(factors, inputs, [a, b, c], lanes),
                ([a, b, c], false) => sum_rows::<3, false>(factors, inputs, [a, b, c], lanes),
                ([a, b, c, d], true) => sum_rows::<4, true>(factors, inputs, [a, b, c, d], lanes),
                ([a, b, c, d], false) => sum_rows::<4, false>(factors, inputs, [a, b, c, d], lanes),
                (other, _) => unreachable!("a kernel sums 1 to 4 outputs, not {}", other.len()),
            }
        }

        /// `R` outputs, wide steps first, then single registers.
        #[target_feature(enable = $features)]
        fn sum_rows<const R: usize, const FIRST_IS_XOR: bool>(
            factors: Factors<'_>,
            inputs: &[&[u8]],
            outputs: [&mut [u8]; R],
            lanes: Range<usize>,
        ) {
            let mut next = 0;
            let rows: [&[u8]; R] = std::array::from_fn(|row| factors.row(row, inputs.len()));
            let mut outputs =
                outputs.map(|output| &mut output.as_chunks_mut::<LANE_BYTES>().0[lanes.clone()]);
            while next + WIDE <= lanes.len() {
                let first = lanes.start + next;
                let sums = sum_lanes::<R, WIDE, FIRST_IS_XOR>(rows, inputs, first);
                for (output, sums) in outputs.iter_mut().zip(sums) {
                    for (lane, sum) in output[next..next + WIDE].iter_mut().zip(sums) {
                        store(lane, sum);
                    }
                }
                next += WIDE;
            }
            while next < lanes.len() {
                let first = lanes.start + next;
                let sums = sum_lanes::<R, 1, FIRST_IS_XOR>(rows, inputs, first);
                for (output, [sum]) in outputs.iter_mut().zip(sums) {
                    store(&mut output[next], sum);
                }
                next += 1;
            }
        }

        /// The sums of `W` registers' worth of every input, for `R` outputs.
        #[inline]
        #[target_feature(enable = $features)]
        fn sum_lanes<const R: usize, const W: usize, const FIRST_IS_XOR: bool>(
            rows: [&[u8]; R],
            inputs: &[&[u8]],
            first: usize,
        ) -> [[Register; W]; R] {
            let mut sums = [[zero(); W]; R];
            for (index, input) in inputs.iter().enumerate() {
                let lanes = &input.as_chunks::<LANE_BYTES>().0[first..first + W];
                let mut loaded = [zero(); W];
                for (register, lane) in loaded.iter_mut().zip(lanes) {
                    *register = load(lane);
                }
                for (row, (factors, sums)) in rows.iter().zip(&mut sums).enumerate() {
                    if FIRST_IS_XOR && row == 0 {
                        for (sum, register) in sums.iter_mut().zip(loaded) {
                            *sum = xor(*sum, register);
                        }
                    } else {
                        let table = table(factors[index]);
                        for (sum, register) in sums.iter_mut().zip(loaded) {
                            *sum = xor(*sum, product(table, split(register)));
                        }
                    }
                }
            }
            sums
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx2;

#[cfg(target_arch = "x86_64")]
mod avx2_gfni;

#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(target_arch = "x86_64")]
mod avx512_gfni;

#[cfg(target_arch = "aarch64")]
mod neon;

mod scalar;

#[cfg(target_arch = "x86_64")]
mod ssse3;

/// What vector kernels work on: a multiple of every register's width.
const BLOCK_BYTES: usize = 64;

/// Chunks are gone through in windows of this many blocks (16 KiB of each), so
/// that with more than four outputs the inputs are still in the second-level
/// cache when the next four come to read them.
const WINDOW_BLOCKS: usize = 256;

/// Most outputs a kernel sums in one pass.
const GROUP_OUTPUT_COUNT: usize = 4;

/// The coefficients of a sum: one row for each output, one entry for each input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors<'a> {
    coefficients: &'a [u8],
    stride: usize,
}

impl<'a> Factors<'a> {
    /// Rows of `stride` coefficients; a sum of fewer inputs uses the first of
    /// each row.
    pub(super) fn new(coefficients: &'a [u8], stride: usize) -> Factors<'a> {
        Factors { coefficients, stride }
    }

    fn row(&self, row: usize, input_count: usize) -> &'a [u8] {
        &self.coefficients[row * self.stride..][..input_count]
    }

    fn skip_rows(self, count: usize) -> Factors<'a> {
        Factors { coefficients: &self.coefficients[count * self.stride..], ..self }
    }
}

/// A set of instructions for the erasure maths, known to work here.
///
/// INVARIANT: a `Kernel` is made only by `Kernel::if_supported`, so its
/// existence proves that this processor has the instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    kind: Kind,
}

/// Every kernel of every processor, slowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Ssse3,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2Gfni,
    #[cfg(target_arch = "x86_64")]
    Avx512Gfni,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

const KINDS: &[Kind] = &[
    Kind::Scalar,
    #[cfg(target_arch = "x86_64")]
    Kind::Ssse3,
    #[cfg(target_arch = "x86_64")]
    Kind::Avx2,
    #[cfg(target_arch = "x86_64")]
    Kind::Avx512,
    #[cfg(target_arch = "x86_64")]
    Kind::Avx2Gfni,
    #[cfg(target_arch = "x86_64")]
    Kind::Avx512Gfni,
    #[cfg(target_arch = "aarch64")]
    Kind::Neon,
];

impl Kernel {
    /// The fastest kernel this processor can run.
    pub fn best() -> Kernel {
        Kernel::all().last().unwrap_or(Kernel { kind: Kind::Scalar })
    }

    /// Every kernel this processor can run, slowest first.
    #[doc(hidden)]
    pub fn all() -> impl Iterator<Item = Kernel> {
        KINDS.iter().filter_map(|&kind| Kernel::if_supported(kind))
    }

    /// What diagnostics call this kernel.
    pub fn name(self) -> &'static str {
        match self.kind {
            Kind::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Kind::Ssse3 => "ssse3",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2Gfni => "avx2+gfni",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Gfni => "avx512+gfni",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
        }
    }

    fn if_supported(kind: Kind) -> Option<Kernel> {
        let supported = match kind {
            Kind::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Kind::Ssse3 => is_x86_feature_detected!("ssse3"),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw"),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2Gfni => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("gfni"),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Gfni => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("gfni"),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => std::arch::is_aarch64_feature_detected!("neon"),
        };
        supported.then_some(Kernel { kind })
    }

    /// Writes to each output the sum of all inputs, each multiplied by its
    /// coefficient in the output's row. Without inputs the sum is zero.
    ///
    /// All chunks must have one length, and there must be a coefficient for
    /// each input of each output; anything else is a programming error.
    pub(super) fn sum(self, factors: Factors<'_>, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        let Some(length) = outputs.first().map(|output| output.len()) else { return };
        assert!(inputs.iter().all(|input| input.len() == length), "inputs of one length");
        assert!(outputs.iter().all(|output| output.len() == length), "outputs of one length");
        assert!(inputs.len() <= factors.stride, "a coefficient for every input");
        assert!(factors.coefficients.len() >= outputs.len() * factors.stride, "a row each");

        let block_count = length >> BLOCK_BYTES.trailing_zeros();
        for first in (0..block_count).step_by(WINDOW_BLOCKS) {
            let blocks = first..block_count.min(first + WINDOW_BLOCKS);
            let mut rest = factors;
            for group in outputs.chunks_mut(GROUP_OUTPUT_COUNT) {
                self.sum_blocks(rest, inputs, group, blocks.clone());
                rest = rest.skip_rows(group.len());
            }
        }
        scalar::sum(factors, inputs, outputs, block_count * BLOCK_BYTES..length);
    }

    /// The given blocks of up to four outputs.
    fn sum_blocks(
        self,
        factors: Factors<'_>,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
        blocks: Range<usize>,
    ) {
        match self.kind {
            Kind::Scalar => {
                let bytes = blocks.start * BLOCK_BYTES..blocks.end * BLOCK_BYTES;
                scalar::sum(factors, inputs, outputs, bytes);
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Ssse3 => {
                // SAFETY: the function is safe where the processor has SSSE3; this `Kernel`
                // proves that, by its invariant.
                unsafe { ssse3::sum(factors, inputs, outputs, blocks) }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => {
                // SAFETY: the function is safe where the processor has AVX2; this `Kernel`
                // proves that, by its invariant.
                unsafe { avx2::sum(factors, inputs, outputs, blocks) }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => {
                // SAFETY: the function is safe where the processor has AVX-512F and AVX-512BW;
                // this `Kernel` proves both, by its invariant.
                unsafe { avx512::sum(factors, inputs, outputs, blocks) }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2Gfni => {
                // SAFETY: the function is safe where the processor has AVX2 and GFNI; this
                // `Kernel` proves both, by its invariant.
                unsafe { avx2_gfni::sum(factors, inputs, outputs, blocks) }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Gfni => {
                // SAFETY: the function is safe where the processor has AVX-512F and GFNI; this
                // `Kernel` proves both, by its invariant.
                unsafe { avx512_gfni::sum(factors, inputs, outputs, blocks) }
            }
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => {
                // SAFETY: the function is safe where the processor has NEON; this `Kernel`
                // proves that, by its invariant.
                unsafe { neon::sum(factors, inputs, outputs, blocks) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};
    use proptest::prop_assert_eq;
    use proptest::test_runner::Config;

    use super::super::field::multiply_bitwise;
    use super::*;

    /// Bytes without a pattern that a wrong lane order could hide in.
    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2).wrapping_add(0x9E37_79B9_7F4A_7C15);
        (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_le_bytes()[7]
            })
            .collect()
    }

    fn sum_with(
        kernel: Kernel,
        factors: &[u8],
        inputs: &[&[u8]],
        (output_count, length, offset): (usize, usize, usize),
    ) -> Vec<Vec<u8>> {
        let mut buffers = vec![vec![0xEE; length + offset]; output_count];
        let mut outputs: Vec<&mut [u8]> = buffers.iter_mut().map(|buffer| &mut buffer[offset..]).collect();
        kernel.sum(Factors::new(factors, inputs.len()), inputs, &mut outputs);
        for buffer in &mut buffers {
            let before: Vec<u8> = buffer.drain(..offset).collect();
            assert!(before.iter().all(|&byte| byte == 0xEE), "bytes outside the output changed");
        }
        buffers
    }

    #[test]
    fn the_best_kernel_is_one_of_those_that_work_here() {
        let names: Vec<&str> = Kernel::all().map(Kernel::name).collect();
        assert_eq!(names.first(), Some(&"scalar"));
        assert_eq!(names.last(), Some(&Kernel::best().name()));
    }

    #[test]
    fn every_kernel_multiplies_every_pair_as_defined() {
        let input: Vec<u8> = (0..=u8::MAX).collect();
        for kernel in Kernel::all() {
            for factor in 0..=u8::MAX {
                let expected: Vec<u8> = input.iter().map(|&byte| multiply_bitwise(byte, factor)).collect();
                let found = sum_with(kernel, &[factor], &[&input], (1, 256, 0));
                assert_eq!(found[0], expected, "{} times {factor}", kernel.name());
            }
        }
    }

    #[test]
    fn every_kernel_agrees_with_the_reference_across_windows() {
        // More than one window, a lone block after it, and a tail after that.
        let length = (WINDOW_BLOCKS + 1) * BLOCK_BYTES + 37;
        let storage: Vec<Vec<u8>> = (0..5).map(|seed| noise(length, seed)).collect();
        let inputs: Vec<&[u8]> = storage.iter().map(Vec::as_slice).collect();
        let factors = noise(5 * 6, 99);
        let scalar = Kernel { kind: Kind::Scalar };
        let expected = sum_with(scalar, &factors, &inputs, (6, length, 0));
        for kernel in Kernel::all() {
            let found = sum_with(kernel, &factors, &inputs, (6, length, 0));
            assert!(found == expected, "{} differs from scalar", kernel.name());
        }
    }

    #[test]
    fn without_inputs_the_sum_is_zero() {
        for kernel in Kernel::all() {
            let found = sum_with(kernel, &[], &[], (2, 100, 3));
            assert_eq!(found, vec![vec![0; 100]; 2], "{}", kernel.name());
        }
    }

    #[test]
    #[should_panic(expected = "inputs of one length")]
    fn inputs_of_different_lengths_are_a_programming_error() {
        let _ignored = sum_with(Kernel::best(), &[1, 1], &[&[1, 2], &[1]], (1, 2, 0));
    }

    proptest! {
        #![proptest_config(Config { cases: 300, failure_persistence: None, ..Config::default() })]

        #[test]
        fn every_kernel_agrees_with_the_reference(
            length in 0usize..1500,
            input_offset in 0usize..64,
            output_offset in 0usize..64,
            (input_count, output_count) in (1usize..9, 1usize..8),
            seed in any::<u64>(),
            ones in prop::bool::ANY,
        ) {
            let storage: Vec<Vec<u8>> = (0..input_count)
                .map(|index| noise(length + input_offset, seed ^ index as u64))
                .collect();
            let inputs: Vec<&[u8]> =
                storage.iter().map(|bytes| &bytes[input_offset..]).collect();
            let mut factors = noise(input_count * output_count, seed ^ 0xFF);
            if ones {
                factors[..input_count].fill(1);
            }
            let shape = (output_count, length, output_offset);
            let expected: Vec<Vec<u8>> = (0..output_count).map(|row| {
                (0..length).map(|byte| {
                    inputs.iter().enumerate().fold(0, |sum, (column, input)| {
                        sum ^ multiply_bitwise(input[byte], factors[row * input_count + column])
                    })
                }).collect()
            }).collect();
            for kernel in Kernel::all() {
                let found = sum_with(kernel, &factors, &inputs, shape);
                prop_assert_eq!(&found, &expected, "{}", kernel.name());
            }
        }
    }
}
