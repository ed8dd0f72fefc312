//! Reads one HTTP/1.1 response from bytes that arrive in any pieces. No I/O: the caller brings the bytes.

use std::fmt;

/// A head longer than this is no honest S3 answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A chunk's size line, with any extension, is shorter than this.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Headers that are looked at; S3 sends about twenty.
const HEADERS_MAX: usize = 64;

/// What a response says before its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Whether the connection ends after this response.
    pub closes: bool,
}

/// Why bytes are no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseError {
    /// The head does not follow HTTP/1.1.
    MalformedHead,
    /// The head or a chunk's size line is too long.
    TooLong,
    /// The body's framing does not follow HTTP/1.1.
    MalformedBody,
    /// Bytes follow the end of the response, though nothing was asked.
    Excess,
    /// The connection ended in the middle.
    Truncated,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::MalformedHead => "malformed head",
            Self::TooLong => "head too long",
            Self::MalformedBody => "malformed body framing",
            Self::Excess => "bytes after the response",
            Self::Truncated => "connection ended within the response",
        })
    }
}

impl std::error::Error for ResponseError {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailer,
    Complete,
}

/// The state of one response. Make one per request.
#[derive(Debug)]
pub struct ResponseReader {
    state: State,
    answers_head: bool,
    head: Option<Head>,
    /// The head so far, or the line so far within chunked framing.
    pending: Vec<u8>,
}

impl ResponseReader {
    /// A reader for the response to a request; `answers_head` says that it was a HEAD, whose response has no body
    /// whatever its headers say.
    #[must_use]
    pub const fn new(answers_head: bool) -> Self {
        Self { state: State::Head, answers_head, head: None, pending: Vec::new() }
    }

    /// The head, once it has been read.
    #[must_use]
    pub const fn head(&self) -> Option<Head> {
        self.head
    }

    /// Whether the whole response has been read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Takes the next bytes and hands those of the body to `body`, with the head that they belong to.
    ///
    /// # Errors
    ///
    /// When the bytes are no HTTP/1.1 response; the connection is then of no more use.
    pub fn feed(&mut self, mut bytes: &[u8], body: &mut dyn FnMut(Head, &[u8])) -> Result<(), ResponseError> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Head => self.feed_head(bytes)?,
                State::Length(left) => {
                    let (taken, rest) = split(bytes, left);
                    self.hand_over(taken, body);
                    let left = left - length(taken);
                    self.state = if left == 0 { State::Complete } else { State::Length(left) };
                    rest
                }
                State::UntilClose => {
                    self.hand_over(bytes, body);
                    &[]
                }
                State::ChunkData(left) => {
                    let (taken, rest) = split(bytes, left);
                    self.hand_over(taken, body);
                    let left = left - length(taken);
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                    rest
                }
                State::ChunkSize | State::ChunkEnd | State::Trailer => self.feed_line(bytes)?,
                State::Complete => return Err(ResponseError::Excess),
            };
        }
        Ok(())
    }

    /// Says that the connection has ended.
    ///
    /// # Errors
    ///
    /// When the response was not complete, and its end was not the connection's.
    pub fn end(&mut self) -> Result<(), ResponseError> {
        match self.state {
            State::UntilClose | State::Complete => {
                self.state = State::Complete;
                Ok(())
            }
            State::Head
            | State::Length(_)
            | State::ChunkSize
            | State::ChunkData(_)
            | State::ChunkEnd
            | State::Trailer => Err(ResponseError::Truncated),
        }
    }

    fn hand_over(&self, bytes: &[u8], body: &mut dyn FnMut(Head, &[u8])) {
        if let Some(head) = self.head {
            body(head, bytes);
        }
    }

    fn feed_head<'bytes>(&mut self, bytes: &'bytes [u8]) -> Result<&'bytes [u8], ResponseError> {
        let before = self.pending.len();
        let taken = bytes.len().min(HEAD_BYTES_MAX.saturating_sub(before));
        self.pending.extend_from_slice(&bytes[..taken]);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&self.pending).map_err(|_error| ResponseError::MalformedHead)?;
        let httparse::Status::Complete(head_length) = parsed else {
            return if before + taken >= HEAD_BYTES_MAX { Err(ResponseError::TooLong) } else { Ok(&[]) };
        };
        let status = response.code.ok_or(ResponseError::MalformedHead)?;
        let rest = &bytes[head_length - before..];
        if !(100..200).contains(&status) {
            let closes = response.version == Some(0) || has_token(response.headers, "connection", "close");
            self.state = framing(status, self.answers_head, response.headers)?;
            self.head = Some(Head { status, closes });
        }
        self.pending.clear();
        Ok(rest)
    }

    /// Takes bytes up to the end of a line, and acts on the line once it is whole.
    fn feed_line<'bytes>(&mut self, bytes: &'bytes [u8]) -> Result<&'bytes [u8], ResponseError> {
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |position| position + 1);
        let (line, rest) = bytes.split_at(end);
        if self.pending.len() + line.len() > CHUNK_LINE_BYTES_MAX {
            return Err(ResponseError::TooLong);
        }
        self.pending.extend_from_slice(line);
        if !self.pending.ends_with(b"\n") {
            return Ok(rest);
        }
        let empty = self.pending.trim_ascii().is_empty();
        self.state = match self.state {
            State::ChunkSize => match httparse::parse_chunk_size(&self.pending) {
                Ok(httparse::Status::Complete((_, 0))) => State::Trailer,
                Ok(httparse::Status::Complete((_, size))) => State::ChunkData(size),
                Ok(httparse::Status::Partial) | Err(_) => return Err(ResponseError::MalformedBody),
            },
            State::ChunkEnd if empty => State::ChunkSize,
            State::ChunkEnd => return Err(ResponseError::MalformedBody),
            State::Trailer if empty => State::Complete,
            State::Trailer => State::Trailer,
            State::Head | State::Length(_) | State::UntilClose | State::ChunkData(_) | State::Complete => {
                unreachable!("only the three line states lead here")
            }
        };
        self.pending.clear();
        Ok(rest)
    }
}

