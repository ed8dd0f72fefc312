//! Percent encoding, as S3 reads it and as SigV4 writes it (AWS page "Create a signed AWS API request",
//! function `UriEncode`).

use percent_encoding::percent_decode;
use std::borrow::Cow;

/// What `+` stands for when read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plus {
    /// Itself, as in paths.
    Literal,
    /// A space, as in query strings.
    Space,
}

/// Unescapes. `%` that no two hex digits follow stands for itself, as AWS reads it. Borrows if nothing is escaped.
#[must_use]
pub fn decode(raw: &[u8], plus: Plus) -> Cow<'_, [u8]> {
    if plus == Plus::Space && raw.contains(&b'+') {
        let spaced: Vec<u8> = raw.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
        return Cow::Owned(percent_decode(&spaced).collect());
    }
    percent_decode(raw).into()
}

/// The first byte that a raw path stands for, whether it was escaped, and what follows. For canonical paths, where
/// an escaped slash is not a plain one.
pub(crate) fn next_byte(raw: &[u8]) -> Option<(u8, bool, &[u8])> {
    let (&first, tail) = raw.split_first()?;
    if first == b'%'
        && let [high, low, after @ ..] = tail
        && let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low))
    {
        return Some((high << 4 | low, true, after));
    }
    Some((first, false, tail))
}

/// RFC 3986 unreserved: what SigV4 leaves as it is.
#[must_use]
pub const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `%XX` with upper-case digits.
#[must_use]
pub fn escape(byte: u8) -> [u8; 3] {
    let digit = |value: u8| HEX_DIGITS.get(usize::from(value & 0xf)).copied().unwrap_or(b'0');
    [b'%', digit(byte >> 4), digit(byte)]
}

const HEX_DIGITS: &[u8; 16] = b"0123456789ABCDEF";

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Plus, decode, escape};
    use std::borrow::Cow;

    #[test]
    fn decoding() {
        assert!(matches!(decode(b"a+b", Plus::Literal), Cow::Borrowed(b"a+b")));
        assert_eq!(decode(b"a+b%2B", Plus::Space).as_ref(), b"a b+");
        assert_eq!(decode(b"%2f%C3%bc%00", Plus::Literal).as_ref(), b"/\xc3\xbc\0");
        assert_eq!(decode(b"100%", Plus::Literal).as_ref(), b"100%");
        assert_eq!(decode(b"%2", Plus::Literal).as_ref(), b"%2");
        assert_eq!(decode(b"%zz%41", Plus::Literal).as_ref(), b"%zzA");
        assert_eq!(decode(b"%2541", Plus::Literal).as_ref(), b"%41");
    }

    #[test]
    fn escaping_uses_upper_case() {
        assert_eq!(&escape(0xab), b"%AB");
        assert_eq!(&escape(b' '), b"%20");
    }
}
