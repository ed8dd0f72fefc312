//! CRLF lines that arrive in pieces, split anywhere, even between CR and LF.

use crate::limits::BODY_LINE_BYTES_MAX;
use arrayvec::ArrayVec;

/// A line under way. Fixed memory; the limit is an error, never growth.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    bytes: ArrayVec<u8, BODY_LINE_BYTES_MAX>,
    has_cr: bool,
}

/// What taking bytes led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// All bytes were taken and the line goes on.
    More,
    /// The line is whole; this many bytes were taken, with CRLF.
    Whole(usize),
    /// Longer than the limit, or a CR without LF.
    Malformed,
}

impl Line {
    /// Takes bytes up to and including the next CRLF. A lone LF is an ordinary byte here; grammars above refuse it.
    pub(super) fn take(&mut self, input: &[u8]) -> Taken {
        for (index, &byte) in input.iter().enumerate() {
            match (self.has_cr, byte) {
                (true, b'\n') => {
                    self.has_cr = false;
                    return Taken::Whole(index + 1);
                }
                (true, _) => return Taken::Malformed,
                (false, b'\r') => self.has_cr = true,
                (false, _) if self.bytes.try_push(byte).is_err() => return Taken::Malformed,
                (false, _) => {}
            }
        }
        Taken::More
    }

    /// The line without CRLF.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nothing of a line was taken yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.bytes.is_empty() && !self.has_cr
    }

    /// Begins the next line.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.has_cr = false;
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Taken};

    #[test]
    fn a_line_may_be_split_anywhere() {
        let mut line = Line::default();
        assert_eq!(line.take(b"ab"), Taken::More);
        assert_eq!(line.take(b"c\r"), Taken::More);
        assert!(!line.is_fresh());
        assert_eq!(line.take(b"\nrest"), Taken::Whole(1));
        assert_eq!(line.bytes(), b"abc");
        line.clear();
        assert_eq!(line.take(b"\r\n"), Taken::Whole(2));
        assert_eq!(line.bytes(), b"");
    }

    #[test]
    fn lone_cr_and_endless_lines_are_refused() {
        assert_eq!(Line::default().take(b"a\rb"), Taken::Malformed);
        assert_eq!(Line::default().take(&[b'a'; 257]), Taken::Malformed);
        assert_eq!(Line::default().take(&[b'a'; 256]), Taken::More);
    }
}
