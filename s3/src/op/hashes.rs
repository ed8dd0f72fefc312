//! What a payload hashes to: what the head promised, what is under way, what came out.

use crate::auth::payload::HashedBy;
use crate::checksum::hasher::{ChecksumHasher, value};
use crate::error::{S3Error, S3Failure};
use crate::http::head::RequestHead;
use crate::http::headers::{self, ChecksumRequest};
use crate::limits::HASH_PIECE_BYTES_MIN;
use crate::value::checksum::{ChecksumAlgorithm, ChecksumValue};
use ashlar_engine::buffer::Buffer;
use ashlar_engine::hash::{BodyDigests, Ends, Lanes};
use ashlar_engine::runtime::Runtime;
use core::ops::Range;

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

/// The hashes under way. MD5 and SHA-256 are computed beside those of other bodies; a checksum that is a SHA-256 is
/// the same one that the signature may ask for.
#[derive(Debug)]
pub(crate) struct Hashers {
    /// Absent while they are in the lanes, or lent.
    digests: Option<BodyDigests>,
    hashed_by: HashedBy,
    is_body_ended: bool,
    is_chunk_ended: bool,
    named: Option<Summer>,
    /// The kept one, if it is another.
    kept: Option<Summer>,
}

/// A checksum under way.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lies in the body under way, which takes no memory for it")]
enum Summer {
    /// One of the digests.
    Sha256,
    Other(ChecksumHasher),
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
    pub(crate) fn check(&self, hashes: &Hashes, trailer: Option<&ChecksumValue>) -> Result<(), S3Failure> {
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

impl Summer {
    fn new(algorithm: ChecksumAlgorithm) -> Self {
        match algorithm {
            ChecksumAlgorithm::Sha256 => Self::Sha256,
            ChecksumAlgorithm::Sha1
            | ChecksumAlgorithm::Crc32
            | ChecksumAlgorithm::Crc32c
            | ChecksumAlgorithm::Crc64Nvme => Self::Other(ChecksumHasher::new(algorithm)),
        }
    }

    fn finish(self, digests: &BodyDigests) -> ChecksumValue {
        match self {
            Self::Sha256 => {
                value(ChecksumAlgorithm::Sha256, digests.sha256().as_ref().map_or(&[], <[u8; 32]>::as_slice))
            }
            Self::Other(hasher) => hasher.finish(),
        }
    }
}

impl Hashers {
    /// Hashers for what the client named, for what is kept, and for what the body is proven by.
    pub(crate) fn new(named: Option<ChecksumAlgorithm>, kept: ChecksumAlgorithm, by: HashedBy) -> Self {
        let is_sha256 = [named, Some(kept)].contains(&Some(ChecksumAlgorithm::Sha256));
        let digests = BodyDigests::new(by == HashedBy::Whole || is_sha256, by == HashedBy::Chunk);
        Self {
            digests: Some(digests),
            hashed_by: by,
            is_body_ended: false,
            is_chunk_ended: false,
            named: named.map(Summer::new),
            kept: (named != Some(kept)).then(|| Summer::new(kept)),
        }
    }

    fn digests(&mut self) -> &mut BodyDigests {
        let Some(digests) = &mut self.digests else { unreachable!("digests come back from the lanes") };
        digests
    }

    fn sum(&mut self, bytes: &[u8]) {
        for summer in [&mut self.named, &mut self.kept].into_iter().flatten() {
            match summer {
                Summer::Sha256 => {}
                Summer::Other(hasher) => hasher.update(bytes),
            }
        }
    }

    /// Lets somebody else hash what comes, but for checksums. Not where chunks are proven: each hash is due on the way.
    pub(crate) fn lend(&mut self) -> Option<BodyDigests> {
        if self.hashed_by == HashedBy::Chunk { None } else { self.digests.take() }
    }

    /// The digests that were lent are back.
    pub(crate) fn take_back(&mut self, digests: BodyDigests) {
        self.digests = Some(digests);
    }

    /// Sums the next bytes, whose digests are lent.
    pub(crate) fn sum_only(&mut self, bytes: &[u8]) {
        assert!(self.digests.is_none(), "who has the digests hashes");
        self.sum(bytes);
    }

    /// Takes the next bytes at once.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.digests().take_alone(bytes, Ends::default());
        self.sum(bytes);
    }

    /// Takes the next bytes, beside those of other bodies.
    pub(crate) async fn take<R: Runtime>(
        &mut self,
        lanes: &Lanes,
        runtime: &R,
        (buffer, range): (Buffer, Range<usize>),
        ends: Ends,
    ) -> Buffer {
        self.sum(buffer.bytes().get(range.clone()).unwrap_or_default());
        let Some(digests) = self.digests.take() else { unreachable!("digests come back from the lanes") };
        let (buffer, digests) = lanes.take(runtime, (buffer, range), digests, ends).await;
        self.digests = Some(digests);
        self.is_body_ended = ends.body;
        self.is_chunk_ended = ends.chunk;
        buffer
    }

    /// The SHA-256 that is due: of the chunk that ended, or of the whole payload, which ended.
    pub(crate) fn due(&mut self) -> [u8; 32] {
        let due = match self.hashed_by {
            HashedBy::Chunk => {
                if !core::mem::take(&mut self.is_chunk_ended) {
                    self.digests().take_alone(b"", Ends { body: false, chunk: true });
                }
                self.digests().next_chunk()
            }
            HashedBy::Whole | HashedBy::Nothing => {
                self.end_body();
                self.digests().sha256()
            }
        };
        let Some(hash) = due else { unreachable!("what the body is proven by is hashed") };
        hash
    }

    fn end_body(&mut self) {
        if !core::mem::replace(&mut self.is_body_ended, true) {
            self.digests().take_alone(b"", Ends { body: true, chunk: false });
        }
    }

    /// The hashes of all bytes taken.
    pub(crate) fn finish(mut self) -> Hashes {
        self.end_body();
        let Self { digests: Some(digests), named, kept, .. } = self else {
            unreachable!("digests come back from the lanes")
        };
        let named = named.map(|summer| summer.finish(&digests));
        let kept = match (kept, &named) {
            (Some(kept), _) => kept.finish(&digests),
            (None, Some(named)) => named.clone(),
            (None, None) => unreachable!("what is not named is kept by a hasher of its own"),
        };
        Hashes { md5: digests.md5(), named, kept }
    }
}

/// Whether so many bytes are hashed now, though more of the same buffer may come.
pub(crate) const fn is_worth_a_turn(bytes: usize) -> bool {
    bytes >= HASH_PIECE_BYTES_MIN
}
