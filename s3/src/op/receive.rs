//! Bodies on their way in: every payload byte is received once, hashed once, and lies where the engine writes it
//! from. Nothing is published here, so a wrong body leaves nothing behind.
//!
//! Payload is hashed in the buffers that go to the devices, beside the payload of other connections: by the engine,
//! while it writes them ([`BodyWriter::hash_with`]). Where a hash is due before that, for each chunk that is signed, or
//! where the body is so small that it is not written by itself, a buffer is given on to the engine when its bytes were
//! hashed ([`ashlar_engine::hash::Lanes`]). Checksums are computed as the bytes come, while they are in the cache.

use crate::auth::payload::{BodyProgress, VerifiedBody};
use crate::error::S3Error;
use crate::http::head::BodyFraming;
use crate::limits::{DIRECT_BYTES_MIN, DOCUMENT_GROWTH, XML_BYTES_MAX};
use crate::op::hashes::{Expected, Hashers, Hashes, is_worth_a_turn};
use crate::op::refusal::Refusal;
use crate::op::request::Request;
use crate::value::checksum::ChecksumAlgorithm;
use crate::wire::exchange::Exchange;
use ashlar_engine::buffer::Buffer;
use ashlar_engine::hash::{Ends, Lanes};
use ashlar_engine::runtime::Runtime;
use ashlar_engine::sync::Share;
use ashlar_engine::{Body, BodyWriter};
use core::ops::Range;

/// A payload between the socket and the engine.
struct Intake<'i, R: Runtime> {
    runtime: &'i R,
    lanes: &'i Lanes,
    hashers: Hashers,
    /// Absent if there is no payload.
    writer: Option<BodyWriter<R>>,
    /// Bytes so far, and in the end, if that was announced.
    length: u64,
    expected: Option<u64>,
    /// Bytes in front of the writer's space that were not hashed yet. They lie in the same buffer.
    unhashed: usize,
    /// The engine hashes.
    is_hashed_behind: bool,
    /// What the writer made of the payload, once it was finished.
    stored: Option<Body>,
}

impl<R: Runtime> Intake<'_, R> {
    fn writer(&mut self) -> Result<&mut BodyWriter<R>, Refusal> {
        self.writer.as_mut().ok_or_else(|| S3Error::IncompleteBody.into())
    }

    /// Leaves hashing to the engine, where that can be.
    fn hash_behind(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        let Some(digests) = self.hashers.lend() else { return };
        match writer.hash_with(self.lanes, digests) {
            None => self.is_hashed_behind = true,
            Some(digests) => self.hashers.take_back(digests),
        }
    }

    /// Copies payload in. It is the whole rest of the chunk if `ends_chunk`.
    async fn copy(&mut self, payload: &[u8], ends_chunk: bool) -> Result<(), Refusal> {
        let mut rest = payload;
        while !rest.is_empty() {
            let (mut buffer, space) = self.writer()?.space().await?;
            let (now, later) = rest.split_at_checked(space.len()).unwrap_or((rest, b""));
            let Some(place) = buffer.bytes_mut().get_mut(space.start..space.start + now.len()) else {
                unreachable!("a buffer holds its free space")
            };
            place.copy_from_slice(now);
            self.filled(buffer, space, now.len(), ends_chunk && later.is_empty()).await?;
            rest = later;
        }
        Ok(())
    }

    /// Receives once, straight into the row that the engine fills.
    async fn receive(
        &mut self,
        exchange: &mut Exchange<'_, R>,
        body: &mut VerifiedBody,
    ) -> Result<(), Refusal> {
        let (buffer, space) = self.writer()?.space().await?;
        let most = usize::try_from(body.direct_remaining()).unwrap_or(usize::MAX).min(space.len());
        let (received, buffer) = exchange.receive_into(buffer, space.start..space.start + most).await;
        let count = received?;
        body.direct_received(count);
        self.filled(buffer, space, count, body.is_chunk_filled()).await
    }

    /// The first `count` bytes of `space` are payload now. They are hashed when enough has come together, and in
    /// any case before another buffer, another chunk or the end.
    async fn filled(
        &mut self,
        buffer: Buffer,
        space: Range<usize>,
        count: usize,
        ends_chunk: bool,
    ) -> Result<(), Refusal> {
        self.writer()?.sum(&buffer, count);
        let start = space.start - self.unhashed;
        let end = space.start + count;
        self.length = self.length.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if self.is_hashed_behind {
            self.hashers.sum_only(buffer.bytes().get(space.start..end).unwrap_or_default());
            self.writer()?.fill(buffer, count);
            return Ok(());
        }
        let ends = Ends { body: self.expected == Some(self.length), chunk: ends_chunk };
        let is_due = ends.body || ends.chunk || end == space.end || is_worth_a_turn(end - start);
        let buffer = if is_due {
            self.unhashed = 0;
            self.hashers.take(self.lanes, self.runtime, (buffer, start..end), ends).await
        } else {
            self.unhashed = end - start;
            buffer
        };
        self.writer()?.fill(buffer, count);
        Ok(())
    }

    /// Hashes what was not hashed yet.
    async fn flush(&mut self) -> Result<(), Refusal> {
        if self.unhashed > 0 {
            let (buffer, space) = self.writer()?.space().await?;
            let range = space.start - core::mem::take(&mut self.unhashed)..space.start;
            let buffer = self.hashers.take(self.lanes, self.runtime, (buffer, range), Ends::default()).await;
            self.writer()?.fill(buffer, 0);
        }
        Ok(())
    }

    /// Sees to it that all bytes so far are in the hashes. Where the engine hashes, they are the whole payload.
    async fn settle(&mut self) -> Result<(), Refusal> {
        if !self.is_hashed_behind {
            return self.flush().await;
        }
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let (stored, digests) = writer.finish_hashed().await?;
        self.stored = Some(stored);
        if let Some(digests) = digests {
            self.hashers.take_back(digests);
        }
        Ok(())
    }
}

