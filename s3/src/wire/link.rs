//! What carries a connection's bytes. An enum and no trait object: which of its ways a connection goes is known once,
//! and the plain way costs one comparison. What waits for TLS is boxed: otherwise every plain connection would have room
//! for it.

use crate::limits::LINGER_MAX;
use crate::tls::Tls;
use crate::wire::fault::WireFault;
use crate::wire::tls::stream::{NoHandshake, TlsStream};
use ashlar_engine::buffer::{Buffer, BufferSlice};
use ashlar_engine::runtime::{Monotonic, Runtime, SendParts, Stream as _};
use core::future::Future;
use core::ops::Range;
use core::pin::pin;
use futures_util::future::{Either, select};

/// The answer to a request without TLS where TLS is spoken: a client that shows it helps more than one that says
/// "protocol error".
const NOT_WITHOUT_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 59\r\n\
    Connection: close\r\n\r\nThis port speaks TLS: write https:// in place of http://.\r\n";

/// One connection's way to its peer. Closes when it is dropped.
#[derive(Debug)]
pub(crate) enum Link<R: Runtime> {
    /// Bytes as they are.
    Plain(R::Stream),
    /// Bytes in records of TLS.
    Tls(Box<TlsStream<R>>),
}

impl<R: Runtime> Link<R> {
    /// Makes a connection ready for requests with TLS. Otherwise the peer was told why not, and what it still sends is for
    /// nobody.
    ///
    /// # Errors
    /// The socket, if there may be somebody at its other end.
    pub(crate) async fn open(runtime: &R, stream: R::Stream, tls: Tls) -> Result<Self, Option<Self>> {
        let Ok(stream) = TlsStream::new(runtime.clone(), stream, &tls) else { return Err(None) };
        let stream = Box::new(stream);
        match Box::pin(stream.shake_hands()).await {
            Ok(()) => Ok(Self::Tls(stream)),
            Err(NoHandshake::Gone) => Err(None),
            Err(NoHandshake::Refused) => Err(Some(Self::Plain(stream.into_socket()))),
            Err(NoHandshake::PlainHttp) => {
                let plain = Self::Plain(stream.into_socket());
                let told = plain.say(runtime, NOT_WITHOUT_TLS).await;
                Err(told.ok().map(|()| plain))
            }
        }
    }

    async fn say(&self, runtime: &R, text: &[u8]) -> Result<(), WireFault> {
        let mut buffer = runtime.arena().take(text.len()).await?;
        if let Some(place) = buffer.bytes_mut().get_mut(..text.len()) {
            place.copy_from_slice(text);
        }
        let mut parts = SendParts::new();
        parts.push(BufferSlice::of(buffer, 0..text.len()));
        self.send(parts, runtime.now().after(LINGER_MAX)).await
    }

    /// Takes the memory that an exchange needs of the link, before anything else is taken for it: whoever holds the
    /// buffers of a body then waits for the peer only.
    ///
    /// # Errors
    /// No memory.
    pub(crate) async fn begin(&self, has_body: bool) -> Result<(), WireFault> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => Box::pin(stream.begin(has_body)).await,
        }
    }

    /// Gives that memory back. To be called between exchanges.
    pub(crate) fn rest(&self) {
        match self {
            Self::Plain(_) => {}
            Self::Tls(stream) => stream.rest(),
        }
    }

    /// Tells the peer that nothing more will be sent; receiving goes on.
    pub(crate) async fn finish(&self) {
        match self {
            Self::Plain(_) => {}
            Self::Tls(stream) => Box::pin(stream.finish()).await,
        }
    }

    /// Waits until there is something to receive, without a buffer for it.
    ///
    /// # Errors
    /// The connection is gone, or the time is up.
    pub(crate) async fn readable(&self, deadline: Monotonic) -> Result<(), WireFault> {
        match self {
            Self::Plain(stream) => Ok(stream.readable(deadline).await?),
            Self::Tls(stream) => stream.readable(deadline).await,
        }
    }

    /// Receives at least one byte into `range` of `buffer`; 0 bytes mean that the peer sends no more.
    pub(crate) async fn receive(
        &self,
        buffer: Buffer,
        range: Range<usize>,
        deadline: Monotonic,
    ) -> (Result<usize, WireFault>, Buffer) {
        match self {
            Self::Plain(stream) => {
                let (received, buffer) = stream.receive(buffer, range, deadline).await;
                (received.map_err(WireFault::from), buffer)
            }
            Self::Tls(stream) => Box::pin(stream.receive(buffer, range, deadline)).await,
        }
    }

    /// As [`Link::receive`], and gives up with [`WireFault::TimedOut`] when `cut` resolves. What the peer sent is not lost
    /// by that.
    pub(crate) async fn receive_unless(
        &self,
        buffer: Buffer,
        range: Range<usize>,
        deadline: Monotonic,
        cut: impl Future<Output = ()>,
    ) -> (Result<usize, WireFault>, Buffer) {
        match self {
            Self::Plain(stream) => {
                let (received, buffer) = stream.receive_unless(buffer, range, deadline, cut).await;
                (received.map_err(WireFault::from), buffer)
            }
            Self::Tls(stream) => {
                // Records are not to be dropped half way through: only what waits for the first byte may be.
                let readable = match select(pin!(stream.readable(deadline)), pin!(cut)).await {
                    Either::Left((readable, _)) => readable,
                    Either::Right(((), _)) => Err(WireFault::TimedOut),
                };
                match readable {
                    Ok(()) => Box::pin(stream.receive(buffer, range, deadline)).await,
                    Err(fault) => (Err(fault), buffer),
                }
            }
        }
    }

    /// Sends every byte of every part. Those of a plain connection are lent: their memory may be free only later, within
    /// the bound of [`Stream::lend`](ashlar_engine::runtime::Stream::lend).
    ///
    /// # Errors
    /// The connection is gone, or its peer too slow.
    pub(crate) async fn send(&self, parts: SendParts, deadline: Monotonic) -> Result<(), WireFault> {
        match self {
            Self::Plain(stream) => Ok(stream.lend(parts, deadline).await?),
            Self::Tls(stream) => Box::pin(stream.send(parts, deadline)).await,
        }
    }
}
