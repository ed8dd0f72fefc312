//! The hashes that one body needs, under way together.

use super::stream::{OfMd5, OfSha256, Stream, take_alone};

/// The hashes of one body under way: its MD5, and where they are asked for the SHA-256 of all of it and of
/// the chunk of it that is being received.
#[derive(Debug, Clone)]
pub struct BodyDigests {
    pub(super) md5: Stream<OfMd5>,
    pub(super) sha256: Option<Stream<OfSha256>>,
    pub(super) chunk: Option<Stream<OfSha256>>,
}

/// What ends with a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ends {
    /// The body.
    pub body: bool,
    /// The chunk.
    pub chunk: bool,
}

impl BodyDigests {
    /// The hashes of no bytes yet.
    #[must_use]
    pub fn new(with_sha256: bool, with_chunks: bool) -> Self {
        Self {
            md5: Stream::new(),
            sha256: with_sha256.then(Stream::new),
            chunk: with_chunks.then(Stream::new),
        }
    }

    /// Takes the next bytes at once, without company.
    pub fn take_alone(&mut self, piece: &[u8], ends: Ends) {
        take_alone(&mut self.md5, piece, ends.body);
        if let Some(sha256) = &mut self.sha256 {
            take_alone(sha256, piece, ends.body);
        }
        if let Some(chunk) = &mut self.chunk {
            take_alone(chunk, piece, ends.chunk);
        }
    }

    /// Whether the body ended, or a chunk did and no other was begun.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.md5.is_ended() || self.chunk.as_ref().is_some_and(Stream::is_ended)
    }

    /// The body's MD5.
    ///
    /// # Panics
    /// The body has not ended.
    #[must_use]
    pub fn md5(&self) -> [u8; 16] {
        self.md5.digest()
    }

    /// The body's SHA-256, if it was asked for.
    ///
    /// # Panics
    /// The body has not ended.
    #[must_use]
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.sha256.as_ref().map(Stream::digest)
    }

    /// The SHA-256 of the chunk that ended, if chunks are hashed; another chunk begins.
    ///
    /// # Panics
    /// The chunk has not ended.
    pub fn next_chunk(&mut self) -> Option<[u8; 32]> {
        let chunk = self.chunk.as_mut()?;
        let digest = chunk.digest();
        *chunk = Stream::new();
        Some(digest)
    }
}
