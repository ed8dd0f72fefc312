//! The bounded pull reader, over quick-xml. Size and depth are limited, DTDs refused (so there are no entities to
//! expand), prefixes and namespaces ignored, comments and processing instructions skipped.

use crate::error::{S3Error, S3Failure};
use crate::limits::{XML_BYTES_MAX, XML_DEPTH_MAX};
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

/// A document under way.
#[derive(Debug)]
pub struct XmlReader<'x> {
    reader: Reader<&'x [u8]>,
    depth: usize,
}

/// Why a document is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XmlError {
    /// More bytes than the limit.
    TooLarge {
        /// Bytes found.
        found: usize,
    },
    /// Deeper than the limit.
    TooDeep,
    /// A DTD, or an entity that XML itself does not have.
    Dtd,
    /// Not well-formed, or not UTF-8.
    Syntax,
    /// Well-formed, but not the document that was asked for.
    Schema(&'static str),
}

impl<'x> XmlReader<'x> {
    /// Begins a document whose root has this name.
    ///
    /// # Errors
    /// Too large, not XML, or another root.
    pub fn begin(document: &'x [u8], root: &'static str) -> Result<Self, XmlError> {
        if document.len() > XML_BYTES_MAX {
            return Err(XmlError::TooLarge { found: document.len() });
        }
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        let text = core::str::from_utf8(document).ok().ok_or(XmlError::Syntax)?;
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        reader.config_mut().check_end_names = true;
        let mut this = Self { reader, depth: 0 };
        match this.child()? {
            Some(name) if name == root => Ok(this),
            _ => Err(XmlError::Schema(root)),
        }
    }

    /// Enters the next element inside the present one and gives its name without prefix. `None` once the present
    /// element has ended; it is then left.
    ///
    /// # Errors
    /// Not XML.
    pub fn child(&mut self) -> Result<Option<String>, XmlError> {
        loop {
            match self.next_event()? {
                Event::Start(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    self.enter()?;
                    return Ok(Some(name));
                }
                Event::End(_) => {
                    self.depth = self.depth.checked_sub(1).ok_or(XmlError::Syntax)?;
                    return Ok(None);
                }
                Event::Eof => return Err(XmlError::Syntax),
                Event::GeneralRef(reference) => {
                    resolve(&reference)?;
                }
                Event::Text(_)
                | Event::CData(_)
                | Event::Empty(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_) => {}
            }
        }
    }

    /// Reads the text of the element just entered, and leaves it. Elements within are skipped.
    ///
    /// # Errors
    /// Not XML.
    pub fn text(&mut self) -> Result<String, XmlError> {
        let mut text = String::new();
        loop {
            match self.next_event()? {
                Event::Text(piece) => text.push_str(&piece.xml10_content()),
                Event::CData(piece) => text.push_str(&piece.xml10_content()),
                Event::GeneralRef(reference) => text.push(resolve(&reference)?),
                Event::Start(_) => {
                    self.enter()?;
                    self.skip()?;
                }
                Event::End(_) => {
                    self.depth = self.depth.checked_sub(1).ok_or(XmlError::Syntax)?;
                    return Ok(text);
                }
                Event::Eof => return Err(XmlError::Syntax),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }

    /// Leaves the element just entered, whatever it holds.
    ///
    /// # Errors
    /// Not XML.
    pub fn skip(&mut self) -> Result<(), XmlError> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            // Entering and leaving are both counted by `child`.
            self.child()?;
        }
        Ok(())
    }

    /// Ends the document. To be called after `child` gave `None` for the root.
    ///
    /// # Errors
    /// Something but comments and white space follows.
    pub fn finish(mut self) -> Result<(), XmlError> {
        loop {
            match self.next_event()? {
                Event::Eof if self.depth == 0 => return Ok(()),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Text(text) if text.trim_ascii().is_empty() => {}
                Event::Text(_)
                | Event::Start(_)
                | Event::End(_)
                | Event::Empty(_)
                | Event::CData(_)
                | Event::Decl(_)
                | Event::DocType(_)
                | Event::GeneralRef(_)
                | Event::Eof => return Err(XmlError::Syntax),
            }
        }
    }

