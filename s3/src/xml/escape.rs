//! Escaping of text, and `encoding-type=url`.

use crate::http::percent::{escape, is_unreserved};

/// Appends text in which nothing is markup. Control characters become references, as AWS sends them: XML 1.0
/// parsers refuse some of them, which is why clients ask for `encoding-type=url`.
pub fn push_escaped(target: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| IS_ESCAPED[usize::from(byte)]) {
        let (plain, special) = rest.split_at(at);
        target.extend_from_slice(plain);
        let Some((&byte, behind)) = special.split_first() else { break };
        push_reference(target, byte);
        rest = behind;
    }
    target.extend_from_slice(rest);
}

/// Which bytes [`push_reference`] writes.
const IS_ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[0x7f] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[b'"' as usize] = true;
    table[b'\'' as usize] = true;
    table
};

fn push_reference(target: &mut Vec<u8>, byte: u8) {
    match byte {
        b'<' => target.extend_from_slice(b"&lt;"),
        b'>' => target.extend_from_slice(b"&gt;"),
        b'&' => target.extend_from_slice(b"&amp;"),
        b'"' => target.extend_from_slice(b"&quot;"),
        b'\'' => target.extend_from_slice(b"&apos;"),
        _ => {
            let [_, high, low] = escape(byte);
            target.extend_from_slice(&[b'&', b'#', b'x', high, low, b';']);
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
