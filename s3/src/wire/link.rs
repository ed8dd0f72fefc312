//! What carries a connection's bytes. An enum and no trait object: which of its ways a connection goes is known once,
//! and the plain way costs one comparison.

use crate::wire::fault::WireFault;
use ashlar_engine::buffer::Buffer;
use ashlar_engine::runtime::{Monotonic, Runtime, SendParts, Stream as _};
use core::ops::Range;

/// One connection's way to its peer. Closes when it is dropped.
#[derive(Debug)]
pub(crate) enum Link<R: Runtime> {
    /// Bytes as they are.
    Plain(R::Stream),
}

impl<R: Runtime> Link<R> {
    /// Waits until there is something to receive, without a buffer for it.
    ///
    /// # Errors
    /// The connection is gone, or the time is up.
    pub(crate) async fn readable(&self, deadline: Monotonic) -> Result<(), WireFault> {
        match self {
            Self::Plain(stream) => Ok(stream.readable(deadline).await?),
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
        }
    }

    /// Sends every byte of every part.
    ///
    /// # Errors
    /// The connection is gone, or its peer too slow.
    pub(crate) async fn send(&self, parts: SendParts, deadline: Monotonic) -> Result<(), WireFault> {
        match self {
            Self::Plain(stream) => Ok(stream.send(parts, deadline).await?),
        }
    }
}
