//! A socket with a TLS session on it.

use super::incoming::Lack;
use super::session::{Answer, Broken, Outgoing, Phase, RECORD_BYTES_MAX, Session};
use crate::limits::{
    FAREWELL_MAX, HANDSHAKE_BYTES_MAX, HANDSHAKE_MAX, IDLE_BUFFER_BYTES, RECORDS_BYTES_MAX, SILENCE_MAX,
};
use crate::tls::Tls;
use crate::wire::fault::WireFault;
use ashlar_engine::buffer::{Buffer, BufferSlice, SharedBuffer};
use ashlar_engine::runtime::{Monotonic, Runtime, SendParts, Stream as _};
use core::cell::RefCell;
use core::ops::Range;

/// Room for what the protocol may have to say once the handshake is over: alerts.
const REMARK_BYTES_MAX: usize = 256;
/// Room for a handshake's answer, or for a part of one.
const FLIGHT_BYTES: usize = 32 * 1024;
const _: () = assert!(RECORD_BYTES_MAX <= FLIGHT_BYTES);

/// A connection that speaks TLS. Closes when it is dropped.
#[derive(Debug)]
pub(crate) struct TlsStream<R: Runtime> {
    runtime: R,
    stream: R::Stream,
    session: RefCell<Session>,
    /// Where records are sealed and sent from; taken at the first need, given back by [`TlsStream::rest`].
    outgoing: RefCell<Option<SharedBuffer>>,
}

/// Why there is no TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHandshake {
    /// The peer speaks HTTP without TLS; nothing was answered.
    PlainHttp,
    /// It was told what is wrong, if there was anything to tell.
    Refused,
    /// There is nobody any more.
    Gone,
}

impl<R: Runtime> TlsStream<R> {
    /// A connection on which nothing has been said.
    pub(crate) fn new(runtime: R, stream: R::Stream, tls: &Tls) -> Result<Self, R::Stream> {
        match Session::new(tls.settings()) {
            Ok(session) => {
                Ok(Self { runtime, stream, session: RefCell::new(session), outgoing: RefCell::new(None) })
            }
            Err(Broken) => Err(stream),
        }
    }

    /// The socket, without what was received and not understood.
    pub(crate) fn into_socket(self) -> R::Stream {
        self.stream
    }

    /// Agrees on keys.
    pub(crate) async fn shake_hands(&self) -> Result<(), NoHandshake> {
        let deadline = self.runtime.now().after(HANDSHAKE_MAX);
        let mut is_first = true;
        loop {
            let fetched = self.fetch(IDLE_BUFFER_BYTES, HANDSHAKE_BYTES_MAX, deadline).await;
            if !fetched.is_ok_and(|count| count > 0) {
                return Err(NoHandshake::Gone);
            }
            // A record of TLS begins with a small number, a request with a capital letter.
            let first = self.session.borrow().incoming.first();
            if core::mem::take(&mut is_first) && first.is_some_and(|byte| byte.is_ascii_uppercase()) {
                return Err(NoHandshake::PlainHttp);
            }
            loop {
                let taken = self.runtime.arena().take(FLIGHT_BYTES).await;
                let mut buffer = taken.map_err(|_crowded| NoHandshake::Gone)?;
                let mut answer = Answer::new(buffer.bytes_mut());
                let opened = self.session.borrow_mut().open(&mut [], &mut answer);
                let filled = answer.filled();
                let sent = self.send_from(buffer.into(), filled, deadline).await;
                match (opened, sent) {
                    (Ok((_, Phase::Answering)), Ok(_)) => {}
                    (Ok((_, Phase::Handshake)), Ok(_)) => break,
                    (Ok((_, Phase::Open)), Ok(_)) => return Ok(()),
                    (Err(Broken), Ok(_)) => return Err(NoHandshake::Refused),
                    (Ok((_, Phase::Ended)), _) | (_, Err(_)) => return Err(NoHandshake::Gone),
                }
            }
        }
    }

    /// Takes the memory of an exchange, before anything else is taken for it.
    ///
    /// # Errors
    /// No memory.
    pub(crate) async fn begin(&self, has_body: bool) -> Result<(), WireFault> {
        let lacks_outgoing = self.outgoing.borrow().is_none();
        let lack = self.session.borrow().incoming.lack(RECORDS_BYTES_MAX, RECORDS_BYTES_MAX);
        let lacks_incoming = has_body && matches!(lack, Some(Lack::Bytes(_)));
        let count = usize::from(lacks_outgoing) + usize::from(lacks_incoming);
        if count > 0 {
            let mut taken = self.runtime.arena().take_many(count, RECORDS_BYTES_MAX).await?;
            if lacks_incoming && let Some(buffer) = taken.pop() {
                self.session.borrow_mut().incoming.replace(buffer);
            }
            if lacks_outgoing && let Some(buffer) = taken.pop() {
                *self.outgoing.borrow_mut() = Some(buffer.into());
            }
        }
        if has_body {
            self.session.borrow_mut().incoming.set_kept(true);
        }
        Ok(())
    }

    /// Gives back what an exchange took.
    pub(crate) fn rest(&self) {
        self.session.borrow_mut().incoming.set_kept(false);
        self.outgoing.borrow_mut().take();
    }

