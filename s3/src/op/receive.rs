//! Bodies on their way in: every payload byte is received once, hashed once while it is hot, and lies where the
//! engine writes it from. Nothing is published here, so a wrong body leaves nothing behind.

use crate::auth::payload::{BodyProgress, VerifiedBody};
use crate::checksum::hasher::ChecksumHasher;
use crate::checksum::md5::Md5Hasher;
use crate::error::{S3Error, S3Failure};
use crate::http::head::RequestHead;
use crate::http::headers::{self, ChecksumRequest};
use crate::limits::{DIRECT_BYTES_MIN, XML_BYTES_MAX};
use crate::op::refusal::Refusal;
use crate::op::request::Request;
use crate::value::checksum::{ChecksumAlgorithm, ChecksumValue};
use crate::wire::exchange::Exchange;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::{Body, BodyWriter};

/// What the head says the payload must hash to.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    md5: Option<[u8; 16]>,
    checksum: ChecksumRequest,
}

/// The hashes of a payload.
#[derive(Clone, Debug)]
pub(crate) struct Hashes {
    /// Its MD5.
    pub(crate) md5: [u8; 16],
    /// The checksum that the client named, if it did, which was compared.
    pub(crate) named: Option<ChecksumValue>,
    /// The checksum that is kept.
    pub(crate) kept: ChecksumValue,
}

/// The hashes under way.
pub(crate) struct Hashers {
    md5: Md5Hasher,
    named: Option<ChecksumHasher>,
    /// The kept one, if it is another.
    kept: Option<ChecksumHasher>,
}

impl Expected {
    /// Reads the head.
    pub(crate) fn of(head: &RequestHead<'_>) -> Result<Self, S3Failure> {
        let checksum = headers::checksum(head)?;
        if checksum.part_count.is_some() {
            return Err(S3Failure::new(S3Error::InvalidRequest)
                .message("Value for the x-amz-checksum- header is invalid."));
        }
        let sent = checksum.value.as_ref().map(ChecksumValue::algorithm).or(checksum.trailer);
        if let (Some(sent), Some(announced)) = (sent, checksum.algorithm)
            && sent != announced
        {
            return Err(S3Failure::new(S3Error::InvalidRequest)
                .message("Value for x-amz-sdk-checksum-algorithm header is invalid."));
        }
        Ok(Self { md5: headers::content_md5(head)?, checksum })
    }

    /// Reads the head of a request whose checksum headers are about something else than its body.
    pub(crate) fn without_checksum(head: &RequestHead<'_>) -> Result<Self, S3Failure> {
        Ok(Self { md5: headers::content_md5(head)?, checksum: ChecksumRequest::default() })
    }

    /// The algorithm that the client named, if it did.
    pub(crate) fn algorithm(&self) -> Option<ChecksumAlgorithm> {
        let checksum = &self.checksum;
        checksum.value.as_ref().map(ChecksumValue::algorithm).or(checksum.trailer).or(checksum.algorithm)
    }

    /// Whether anything is there to compare with.
    pub(crate) fn is_given(&self) -> bool {
        self.md5.is_some() || self.checksum.value.is_some() || self.checksum.trailer.is_some()
    }

    /// Compares. `trailer` is the checksum that came behind the payload.
    fn check(&self, hashes: &Hashes, trailer: Option<&ChecksumValue>) -> Result<(), S3Failure> {
        if self.md5.is_some_and(|md5| md5 != hashes.md5) {
            return Err(S3Failure::new(S3Error::BadDigest)
                .message("The Content-MD5 you specified did not match what we received."));
        }
        let expected = self.checksum.value.as_ref().or(trailer);
        match (expected, &hashes.named) {
            (Some(expected), found) if found.as_ref() != Some(expected) => Err(S3Error::BadDigest.into()),
            (Some(_) | None, _) => Ok(()),
        }
    }
}

