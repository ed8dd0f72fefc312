//! One connection and the request under way on it. Nothing here waits: when the socket cannot go on, it says so.

use super::content::{Content, byte_count};
use super::mix::Operation;
use crate::client::{ResponseError, ResponseReader, Wire};
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Instant;

/// Pieces of a body handed to the kernel in one call, besides the head.
const PIECES_MAX: usize = 16;

/// Kept of an answer that is no success, to find the error code in.
const DOCUMENT_BYTES_MAX: usize = 4096;

/// A request and what has come back so far.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) operation: Operation,
    pub(super) object: u64,
    pub(super) begun: Instant,
    head: Rc<[u8]>,
    body_bytes: u64,
    sent: u64,
    pub(super) reader: ResponseReader,
    /// Body bytes received.
    pub(super) received: u64,
    /// Whether any of them was not what was written.
    pub(super) differs: bool,
    /// The beginning of a body that says what went wrong.
    pub(super) document: Vec<u8>,
}

/// A connection, which may have a request under way.
#[derive(Debug)]
pub(super) struct Lane {
    wire: Wire,
    pub(super) task: Option<Task>,
    /// Whether we asked to be told when the socket takes bytes again.
    pub(super) waits_to_send: bool,
}

/// What reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// The socket has nothing more for now.
    Nothing,
    /// There may be more.
    Some,
    /// The response is complete.
    Complete,
}

/// Why a connection is of no more use.
#[derive(Debug)]
pub(super) enum LaneError {
    /// The socket failed.
    Socket(io::Error),
    /// What came was no response.
    Response(ResponseError),
}

impl fmt::Display for LaneError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => write!(formatter, "connection: {}", error.kind()),
            Self::Response(error) => write!(formatter, "response: {error}"),
        }
    }
}

impl Task {
    /// A request that has not been sent.
    pub(super) fn new(
        operation: Operation,
        object: u64,
        head: Rc<[u8]>,
        body_bytes: u64,
        begun: Instant,
    ) -> Self {
        Self {
            operation,
            object,
            begun,
            head,
            body_bytes,
            sent: 0,
            reader: ResponseReader::new(operation == Operation::Head),
            received: 0,
            differs: false,
            document: Vec::new(),
        }
    }

    /// Whether every byte of the request has gone out.
    pub(super) fn is_sent(&self) -> bool {
        self.sent == byte_count(&self.head) + self.body_bytes
    }

    /// Body bytes sent; the whole body, once the answer is a success.
    pub(super) const fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    fn send_once(&mut self, wire: &mut Wire, content: &Content) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX + 1];
        let head_bytes = byte_count(&self.head);
        let head_sent = usize::try_from(self.sent).unwrap_or(usize::MAX).min(self.head.len());
        slices[0] = IoSlice::new(&self.head[head_sent..]);
        let mut offset = self.sent.saturating_sub(head_bytes);
        for slice in &mut slices[1..] {
            if offset == self.body_bytes {
                break;
            }
            let piece = content.at(self.object, offset, self.body_bytes - offset);
            offset += byte_count(piece);
            *slice = IoSlice::new(piece);
        }
        let count = wire.write_vectored(&slices)?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.sent += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(())
    }

    fn take(&mut self, content: Option<&Content>, bytes: &[u8]) -> Result<(), ResponseError> {
        let Self { reader, received, differs, document, object, .. } = self;
        reader.feed(bytes, &mut |head, part| {
            if head.status != 200 {
                let room = DOCUMENT_BYTES_MAX.saturating_sub(document.len()).min(part.len());
                document.extend_from_slice(&part[..room]);
            } else if let Some(content) = content {
                *differs |= !content.matches(*object, *received, part);
            }
            *received += byte_count(part);
        })
    }
}

impl Lane {
    /// A connection without a request. Its socket must not block.
    pub(super) const fn new(wire: Wire) -> Self {
        Self { wire, task: None, waits_to_send: false }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        self.wire.socket()
    }

    /// Whether reading must go on until there is nothing: the kernel does not tell of bytes that we hold.
    pub(super) const fn must_be_emptied(&self) -> bool {
        self.wire.holds_bytes()
    }

    /// Sends what the socket takes. Returns whether the whole request is out.
    pub(super) fn send(&mut self, content: &Content) -> Result<bool, LaneError> {
        let Some(task) = &mut self.task else { return Ok(true) };
        loop {
            let is_sent = task.is_sent();
            let step = if is_sent { self.wire.flush() } else { task.send_once(&mut self.wire, content) };
            match step {
                Ok(()) if is_sent => return Ok(true),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LaneError::Socket(error)),
            }
        }
    }

    /// Reads once. `content` is given where bodies are to be compared with it.
    pub(super) fn receive(
        &mut self,
        content: Option<&Content>,
        buffer: &mut [u8],
    ) -> Result<Received, LaneError> {
        let Some(task) = &mut self.task else { return Ok(Received::Nothing) };
        let count = match self.wire.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Received::Some),
            Err(error) => return Err(LaneError::Socket(error)),
        };
        if count == 0 {
            task.reader.end().map_err(LaneError::Response)?;
            return Ok(Received::Complete);
        }
        let compared = content.filter(|_| task.operation == Operation::Get);
        task.take(compared, &buffer[..count]).map_err(LaneError::Response)?;
        if task.reader.is_complete() {
            return Ok(Received::Complete);
        }
        Ok(if count == buffer.len() || self.wire.holds_bytes() { Received::Some } else { Received::Nothing })
    }
}
