//! Bytes received and not yet used, in one buffer that grows from the smallest size to a head's.

use crate::limits::IDLE_BUFFER_BYTES;
use crate::wire::fault::WireFault;
use crate::wire::link::Link;
use ashlar_engine::buffer::Buffer;
use ashlar_engine::runtime::{Monotonic, Runtime};
use core::future::Future;
use core::ops::Range;

/// The bytes `start..end` of a buffer. Without a buffer there are none.
#[derive(Debug, Default)]
pub(crate) struct Window {
    buffer: Option<Buffer>,
    start: usize,
    end: usize,
}

impl Window {
    /// What is left of a buffer.
    #[must_use]
    pub(crate) fn of(buffer: Buffer, start: usize, end: usize) -> Self {
        assert!(start <= end, "a window does not end before it starts");
        assert!(end <= buffer.capacity(), "a window lies in its buffer");
        Self { buffer: Some(buffer), start, end }
    }

    /// The bytes.
    #[must_use]
    pub(crate) fn bytes(&self) -> &[u8] {
        let bytes = self.buffer.as_ref().map(Buffer::bytes).unwrap_or_default();
        bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether there are none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Passes over bytes that were used.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        assert!(self.start <= self.end, "no more is used than was received");
    }

    /// The buffer and the range of the bytes, if there is a buffer.
    #[must_use]
    pub(crate) fn into_parts(self) -> Option<(Buffer, usize, usize)> {
        let Self { buffer, start, end } = self;
        buffer.map(|buffer| (buffer, start, end))
    }

    /// Gives a large buffer back if nothing is in it.
    pub(crate) fn shrink(&mut self) {
        let is_large = self.buffer.as_ref().is_some_and(|buffer| buffer.capacity() > IDLE_BUFFER_BYTES);
        if is_large && self.is_empty() {
            *self = Self::default();
        }
    }

    /// Bytes of the buffer, if there is one.
    #[must_use]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.as_ref().map_or(0, Buffer::capacity)
    }

    /// Makes room for at least one byte more. At most `bytes_max` bytes are ever held.
    ///
    /// # Errors
    /// No memory.
    ///
    /// # Panics
    /// If `bytes_max` bytes are held already: the caller has refused such a peer.
    pub(crate) async fn make_room<R: Runtime>(
        &mut self,
        runtime: &R,
        bytes_max: usize,
    ) -> Result<(), WireFault> {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
        let Some(buffer) = &mut self.buffer else {
            self.buffer = Some(runtime.arena().take(IDLE_BUFFER_BYTES).await?);
            return Ok(());
        };
        if self.end < buffer.capacity().min(bytes_max) {
            return Ok(());
        }
        let length = self.end - self.start;
        if self.start > 0 {
            buffer.bytes_mut().copy_within(self.start..self.end, 0);
        } else {
            assert!(length < bytes_max, "a full window is not received into");
            let mut larger = runtime.arena().take(bytes_max).await?;
            let (old, new) = (buffer.bytes().get(..length), larger.bytes_mut().get_mut(..length));
            if let (Some(old), Some(new)) = (old, new) {
                new.copy_from_slice(old);
            }
            *buffer = larger;
        }
        (self.start, self.end) = (0, length);
        Ok(())
    }

    /// Receives at least one byte more.
    ///
    /// # Errors
    /// As from the link; [`WireFault::Ended`] if the peer sends no more.
    pub(crate) async fn receive<R: Runtime>(
        &mut self,
        link: &Link<R>,
        bytes_max: usize,
        deadline: Monotonic,
    ) -> Result<usize, WireFault> {
        let Some((buffer, range)) = self.lend(bytes_max) else { return Err(WireFault::Gone) };
        let (received, buffer) = link.receive(buffer, range, deadline).await;
        self.settle(received, buffer)
    }

    /// As [`Window::receive`], unless `cut` resolves first: [`WireFault::TimedOut`].
    ///
    /// # Errors
    /// The same.
    pub(crate) async fn receive_unless<R: Runtime>(
        &mut self,
        link: &Link<R>,
        bytes_max: usize,
        deadline: Monotonic,
        cut: impl Future<Output = ()>,
    ) -> Result<usize, WireFault> {
        let Some((buffer, range)) = self.lend(bytes_max) else { return Err(WireFault::Gone) };
        let (received, buffer) = link.receive_unless(buffer, range, deadline, cut).await;
        self.settle(received, buffer)
    }

    fn lend(&mut self, bytes_max: usize) -> Option<(Buffer, Range<usize>)> {
        let buffer = self.buffer.take()?;
        let range = self.end..buffer.capacity().min(bytes_max);
        Some((buffer, range))
    }

    fn settle(&mut self, received: Result<usize, WireFault>, buffer: Buffer) -> Result<usize, WireFault> {
        self.buffer = Some(buffer);
        match received? {
            0 => Err(WireFault::Ended),
            count => {
                self.end += count;
                Ok(count)
            }
        }
    }
}