impl<R: Runtime> Request<'_, R> {
    /// Receives an object's or part's payload. `kept` is the algorithm of the checksum to be stored.
    pub(crate) async fn receive_payload(
        &self,
        exchange: &mut Exchange<'_, R>,
        mut body: VerifiedBody,
        expected: &Expected,
        kept: ChecksumAlgorithm,
    ) -> Result<(Body, Hashes), Refusal> {
        let length = body.payload_expected();
        if length != Some(0) {
            self.core.engine.wait_for_space().await;
        }
        let mut intake = Intake {
            runtime: &self.core.runtime,
            lanes: &self.core.lanes,
            hashers: Hashers::new(expected.algorithm(), kept, body.hashed_by()),
            writer: match length {
                Some(0) => None,
                length => Some(self.core.engine.begin_body(length)?),
            },
            length: 0,
            expected: length,
            unhashed: 0,
            is_hashed_behind: false,
            stored: None,
        };
        intake.hash_behind();
        exchange.begin_body().await?;
        loop {
            match body.step(exchange.at_hand())? {
                BodyProgress::Payload { consumed, offset, length } => {
                    let payload = exchange.at_hand().get(offset..offset + length).unwrap_or_default();
                    intake.copy(payload, body.is_chunk_filled()).await?;
                    exchange.consume(consumed);
                }
                BodyProgress::NeedMore { consumed } => {
                    exchange.consume(consumed);
                    if intake.writer.is_some() && body.direct_remaining() >= DIRECT_BYTES_MIN {
                        intake.receive(exchange, &mut body).await?;
                    } else {
                        exchange.receive().await?;
                    }
                }
                BodyProgress::HashDue { consumed } => {
                    exchange.consume(consumed);
                    intake.settle().await?;
                    body.prove(&intake.hashers.due())?;
                }
                BodyProgress::End { consumed } => {
                    exchange.consume(consumed);
                    exchange.end_body();
                    break;
                }
            }
        }
        intake.settle().await?;
        let Intake { hashers, writer, stored, .. } = intake;
        let hashes = hashers.finish();
        expected.check(&hashes, body.trailer_checksum())?;
        let stored = match (stored, writer) {
            (Some(stored), _) => stored,
            (None, Some(writer)) => writer.finish().await?,
            (None, None) => Body::empty(),
        };
        Ok((stored, hashes))
    }

    /// Receives a whole XML document, and compares the hashes that came with it. With it comes the heap for all that
    /// becomes of it, to be held until its answer is sent.
    pub(crate) async fn receive_document(
        &self,
        exchange: &mut Exchange<'_, R>,
        expected: &Expected,
    ) -> Result<(Vec<u8>, Share), Refusal> {
        let limit = u64::try_from(XML_BYTES_MAX).unwrap_or(u64::MAX);
        let mut body = match VerifiedBody::new(self.proof, self.head, limit) {
            Ok(body) => body,
            Err(failure) if failure.error == S3Error::EntityTooLarge => {
                return Err(S3Error::MaxMessageLengthExceeded.into());
            }
            Err(failure) => return Err(failure.into()),
        };
        let length = match self.head.framing() {
            BodyFraming::None => 0,
            BodyFraming::Length(bytes) => usize::try_from(bytes).unwrap_or(XML_BYTES_MAX).min(XML_BYTES_MAX),
            BodyFraming::Chunked => XML_BYTES_MAX,
        };
        let share = self.core.document_share(length * DOCUMENT_GROWTH).await?;
        let algorithm = expected.algorithm().or(body.trailer_algorithm());
        let algorithm = algorithm.unwrap_or(ChecksumAlgorithm::Crc64Nvme);
        let mut hashers = Hashers::new(Some(algorithm), algorithm, body.hashed_by());
        let mut document = Vec::new();
        exchange.begin_body().await?;
        loop {
            match body.step(exchange.at_hand())? {
                BodyProgress::Payload { consumed, offset, length } => {
                    let payload = exchange.at_hand().get(offset..offset + length).unwrap_or_default();
                    hashers.update(payload);
                    document.extend_from_slice(payload);
                    exchange.consume(consumed);
                }
                BodyProgress::NeedMore { consumed } => {
                    exchange.consume(consumed);
                    exchange.receive().await?;
                }
                BodyProgress::HashDue { consumed } => {
                    exchange.consume(consumed);
                    body.prove(&hashers.due())?;
                }
                BodyProgress::End { consumed } => {
                    exchange.consume(consumed);
                    exchange.end_body();
                    expected.check(&hashers.finish(), body.trailer_checksum())?;
                    return Ok((document, share));
                }
            }
        }
    }
}
