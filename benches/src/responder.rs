//! A server that holds the answer in memory and checks nothing: the yardstick. What it costs per request is what
//! sockets and HTTP cost on this machine at this moment; whatever an S3 server costs more is what S3 and storing cost.
//!
//! It keeps of every PUT the length, answers GETs with as many bytes of anything, and listings with one prepared
//! page. It looks at no signature and stores no body. One thread, epoll, plain sockets, and on purpose nothing of the
//! engine: a yardstick must not change when the engine does.

use memchr::memmem;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// Read at a time.
const READ_BYTES: usize = 256 << 10;

/// What bodies are sent from, and sent at a time before other connections get their turn.
const BODY_BYTES: usize = 256 << 10;

/// Events taken from the kernel at a time.
const EVENTS_MAX: usize = 256;

/// A head that is longer ends the connection.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Keys whose lengths are kept; others are forgotten.
const KEYS_MAX: usize = 1 << 20;

/// Keys of the page that answers every listing, and about what each takes in it.
const PAGE_KEYS: usize = 1000;

/// The number by which the kernel names the listener; connections are named by their place.
const LISTENER: u64 = u64::MAX;

/// Where a connection is.
#[derive(Debug, Default)]
struct Connection {
    stream: Option<TcpStream>,
    /// Of the request's head what has come.
    head: Vec<u8>,
    /// Of the request's body what has not.
    body_left: u64,
    /// Whether the head is complete.
    asked: bool,
    /// Of the answer's head what has not gone out, from `sent` on.
    answer: Vec<u8>,
    sent: usize,
    /// Of the answer's body what has not gone out.
    answer_left: u64,
    /// Whether the answer's body is the prepared page.
    answers_page: bool,
    waits_to_send: bool,
}

/// The yardstick.
#[derive(Debug)]
pub struct Responder {
    listener: TcpListener,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    lengths: BTreeMap<Vec<u8>, u64>,
    body: Vec<u8>,
    page: Vec<u8>,
}

/// What a head asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked<'a> {
    method: &'a [u8],
    /// Without the query.
    path: &'a [u8],
    body_bytes: u64,
}

impl Responder {
    /// A responder that takes connections from `listener`.
    ///
    /// # Errors
    ///
    /// When the kernel gives no epoll.
    pub fn new(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        let body = (0..=250_u8).cycle().take(BODY_BYTES).collect();
        Ok(Self { listener, epoll, connections: Vec::new(), lengths: BTreeMap::new(), body, page: page() })
    }

    /// Answers until the process ends.
    ///
    /// # Errors
    ///
    /// When the kernel takes no more connections; a broken connection is only closed.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut scratch = vec![0; READ_BYTES];
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                let event: epoll::Event = event;
                let data = event.data;
                if data.u64() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let Ok(place) = usize::try_from(data.u64()) else { continue };
                if self.attend(place, &mut scratch).is_err()
                    && let Some(connection) = self.connections.get_mut(place)
                {
                    *connection = Connection::default();
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let free = self.connections.iter().position(|connection| connection.stream.is_none());
            let place = free.unwrap_or(self.connections.len());
            let data = epoll::EventData::new_u64(u64::try_from(place).unwrap_or(LISTENER));
            epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
            let connection = Connection { stream: Some(stream), ..Connection::default() };
            match self.connections.get_mut(place) {
                Some(slot) => *slot = connection,
                None => self.connections.push(connection),
            }
        }
    }

    /// Reads and answers what there is. An error ends the connection.
    fn attend(&mut self, place: usize, scratch: &mut [u8]) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(place) else { return Ok(()) };
        let done = connection.send(&self.body, &self.page)?;
        if done {
            let Some(stream) = &mut connection.stream else { return Ok(()) };
            let count = match stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            connection.take(&scratch[..count], &mut self.lengths, self.page.len())?;
            let _sent = connection.send(&self.body, &self.page)?;
        }
        let wait = !connection.is_idle();
        if wait == connection.waits_to_send {
            return Ok(());
        }
        let flags = if wait { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        let Some(stream) = &connection.stream else { return Ok(()) };
        let data = epoll::EventData::new_u64(u64::try_from(place).unwrap_or(LISTENER));
        epoll::modify(&self.epoll, stream, data, flags)?;
        connection.waits_to_send = wait;
        Ok(())
    }
}

impl Connection {
    fn is_idle(&self) -> bool {
        self.sent == self.answer.len() && self.answer_left == 0
    }

