//! The streaming writer. Element names are ours and static; only text is escaped.

use crate::http::date::iso_date;
use crate::http::response::decimal;
use crate::value::etag::ETag;
use crate::xml::escape::{push_escaped, push_url_encoded};
use jiff::Timestamp;

/// How keys are written in listings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyEncoding {
    /// As text.
    #[default]
    Plain,
    /// `encoding-type=url`
    Url,
}

/// A document under way, at the end of the caller's vector.
#[derive(Debug)]
pub struct XmlWriter<'v> {
    target: &'v mut Vec<u8>,
}

/// The namespace of every document but errors.
pub const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

impl<'v> XmlWriter<'v> {
    /// Begins a document with its declaration.
    #[must_use]
    pub fn begin(target: &'v mut Vec<u8>) -> Self {
        target.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        Self { target }
    }

    /// Opens the root, in the namespace of S3.
    pub fn root(&mut self, name: &'static str) -> &mut Self {
        self.raw(b"<").raw(name.as_bytes()).raw(b" xmlns=\"").raw(NAMESPACE.as_bytes()).raw(b"\">")
    }

    /// The root with nothing but text.
    pub fn root_text(&mut self, name: &'static str, text: &str) -> &mut Self {
        self.root(name);
        push_escaped(self.target, text);
        self.close(name)
    }

    /// Opens `<Grantee>` of a user, which says its type in an attribute.
    pub(super) fn grantee(&mut self) -> &mut Self {
        self.raw(
            b"<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\">",
        )
    }

    /// Opens an element.
    pub fn open(&mut self, name: &'static str) -> &mut Self {
        self.raw(b"<").raw(name.as_bytes()).raw(b">")
    }

    /// Closes an element.
    pub fn close(&mut self, name: &'static str) -> &mut Self {
        self.raw(b"</").raw(name.as_bytes()).raw(b">")
    }

    /// An element with text.
    pub fn text(&mut self, name: &'static str, text: &str) -> &mut Self {
        self.open(name);
        push_escaped(self.target, text);
        self.close(name)
    }

    /// An element with text, if there is any.
    pub fn maybe(&mut self, name: &'static str, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// An element with a key, a prefix or the like.
    pub fn key(&mut self, name: &'static str, key: &str, encoding: KeyEncoding) -> &mut Self {
        match encoding {
            KeyEncoding::Plain => self.text(name, key),
            KeyEncoding::Url => {
                self.open(name);
                push_url_encoded(self.target, key);
                self.close(name)
            }
        }
    }

    /// An element with a key, if there is one.
    pub fn maybe_key(&mut self, name: &'static str, key: Option<&str>, encoding: KeyEncoding) -> &mut Self {
        match key {
            Some(key) => self.key(name, key, encoding),
            None => self,
        }
    }

    /// An element with a decimal number.
    pub fn number(&mut self, name: &'static str, number: u64) -> &mut Self {
        let mut digits = [0; 20];
        self.open(name).raw(decimal(number, &mut digits)).close(name)
    }

    /// An element with `true` or `false`.
    pub fn boolean(&mut self, name: &'static str, value: bool) -> &mut Self {
        self.open(name).raw(if value { b"true" } else { b"false" }).close(name)
    }

    /// An element with a date, in ISO 8601 with zero milliseconds.
    pub fn date(&mut self, name: &'static str, time: Timestamp) -> &mut Self {
        self.open(name).raw(&iso_date(time)).close(name)
    }

    /// `<ETag>`, in quotes.
    pub fn etag(&mut self, tag: &ETag) -> &mut Self {
        self.open("ETag").raw(b"&quot;").raw(tag.text().as_bytes()).raw(b"&quot;").close("ETag")
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.target.extend_from_slice(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyEncoding, XmlWriter};
    use jiff::Timestamp;

    #[test]
    fn golden_elements() {
        let mut text = Vec::new();
        let mut xml = XmlWriter::begin(&mut text);
        xml.root("A").text("B", "<").number("C", 0).boolean("D", true).maybe("E", None);
        xml.key("F", "a b", KeyEncoding::Url).date("G", Timestamp::UNIX_EPOCH).close("A");
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <A xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><B>&lt;</B><C>0</C><D>true</D><F>a+b</F>\
            <G>1970-01-01T00:00:00.000Z</G></A>";
        assert_eq!(core::str::from_utf8(&text), Ok(expected));
    }
}
