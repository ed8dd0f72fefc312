//! Bodies whose hash, chunk signatures and trailers are checked as they pass.
//!
//! Payload may be written to uncommitted space as it comes; it may be committed only after `End`. Every payload
//! byte must pass through here once, in order: through `step`, or through `direct_received`. It is hashed by the
//! caller, beside the payload of others; `HashDue` says when the hash must be there, and nothing goes on without it.

use crate::auth::chunk_signature::ChunkVerifier;
use crate::auth::signature::is_equal;
use crate::auth::verify::{Authenticated, PayloadMode};
use crate::error::{S3Error, S3Failure};
use crate::http::body::{BodyCoding, BodyError, BodyEvent, BodyReader};
use crate::http::head::{BodyFraming, RequestHead};
use crate::http::headers;
use crate::value::checksum::{ChecksumAlgorithm, ChecksumValue};

/// A body under way whose proof is checked.
#[derive(Debug)]
pub struct VerifiedBody {
    reader: BodyReader,
    check: Check,
    due: Option<Due>,
    trailer: Option<ChecksumAlgorithm>,
    trailer_checksum: Option<ChecksumValue>,
}

#[derive(Debug)]
enum Check {
    None,
    Hash { expected: [u8; 32], is_proven: bool },
    Chunks { chain: ChunkVerifier, is_trailer_signed: bool },
}

/// The hash that is asked for.
#[derive(Clone, Copy, Debug)]
enum Due {
    Payload,
    Chunk { signature: [u8; 32] },
}

/// Which SHA-256 values a body is proven by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashedBy {
    /// None.
    Nothing,
    /// One, of all its payload.
    Whole,
    /// One of the payload of each chunk.
    Chunk,
}

/// How far a step came. `consumed` is in bytes of the input given to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyProgress {
    /// All input was taken; more is needed.
    NeedMore {
        /// Bytes taken: all.
        consumed: usize,
    },
    /// `length` bytes of payload lie at `offset` in the input, and end where the step stopped.
    Payload {
        /// Bytes taken, up to the payload's end.
        consumed: usize,
        /// Where, in the input.
        offset: usize,
        /// Bytes.
        length: usize,
    },
    /// The SHA-256 of the payload, or of the chunk that ended, must be given to `prove` before the next step.
    HashDue {
        /// Bytes taken.
        consumed: usize,
    },
    /// The body is whole, and everything that was to be checked held.
    End {
        /// Bytes taken; what follows belongs to the next request.
        consumed: usize,
    },
}

impl VerifiedBody {
    /// The body of an authenticated request. `payload_limit` is in bytes.
    ///
    /// # Errors
    /// The head announces a body that cannot be right, or is too large.
    pub fn new(proof: &Authenticated, head: &RequestHead<'_>, payload_limit: u64) -> Result<Self, S3Failure> {
        let (coding, check) = match proof.payload() {
            PayloadMode::Unsigned => (BodyCoding::Plain, Check::None),
            PayloadMode::Hashed(expected) => (BodyCoding::Plain, Check::Hash { expected, is_proven: false }),
            PayloadMode::StreamingUnsignedTrailer => {
                (BodyCoding::AwsChunked { signed: false, trailer: true }, Check::None)
            }
            PayloadMode::StreamingSigned { trailer } => (
                BodyCoding::AwsChunked { signed: true, trailer },
                Check::Chunks { chain: proof.chunk_chain(), is_trailer_signed: trailer },
            ),
        };
        let trailer = headers::checksum(head)?.trailer;
        let allows_trailer = matches!(coding, BodyCoding::AwsChunked { trailer: true, .. });
        if trailer.is_some() && !allows_trailer {
            return Err(S3Failure::new(S3Error::InvalidRequest)
                .message("x-amz-trailer needs an x-amz-content-sha256 that announces trailers."));
        }
        let announced = headers::decoded_content_length(head)?;
        if coding != BodyCoding::Plain && announced.is_none() {
            return Err(S3Error::MissingContentLength.into());
        }
        let reader = BodyReader::new(head.framing(), coding, announced, payload_limit)?;
        Ok(Self { reader, check, due: None, trailer, trailer_checksum: None })
    }