/// The text of `<Code>` in an S3 error document.
#[must_use]
pub fn error_code(document: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(document).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code)
}

fn framing(
    status: u16,
    answers_head: bool,
    headers: &[httparse::Header<'_>],
) -> Result<State, ResponseError> {
    if answers_head || status == 204 || status == 304 {
        return Ok(State::Complete);
    }
    if has_token(headers, "transfer-encoding", "chunked") {
        return Ok(State::ChunkSize);
    }
    match header(headers, "content-length") {
        None => Ok(State::UntilClose),
        Some(value) => {
            let text = std::str::from_utf8(value).map_err(|_error| ResponseError::MalformedHead)?;
            match text.trim().parse() {
                Ok(0) => Ok(State::Complete),
                Ok(length) => Ok(State::Length(length)),
                Err(_) => Err(ResponseError::MalformedHead),
            }
        }
    }
}

fn header<'bytes>(headers: &[httparse::Header<'bytes>], name: &str) -> Option<&'bytes [u8]> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

fn has_token(headers: &[httparse::Header<'_>], name: &str, token: &str) -> bool {
    let Some(value) = header(headers, name) else { return false };
    value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn split(bytes: &[u8], at: u64) -> (&[u8], &[u8]) {
    bytes.split_at(usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len()))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of `piece` bytes.
    fn read(
        text: &str,
        piece: usize,
        answers_head: bool,
    ) -> Result<(ResponseReader, Vec<u8>), ResponseError> {
        let mut reader = ResponseReader::new(answers_head);
        let mut body = Vec::new();
        for part in text.as_bytes().chunks(piece) {
            reader.feed(part, &mut |_, bytes| body.extend_from_slice(bytes))?;
        }
        Ok((reader, body))
    }

    #[test]
    fn every_framing_reads_the_same_in_any_pieces() {
        let cases = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nt: u\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        ];
        for text in cases {
            for piece in 1..=text.len() {
                let (reader, body) = read(text, piece, false).unwrap();
                assert!(reader.is_complete(), "{text} in pieces of {piece}");
                assert_eq!(body, b"hello", "{text} in pieces of {piece}");
                assert_eq!(reader.head(), Some(Head { status: 200, closes: false }));
            }
        }
    }

    #[test]
    fn some_responses_have_no_body_whatever_they_say() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive, Close\r\n\r\n";
        let (reader, _) = read(head, 7, true).unwrap();
        assert!(reader.is_complete());
        assert_eq!(reader.head(), Some(Head { status: 200, closes: true }));
        assert!(read("HTTP/1.1 204 No Content\r\n\r\n", 7, false).unwrap().0.is_complete());
        assert!(read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 7, false).unwrap().0.is_complete());
    }

    #[test]
    fn a_connection_may_end_only_where_that_ends_the_body() {
        let (mut until_close, body) = read("HTTP/1.1 200 OK\r\n\r\nhello", 3, false).unwrap();
        assert_eq!(until_close.end(), Ok(()));
        assert_eq!(body, b"hello");
        let (mut short, _) = read("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", 3, false).unwrap();
        assert_eq!(short.end(), Err(ResponseError::Truncated));
    }

    #[test]
    fn what_is_no_response_is_refused() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let cases = [
            ("SMTP ready\r\n\r\n".to_owned(), ResponseError::MalformedHead),
            ("HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n".to_owned(), ResponseError::MalformedHead),
            ("HTTP/1.1 204 None\r\n\r\nmore".to_owned(), ResponseError::Excess),
            (format!("{chunked}x\r\n"), ResponseError::MalformedBody),
            (format!("{chunked}1\r\nab\r\n"), ResponseError::MalformedBody),
            (format!("{chunked}1;{}", "e".repeat(300)), ResponseError::TooLong),
            (format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(20_000)), ResponseError::TooLong),
        ];
        for (text, error) in cases {
            assert_eq!(read(&text, 5, false).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn the_error_code_is_found() {
        assert_eq!(error_code(b"<Error><Code>NoSuchKey</Code></Error>"), Some("NoSuchKey"));
        assert_eq!(error_code(b"<Error/>"), None);
        assert_eq!(error_code(&[0xff]), None);
    }
}
