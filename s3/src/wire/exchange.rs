//! One request's body on its way in, and what becomes of its rest.
//!
//! The head stays where it was received, because the request borrows from it. Bytes that came behind it are used
//! first; what is received later goes into a window of its own, or straight to its destination.

use crate::http::body::reader::{BodyCoding, BodyEvent, BodyReader};
use crate::http::head::{BodyFraming, RequestHead};
use crate::http::response::CONTINUE;
use crate::limits::{
    DRAIN_BYTES_MAX, DRAIN_MAX, IDLE_BUFFER_BYTES, LINGER_BYTES_MAX, LINGER_MAX, SILENCE_MAX,
};
use crate::wire::fault::WireFault;
use crate::wire::link::Link;
use crate::wire::pace::Pace;
use crate::wire::window::Window;
use ashlar_engine::buffer::{Buffer, BufferSlice};
use ashlar_engine::runtime::{Monotonic, Runtime, SendParts};
use core::ops::Range;

/// One request and its answer, on one connection.
pub(crate) struct Exchange<'x, R: Runtime> {
    runtime: &'x R,
    link: &'x Link<R>,
    behind_head: &'x [u8],
    used: usize,
    window: Window,
    framing: BodyFraming,
    awaits_continue: bool,
    progress: BodyProgress,
    pace: Pace,
}

/// How far the body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyProgress {
    Untouched,
    Begun,
    Whole,
}

/// What was received behind the end of a request.
#[derive(Debug)]
pub(crate) enum Leftover {
    /// So many of the bytes behind the head belonged to the body; what follows is left.
    BehindHead(usize),
    /// All of those, and this is left.
    Window(Window),
}

