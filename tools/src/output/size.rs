//! Sizes in bytes: `4KiB`, `64 MiB`, `1.5GB`, `512`.

use std::fmt;

/// Suffixes and what they multiply by. Binary ones come first, so that `K` alone is never read as 1000.
const UNITS: [(&str, u64); 14] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("T", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// Why a size cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeError {
    /// There is no number at the front.
    NoNumber,
    /// What follows the number is no known unit.
    UnknownUnit,
    /// It does not come to a whole number of bytes.
    Fraction,
    /// It does not fit in 64 bits.
    TooLarge,
}

impl fmt::Display for SizeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoNumber => "a size begins with a number, as in 4KiB",
            Self::UnknownUnit => "the unit must be one of B, KiB, MiB, GiB, TiB, PiB, KB, MB, GB, TB",
            Self::Fraction => "the size is not a whole number of bytes",
            Self::TooLarge => "the size does not fit in 64 bits",
        })
    }
}

impl std::error::Error for SizeError {}

/// Reads a size in bytes. Units are matched without regard to case; a bare `K`, `M`, `G` or `T` is binary.
///
/// # Errors
///
/// [`SizeError`] says what is wrong with `text`.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    let number_length = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_length);
    let factor = factor(unit.trim())?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') {
        return Err(SizeError::NoNumber);
    }
    let too_large = |_: std::num::ParseIntError| SizeError::TooLarge;
    let whole: u64 = whole.parse().map_err(too_large)?;
    let bytes = whole.checked_mul(factor).ok_or(SizeError::TooLarge)?;
    bytes.checked_add(fraction_bytes(fraction, factor)?).ok_or(SizeError::TooLarge)
}

fn factor(unit: &str) -> Result<u64, SizeError> {
    if unit.is_empty() {
        return Ok(1);
    }
    let known = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    known.map(|(_, factor)| *factor).ok_or(SizeError::UnknownUnit)
}

/// Bytes that the digits after the point stand for, which must be a whole number.
fn fraction_bytes(fraction: &str, factor: u64) -> Result<u64, SizeError> {
    if fraction.is_empty() {
        return Ok(0);
    }
    // More digits than this cannot come to whole bytes of any unit, once trailing zeros are gone.
    let digits = fraction.trim_end_matches('0');
    if digits.len() > 18 {
        return Err(SizeError::Fraction);
    }
    let scale = (0..digits.len()).fold(1_u128, |scale, _| scale * 10);
    let value: u128 =
        if digits.is_empty() { 0 } else { digits.parse().map_err(|_error| SizeError::NoNumber)? };
    let scaled = value * u128::from(factor);
    let bytes = scaled.checked_div(scale).unwrap_or(0);
    if bytes * scale != scaled {
        return Err(SizeError::Fraction);
    }
    u64::try_from(bytes).map_err(|_error| SizeError::TooLarge)
}

/// Prints a size with the largest binary unit that keeps it at least 1: exactly where it is a whole number of that
/// unit (`4KiB`), with two digits after the point elsewhere (`1.50MiB`).
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let binary = UNITS.iter().take(5).rev();
    let Some((name, factor)) = binary.into_iter().find(|(_, factor)| bytes >= *factor) else {
        return format!("{bytes}B");
    };
    if bytes.is_multiple_of(*factor) {
        return format!("{}{name}", bytes.checked_div(*factor).unwrap_or(0));
    }
    format!("{:.2}{name}", bytes as f64 / *factor as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_spelling() {
        let cases = [
            ("0", 0),
            ("512", 512),
            ("4KiB", 4096),
            ("4k", 4096),
            (" 4 kib ", 4096),
            ("64 MiB", 64 << 20),
            ("1.5kb", 1500),
            ("5GB", 5_000_000_000),
            ("1.5KiB", 1536),
            ("0.5B", u64::MAX),
            ("1.50KB", 1500),
            ("2.0", 2),
        ];
        for (text, bytes) in cases {
            let expected = if bytes == u64::MAX { Err(SizeError::Fraction) } else { Ok(bytes) };
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_its_reason() {
        let cases = [
            ("", SizeError::NoNumber),
            ("KiB", SizeError::NoNumber),
            ("-1", SizeError::UnknownUnit),
            ("1.2.3", SizeError::NoNumber),
            ("4 parsecs", SizeError::UnknownUnit),
            ("99999999999999999999", SizeError::TooLarge),
            ("20000PiB", SizeError::TooLarge),
            ("1.0000000000000000001KiB", SizeError::Fraction),
        ];
        for (text, error) in cases {
            assert_eq!(parse_size(text), Err(error), "{text}");
        }
    }

    #[test]
    fn what_is_printed_exactly_reads_back() {
        for bytes in [0, 1, 1023, 1024, 4096, 1 << 20, 3 << 30, 1 << 50] {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
        assert_eq!(format_size(1536 << 10), "1.50MiB");
    }

    #[test]
    fn the_largest_unit_that_keeps_it_whole_is_printed() {
        assert_eq!(format_size(4096), "4KiB");
        assert_eq!(format_size(1000), "1000B");
    }
}
