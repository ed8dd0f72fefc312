//! A client of a few lines that signs, sends and reads as one pleases.

use super::rig::{ACCESS_KEY, REGION, SECRET};
use super::tls::TlsEnd;
use ashlar_engine::runtime::sim::{SimRuntime, SimStream};
use ashlar_engine::runtime::{Monotonic, Runtime as _};
use ashlar_s3::auth::credentials::SecretKey;
use ashlar_s3::auth::signature::{ScopeText, SigningKey, hex_of, sha256};
use ashlar_s3::http::date::amz_date;
use futures_util::future::{Either, select};
use jiff::Timestamp;
use std::fmt::Write as _;
use std::pin::pin;
use std::time::Duration;

pub(crate) const NEVER: Monotonic = Monotonic(u64::MAX);

/// How the payload is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// By its hash.
    Hashed,
    /// Not at all.
    Unsigned,
    /// aws-chunked in signed chunks of so many bytes.
    SignedChunks(usize),
    /// aws-chunked in chunks of so many bytes, with a trailer.
    Trailer(usize, &'static str),
}

/// A request under construction. Paths and values are given as they stand on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub method: &'static str,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub payload: Payload,
    /// Added after signing, as raw lines.
    pub unsigned: Vec<String>,
    pub is_length_sent: bool,
    pub host: String,
    /// Outer chunks of so many bytes.
    pub outer_chunk: Option<usize>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The text of the first element of this name.
    pub(crate) fn element(&self, name: &str) -> Option<&str> {
        self.elements(name).first().copied()
    }

    pub(crate) fn elements(&self, name: &str) -> Vec<&str> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let mut found = Vec::new();
        for piece in self.text().split(open.as_str()).skip(1) {
            found.push(piece.split(close.as_str()).next().unwrap());
        }
        found
    }

    #[track_caller]
    pub(crate) fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, code: &str) -> &Self {
        self.assert_status(status);
        assert_eq!(self.element("Code"), Some(code), "{}", self.text());
        assert_eq!(self.element("RequestId"), self.header("x-amz-request-id"));
        self
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => write!(escaped, "%{byte:02X}").unwrap(),
        }
    }
    escaped
}

pub(crate) fn call(method: &'static str, path: &str) -> Call {
    Call {
        method,
        path: path.to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Vec::new(),
        payload: Payload::Hashed,
        unsigned: Vec::new(),
        is_length_sent: matches!(method, "PUT" | "POST"),
        host: "10.0.0.1:9000".to_owned(),
        outer_chunk: None,
    }
}

