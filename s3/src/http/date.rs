//! Dates: IMF-fixdate out, the three HTTP formats in (RFC 9110 section 5.6.7); ISO 8601 for XML and SigV4.
//! jiff knows the calendar, this file only the shapes.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Bytes of `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const HTTP_DATE_BYTES: usize = 29;
/// Bytes of `2009-10-12T17:50:30.000Z`.
pub const ISO_DATE_BYTES: usize = 24;
/// Bytes of `20130524T000000Z`.
pub const AMZ_DATE_BYTES: usize = 16;

const DAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

fn two(number: i8) -> [u8; 2] {
    let number = number.unsigned_abs() % 100;
    let tens = number.div_euclid(10);
    [b'0' + tens, b'0' + (number - tens * 10)]
}

fn four(number: i16) -> [u8; 4] {
    let number = number.unsigned_abs() % 10_000;
    let digit = |power: u16| b'0' + u8::try_from(number.div_euclid(power) % 10).unwrap_or(0);
    [digit(1000), digit(100), digit(10), digit(1)]
}

fn civil(time: Timestamp) -> DateTime {
    TimeZone::UTC.to_datetime(time)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`. Parts of a second are cut off.
#[must_use]
pub fn http_date(time: Timestamp) -> [u8; HTTP_DATE_BYTES] {
    let at = civil(time);
    let day_index = usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or(0);
    let month_index = usize::try_from(at.month() - 1).unwrap_or(0);
    let [w0, w1, w2] = *DAYS.get(day_index).copied().unwrap_or(b"Mon");
    let [n0, n1, n2] = *MONTHS.get(month_index).copied().unwrap_or(b"Jan");
    let ([d0, d1], [y0, y1, y2, y3]) = (two(at.day()), four(at.year()));
    let ([h0, h1], [m0, m1], [s0, s1]) = (two(at.hour()), two(at.minute()), two(at.second()));
    [
        w0, w1, w2, b',', b' ', d0, d1, b' ', n0, n1, n2, b' ', y0, y1, y2, y3, b' ', h0, h1, b':', m0, m1,
        b':', s0, s1, b' ', b'G', b'M', b'T',
    ]
}

/// `1994-11-06T08:49:37.000Z`, whose milliseconds are always zero, so that listings and `Last-Modified` agree.
#[must_use]
pub fn iso_date(time: Timestamp) -> [u8; ISO_DATE_BYTES] {
    let at = civil(time);
    let ([y0, y1, y2, y3], [n0, n1], [d0, d1]) = (four(at.year()), two(at.month()), two(at.day()));
    let ([h0, h1], [m0, m1], [s0, s1]) = (two(at.hour()), two(at.minute()), two(at.second()));
    [
        y0, y1, y2, y3, b'-', n0, n1, b'-', d0, d1, b'T', h0, h1, b':', m0, m1, b':', s0, s1, b'.', b'0',
        b'0', b'0', b'Z',
    ]
}

/// `19941106T084937Z`, as SigV4 writes it; its first eight bytes are the scope's date.
#[must_use]
pub fn amz_date(time: Timestamp) -> [u8; AMZ_DATE_BYTES] {
    let at = civil(time);
    let ([y0, y1, y2, y3], [n0, n1], [d0, d1]) = (four(at.year()), two(at.month()), two(at.day()));
    let ([h0, h1], [m0, m1], [s0, s1]) = (two(at.hour()), two(at.minute()), two(at.second()));
    [y0, y1, y2, y3, n0, n1, d0, d1, b'T', h0, h1, m0, m1, s0, s1, b'Z']
}

/// Reads `19941106T084937Z`.
#[must_use]
pub fn parse_amz_date(text: &[u8]) -> Option<Timestamp> {
    let [y0, y1, y2, y3, m0, m1, d0, d1, b'T', h0, h1, i0, i1, s0, s1, b'Z'] = text else { return None };
    let year = number(&[*y0, *y1, *y2, *y3])?;
    let clock = [number(&[*h0, *h1])?, number(&[*i0, *i1])?, number(&[*s0, *s1])?];
    timestamp(year, number(&[*m0, *m1])?, number(&[*d0, *d1])?, clock)
}

/// Reads any of the three HTTP formats. `None` means that the header is to be ignored.
#[must_use]
pub fn parse_http_date(text: &[u8]) -> Option<Timestamp> {
    let mut words =
        text.trim_ascii().split(|byte| matches!(byte, b' ' | b',' | b'-')).filter(|word| !word.is_empty());
    let _weekday = words.next()?;
    let second = words.next()?;
    let (year, month, day, clock) = if second.first()?.is_ascii_digit() {
        // Sun, 06 Nov 1994 08:49:37 GMT, or Sunday, 06-Nov-94 08:49:37 GMT
        let month = month_number(words.next()?)?;
        let year = words.next()?;
        let clock = words.next()?;
        if words.next()? != b"GMT" {
            return None;
        }
        (full_year(year)?, month, number(second)?, clock)
    } else {
        // Sun Nov  6 08:49:37 1994
        let month = month_number(second)?;
        let day = number(words.next()?)?;
        let clock = words.next()?;
        (full_year(words.next()?)?, month, day, clock)
    };
    if words.next().is_some() {
        return None;
    }
    let [h0, h1, b':', m0, m1, b':', s0, s1] = clock else { return None };
    let clock = [number(&[*h0, *h1])?, number(&[*m0, *m1])?, number(&[*s0, *s1])?];
    timestamp(year, month, day, clock)
}

/// Four digits, or two as RFC 850 wrote them: taken as 1970 to 2069.
fn full_year(digits: &[u8]) -> Option<i16> {
    let year = number(digits)?;
    match digits.len() {
        4 => Some(year),
        2 if year >= 70 => Some(1900 + year),
        2 => Some(2000 + year),
        _ => None,
    }
}

fn month_number(name: &[u8]) -> Option<i16> {
    let index = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    i16::try_from(index + 1).ok()
}

/// One to four digits.
fn number(digits: &[u8]) -> Option<i16> {
    if digits.is_empty() || digits.len() > 4 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number * 10 + i16::from(digit - b'0')))
}

fn timestamp(year: i16, month: i16, day: i16, [hour, minute, second]: [i16; 3]) -> Option<Timestamp> {
    let small = |value: i16| i8::try_from(value).ok();
    // A leap second counts as the second before it, as POSIX has it.
    let second = small(second.min(59)).filter(|_| second <= 60)?;
    let at = DateTime::new(year, small(month)?, small(day)?, small(hour)?, small(minute)?, second, 0).ok()?;
    TimeZone::UTC.to_timestamp(at).ok()
}

#[cfg(test)]
mod tests {
    use super::{amz_date, http_date, iso_date, parse_amz_date, parse_http_date};
    use jiff::Timestamp;
    use proptest::prelude::{prop_assert_eq, proptest};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn rfc_9110_example_in_all_three_formats() {
        let expected = Some(at(784_111_777));
        assert_eq!(parse_http_date(b"Sun, 06 Nov 1994 08:49:37 GMT"), expected);
        assert_eq!(parse_http_date(b"Sunday, 06-Nov-94 08:49:37 GMT"), expected);
        assert_eq!(parse_http_date(b"Sun Nov  6 08:49:37 1994"), expected);
        assert_eq!(&http_date(at(784_111_777)), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&iso_date(at(784_111_777)), b"1994-11-06T08:49:37.000Z");
        assert_eq!(&amz_date(at(784_111_777)), b"19941106T084937Z");
    }

    #[test]
    fn nonsense_is_ignored() {
        for text in [
            "",
            "now",
            "Sun, 06 Nov 1994",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "Sun, 06 Nov 194 08:49:37 GMT",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), None, "{text}");
        }
        for text in ["", "20130524T000000", "20130524 000000Z", "20131324T000000Z", "2013-524T000000Z"] {
            assert_eq!(parse_amz_date(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(second in 0..253_402_300_799i64) {
            prop_assert_eq!(parse_http_date(&http_date(at(second))), Some(at(second)));
            prop_assert_eq!(parse_amz_date(&amz_date(at(second))), Some(at(second)));
        }

        #[test]
        fn any_bytes_give_an_answer(text: Vec<u8>) {
            prop_assert_eq!(parse_amz_date(&text).is_some() && text.len() != 16, false);
            let _ignored = parse_http_date(&text);
        }
    }
}
