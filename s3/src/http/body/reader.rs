//! The state machine of message bodies; see the module above for the picture.

use crate::http::body::chunk_line::{parse_chunk_line, parse_hex, parse_signature};
use crate::http::body::error::BodyError;
use crate::http::head::BodyFraming;
use crate::http::line::{Line, Taken};
use crate::limits::{OUTER_TRAILER_COUNT_MAX, TRAILER_BYTES_MAX};
use arrayvec::ArrayVec;

/// The inner framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyCoding {
    /// The outer framing holds the payload itself.
    Plain,
    /// aws-chunked.
    AwsChunked {
        /// Every chunk carries a signature.
        signed: bool,
        /// Trailers may follow the last chunk.
        trailer: bool,
    },
}

/// A body under way.
#[derive(Clone, Debug)]
pub struct BodyReader {
    outer: Outer,
    inner: Inner,
    coding: BodyCoding,
    outer_line: Line,
    inner_line: Line,
    trailers: ArrayVec<u8, TRAILER_BYTES_MAX>,
    trailer_signature: Option<[u8; 32]>,
    payload_expected: Option<u64>,
    payload_limit: u64,
    payload_received: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outer {
    Length { remaining: u64 },
    Size,
    Data { remaining: u64 },
    DataEnd,
    Trailers { count: usize },
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inner {
    Plain,
    Size,
    Data { remaining: u64, signature: Option<[u8; 32]> },
    DataEnd { signature: Option<[u8; 32]> },
    Trailers,
    Done,
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEvent {
    /// All input was taken; more is needed.
    NeedMore,
    /// `length` bytes of payload lie at `offset` in the input given to this step, and end where it stopped.
    Payload {
        /// Where, in the input.
        offset: usize,
        /// Bytes.
        length: usize,
    },
    /// An aws-chunk is whole, and all its payload was reported.
    ChunkEnd {
        /// Its signature, if chunks are signed.
        signature: Option<[u8; 32]>,
    },
    /// All trailers are known.
    TrailersEnd {
        /// Their signature, if it was sent.
        signature: Option<[u8; 32]>,
    },
    /// The body is whole.
    End,
}

/// Bytes of the input that a step took, and what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyStep {
    /// Bytes taken from the start of the input.
    pub consumed: usize,
    /// What was found.
    pub event: BodyEvent,
}

impl BodyReader {
    /// A body of which nothing was read yet. `payload_expected` is the length announced for the payload, if any
    /// was: `x-amz-decoded-content-length` for aws-chunked; for plain bodies the framing knows it. Lengths are in
    /// bytes.
    ///
    /// # Errors
    /// An announced length passes `payload_limit`.
    pub fn new(
        framing: BodyFraming,
        coding: BodyCoding,
        payload_expected: Option<u64>,
        payload_limit: u64,
    ) -> Result<Self, BodyError> {
        let payload_expected = match (coding, framing) {
            (BodyCoding::Plain, BodyFraming::Length(length)) => Some(length),
            (BodyCoding::Plain, BodyFraming::None) => Some(0),
            (BodyCoding::Plain, BodyFraming::Chunked) | (BodyCoding::AwsChunked { .. }, _) => {
                payload_expected
            }
        };
        if payload_expected.is_some_and(|expected| expected > payload_limit) {
            return Err(BodyError::TooLarge { limit: payload_limit });
        }
        Ok(Self {
            outer: match framing {
                BodyFraming::None => Outer::Done,
                BodyFraming::Length(remaining) => Outer::Length { remaining },
                BodyFraming::Chunked => Outer::Size,
            },
            inner: match coding {
                BodyCoding::Plain => Inner::Plain,
                BodyCoding::AwsChunked { .. } => Inner::Size,
            },
            coding,
            outer_line: Line::default(),
            inner_line: Line::default(),
            trailers: ArrayVec::new(),
            trailer_signature: None,
            payload_expected,
            payload_limit,
            payload_received: 0,
        })
    }

    /// Reads from the start of `input`. Call again with what was not consumed, also after `End` of the input:
    /// an empty input gives `NeedMore` or `End`.
    ///
    /// # Errors
    /// What makes the body none.
    pub fn step(&mut self, input: &[u8]) -> Result<BodyStep, BodyError> {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            match self.outer {
                Outer::Done => return Ok(BodyStep { consumed, event: self.end_of_outer()? }),
                Outer::Length { remaining: 0 } => self.outer = Outer::Done,
                Outer::Data { remaining: 0 } => self.outer = Outer::DataEnd,
                _ if rest.is_empty() => return Ok(BodyStep { consumed, event: BodyEvent::NeedMore }),
                Outer::Length { remaining } | Outer::Data { remaining } => {
                    let window =
                        usize::try_from(remaining).ok().and_then(|most| rest.get(..most)).unwrap_or(rest);
                    let (taken, event) = self.step_inner(window)?;
                    self.take_outer(taken);
                    let offset = consumed;
                    consumed += taken;
                    match event {
                        None => {}
                        Some(BodyEvent::Payload { offset: within, length }) => {
                            let event = BodyEvent::Payload { offset: offset + within, length };
                            return Ok(BodyStep { consumed, event });
                        }
                        Some(event) => return Ok(BodyStep { consumed, event }),
                    }
                }
                Outer::Size | Outer::DataEnd | Outer::Trailers { .. } => match self.outer_line.take(rest) {
                    Taken::More => consumed = input.len(),
                    Taken::Malformed => return Err(BodyError::OuterChunk),
                    Taken::Whole(taken) => {
                        consumed += taken;
                        self.outer_line_done()?;
                    }
                },
            }
        }
    }

    /// Payload bytes that come next on the wire with nothing between them: as many may be received straight into
    /// their destination, and then be reported to `direct_received`, without passing through `step`.
    #[must_use]
    pub fn direct_remaining(&self) -> u64 {
        let outer = match self.outer {
            Outer::Length { remaining } | Outer::Data { remaining } => remaining,
            Outer::Size | Outer::DataEnd | Outer::Trailers { .. } | Outer::Done => 0,
        };
        match self.inner {
            Inner::Plain => outer,
            Inner::Data { remaining, .. } => remaining.min(outer),
            Inner::Size | Inner::DataEnd { .. } | Inner::Trailers | Inner::Done => 0,
        }
    }

    /// Whether all payload of an aws-chunk was reported, while the end of the chunk was not.
    #[must_use]
    pub const fn is_chunk_filled(&self) -> bool {
        matches!(self.inner, Inner::DataEnd { .. })
    }

    /// Notes payload that did not pass through `step`.
    ///
    /// # Panics
    /// If it is more than `direct_remaining` allowed: the caller would have read past the payload.
    pub fn direct_received(&mut self, bytes: usize) {
        let within = u64::try_from(bytes).is_ok_and(|bytes| bytes <= self.direct_remaining());
        assert!(within, "no more may be received directly than direct_remaining allows");
        self.take_outer(bytes);
        self.take_payload(bytes);
    }

    /// Trailers as `name:value\n` lines, names lower-cased, in the form that is signed. The trailer signature is
    /// not among them.
    #[must_use]
    pub fn trailer_bytes(&self) -> &[u8] {
        &self.trailers
    }

    /// Trailers as (lower-case name, value).
    pub fn trailers(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = core::str::from_utf8(&self.trailers).unwrap_or_default();
        text.lines().filter_map(|line| line.split_once(':'))
    }

    /// Payload received so far, in bytes.
    #[must_use]
    pub const fn payload_received(&self) -> u64 {
        self.payload_received
    }

    /// Payload announced, in bytes, if it was.
    #[must_use]
    pub const fn payload_expected(&self) -> Option<u64> {
        self.payload_expected
    }

    /// Whether the next `step` gives `End` without input.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.outer, Outer::Done | Outer::Length { remaining: 0 })
            && matches!(self.inner, Inner::Plain | Inner::Done)
    }

