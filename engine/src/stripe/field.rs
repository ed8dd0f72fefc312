//! Arithmetic of GF(2^8) with polynomial x^8 + x^4 + x^3 + x^2 + 1 (`0x11D`),
//! and the same multiplication as tables for the processor's instructions.
//!
//! The polynomial is the usual one of storage codes (H. P. Anvin, "The
//! mathematics of RAID-6", 2004). It is not the one of AES (`0x11B`), so the
//! multiply instruction of GFNI is of no use here; its affine instruction is.

/// The polynomial without its x^8 term: what overflows is reduced by this.
const REDUCTION: u8 = 0x1D;

/// For every coefficient `c`: `c * n` for the low nibbles n = 0..16, then
/// `c * (n << 4)` for the high ones. A product is the XOR of one entry of each
/// half, and each half fits a byte shuffle of 16 entries.
pub(super) static NIBBLE_PRODUCTS: [[u8; 32]; 256] = {
    let mut tables = [[0; 32]; 256];
    let mut coefficient: u8 = 0;
    loop {
        let table = &mut tables[coefficient as usize];
        let mut nibble: u8 = 0;
        while nibble < 16 {
            table[nibble as usize] = multiply_bitwise(coefficient, nibble);
            table[nibble as usize + 16] = multiply_bitwise(coefficient, nibble << 4);
            nibble += 1;
        }
        if coefficient == u8::MAX {
            break;
        }
        coefficient += 1;
    }
    tables
};

/// For every coefficient: its multiplication as the 8 × 8 bit matrix that
/// `gf2p8affineqb` takes. Byte 7 − i of the word says which bits of the input
/// add up to bit i of the product (Intel SDM volume 2, `GF2P8AFFINEQB`).
#[cfg(any(target_arch = "x86_64", test))]
pub(super) static AFFINE_MATRICES: [u64; 256] = {
    let mut matrices = [0; 256];
    let mut coefficient: u8 = 0;
    loop {
        let mut input_bit = 0;
        while input_bit < 8 {
            let column = multiply_bitwise(coefficient, 1 << input_bit);
            let mut output_bit = 0;
            while output_bit < 8 {
                if column >> output_bit & 1 == 1 {
                    matrices[coefficient as usize] |= 1 << (8 * (7 - output_bit) + input_bit);
                }
                output_bit += 1;
            }
            input_bit += 1;
        }
        if coefficient == u8::MAX {
            break;
        }
        coefficient += 1;
    }
    matrices
};

/// The product of two field elements.
pub(super) fn multiply(left: u8, right: u8) -> u8 {
    let table = &NIBBLE_PRODUCTS[usize::from(left)];
    table[usize::from(right & 15)] ^ table[usize::from(right >> 4) + 16]
}

/// The element whose product with `value` is 1. `value` must not be 0.
pub(super) fn inverse(value: u8) -> u8 {
    assert!(value != 0, "zero has no inverse");
    // The multiplicative group has 255 elements, so value^254 is the inverse.
    (0..254).fold(1, |power, _| multiply(power, value))
}

/// Multiplication by the definition: shift, reduce, add. Slow; it makes the
/// tables and checks everything else in tests.
pub(super) const fn multiply_bitwise(left: u8, right: u8) -> u8 {
    let mut product = 0;
    let mut shifted = left;
    let mut bits = right;
    while bits != 0 {
        if bits & 1 == 1 {
            product ^= shifted;
        }
        let overflows = shifted & 0x80 != 0;
        shifted <<= 1;
        if overflows {
            shifted ^= REDUCTION;
        }
        bits >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `gf2p8affineqb` for one byte, as Intel's manual states it.
    fn affine_by_the_manual(matrix: u64, input: u8) -> u8 {
        let rows = matrix.to_le_bytes();
        (0..8).fold(0, |output, bit| {
            let parity = (rows[7 - bit] & input).count_ones() & 1;
            output | u8::from(parity == 1) << bit
        })
    }

    #[test]
    fn tables_agree_with_the_definition_for_every_pair() {
        for left in 0..=u8::MAX {
            for right in 0..=u8::MAX {
                let product = multiply_bitwise(left, right);
                assert_eq!(multiply(left, right), product, "{left} * {right}");
                let matrix = AFFINE_MATRICES[usize::from(left)];
                assert_eq!(affine_by_the_manual(matrix, right), product, "{left} * {right}");
            }
        }
    }

    #[test]
    fn multiplication_is_the_known_one() {
        // 2^8 reduces to the polynomial's tail; 2 generates the whole group.
        assert_eq!(multiply(0x80, 2), 0x1D);
        let mut seen = [false; 256];
        let mut power = 1;
        for _ in 0..255 {
            assert!(!seen[usize::from(power)]);
            seen[usize::from(power)] = true;
            power = multiply(power, 2);
        }
        assert_eq!(power, 1);
    }

    #[test]
    fn every_element_has_its_inverse() {
        for value in 1..=u8::MAX {
            assert_eq!(multiply(value, inverse(value)), 1);
        }
    }
}
