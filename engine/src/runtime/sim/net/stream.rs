//! One end of a simulated connection.

use super::link::Link;
use crate::buffer::Buffer;
use crate::runtime::contract::{Monotonic, NetError, SendParts, Stream};
use futures_util::future::{Either, select};
use std::future::Future;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;

/// A connected socket of either side. Dropping it closes it.
#[derive(Debug)]
pub struct SimStream {
    link: Rc<Link>,
    end: usize,
    peer: SocketAddr,
}

impl SimStream {
    pub(crate) fn new(link: Rc<Link>, end: usize, peer: SocketAddr) -> Self {
        Self { link, end, peer }
    }

    /// Sends every byte.
    ///
    /// # Errors
    /// As [`Stream::send`].
    pub async fn send_bytes(&self, bytes: &[u8], deadline: Monotonic) -> Result<(), NetError> {
        self.link.send(self.end, bytes, deadline).await
    }

    /// Receives 1 to `bytes_max` bytes; none when the peer sends no more.
    ///
    /// # Errors
    /// As [`Stream::receive`].
    pub async fn receive_bytes(&self, bytes_max: usize, deadline: Monotonic) -> Result<Vec<u8>, NetError> {
        let mut bytes = vec![0; bytes_max];
        let count = self.link.receive(self.end, &mut bytes, deadline).await?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Receives until the peer sends no more.
    ///
    /// # Errors
    /// As [`Stream::receive`]; what came before the error is lost.
    pub async fn receive_all(&self, deadline: Monotonic) -> Result<Vec<u8>, NetError> {
        let mut all = Vec::new();
        loop {
            let bytes = self.receive_bytes(64 << 10, deadline).await?;
            if bytes.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(&bytes);
        }
    }

    /// Tells the peer that no more bytes will come, and goes on receiving.
    pub fn finish(&self) {
        self.link.finish(self.end);
    }

    /// Breaks the connection at once, for both ends.
    pub fn reset(&self) {
        self.link.reset();
    }
}

impl Stream for SimStream {
    async fn readable(&self, deadline: Monotonic) -> Result<(), NetError> {
        self.link.readable(self.end, deadline).await
    }

    async fn receive_unless(
        &self,
        mut buffer: Buffer,
        range: Range<usize>,
        deadline: Monotonic,
        cut: impl Future<Output = ()>,
    ) -> (Result<usize, NetError>, Buffer) {
        let result = {
            // Nothing is taken out of the pipe before it is handed over, so that giving up loses nothing.
            let receiving = pin!(self.link.receive(self.end, &mut buffer.bytes_mut()[range], deadline));
            match select(receiving, pin!(cut)).await {
                Either::Left((received, _)) => received,
                Either::Right(((), _)) => Err(NetError::TimedOut),
            }
        };
        (result, buffer)
    }

    async fn send(&self, parts: SendParts, deadline: Monotonic) -> Result<(), NetError> {
        for part in &parts {
            self.link.send(self.end, part.bytes(), deadline).await?;
        }
        Ok(())
    }

    async fn lend(&self, parts: SendParts, deadline: Monotonic) -> Result<(), NetError> {
        let kept = Box::new(parts.clone());
        let sent = self.send(parts, deadline).await;
        self.link.keep(self.end, kept);
        sent
    }

    fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.link.close(self.end);
    }
}
