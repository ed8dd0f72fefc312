//! Hashes of one message at a time, for what is short or has no company.

use super::stream::{OfMd5, OfSha256, Stream, take_alone};

/// An MD5 under way.
#[derive(Debug, Clone)]
pub struct Md5(Stream<OfMd5>);

/// A SHA-256 under way.
#[derive(Debug, Clone)]
pub struct Sha256(Stream<OfSha256>);

impl Md5 {
    /// Of no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Stream::new())
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        take_alone(&mut self.0, bytes, false);
    }

    /// The value of all bytes taken.
    #[must_use]
    pub fn finish(mut self) -> [u8; 16] {
        take_alone(&mut self.0, &[], true);
        self.0.digest()
    }
}

impl Sha256 {
    /// Of no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Stream::new())
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        take_alone(&mut self.0, bytes, false);
    }

    /// The value of all bytes taken.
    #[must_use]
    pub fn finish(mut self) -> [u8; 32] {
        take_alone(&mut self.0, &[], true);
        self.0.digest()
    }
}

impl Default for Md5 {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

/// SHA-256 in one go.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut stream: Stream<OfSha256> = Stream::new();
    take_alone(&mut stream, bytes, true);
    stream.digest()
}
