//! Replies, and how they are sent: the head and the body's first slice together, no body byte copied.

use crate::http::response::{ResponseError, ResponseHead, ResponseIdentity};
use crate::limits::{
    DOCUMENT_BUFFER_BYTES, DOCUMENT_HEAD_BYTES, IDLE_BUFFER_BYTES, RESPONSE_HEAD_BYTES_MAX, SEND_BYTES_MIN,
};
use crate::wire::fault::WireFault;
use crate::wire::link::Link;
use crate::wire::pace::Pace;
use arrayvec::ArrayString;
use ashlar_engine::ObjectReader;
use ashlar_engine::buffer::{Buffer, BufferSlice};
use ashlar_engine::runtime::{Runtime, SendParts};
use ashlar_engine::sync::Share;
use jiff::Timestamp;
use smallvec::SmallVec;
use std::borrow::Cow;

/// An answer, ready to be sent.
#[derive(Debug)]
pub(crate) struct Reply<R: Runtime> {
    status: u16,
    headers: Headers,
    body: ReplyBody<R>,
    /// What of the heap the document takes.
    share: Option<Share>,
}

/// A header's value.
#[derive(Clone, Debug)]
pub(crate) enum HeaderValue {
    /// A text of ours.
    Static(&'static str),
    /// A short text.
    Short(ArrayString<64>),
    /// Bytes as they were stored.
    Bytes(Vec<u8>),
    /// A decimal number.
    Number(u64),
    /// A date, to the second.
    Date(Timestamp),
}

/// Headers of an answer. Those of an ordinary one stand in the reply itself.
type Headers = SmallVec<[(Cow<'static, str>, HeaderValue); 8]>;

/// What follows the head.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is made once and moved a few times: cheaper than memory of its own"
)]
enum ReplyBody<R: Runtime> {
    /// Nothing, and no length: 204 and 304.
    Absent,
    /// Nothing, and a length: the answer to HEAD, or zero.
    Length(u64),
    /// These bytes.
    Document(Vec<u8>),
    /// So many bytes of an object.
    Object(ObjectReader<R>, u64),
}

/// What ended a connection's way out. Nothing more may be sent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendFault {
    /// The reply's head cannot be written; nothing was sent.
    Head(ResponseError),
    /// The object's first bytes cannot be read; nothing was sent.
    Unreadable,
    /// Later bytes cannot be read: the reply stays short.
    CutShort,
    /// The connection is gone, or there was no memory.
    Wire(WireFault),
}

impl From<&'static str> for HeaderValue {
    fn from(text: &'static str) -> Self {
        Self::Static(text)
    }
}

impl From<u64> for HeaderValue {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<Timestamp> for HeaderValue {
    fn from(date: Timestamp) -> Self {
        Self::Date(date)
    }
}

impl From<Vec<u8>> for HeaderValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<String> for HeaderValue {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl<const N: usize> From<ArrayString<N>> for HeaderValue {
    fn from(text: ArrayString<N>) -> Self {
        match ArrayString::from(&text) {
            Ok(short) => Self::Short(short),
            Err(_) => Self::Bytes(text.as_bytes().to_vec()),
        }
    }
}

impl<R: Runtime> Reply<R> {
    /// A reply without a body and without a length, as 204 and 304 demand.
    #[must_use]
    pub(crate) fn absent(status: u16) -> Self {
        Self { status, headers: Headers::new(), body: ReplyBody::Absent, share: None }
    }

    /// A reply whose body would have so many bytes, and has none: to HEAD, or with zero.
    #[must_use]
    pub(crate) fn of_length(status: u16, bytes: u64) -> Self {
        Self { status, headers: Headers::new(), body: ReplyBody::Length(bytes), share: None }
    }

    /// A reply with an XML document.
    #[must_use]
    pub(crate) fn document(status: u16, document: Vec<u8>) -> Self {
        let reply =
            Self { status, headers: Headers::new(), body: ReplyBody::Document(document), share: None };
        reply.with("Content-Type", "application/xml")
    }

