//! Escaping of text, and `encoding-type=url`.

use crate::http::percent::{escape, is_unreserved};

/// Appends text in which nothing is markup. Control characters become references, as AWS sends them: XML 1.0
/// parsers refuse some of them, which is why clients ask for `encoding-type=url`.
pub fn push_escaped(target: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'<' => target.extend_from_slice(b"&lt;"),
            b'>' => target.extend_from_slice(b"&gt;"),
            b'&' => target.extend_from_slice(b"&amp;"),
            b'"' => target.extend_from_slice(b"&quot;"),
            b'\'' => target.extend_from_slice(b"&apos;"),
            0..=0x1f | 0x7f => {
                let [_, high, low] = escape(byte);
                target.extend_from_slice(&[b'&', b'#', b'x', high, low, b';']);
            }
            _ => target.push(byte),
        }
    }
}

/// Appends text as `encoding-type=url` wants it: a space is `+`, `/` stays.
pub fn push_url_encoded(target: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b' ' => target.push(b'+'),
            b'/' => target.push(b'/'),
            _ if is_unreserved(byte) => target.push(byte),
            _ => target.extend_from_slice(&escape(byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{push_escaped, push_url_encoded};

    #[test]
    fn markup_and_controls() {
        let mut text = Vec::new();
        push_escaped(&mut text, "a<b>&\"'\r\n\u{1}ü");
        assert_eq!(core::str::from_utf8(&text), Ok("a&lt;b&gt;&amp;&quot;&apos;&#x0D;&#x0A;&#x01;ü"));
    }

    #[test]
    fn url_encoding() {
        let mut text = Vec::new();
        push_url_encoded(&mut text, "a b/c+d%\u{1}ü");
        assert_eq!(core::str::from_utf8(&text), Ok("a+b/c%2Bd%25%01%C3%BC"));
    }
}