impl Call {
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    pub(crate) fn line(mut self, line: &str) -> Self {
        self.unsigned.push(line.to_owned());
        self
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    pub(crate) fn without_length(mut self) -> Self {
        self.is_length_sent = false;
        self
    }

    pub(crate) fn outer(mut self, bytes: usize) -> Self {
        self.outer_chunk = Some(bytes);
        self
    }

    fn payload_text(&self) -> String {
        match self.payload {
            Payload::Hashed => String::from_utf8(hex_of(&sha256(&self.body)).to_vec()).unwrap(),
            Payload::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
            Payload::SignedChunks(_) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD".to_owned(),
            Payload::Trailer(..) => "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(),
        }
    }

    /// Head and body as they go on the wire.
    pub(crate) fn sign(&self, runtime: &SimRuntime) -> (Vec<u8>, Vec<u8>) {
        let now = Timestamp::from_millisecond(i64::try_from(runtime.wall().0).unwrap()).unwrap();
        let date = amz_date(now);
        let date_text = std::str::from_utf8(&date).unwrap();
        let payload = self.payload_text();
        let mut headers = self.headers.clone();
        headers.push(("host".to_owned(), self.host.clone()));
        headers.push(("x-amz-date".to_owned(), date_text.to_owned()));
        headers.push(("x-amz-content-sha256".to_owned(), payload.clone()));
        if !matches!(self.payload, Payload::Hashed | Payload::Unsigned) {
            headers.push(("x-amz-decoded-content-length".to_owned(), self.body.len().to_string()));
        }
        if let Payload::Trailer(_, trailer) = self.payload {
            headers.push(("x-amz-trailer".to_owned(), trailer.split(':').next().unwrap().to_owned()));
        }
        headers.sort();
        let mut query: Vec<String> =
            self.query.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        query.sort();
        let query = query.join("&");
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let mut canonical = format!("{}\n{}\n{query}\n", self.method, self.path);
        for (name, value) in &headers {
            writeln!(canonical, "{name}:{}", value.trim()).unwrap();
        }
        write!(canonical, "\n{names}\n{payload}").unwrap();
        let day = &date_text[..8];
        let key = SigningKey::derive(&SecretKey::new(SECRET), day, REGION, "s3");
        let scope = ScopeText::new(day, REGION, "s3").unwrap();
        let signature = key.sign_request(&date, &scope, &sha256(canonical.as_bytes()));
        let body = self.wire_body(&key, &scope, &date, signature);
        let target = if query.is_empty() { self.path.clone() } else { format!("{}?{query}", self.path) };
        let mut head = format!("{} {target} HTTP/1.1\r\n", self.method);
        for (name, value) in &headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        write!(
            head,
            "Authorization: AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{day}/{REGION}/s3/aws4_request, \
             SignedHeaders={names}, Signature={}\r\n",
            std::str::from_utf8(&hex_of(&signature)).unwrap()
        )
        .unwrap();
        if self.outer_chunk.is_some() {
            head.push_str("Transfer-Encoding: chunked\r\n");
        } else if self.is_length_sent {
            write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        for line in &self.unsigned {
            write!(head, "{line}\r\n").unwrap();
        }
        head.push_str("\r\n");
        (head.into_bytes(), body)
    }

    fn wire_body(&self, key: &SigningKey, scope: &ScopeText, date: &[u8; 16], seed: [u8; 32]) -> Vec<u8> {
        let mut wire = Vec::new();
        match self.payload {
            Payload::Hashed | Payload::Unsigned => wire.extend_from_slice(&self.body),
            Payload::Trailer(bytes, trailer) => {
                for chunk in self.body.chunks(bytes) {
                    wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    wire.extend_from_slice(chunk);
                    wire.extend_from_slice(b"\r\n");
                }
                wire.extend_from_slice(format!("0\r\n{trailer}\r\n\r\n").as_bytes());
            }
            Payload::SignedChunks(bytes) => {
                let mut previous = seed;
                for chunk in self.body.chunks(bytes).chain([&b""[..]]) {
                    let signature = key.sign(&[
                        b"AWS4-HMAC-SHA256-PAYLOAD\n",
                        date,
                        b"\n",
                        scope.as_bytes(),
                        b"\n",
                        &hex_of(&previous),
                        b"\n",
                        &hex_of(&sha256(b"")),
                        b"\n",
                        &hex_of(&sha256(chunk)),
                    ]);
                    let digits = hex_of(&signature);
                    let digits = std::str::from_utf8(&digits).unwrap();
                    wire.extend_from_slice(
                        format!("{:x};chunk-signature={digits}\r\n", chunk.len()).as_bytes(),
                    );
                    wire.extend_from_slice(chunk);
                    wire.extend_from_slice(b"\r\n");
                    previous = signature;
                }
            }
        }
        let Some(bytes) = self.outer_chunk else { return wire };
        let mut outer = Vec::new();
        for chunk in wire.chunks(bytes) {
            outer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            outer.extend_from_slice(chunk);
            outer.extend_from_slice(b"\r\n");
        }
        outer.extend_from_slice(b"0\r\n\r\n");
        outer
    }
}

/// One connection.
pub(crate) struct Client {
    pub runtime: SimRuntime,
    pub stream: SimStream,
    pub tls: Option<TlsEnd>,
    received: Vec<u8>,
}

impl Client {
    pub(crate) fn new(runtime: SimRuntime, stream: SimStream) -> Self {
        Self { runtime, stream, tls: None, received: Vec::new() }
    }

    pub(crate) async fn send(&mut self, call: &Call) -> Response {
        let (mut wire, body) = call.sign(&self.runtime);
        wire.extend_from_slice(&body);
        self.raw(&wire).await;
        self.response(call.method == "HEAD").await
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            Some(tls) => tls.send(&self.stream, bytes).await.unwrap(),
            None => self.stream.send_bytes(bytes, NEVER).await.unwrap(),
        }
    }

    /// Reads what comes until the connection ends; how many bytes that was.
    pub(crate) async fn read_to_end(&mut self) -> usize {
        while self.more().await {}
        self.received.len()
    }

    /// The first bytes of what was received and is not used yet.
    pub(crate) fn received_text(&self, bytes: usize) -> String {
        String::from_utf8_lossy(&self.received[..self.received.len().min(bytes)]).into_owned()
    }

    async fn more(&mut self) -> bool {
        if let Some(tls) = &mut self.tls {
            let piece = tls.receive(&self.stream).await;
            self.received.extend_from_slice(&piece);
            return !piece.is_empty();
        }
        let piece = self.stream.receive_bytes(64 << 10, NEVER).await.unwrap_or_default();
        self.received.extend_from_slice(&piece);
        !piece.is_empty()
    }

    /// The same, if it is known within that time; `false` otherwise.
    pub(crate) async fn is_closed_within(&mut self, time: Duration) -> bool {
        let runtime = self.runtime.clone();
        match select(pin!(self.is_closed()), pin!(runtime.sleep(time))).await {
            Either::Left((is_closed, _)) => is_closed,
            Either::Right(_) => false,
        }
    }

    /// Whether the server has closed, with nothing left to read.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.received.is_empty() && !self.more().await
    }

    /// Reads one answer.
    pub(crate) async fn response(&mut self, is_head: bool) -> Response {
        let end = loop {
            match self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => assert!(self.more().await, "closed before the head was whole: {:?}", self.received),
            }
        };
        let head = String::from_utf8(self.received.drain(..end).collect()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap()[9..12].parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut response = Response { status, headers, body: Vec::new() };
        let length: usize = response.header("content-length").map_or(0, |digits| digits.parse().unwrap());
        if !is_head && status != 304 && status != 204 {
            while self.received.len() < length {
                assert!(self.more().await, "closed before the body was whole");
            }
            response.body = self.received.drain(..length).collect();
        }
        response
    }
}

/// Bytes that differ from place to place.
pub(crate) fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| u8::try_from((index * 7 + (index >> 8)) % 256).unwrap()).collect()
}