    fn next_event(&mut self) -> Result<Event<'x>, XmlError> {
        match self.reader.read_event() {
            Ok(Event::DocType(_)) => Err(XmlError::Dtd),
            Ok(event) => Ok(event),
            Err(_) => Err(XmlError::Syntax),
        }
    }

    fn enter(&mut self) -> Result<(), XmlError> {
        if self.depth == XML_DEPTH_MAX {
            return Err(XmlError::TooDeep);
        }
        self.depth += 1;
        Ok(())
    }
}

/// The character of `&lt;`, `&#65;` and their like.
fn resolve(reference: &BytesRef<'_>) -> Result<char, XmlError> {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => return Ok(character),
        Ok(None) => {}
        Err(_) => return Err(XmlError::Syntax),
    }
    match reference.as_ref() {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(XmlError::Dtd),
    }
}

impl From<XmlError> for S3Failure {
    fn from(error: XmlError) -> Self {
        match error {
            XmlError::TooLarge { .. } => Self::new(S3Error::MaxMessageLengthExceeded),
            XmlError::TooDeep | XmlError::Dtd | XmlError::Syntax | XmlError::Schema(_) => {
                Self::new(S3Error::MalformedXML)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{XmlError, XmlReader};
    use proptest::prelude::proptest;

    fn texts(document: &[u8]) -> Result<Vec<(String, String)>, XmlError> {
        let mut reader = XmlReader::begin(document, "A")?;
        let mut found = Vec::new();
        while let Some(name) = reader.child()? {
            found.push((name, reader.text()?));
        }
        reader.finish()?;
        Ok(found)
    }

    fn one(text: &str) -> Result<Vec<(String, String)>, XmlError> {
        Ok(vec![("B".to_owned(), text.to_owned())])
    }

    #[test]
    fn what_clients_send_is_read() {
        assert_eq!(texts(b"<A><B>x</B></A>"), one("x"));
        assert_eq!(
            texts(b"\xef\xbb\xbf<?xml version='1.0'?>\r\n<A xmlns='http://x/'>\r\n <B> x </B>\r\n</A>\n"),
            one(" x ")
        );
        assert_eq!(texts(b"<s3:A xmlns:s3='u'><s3:B>x</s3:B></s3:A>"), one("x"));
        assert_eq!(
            texts(b"<A><!-- c --><B>&quot;&#120;&#x78;&amp;<![CDATA[<]]>&quot;</B></A>"),
            one("\"xx&<\"")
        );
        assert_eq!(texts(b"<A><B/></A>"), one(""));
        assert_eq!(texts(b"<A><B>x<C>y<D/></C>z</B></A>"), one("xz"));
        assert_eq!(texts(b"<A/>"), Ok(vec![]));
    }

    #[test]
    fn attacks_and_nonsense_are_refused() {
        let bomb = b"<!DOCTYPE A [<!ENTITY x 'y'>]><A><B>&x;</B></A>";
        assert_eq!(texts(bomb), Err(XmlError::Dtd));
        assert_eq!(texts(b"<A><B>&x;</B></A>"), Err(XmlError::Dtd));
        let deep = format!("<A>{}", "<B>".repeat(17));
        assert_eq!(texts(deep.as_bytes()), Err(XmlError::TooDeep));
        assert_eq!(
            texts(&vec![b' '; 2 * 1024 * 1024 + 1]),
            Err(XmlError::TooLarge { found: 2 * 1024 * 1024 + 1 })
        );
        assert_eq!(texts(b"<C/>"), Err(XmlError::Schema("A")));
        for document in ["", "<A>", "<A></C>", "<A/><A/>", "<A/>x", "x", "<A><B></A></B>", "\u{0}"] {
            assert!(texts(document.as_bytes()).is_err(), "{document}");
        }
        assert_eq!(texts(b"<A>\xff</A>"), Err(XmlError::Syntax));
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(document in "[<>/AB&;!x#\\[\\]\" -]{0,60}") {
            let _ignored = texts(document.as_bytes());
        }
    }
}