impl<R: Runtime> core::fmt::Debug for Exchange<'_, R> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Exchange").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl<'x, R: Runtime> Exchange<'x, R> {
    /// The exchange of a request of which nothing but the head was used.
    #[must_use]
    pub(crate) fn new(
        runtime: &'x R,
        link: &'x Link<R>,
        head: &RequestHead<'_>,
        behind_head: &'x [u8],
    ) -> Self {
        Self {
            runtime,
            link,
            behind_head,
            used: 0,
            window: Window::default(),
            framing: head.framing(),
            awaits_continue: head.expect_continue(),
            progress: BodyProgress::Untouched,
            pace: Pace::default(),
        }
    }

    /// Bytes received and not used yet.
    #[must_use]
    pub(crate) fn at_hand(&self) -> &[u8] {
        match self.behind_head.get(self.used..) {
            Some(rest) if !rest.is_empty() => rest,
            Some(_) | None => self.window.bytes(),
        }
    }

    /// Passes over bytes at hand.
    pub(crate) fn consume(&mut self, bytes: usize) {
        if self.used < self.behind_head.len() {
            self.used += bytes;
            assert!(self.used <= self.behind_head.len(), "no more is used than was at hand");
        } else {
            self.window.consume(bytes);
        }
    }

    /// Lets the client send its body, if it waits for that.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) async fn begin_body(&mut self) -> Result<(), WireFault> {
        self.progress = BodyProgress::Begun;
        // A client that sent some of the body does not wait.
        if !core::mem::take(&mut self.awaits_continue) || !self.at_hand().is_empty() {
            return Ok(());
        }
        let mut buffer = self.runtime.arena().take(CONTINUE.len()).await?;
        if let Some(place) = buffer.bytes_mut().get_mut(..CONTINUE.len()) {
            place.copy_from_slice(CONTINUE);
        }
        let mut parts = SendParts::new();
        parts.push(BufferSlice::of(buffer, 0..CONTINUE.len()));
        self.link.send(parts, self.runtime.now().after(SILENCE_MAX)).await
    }

    /// Notes that the body was read to its end.
    pub(crate) fn end_body(&mut self) {
        self.progress = BodyProgress::Whole;
    }

    /// Receives more bytes to be at hand. Those at hand must have been used.
    ///
    /// # Errors
    /// What befell the connection.
    pub(crate) async fn receive(&mut self) -> Result<(), WireFault> {
        assert!(self.at_hand().is_empty(), "what is at hand comes first");
        self.window.make_room(self.runtime, IDLE_BUFFER_BYTES).await?;
        let now = self.runtime.now();
        let deadline = self.pace.deadline(now);
        let received = self.window.receive(self.link, IDLE_BUFFER_BYTES, deadline).await;
        self.note(now, received.unwrap_or(0));
        received.map(|_| ())
    }

    /// Receives bytes straight into `range` of `buffer`.
    pub(crate) async fn receive_into(
        &mut self,
        buffer: Buffer,
        range: Range<usize>,
    ) -> (Result<usize, WireFault>, Buffer) {
        assert!(self.at_hand().is_empty(), "what is at hand comes first");
        let now = self.runtime.now();
        let deadline = self.pace.deadline(now);
        let (received, buffer) = self.link.receive(buffer, range, deadline).await;
        self.note(now, received.unwrap_or(0));
        match received {
            Ok(0) => (Err(WireFault::Ended), buffer),
            Ok(count) => (Ok(count), buffer),
            Err(fault) => (Err(fault), buffer),
        }
    }

    fn note(&mut self, since: Monotonic, count: usize) {
        let waited = self.runtime.now().since(since);
        self.pace.note(u64::try_from(count).unwrap_or(u64::MAX), waited);
    }

    /// Whether some of the body was not received.
    #[must_use]
    pub(crate) fn has_rest(&self) -> bool {
        self.progress != BodyProgress::Whole
            && !matches!(self.framing, BodyFraming::None | BodyFraming::Length(0))
    }

    /// Ends the request's way in, before the answer is sent: true if another request may follow. A short rest of
    /// the body is read and dropped for that.
    pub(crate) async fn settle(&mut self) -> bool {
        match self.progress {
            BodyProgress::Whole => return true,
            BodyProgress::Begun => return false,
            BodyProgress::Untouched => {}
        }
        if matches!(self.framing, BodyFraming::None | BodyFraming::Length(0)) {
            self.progress = BodyProgress::Whole;
            return true;
        }
        // Nobody knows whether a client that waits for 100 will send its body after a refusal.
        if self.awaits_continue && self.at_hand().is_empty() {
            return false;
        }
        let Ok(reader) = BodyReader::new(self.framing, BodyCoding::Plain, None, DRAIN_BYTES_MAX) else {
            return false;
        };
        let deadline = self.runtime.now().after(DRAIN_MAX);
        self.progress = BodyProgress::Begun;
        let drained = self.drain(reader, deadline).await.is_some();
        if drained {
            self.progress = BodyProgress::Whole;
        }
        drained
    }

    async fn drain(&mut self, mut reader: BodyReader, deadline: Monotonic) -> Option<()> {
        loop {
            let step = reader.step(self.at_hand()).ok()?;
            self.consume(step.consumed);
            match step.event {
                BodyEvent::End => return Some(()),
                BodyEvent::NeedMore if self.runtime.now() < deadline => self.receive().await.ok()?,
                BodyEvent::NeedMore => return None,
                BodyEvent::Payload { .. } | BodyEvent::ChunkEnd { .. } | BodyEvent::TrailersEnd { .. } => {}
            }
        }
    }

    /// Waits, for a short while, until the client has read the last answer and closes.
    pub(crate) async fn linger(self) {
        if self.progress != BodyProgress::Whole {
            linger(self.runtime, self.link, self.window).await;
        }
    }

    /// What was received behind the request. To be called once the body is whole.
    #[must_use]
    pub(crate) fn into_leftover(self) -> Leftover {
        assert!(self.progress == BodyProgress::Whole, "a body's rest is not a request");
        if self.window.is_empty() { Leftover::BehindHead(self.used) } else { Leftover::Window(self.window) }
    }
}

/// Drops what a peer still sends, until it closes or a bound is passed.
pub(crate) async fn linger<R: Runtime>(runtime: &R, link: &Link<R>, mut window: Window) {
    link.finish().await;
    let deadline = runtime.now().after(LINGER_MAX);
    let mut left = LINGER_BYTES_MAX;
    while left > 0 {
        window.consume(window.bytes().len());
        if window.make_room(runtime, IDLE_BUFFER_BYTES).await.is_err() {
            return;
        }
        let Ok(count) = window.receive(link, IDLE_BUFFER_BYTES, deadline).await else { return };
        left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
    }
}
