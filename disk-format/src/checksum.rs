//! CRC32C (Castagnoli, RFC 3720 appendix B.4): the checksum of every structure and payload on disk.
//! Chosen because every CPU we run on computes it in hardware; it finds errors, it does not stop forgers.

use crc_fast::CrcAlgorithm;

/// CRC32C of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    narrow(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes))
}

/// CRC32C of the bytes that gave `crc`, followed by `bytes`.
#[must_use]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    // The register holds the complement of the value that is shown.
    let mut digest = crc_fast::Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!crc));
    digest.update(bytes);
    narrow(digest.finalize())
}

/// CRC32C of the bytes that gave `front`, followed by the `back_bytes` bytes that gave `back`: what follows a byte
/// multiplies its part by x^8, modulo the polynomial (as `crc32_combine` of zlib does it).
#[must_use]
pub fn crc32c_combine(front: u32, back: u32, back_bytes: u64) -> u32 {
    multiply(front, power_of_x(back_bytes)) ^ back
}

/// The polynomial, lowest power first: the highest bit of a word is its x^0.
const POLYNOMIAL: u32 = 0x82f6_3b78;
const ONE: u32 = 1 << 31;
/// x^(8 << i).
const SQUARES: [u32; 64] = {
    let mut squares = [ONE >> 8; 64];
    let mut index = 1;
    while index < squares.len() {
        squares[index] = multiply(squares[index - 1], squares[index - 1]);
        index += 1;
    }
    squares
};

/// x^(8 `bytes`).
fn power_of_x(bytes: u64) -> u32 {
    let mut power = ONE;
    let mut rest = bytes;
    while rest != 0 {
        power = multiply(power, SQUARES[rest.trailing_zeros() as usize]);
        rest &= rest - 1;
    }
    power
}

const fn multiply(left: u32, right: u32) -> u32 {
    let mut product = 0;
    let mut shifted = right;
    let mut bit = ONE;
    while bit != 0 {
        product ^= shifted & (0_u32.wrapping_sub((left & bit != 0) as u32));
        shifted = (shifted >> 1) ^ (POLYNOMIAL & 0_u32.wrapping_sub(shifted & 1));
        bit >>= 1;
    }
    product
}

/// The library gives every width as 64 bits.
fn narrow(crc: u64) -> u32 {
    let Ok(crc) = u32::try_from(crc) else { unreachable!("a CRC32C has 32 bits") };
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_rfc_3720_vectors() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c_append(crc32c(b"1234"), b"56789"), 0xe306_9283);
    }

    proptest::proptest! {
        /// Bit by bit the same as another library, whatever the length and wherever the cut.
        #[test]
        fn agrees_with_another_implementation(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..3000),
            cut in 0..3000usize,
        ) {
            let expected = ::crc32c::crc32c(&bytes);
            proptest::prop_assert_eq!(crc32c(&bytes), expected);
            let (front, back) = bytes.split_at(cut.min(bytes.len()));
            proptest::prop_assert_eq!(crc32c_append(crc32c(front), back), expected);
            let combined = crc32c_combine(crc32c(front), crc32c(back), back.len() as u64);
            proptest::prop_assert_eq!(combined, expected);
        }
    }

    #[test]
    fn agrees_over_large_blocks() {
        let bytes: Vec<u8> = (0..=250_u8).cycle().take(200_003).collect();
        for length in [65_535, 65_536, 200_003] {
            assert_eq!(crc32c(&bytes[..length]), ::crc32c::crc32c(&bytes[..length]));
        }
    }
}
