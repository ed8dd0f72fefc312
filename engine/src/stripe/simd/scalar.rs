//! The reference: table look-ups, one byte at a time, no special instructions.

use std::ops::Range;

use super::Factors;
use crate::stripe::field::NIBBLE_PRODUCTS;

/// Writes the given bytes of every output.
pub(super) fn sum(factors: Factors<'_>, inputs: &[&[u8]], outputs: &mut [&mut [u8]], bytes: Range<usize>) {
    for (row, output) in outputs.iter_mut().enumerate() {
        let output = &mut output[bytes.clone()];
        output.fill(0);
        for (input, &factor) in inputs.iter().zip(factors.row(row, inputs.len())) {
            let (low, high) = NIBBLE_PRODUCTS[usize::from(factor)].split_at(16);
            for (sum, &byte) in output.iter_mut().zip(&input[bytes.clone()]) {
                *sum ^= low[usize::from(byte & 15)] ^ high[usize::from(byte >> 4)];
            }
        }
    }
}