    /// Bytes of payload, if they were announced; an upload without them is `MissingContentLength`, unless it may
    /// be empty.
    #[must_use]
    pub const fn payload_expected(&self) -> Option<u64> {
        self.reader.payload_expected()
    }

    /// Payload received so far, in bytes.
    #[must_use]
    pub const fn payload_received(&self) -> u64 {
        self.reader.payload_received()
    }

    /// What the caller must hash for `prove`.
    #[must_use]
    pub const fn hashed_by(&self) -> HashedBy {
        match self.check {
            Check::None => HashedBy::Nothing,
            Check::Hash { .. } => HashedBy::Whole,
            Check::Chunks { .. } => HashedBy::Chunk,
        }
    }

    /// Reads from the start of `input`; call again with what was not consumed.
    ///
    /// # Errors
    /// What makes the body none, or a proof that does not hold. The connection must then be closed.
    ///
    /// # Panics
    /// A hash is due.
    pub fn step(&mut self, input: &[u8]) -> Result<BodyProgress, BodyError> {
        assert!(self.due.is_none(), "the hash that is due comes before the next step");
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let step = self.reader.step(rest)?;
            let base = consumed;
            consumed += step.consumed;
            match step.event {
                BodyEvent::NeedMore => return Ok(BodyProgress::NeedMore { consumed }),
                BodyEvent::Payload { offset, length } => {
                    return Ok(BodyProgress::Payload { consumed, offset: base + offset, length });
                }
                BodyEvent::ChunkEnd { signature } => {
                    if matches!(self.check, Check::Chunks { .. }) {
                        let signature = signature.ok_or(BodyError::ChunkSignature)?;
                        self.due = Some(Due::Chunk { signature });
                        return Ok(BodyProgress::HashDue { consumed });
                    }
                }
                BodyEvent::TrailersEnd { signature } => self.check_trailers(signature)?,
                BodyEvent::End => {
                    if matches!(self.check, Check::Hash { is_proven: false, .. }) {
                        self.due = Some(Due::Payload);
                        return Ok(BodyProgress::HashDue { consumed });
                    }
                    return Ok(BodyProgress::End { consumed });
                }
            }
        }
    }

    /// Takes the SHA-256 that is due.
    ///
    /// # Errors
    /// It is not what was signed. The connection must then be closed.
    ///
    /// # Panics
    /// None is due.
    pub fn prove(&mut self, hash: &[u8; 32]) -> Result<(), BodyError> {
        match (self.due.take(), &mut self.check) {
            (Some(Due::Payload), Check::Hash { expected, is_proven }) => {
                *is_proven = is_equal(hash, expected);
                if *is_proven { Ok(()) } else { Err(BodyError::PayloadHashMismatch) }
            }
            (Some(Due::Chunk { signature }), Check::Chunks { chain, .. }) => {
                chain.finish_chunk(hash, &signature).ok().ok_or(BodyError::ChunkSignatureMismatch)
            }
            (Some(Due::Payload | Due::Chunk { .. }) | None, _) => panic!("a hash is given when one is due"),
        }
    }

    /// As many payload bytes may be received straight into their destination.
    #[must_use]
    pub fn direct_remaining(&self) -> u64 {
        self.reader.direct_remaining()
    }

    /// Whether all payload is there of a chunk that has a hash of its own, which will be due.
    #[must_use]
    pub const fn is_chunk_filled(&self) -> bool {
        matches!(self.check, Check::Chunks { .. }) && self.reader.is_chunk_filled()
    }

    /// Notes payload that was received straight into its destination, in bytes.
    ///
    /// # Panics
    /// If it is more than `direct_remaining` allowed.
    pub fn direct_received(&mut self, bytes: usize) {
        self.reader.direct_received(bytes);
    }

    /// The checksum that the trailers carried; known after `End`. Whether the payload has it is for the caller to
    /// compare.
    #[must_use]
    pub const fn trailer_checksum(&self) -> Option<&ChecksumValue> {
        self.trailer_checksum.as_ref()
    }

    /// The algorithm of the checksum that the trailers will carry; known from the head.
    #[must_use]
    pub const fn trailer_algorithm(&self) -> Option<ChecksumAlgorithm> {
        self.trailer
    }

    fn check_trailers(&mut self, signature: Option<[u8; 32]>) -> Result<(), BodyError> {
        if let Check::Chunks { chain, is_trailer_signed: true } = &mut self.check {
            let signature = signature.ok_or(BodyError::TrailerSignatureMismatch)?;
            let checked = chain.finish_trailers(self.reader.trailer_bytes(), &signature);
            checked.ok().ok_or(BodyError::TrailerSignatureMismatch)?;
        }
        // Exactly what was announced, which the head's signature covers.
        let mut trailers = self.reader.trailers();
        self.trailer_checksum = match (self.trailer, trailers.next(), trailers.next()) {
            (None, None, _) => None,
            (Some(algorithm), Some((name, value)), None) if name == algorithm.header_name() => {
                Some(ChecksumValue::parse(algorithm, value).ok_or(BodyError::Trailer)?)
            }
            _ => return Err(BodyError::Trailer),
        };
        Ok(())
    }
}