    /// A reply with `bytes` bytes of an object, which `reader` gives.
    #[must_use]
    pub(crate) fn object(status: u16, reader: ObjectReader<R>, bytes: u64) -> Self {
        Self { status, headers: Headers::new(), body: ReplyBody::Object(reader, bytes), share: None }
    }

    /// The same reply with one more header.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((Cow::Borrowed(name), value.into()));
        self
    }

    /// Adds a header, or replaces the one of this name.
    pub(crate) fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<HeaderValue>) {
        let (name, value) = (name.into(), value.into());
        match self.headers.iter_mut().find(|(present, _)| present.eq_ignore_ascii_case(&name)) {
            Some((_, present)) => *present = value,
            None => self.headers.push((name, value)),
        }
    }

    /// The same reply, which holds the heap that its document takes until that is sent.
    #[must_use]
    pub(crate) fn holding(mut self, mut share: Share) -> Self {
        share.resize(match &self.body {
            ReplyBody::Document(document) => document.capacity(),
            ReplyBody::Absent | ReplyBody::Length(_) | ReplyBody::Object(..) => 0,
        });
        self.share = Some(share);
        self
    }

    /// The same reply as HEAD gets it: with the length of the body, without the body.
    #[must_use]
    pub(crate) fn without_body(self) -> Self {
        let body = match self.body {
            ReplyBody::Document(document) => ReplyBody::Length(u64::try_from(document.len()).unwrap_or(0)),
            ReplyBody::Object(_, bytes) => ReplyBody::Length(bytes),
            body @ (ReplyBody::Absent | ReplyBody::Length(_)) => body,
        };
        Self { body, ..self }
    }

    fn content_length(&self) -> Option<u64> {
        match &self.body {
            ReplyBody::Absent => None,
            ReplyBody::Length(bytes) | ReplyBody::Object(_, bytes) => Some(*bytes),
            ReplyBody::Document(document) => Some(u64::try_from(document.len()).unwrap_or(u64::MAX)),
        }
    }

    /// Writes the head; gives its length.
    fn write_head(&self, target: &mut [u8], identity: ResponseIdentity<'_>) -> Result<usize, ResponseError> {
        let mut head = ResponseHead::begin(target, self.status, identity);
        for (name, value) in &self.headers {
            match value {
                HeaderValue::Static(text) => head.header(name, text.as_bytes()),
                HeaderValue::Short(text) => head.header(name, text.as_bytes()),
                HeaderValue::Bytes(bytes) => head.header(name, bytes),
                HeaderValue::Number(number) => head.number(name, *number),
                HeaderValue::Date(date) => head.date(name, *date),
            };
        }
        if let Some(bytes) = self.content_length() {
            head.content_length(bytes);
        }
        head.finish()
    }

    /// Sends the whole reply, from where it is: it is not small. Afterwards nothing of it is left to be sent.
    ///
    /// # Errors
    /// [`SendFault`] says whether another reply may be tried.
    pub(crate) async fn send(
        &mut self,
        runtime: &R,
        link: &Link<R>,
        identity: ResponseIdentity<'_>,
    ) -> Result<(), SendFault> {
        let (buffer, length) = self.place_head(runtime, identity).await?;
        let outlet = Outlet { runtime, link, pace: Pace::default() };
        match &mut self.body {
            ReplyBody::Absent | ReplyBody::Length(_) => {
                let mut outlet = outlet;
                outlet.send(SendParts::from_iter([BufferSlice::of(buffer, 0..length)]), true).await
            }
            ReplyBody::Document(document) => {
                let held = (core::mem::take(document), self.share.take());
                outlet.send_document(buffer, length, held).await
            }
            ReplyBody::Object(reader, bytes) => {
                outlet.send_object(BufferSlice::of(buffer, 0..length), reader, *bytes).await
            }
        }
    }

