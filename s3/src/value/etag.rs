//! Entity tags as S3 makes them: the MD5 of a body, or the MD5 of the parts' MD5s with `-N`.

use crate::value::part_number::PartNumber;
use arrayvec::ArrayString;
use core::fmt::Write;

/// Bytes of the longest tag: 32 hex digits, `-`, five digits.
pub const ETAG_BYTES_MAX: usize = 38;

/// A strong entity tag, without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ETag {
    md5: [u8; 16],
    part_count: Option<PartNumber>,
}

impl ETag {
    /// The tag of a body that was sent in one piece.
    #[must_use]
    pub const fn of_md5(md5: [u8; 16]) -> Self {
        Self { md5, part_count: None }
    }

    /// The tag of a body that was put together from parts.
    #[must_use]
    pub const fn of_parts(md5_of_md5s: [u8; 16], part_count: PartNumber) -> Self {
        Self { md5: md5_of_md5s, part_count: Some(part_count) }
    }

    /// Reads a tag, quoted or not. `None` if we cannot have made it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bare = strip_quotes(text.trim());
        let (digits, part_count) = match bare.split_once('-') {
            Some((digits, count)) => (digits, Some(PartNumber::parse(count).ok()?)),
            None => (bare, None),
        };
        let mut md5 = [0; 16];
        hex::decode_to_slice(digits, &mut md5).ok()?;
        Some(Self { md5, part_count })
    }

    /// The 16 bytes before the `-`.
    #[must_use]
    pub const fn md5(&self) -> [u8; 16] {
        self.md5
    }

    /// Parts of the body, if it was put together from parts.
    #[must_use]
    pub const fn part_count(&self) -> Option<PartNumber> {
        self.part_count
    }

    /// The tag without quotes, as GetObjectAttributes wants it.
    #[must_use]
    pub fn text(&self) -> ArrayString<ETAG_BYTES_MAX> {
        let mut text = ArrayString::new();
        self.push(&mut text);
        text
    }

    /// The tag in quotes, as headers and listings want it.
    #[must_use]
    pub fn quoted(&self) -> ArrayString<40> {
        let mut text = ArrayString::new();
        text.push('"');
        self.push(&mut text);
        text.push('"');
        text
    }

    fn push<const N: usize>(&self, text: &mut ArrayString<N>) {
        let mut digits = [0; 32];
        let encoded = hex::encode_to_slice(self.md5, &mut digits);
        assert!(encoded.is_ok(), "two digits are a byte");
        text.push_str(core::str::from_utf8(&digits).unwrap_or_default());
        if let Some(count) = self.part_count {
            let written = write!(text, "-{}", count.get());
            assert!(written.is_ok(), "ETAG_BYTES_MAX holds the longest tag");
        }
    }
}

const _: () = assert!(ETAG_BYTES_MAX + 2 == 40);

/// `"x"` to `x`; anything else stays.
#[must_use]
pub fn strip_quotes(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::{ETag, PartNumber};

    #[test]
    fn text_and_back() {
        let plain = ETag::of_md5([0xd4; 16]);
        assert_eq!(plain.quoted().as_str(), "\"d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4\"");
        assert_eq!(ETag::parse(&plain.quoted()), Some(plain));
        let parts = ETag::of_parts([1; 16], PartNumber::new(10_000).unwrap());
        assert_eq!(parts.text().as_str(), "01010101010101010101010101010101-10000");
        assert_eq!(ETag::parse(&parts.text()), Some(parts));
    }

    #[test]
    fn tags_that_we_never_make_are_refused() {
        for text in ["", "\"", "d4", "d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4-0", "zzd4d4d4d4d4d4d4d4d4d4d4d4d4d4d4"]
        {
            assert_eq!(ETag::parse(text), None, "{text}");
        }
    }
}