    fn end_of_outer(&mut self) -> Result<BodyEvent, BodyError> {
        match self.inner {
            Inner::Plain | Inner::Done => {
                if self.payload_expected.is_some_and(|expected| expected != self.payload_received) {
                    return Err(self.incomplete());
                }
                Ok(BodyEvent::End)
            }
            // Some clients leave out the last CRLF; the outer framing has just said that nothing more comes.
            Inner::Trailers if self.inner_line.is_fresh() => Ok(self.trailers_end()),
            Inner::Size | Inner::Data { .. } | Inner::DataEnd { .. } | Inner::Trailers => {
                Err(self.incomplete())
            }
        }
    }

    const fn incomplete(&self) -> BodyError {
        BodyError::Incomplete { expected: self.payload_expected, found: self.payload_received }
    }

    fn outer_line_done(&mut self) -> Result<(), BodyError> {
        let line = self.outer_line.bytes();
        // A lone LF in an extension is the end of the line to some other parsers.
        if line.contains(&b'\n') {
            return Err(BodyError::OuterChunk);
        }
        let next = match self.outer {
            Outer::Size => {
                let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
                match parse_hex(digits.trim_ascii_end()).ok_or(BodyError::OuterChunk)? {
                    0 => Outer::Trailers { count: 0 },
                    remaining => {
                        // Only plain bodies: an inner framing announces its payload itself.
                        if self.inner == Inner::Plain {
                            self.announce(remaining)?;
                        }
                        Outer::Data { remaining }
                    }
                }
            }
            Outer::DataEnd if line.is_empty() => Outer::Size,
            Outer::Trailers { .. } if line.is_empty() => Outer::Done,
            // Trailers of the outer framing are not signed, so nothing may be taken from them.
            Outer::Trailers { count } if count < OUTER_TRAILER_COUNT_MAX => {
                Outer::Trailers { count: count + 1 }
            }
            Outer::DataEnd
            | Outer::Trailers { .. }
            | Outer::Length { .. }
            | Outer::Data { .. }
            | Outer::Done => {
                return Err(BodyError::OuterChunk);
            }
        };
        self.outer_line.clear();
        self.outer = next;
        Ok(())
    }