/// Whether a request without `Content-Length` and without chunks is refused with `MissingContentLength`: real
/// uploads are, while a copy, which has no body, is not.
#[must_use]
pub fn lacks_length(head: &RequestHead<'_>) -> bool {
    head.framing() == BodyFraming::None
}

#[cfg(test)]
mod tests {
    use super::{BodyProgress, VerifiedBody};
    use crate::auth::credentials::SecretKey;
    use crate::auth::verify::{AuthConfig, Authenticated, Authenticator};
    use crate::error::S3Failure;
    use crate::http::body::BodyError;
    use crate::http::head;
    use crate::http::query::Query;
    use ashlar_engine::hash::{Sha256, sha256};
    use jiff::Timestamp;
    use std::collections::BTreeMap;

    const NAMES: &str = "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;\
        x-amz-decoded-content-length;x-amz-storage-class";
    const HEAD: &str = "PUT /examplebucket/chunkObject.txt HTTP/1.1\r\nHost: s3.amazonaws.com\r\n\
        x-amz-date: 20130524T000000Z\r\nx-amz-storage-class: REDUCED_REDUNDANCY\r\n\
        x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\r\nContent-Encoding: aws-chunked\r\n\
        x-amz-decoded-content-length: 66560\r\nContent-Length: 66824\r\n";

    fn published_head() -> String {
        format!(
            "{HEAD}Authorization: AWS4-HMAC-SHA256 \
             Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={NAMES},\
             Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9\r\n\r\n"
        )
    }