impl Hashers {
    /// Hashers for what the client named, and for what is kept.
    pub(crate) fn new(named: Option<ChecksumAlgorithm>, kept: ChecksumAlgorithm) -> Self {
        Self {
            md5: Md5Hasher::new(),
            named: named.map(ChecksumHasher::new),
            kept: (named != Some(kept)).then(|| ChecksumHasher::new(kept)),
        }
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        for hasher in [&mut self.named, &mut self.kept].into_iter().flatten() {
            hasher.update(bytes);
        }
    }

    /// The hashes of all bytes taken.
    pub(crate) fn finish(self) -> Hashes {
        let named = self.named.map(ChecksumHasher::finish);
        let kept = match (self.kept, &named) {
            (Some(kept), _) => kept.finish(),
            (None, Some(named)) => named.clone(),
            (None, None) => unreachable!("what is not named is kept by a hasher of its own"),
        };
        Hashes { md5: self.md5.finish(), named, kept }
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
        let mut hashers = Hashers::new(expected.algorithm(), kept);
        let mut writer = match body.payload_expected() {
            Some(0) => None,
            length => Some(self.core.engine.begin_body(length)?),
        };
        exchange.begin_body().await?;
        loop {
            match body.step(exchange.at_hand())? {
                BodyProgress::Payload { consumed, offset, length } => {
                    let payload = exchange.at_hand().get(offset..offset + length).unwrap_or_default();
                    hashers.update(payload);
                    let Some(writer) = &mut writer else { return Err(S3Error::IncompleteBody.into()) };
                    writer.write(payload).await?;
                    exchange.consume(consumed);
                }
                BodyProgress::NeedMore { consumed } => {
                    exchange.consume(consumed);
                    match &mut writer {
                        Some(writer) if body.direct_remaining() >= DIRECT_BYTES_MIN => {
                            receive_direct(exchange, &mut body, &mut hashers, writer).await?;
                        }
                        Some(_) | None => exchange.receive().await?,
                    }
                }
                BodyProgress::End { consumed } => {
                    exchange.consume(consumed);
                    exchange.end_body();
                    break;
                }
            }
        }
        let hashes = hashers.finish();
        expected.check(&hashes, body.trailer_checksum())?;
        let stored = match writer {
            Some(writer) => writer.finish().await?,
            None => Body::empty(),
        };
        Ok((stored, hashes))
    }

    /// Receives a whole XML document, and compares the hashes that came with it.
    pub(crate) async fn receive_document(
        &self,
        exchange: &mut Exchange<'_, R>,
        expected: &Expected,
    ) -> Result<Vec<u8>, Refusal> {
        let limit = u64::try_from(XML_BYTES_MAX).unwrap_or(u64::MAX);
        let mut body = match VerifiedBody::new(self.proof, self.head, limit) {
            Ok(body) => body,
            Err(failure) if failure.error == S3Error::EntityTooLarge => {
                return Err(S3Error::MaxMessageLengthExceeded.into());
            }
            Err(failure) => return Err(failure.into()),
        };
        let _place = self.core.documents.enter().await;
        let algorithm = expected.algorithm().or(body.trailer_algorithm());
        let algorithm = algorithm.unwrap_or(ChecksumAlgorithm::Crc64Nvme);
        let mut hashers = Hashers::new(Some(algorithm), algorithm);
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
                BodyProgress::End { consumed } => {
                    exchange.consume(consumed);
                    exchange.end_body();
                    expected.check(&hashers.finish(), body.trailer_checksum())?;
                    return Ok(document);
                }
            }
        }
    }
}

/// One receive straight into the row that the engine fills.
async fn receive_direct<R: Runtime>(
    exchange: &mut Exchange<'_, R>,
    body: &mut VerifiedBody,
    hashers: &mut Hashers,
    writer: &mut BodyWriter<R>,
) -> Result<(), Refusal> {
    let (buffer, space) = writer.space().await?;
    let most = usize::try_from(body.direct_remaining()).unwrap_or(usize::MAX).min(space.len());
    let start = space.start;
    let (received, buffer) = exchange.receive_into(buffer, start..start + most).await;
    let count = received?;
    let payload = buffer.bytes().get(start..start + count).unwrap_or_default();
    body.direct_received(payload);
    hashers.update(payload);
    writer.fill(buffer, count);
    Ok(())
}
