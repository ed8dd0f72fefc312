//! Canonical requests, written into a hasher piece by piece: nothing is put together in memory.
//!
//! S3 differs from other services: the path is escaped once and never normalised, so `//`, `..` and `%2F` stay.

use crate::auth::authorization::header_names;
use crate::auth::presigned::SIGNATURE_PARAMETER;
use crate::http::head::RequestHead;
use crate::http::percent::{escape, is_unreserved, next_byte};
use crate::http::query::Query;
use arrayvec::ArrayVec;
use ashlar_engine::hash::Sha256;

/// Where canonical bytes go.
pub(super) trait Sink {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]);
}

/// Gathers pieces, most of which are a few bytes, into hash blocks.
pub(super) struct Gathered {
    hasher: Sha256,
    pending: ArrayVec<u8, { 4 * SHA256_BLOCK_BYTES }>,
}

const SHA256_BLOCK_BYTES: usize = 64;

impl Gathered {
    pub(super) fn new() -> Self {
        Self { hasher: Sha256::new(), pending: ArrayVec::new() }
    }

    /// SHA-256 of everything put in.
    pub(super) fn finish(mut self) -> [u8; 32] {
        self.hasher.update(&self.pending);
        self.hasher.finish()
    }
}

impl Sink for Gathered {
    fn put(&mut self, bytes: &[u8]) {
        if self.pending.try_extend_from_slice(bytes).is_ok() {
            return;
        }
        self.hasher.update(&self.pending);
        self.pending.clear();
        if self.pending.try_extend_from_slice(bytes).is_err() {
            self.hasher.update(bytes);
        }
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A header that was signed is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MissingSignedHeader;

/// Writes the canonical form of a request. `payload` is the text of `x-amz-content-sha256`.
pub(super) fn write_request(
    sink: &mut impl Sink,
    head: &RequestHead<'_>,
    query: &Query<'_>,
    signed_headers: &str,
    payload: &[u8],
) -> Result<(), MissingSignedHeader> {
    sink.put(head.method().as_str().as_bytes());
    sink.put(b"\n");
    write_path(sink, head.path());
    sink.put(b"\n");
    write_query(sink, query);
    sink.put(b"\n");
    for name in header_names(signed_headers) {
        write_header(sink, head, name)?;
    }
    sink.put(b"\n");
    sink.put(signed_headers.as_bytes());
    sink.put(b"\n");
    sink.put(payload);
    Ok(())
}

fn write_path(sink: &mut impl Sink, raw: &[u8]) {
    let plain = raw.iter().position(|&byte| !(is_unreserved(byte) || byte == b'/')).unwrap_or(raw.len());
    let (plain, mut rest) = raw.split_at(plain);
    sink.put(plain);
    while let Some((byte, escaped, tail)) = next_byte(rest) {
        // An escaped slash belongs to a key and stays escaped; a plain one separates.
        if is_unreserved(byte) || (byte == b'/' && !escaped) {
            sink.put(&[byte]);
        } else {
            sink.put(&escape(byte));
        }
        rest = tail;
    }
}

fn encode(text: &str, target: &mut Vec<u8>) {
    for byte in text.bytes() {
        if is_unreserved(byte) {
            target.push(byte);
        } else {
            target.extend_from_slice(&escape(byte));
        }
    }
}

/// Escapes first and sorts then, as the rule says: the orders differ for bytes below `%`.
fn write_query(sink: &mut impl Sink, query: &Query<'_>) {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .parameters()
        .iter()
        .filter(|parameter| parameter.name != SIGNATURE_PARAMETER)
        .map(|parameter| {
            let (mut name, mut value) = (Vec::new(), Vec::new());
            encode(&parameter.name, &mut name);
            encode(&parameter.value, &mut value);
            (name, value)
        })
        .collect();
    pairs.sort();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            sink.put(b"&");
        }
        sink.put(name);
        sink.put(b"=");
        sink.put(value);
    }
}

/// `name:value,value\n`: values trimmed, runs of spaces made one.
fn write_header(
    sink: &mut impl Sink,
    head: &RequestHead<'_>,
    name: &[u8],
) -> Result<(), MissingSignedHeader> {
    sink.put(name);
    let mut separator = b":";
    for value in head.values(name) {
        sink.put(separator);
        separator = b",";
        let words = value.split(|&byte| byte == b' ' || byte == b'\t').filter(|word| !word.is_empty());
        for (index, word) in words.enumerate() {
            if index > 0 {
                sink.put(b" ");
            }
            sink.put(word);
        }
    }
    if separator == b":" {
        return Err(MissingSignedHeader);
    }
    sink.put(b"\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Gathered, MissingSignedHeader, Sink as _, write_path, write_query, write_request};
    use crate::http::head;
    use crate::http::query::Query;

    fn path(raw: &str) -> String {
        let mut text = Vec::new();
        write_path(&mut text, raw.as_bytes());
        String::from_utf8(text).unwrap()
    }

    fn query(raw: &str) -> String {
        let mut text = Vec::new();
        write_query(&mut text, &Query::parse(raw.as_bytes()).unwrap());
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn paths_are_escaped_once_and_not_normalised() {
        assert_eq!(path("/a//b/../c"), "/a//b/../c");
        assert_eq!(path("/a%2fb%20c"), "/a%2Fb%20c");
        assert_eq!(path("/a+b$%7Ec"), "/a%2Bb%24~c");
        assert_eq!(path("/%E1%88%B4"), "/%E1%88%B4");
        assert_eq!(path("/100%"), "/100%25");
    }

    #[test]
    fn gathering_changes_no_byte() {
        for sizes in [vec![], vec![1; 700], vec![256, 1, 257], vec![100, 200, 300, 5], vec![255, 1, 1]] {
            let (mut gathered, mut whole) = (Gathered::new(), Vec::new());
            for (index, size) in sizes.into_iter().enumerate() {
                let piece = vec![u8::try_from(index % 251).unwrap(); size];
                gathered.put(&piece);
                whole.put(&piece);
            }
            assert_eq!(gathered.finish(), crate::auth::signature::sha256(&whole));
        }
    }

    #[test]
    fn queries_are_escaped_and_then_sorted() {
        assert_eq!(query("b=2&a=1&a=0&uploads"), "a=0&a=1&b=2&uploads=");
        assert_eq!(query("prefix=a+b%2B/&x-id=PutObject"), "prefix=a%20b%2B%2F&x-id=PutObject");
        assert_eq!(query("X-Amz-Signature=abc&a="), "a=");
        assert_eq!(query("a-=1&a%20=2&a=3"), "a=3&a%20=2&a-=1");
    }

    /// AWS test suite: get-header-value-trim, get-header-key-duplicate.
    #[test]
    fn headers_are_trimmed_collapsed_and_joined() {
        let bytes = b"GET / HTTP/1.1\r\nHost:h\r\nMy-Header1: value1 \r\nMy-Header2: \"a   b   c\"\r\n\
            my-header1:value3\r\n\r\n";
        let head = head::parse(bytes).unwrap().unwrap();
        let query = Query::default();
        let mut text = Vec::new();
        write_request(&mut text, &head, &query, "host;my-header1;my-header2", b"HASH").unwrap();
        let expected = "GET\n/\n\nhost:h\nmy-header1:value1,value3\nmy-header2:\"a b c\"\n\n\
            host;my-header1;my-header2\nHASH";
        assert_eq!(core::str::from_utf8(&text), Ok(expected));
        let missing = write_request(&mut Vec::new(), &head, &query, "date;host", b"HASH");
        assert_eq!(missing, Err(MissingSignedHeader));
    }
}