    /// Receives ciphertext; `Ok(0)` at the end of the stream.
    async fn fetch(&self, wanted: usize, most: usize, deadline: Monotonic) -> Result<usize, WireFault> {
        let lack = self.session.borrow().incoming.lack(wanted, most);
        match lack {
            None => return Err(WireFault::Gone),
            Some(Lack::Nothing) => {}
            Some(Lack::Bytes(bytes)) => {
                let buffer = self.runtime.arena().take(bytes).await?;
                self.session.borrow_mut().incoming.replace(buffer);
            }
        }
        let lent = self.session.borrow_mut().incoming.lend();
        let Some((buffer, range)) = lent else { return Err(WireFault::Gone) };
        let (received, buffer) = self.stream.receive(buffer, range, deadline).await;
        self.session.borrow_mut().incoming.settle(buffer, received.unwrap_or(0));
        Ok(received?)
    }

    /// Sends the front of a buffer, and gives the buffer back.
    async fn send_from(
        &self,
        buffer: SharedBuffer,
        bytes: usize,
        deadline: Monotonic,
    ) -> Result<SharedBuffer, WireFault> {
        if bytes > 0 {
            let mut parts = SendParts::new();
            parts.push(BufferSlice::new(buffer.clone(), 0..bytes));
            if let Err(error) = self.stream.send(parts, deadline).await {
                // A part of a record may have gone out: nothing that follows could be understood.
                self.session.borrow_mut().give_up();
                return Err(error.into());
            }
        }
        Ok(buffer)
    }

    /// Waits until there may be plaintext; see [`crate::wire::link::Link::readable`].
    pub(crate) async fn readable(&self, deadline: Monotonic) -> Result<(), WireFault> {
        if self.session.borrow().incoming.is_empty() {
            self.stream.readable(deadline).await?;
        }
        Ok(())
    }

    /// Receives plaintext; see [`crate::wire::link::Link::receive`].
    pub(crate) async fn receive(
        &self,
        mut buffer: Buffer,
        range: Range<usize>,
        deadline: Monotonic,
    ) -> (Result<usize, WireFault>, Buffer) {
        assert!(range.start < range.end, "nothing can be received into an empty range");
        loop {
            let mut remark = [0; REMARK_BYTES_MAX];
            let mut answer = Answer::new(&mut remark);
            let target = buffer.bytes_mut().get_mut(range.clone()).unwrap_or_default();
            let opened = self.session.borrow_mut().open(target, &mut answer);
            let filled = answer.filled();
            if filled > 0 && self.remark(remark.get(..filled).unwrap_or_default()).await.is_err() {
                return (Err(WireFault::Gone), buffer);
            }
            match opened {
                Ok((placed, _)) if placed > 0 => return (Ok(placed), buffer),
                Ok((_, Phase::Open)) => {}
                Ok((_, Phase::Ended)) => return (Ok(0), buffer),
                Ok((_, Phase::Handshake | Phase::Answering)) | Err(Broken) => {
                    return (Err(WireFault::Gone), buffer);
                }
            }
            // An end without a farewell is an end like any other: every body says how long it is, so one that was
            // cut short is known for it.
            match self.fetch(range.len(), RECORDS_BYTES_MAX, deadline).await {
                Ok(0) => return (Ok(0), buffer),
                Ok(_) => {}
                Err(fault) => return (Err(fault), buffer),
            }
        }
    }

    /// Sends a few bytes of the protocol's own, if there is memory at once: nobody depends on them.
    async fn remark(&self, bytes: &[u8]) -> Result<(), WireFault> {
        let Some(mut buffer) = self.runtime.arena().try_take(bytes.len()) else { return Ok(()) };
        if let Some(place) = buffer.bytes_mut().get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
        }
        let deadline = self.runtime.now().after(SILENCE_MAX);
        self.send_from(buffer.into(), bytes.len(), deadline).await.map(drop)
    }

    /// Seals and sends every byte of every part.
    ///
    /// # Errors
    /// The connection is gone, or its peer too slow.
    pub(crate) async fn send(&self, parts: SendParts, deadline: Monotonic) -> Result<(), WireFault> {
        let mut outgoing = Outgoing::new(parts);
        while !outgoing.is_done() {
            self.begin(false).await?;
            let taken = self.outgoing.borrow_mut().take();
            let Some(mut buffer) = taken else { return Err(WireFault::Gone) };
            let Some(target) = buffer.get_mut() else { return Err(WireFault::Gone) };
            let sealed = self.session.borrow_mut().seal(&mut outgoing, target);
            let filled = sealed.map_err(|Broken| WireFault::Gone)?;
            let buffer = self.send_from(buffer, filled, deadline).await?;
            *self.outgoing.borrow_mut() = Some(buffer);
        }
        Ok(())
    }

    /// Tells the peer that no more will come, once, if there is memory at once.
    pub(crate) async fn finish(&self) {
        let Some(mut buffer) = self.runtime.arena().try_take(IDLE_BUFFER_BYTES) else { return };
        let sealed = self.session.borrow_mut().farewell(buffer.bytes_mut());
        if let Ok(filled) = sealed {
            let deadline = self.runtime.now().after(FAREWELL_MAX);
            drop(self.send_from(buffer.into(), filled, deadline).await);
        }
    }
}