    /// Reads inner bytes until something is found or `window` is used up.
    fn step_inner(&mut self, window: &[u8]) -> Result<(usize, Option<BodyEvent>), BodyError> {
        let mut taken = 0;
        while let Some(rest) = window.get(taken..).filter(|rest| !rest.is_empty()) {
            let most = match self.inner {
                Inner::Plain => Some(rest.len()),
                Inner::Data { remaining, .. } => {
                    Some(usize::try_from(remaining).unwrap_or(rest.len()).min(rest.len()))
                }
                Inner::Size | Inner::DataEnd { .. } | Inner::Trailers => None,
                Inner::Done => return Err(BodyError::Excess),
            };
            if let Some(length) = most {
                self.take_payload(length);
                return Ok((taken + length, Some(BodyEvent::Payload { offset: taken, length })));
            }
            match self.inner_line.take(rest) {
                Taken::More => return Ok((window.len(), None)),
                Taken::Malformed => return Err(self.malformed_line()),
                Taken::Whole(more) => {
                    taken += more;
                    let event = self.inner_line_done()?;
                    self.inner_line.clear();
                    if event.is_some() {
                        return Ok((taken, event));
                    }
                }
            }
        }
        Ok((taken, None))
    }

    const fn malformed_line(&self) -> BodyError {
        match self.inner {
            Inner::DataEnd { .. } => BodyError::ChunkEnd,
            Inner::Trailers => BodyError::Trailer,
            Inner::Plain | Inner::Size | Inner::Data { .. } | Inner::Done => BodyError::ChunkSize,
        }
    }

    fn inner_line_done(&mut self) -> Result<Option<BodyEvent>, BodyError> {
        let BodyCoding::AwsChunked { signed, trailer } = self.coding else { return Ok(None) };
        match self.inner {
            Inner::Size => {
                let (size, signature) = parse_chunk_line(self.inner_line.bytes(), signed)?;
                self.announce(size)?;
                if size == 0 {
                    self.inner = Inner::Trailers;
                    return Ok(Some(BodyEvent::ChunkEnd { signature }));
                }
                self.inner = Inner::Data { remaining: size, signature };
                Ok(None)
            }
            Inner::DataEnd { signature } => {
                if !self.inner_line.bytes().is_empty() {
                    return Err(BodyError::ChunkEnd);
                }
                self.inner = Inner::Size;
                Ok(Some(BodyEvent::ChunkEnd { signature }))
            }
            Inner::Trailers if self.inner_line.bytes().is_empty() => Ok(Some(self.trailers_end())),
            Inner::Trailers if trailer => self.keep_trailer().map(|()| None).ok_or(BodyError::Trailer),
            Inner::Trailers => Err(BodyError::Trailer),
            Inner::Plain | Inner::Data { .. } | Inner::Done => unreachable!("these states read no lines"),
        }
    }

    const fn trailers_end(&mut self) -> BodyEvent {
        self.inner = Inner::Done;
        BodyEvent::TrailersEnd { signature: self.trailer_signature }
    }

    /// Keeps the trailer in `inner_line`. `None` if it is none.
    fn keep_trailer(&mut self) -> Option<()> {
        // The signature is the last trailer; and AWS's own example ends a trailer with LF CR LF.
        if self.trailer_signature.is_some() {
            return None;
        }
        let line = core::str::from_utf8(self.inner_line.bytes()).ok()?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        let (name, value) = line.split_once(':')?;
        let (name, value) = (name.trim(), value.trim());
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_value = !value.is_empty() && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !is_name || !is_value {
            return None;
        }
        if name.eq_ignore_ascii_case("x-amz-trailer-signature") {
            self.trailer_signature = Some(parse_signature(value.as_bytes())?);
            return Some(());
        }
        for byte in name
            .bytes()
            .map(|byte| byte.to_ascii_lowercase())
            .chain([b':'])
            .chain(value.bytes())
            .chain([b'\n'])
        {
            self.trailers.try_push(byte).ok()?;
        }
        Some(())
    }

    /// Checks a chunk's size against what may still come, before any of it is received.
    fn announce(&self, bytes: u64) -> Result<(), BodyError> {
        let total = self.payload_received.saturating_add(bytes);
        match self.payload_expected {
            Some(expected) if total > expected => Err(BodyError::DecodedLengthExceeded { expected }),
            _ if total > self.payload_limit => Err(BodyError::TooLarge { limit: self.payload_limit }),
            _ => Ok(()),
        }
    }

    fn take_payload(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.payload_received = self.payload_received.saturating_add(bytes);
        if let Inner::Data { remaining, signature } = self.inner {
            assert!(bytes <= remaining, "a payload slice lies within its chunk");
            let remaining = remaining - bytes;
            self.inner = match remaining {
                0 => Inner::DataEnd { signature },
                _ => Inner::Data { remaining, signature },
            };
        }
    }

    fn take_outer(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        match &mut self.outer {
            Outer::Length { remaining } | Outer::Data { remaining } => {
                assert!(bytes <= *remaining, "a window lies within the outer framing");
                *remaining -= bytes;
            }
            Outer::Size | Outer::DataEnd | Outer::Trailers { .. } | Outer::Done => {
                assert!(bytes == 0, "no payload outside of outer data");
            }
        }
    }
}