    /// Takes what was received. A client that sends the next request before the answer is not one of ours.
    fn take(
        &mut self,
        mut bytes: &[u8],
        lengths: &mut BTreeMap<Vec<u8>, u64>,
        page_bytes: usize,
    ) -> io::Result<()> {
        if !self.asked {
            let before = self.head.len();
            self.head.extend_from_slice(bytes);
            let Some(end) = memmem::find(&self.head, b"\r\n\r\n") else {
                if self.head.len() > HEAD_BYTES_MAX {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                return Ok(());
            };
            bytes = bytes.get(end + 4 - before..).unwrap_or_default();
            self.head.truncate(end + 4);
            self.body_left = parse(&self.head).ok_or(io::ErrorKind::InvalidData)?.body_bytes;
            self.asked = true;
        }
        self.body_left = self.body_left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.body_left == 0 && self.asked {
            self.answer(lengths, page_bytes);
        }
        Ok(())
    }

    /// Prepares the answer to the request that is complete.
    fn answer(&mut self, lengths: &mut BTreeMap<Vec<u8>, u64>, page_bytes: usize) {
        let Some(asked) = parse(&self.head) else { return };
        let is_object = asked.path.iter().filter(|byte| **byte == b'/').count() > 1;
        let known = lengths.get(asked.path).copied();
        self.answers_page = !is_object && asked.method == b"GET";
        let (status, body_bytes) = match asked.method {
            b"PUT" => {
                if is_object && known != Some(asked.body_bytes) && lengths.len() < KEYS_MAX {
                    lengths.insert(asked.path.to_vec(), asked.body_bytes);
                }
                ("200 OK", 0)
            }
            b"DELETE" => ("204 No Content", 0),
            _ if !is_object => ("200 OK", u64::try_from(page_bytes).unwrap_or(0)),
            _ => known.map_or(("404 Not Found", 0), |bytes| ("200 OK", bytes)),
        };
        self.answer_left = if asked.method == b"HEAD" { 0 } else { body_bytes };
        self.answer.clear();
        self.sent = 0;
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {body_bytes}\r\nETag: \"00000000000000000000000000000000\"\r\n\r\n"
        );
        self.answer.extend_from_slice(head.as_bytes());
        self.head.clear();
        self.asked = false;
    }

    /// Sends what the socket takes, once: of a large body the kernel tells when there is room for more. Returns whether
    /// all is out.
    fn send(&mut self, body: &[u8], page: &[u8]) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        if self.sent < self.answer.len() || self.answer_left > 0 {
            let head = self.answer.get(self.sent..).unwrap_or_default();
            let left = usize::try_from(self.answer_left).unwrap_or(usize::MAX);
            let part = if self.answers_page {
                page.get(page.len().saturating_sub(left)..).unwrap_or_default()
            } else {
                body.get(..left.min(body.len())).unwrap_or_default()
            };
            let count = match stream.write_vectored(&[IoSlice::new(head), IoSlice::new(part)]) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            let of_head = count.min(head.len());
            self.sent += of_head;
            self.answer_left -= u64::try_from(count - of_head).unwrap_or(0);
        }
        Ok(self.is_idle())
    }
}

fn parse(head: &[u8]) -> Option<Asked<'_>> {
    let first = head.split(|byte| *byte == b'\r').next()?;
    let mut words = first.split(|byte| *byte == b' ');
    let (method, target) = (words.next()?, words.next()?);
    let path = target.split(|byte| *byte == b'?').next()?;
    let length = head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(b"content-length:".len())?;
        name.eq_ignore_ascii_case(b"content-length:").then_some(value)
    });
    let length = length.map_or(Some(0), |value| std::str::from_utf8(value).ok()?.trim().parse().ok())?;
    Some(Asked { method, path, body_bytes: length })
}

/// A page as S3 gives it, of keys like those of a load.
fn page() -> Vec<u8> {
    let mut page = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult>");
    for key in 0..PAGE_KEYS {
        page.push_str(&format!(
            "<Contents><Key>load/{key:010}</Key><LastModified>2026-11-22T00:00:00.000Z</LastModified><ETag>\"\
             00000000000000000000000000000000\"</ETag><Size>4096</Size></Contents>"
        ));
    }
    page.push_str("</ListBucketResult>");
    page.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_far_as_an_answer_needs() {
        let asked = parse(b"PUT /b/k?x=1 HTTP/1.1\r\nHost: h\r\ncontent-LENGTH: 12\r\n\r\n").unwrap();
        assert_eq!(asked, Asked { method: b"PUT", path: b"/b/k", body_bytes: 12 });
        assert_eq!(parse(b"GET / HTTP/1.1\r\n\r\n").unwrap().body_bytes, 0);
        assert_eq!(parse(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"), None);
        assert_eq!(parse(b"\r\n\r\n"), None);
    }

    #[test]
    fn a_request_in_pieces_gets_one_answer() {
        let mut lengths = BTreeMap::new();
        let mut connection = Connection::default();
        let whole = b"PUT /b/k HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        for piece in whole.chunks(5) {
            assert!(connection.is_idle());
            connection.take(piece, &mut lengths, 9).unwrap();
        }
        assert!(connection.answer.starts_with(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"));
        assert_eq!(lengths[b"/b/k".as_slice()], 3);
        connection.take(b"GET /b/k?a HTTP/1.1\r\n\r\n", &mut lengths, 9).unwrap();
        assert_eq!((connection.answer_left, connection.answers_page), (3, false));
        connection.take(b"GET /b?list-type=2 HTTP/1.1\r\n\r\n", &mut lengths, 9).unwrap();
        assert_eq!((connection.answer_left, connection.answers_page), (9, true));
        connection.take(b"GET /b/absent HTTP/1.1\r\n\r\n", &mut lengths, 9).unwrap();
        assert!(connection.answer.starts_with(b"HTTP/1.1 404 "));
        assert!(connection.take(&b"a".repeat(HEAD_BYTES_MAX + 1), &mut lengths, 9).is_err());
    }
}