    /// The head in a buffer of its own, the smallest that holds it, and the document behind it if that is short.
    async fn place_head(
        &self,
        runtime: &R,
        identity: ResponseIdentity<'_>,
    ) -> Result<(Buffer, usize), SendFault> {
        let mut fault = ResponseError::IllegalByte;
        let is_long = match &self.body {
            ReplyBody::Document(document) => document.len() + DOCUMENT_HEAD_BYTES > IDLE_BUFFER_BYTES,
            ReplyBody::Absent | ReplyBody::Length(_) | ReplyBody::Object(..) => false,
        };
        let sizes = [IDLE_BUFFER_BYTES, RESPONSE_HEAD_BYTES_MAX];
        for bytes in sizes.into_iter().skip(usize::from(is_long)) {
            let taken = runtime.arena().take(bytes).await;
            let mut buffer = taken.map_err(|error| SendFault::Wire(error.into()))?;
            match self.write_head(buffer.bytes_mut(), identity) {
                Ok(length) => return Ok((buffer, length)),
                Err(error @ ResponseError::IllegalByte) => return Err(SendFault::Head(error)),
                Err(error @ ResponseError::Full { .. }) => fault = error,
            }
        }
        Err(SendFault::Head(fault))
    }
}

/// The way out of one reply. A peer that takes it too slowly is cut: it holds memory that others wait for. What the
/// socket has taken counts as sent, though its memory may be lent to it for longer: that much is bounded by the runtime.
struct Outlet<'o, R: Runtime> {
    runtime: &'o R,
    link: &'o Link<R>,
    pace: Pace,
}

impl<R: Runtime> Outlet<'_, R> {
    async fn send(&mut self, parts: SendParts, is_last: bool) -> Result<(), SendFault> {
        let bytes: usize = parts.iter().map(BufferSlice::len).sum();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let now = self.runtime.now();
        self.link.send(parts, self.pace.deadline_to_send(now, bytes)).await.map_err(SendFault::Wire)?;
        if !is_last {
            self.pace.note(bytes, self.runtime.now().since(now));
        }
        Ok(())
    }

    /// Behind the head as much of the document as its buffer holds, then the rest in pieces. What is in buffers to
    /// its end is on the heap no more while the peer is waited for.
    async fn send_document(
        mut self,
        mut buffer: Buffer,
        head_bytes: usize,
        (document, share): (Vec<u8>, Option<Share>),
    ) -> Result<(), SendFault> {
        let length = document.len();
        let mut held = Some((document, share));
        let (mut start, mut sent) = (head_bytes, 0);
        while let Some((document, _)) = &held {
            let rest = document.get(sent..).unwrap_or_default();
            let piece = rest.get(..buffer.capacity() - start).unwrap_or(rest);
            let end = start + piece.len();
            if let Some(place) = buffer.bytes_mut().get_mut(start..end) {
                place.copy_from_slice(piece);
            }
            sent += piece.len();
            if sent == length {
                held = None;
            }
            self.send(SendParts::from_iter([BufferSlice::of(buffer, 0..end)]), sent == length).await?;
            if sent == length {
                break;
            }
            let taken = self.runtime.arena().take((length - sent).min(DOCUMENT_BUFFER_BYTES)).await;
            buffer = taken.map_err(|error| SendFault::Wire(error.into()))?;
            start = 0;
        }
        Ok(())
    }

    /// The head waits for the first bytes: as long as it is not sent, a failure can still be told. Short slices go
    /// together, because a send costs more than their bytes.
    async fn send_object(
        mut self,
        head: BufferSlice,
        reader: &mut ObjectReader<R>,
        bytes: u64,
    ) -> Result<(), SendFault> {
        let mut left = bytes;
        let mut fault = SendFault::Unreadable;
        let mut parts = SendParts::from_iter([head]);
        loop {
            let mut gathered = 0;
            // Behind bytes that are held, only those are waited for that have their memory already.
            while left > 0
                && gathered < SEND_BYTES_MIN
                && !parts.is_full()
                && (gathered == 0 || reader.is_reading())
            {
                let Ok(Some(slice)) = reader.next().await else { return Err(fault) };
                let length = u64::try_from(slice.len()).unwrap_or(u64::MAX);
                left = left.checked_sub(length).ok_or(fault)?;
                gathered += slice.len();
                parts.push(slice);
            }
            self.send(core::mem::take(&mut parts), left == 0).await?;
            if left == 0 {
                return Ok(());
            }
            fault = SendFault::CutShort;
        }
    }
}