    fn published_body() -> Vec<u8> {
        let mut body = Vec::new();
        let chunks = [
            (65_536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
            (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
            (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
        ];
        for (size, signature) in chunks {
            body.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
            body.extend_from_slice(&vec![b'a'; size]);
            body.extend_from_slice(b"\r\n");
        }
        body
    }

    fn prove(head: &head::RequestHead<'_>) -> Authenticated {
        let secret = SecretKey::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let secrets = BTreeMap::from([("AKIAIOSFODNN7EXAMPLE".to_owned(), secret)]);
        let now = Timestamp::from_second(1_369_353_600).unwrap();
        let mut authenticator = Authenticator::new(AuthConfig::new("us-east-1").unwrap());
        authenticator.authenticate(head, &Query::default(), &secrets, now).unwrap()
    }

    fn receive(body: &[u8], piece: usize, direct: bool) -> Result<usize, BodyError> {
        let head_text = published_head();
        let head = head::parse(head_text.as_bytes()).unwrap().unwrap();
        let mut verified = VerifiedBody::new(&prove(&head), &head, 1 << 20).unwrap();
        let (mut at, mut visible, mut payload) = (0, 0, 0);
        let mut hasher = Sha256::new();
        loop {
            if direct {
                let most = usize::try_from(verified.direct_remaining()).unwrap().min(body.len() - at);
                verified.direct_received(most);
                hasher.update(&body[at..at + most]);
                at += most;
                payload += most;
                visible = visible.max(at);
            }
            match verified.step(&body[at..visible])? {
                BodyProgress::NeedMore { consumed } => {
                    at += consumed;
                    assert!(visible < body.len(), "the stream is whole");
                    visible = (visible + piece).min(body.len());
                }
                BodyProgress::Payload { consumed, offset, length } => {
                    hasher.update(&body[at + offset..at + offset + length]);
                    at += consumed;
                    payload += length;
                }
                BodyProgress::HashDue { consumed } => {
                    at += consumed;
                    verified.prove(&core::mem::take(&mut hasher).finish())?;
                }
                BodyProgress::End { consumed } => {
                    assert_eq!(at + consumed, body.len());
                    return Ok(payload);
                }
            }
        }
    }

    #[test]
    fn published_body_in_pieces_and_directly() {
        let body = published_body();
        assert_eq!(body.len(), 66_824);
        for piece in [1, 100, 66_824] {
            assert_eq!(receive(&body, piece, false), Ok(66_560));
            assert_eq!(receive(&body, piece, true), Ok(66_560));
        }
    }

    #[test]
    fn a_flipped_bit_or_a_foreign_signature_is_noticed() {
        for (index, bit) in [(100, 1), (66_000, 1)] {
            let mut body = published_body();
            body[index] ^= bit;
            assert_eq!(receive(&body, 4096, false), Err(BodyError::ChunkSignatureMismatch));
            assert_eq!(receive(&body, 4096, true), Err(BodyError::ChunkSignatureMismatch));
        }
        let mut body = published_body();
        let last = body.len() - 5;
        body[last] = if body[last] == b'0' { b'1' } else { b'0' };
        assert_eq!(receive(&body, 4096, false), Err(BodyError::ChunkSignatureMismatch));
    }

    #[test]
    fn a_whole_payload_must_have_its_hash() {
        // The published example "PUT Object".
        let text = "PUT /test%24file.text HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n\
            Date: Fri, 24 May 2013 00:00:00 GMT\r\nx-amz-date: 20130524T000000Z\r\n\
            x-amz-storage-class: REDUCED_REDUNDANCY\r\nContent-Length: 21\r\n\
            x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\r\n\
            Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
            SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,\
            Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd\r\n\r\n";
        let head = head::parse(text.as_bytes()).unwrap().unwrap();
        let proof = prove(&head);
        let judge = |body: &[u8]| {
            let mut verified = VerifiedBody::new(&proof, &head, 1 << 20).unwrap();
            let step = verified.step(body).unwrap();
            assert_eq!(step, BodyProgress::Payload { consumed: 21, offset: 0, length: 21 });
            assert_eq!(verified.step(b"").unwrap(), BodyProgress::HashDue { consumed: 0 });
            verified.prove(&sha256(body))?;
            verified.step(b"")
        };
        assert_eq!(judge(b"Welcome to Amazon S3."), Ok(BodyProgress::End { consumed: 0 }));
        assert_eq!(judge(b"Welcome to Amazon S4."), Err(BodyError::PayloadHashMismatch));
        let refused = VerifiedBody::new(&proof, &head, 20).map(|_| ());
        assert_eq!(refused, Err(S3Failure::from(BodyError::TooLarge { limit: 20 })));
    }
}
