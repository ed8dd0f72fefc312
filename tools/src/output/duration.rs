//! Durations: `10s`, `500ms`, `2m`, `1h`, `14d`; a bare number is seconds.

use std::fmt;
use std::time::Duration;

/// Why a duration cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationError {
    /// There is no whole number at the front, or it is too large.
    NoNumber,
    /// What follows the number is no known unit.
    UnknownUnit,
}

impl fmt::Display for DurationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoNumber => "a duration begins with a whole number, as in 10s",
            Self::UnknownUnit => "the unit must be one of ms, s, m, h, d",
        })
    }
}

impl std::error::Error for DurationError {}

/// Reads a duration.
///
/// # Errors
///
/// [`DurationError`] says what is wrong with `text`.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let number_length = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(number_length);
    let milliseconds_per_unit = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(DurationError::UnknownUnit),
    };
    let number: u64 = number.parse().map_err(|_error| DurationError::NoNumber)?;
    number.checked_mul(milliseconds_per_unit).map(Duration::from_millis).ok_or(DurationError::NoNumber)
}

/// Prints a duration with three significant digits or so: `850us`, `12.3ms`, `4.20s`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.001 {
        format!("{:.0}us", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.2}ms", seconds * 1e3)
    } else {
        format!("{seconds:.2}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        let cases = [
            ("7", 7_000),
            ("7s", 7_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("14d", 1_209_600_000),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        assert_eq!(parse_duration("s"), Err(DurationError::NoNumber));
        assert_eq!(parse_duration("5 days"), Err(DurationError::UnknownUnit));
        assert_eq!(parse_duration("1.5s"), Err(DurationError::UnknownUnit));
        assert_eq!(parse_duration("18446744073709551615h"), Err(DurationError::NoNumber));
    }

    #[test]
    fn the_unit_follows_the_magnitude() {
        assert_eq!(format_duration(Duration::from_micros(850)), "850us");
        assert_eq!(format_duration(Duration::from_micros(12_340)), "12.34ms");
        assert_eq!(format_duration(Duration::from_millis(4_200)), "4.20s");
    }
}
