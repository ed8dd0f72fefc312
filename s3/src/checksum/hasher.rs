//! Incremental hashers behind one enum, so that a body is hashed by whatever the client asked for.

use crate::value::checksum::{ChecksumAlgorithm, ChecksumValue};
use ashlar_engine::hash::Sha256;
use crc_fast::CrcAlgorithm;
use sha1::{Digest, Sha1};

/// A checksum under way. Fed with every payload byte once, in order.
#[derive(Clone)]
pub struct ChecksumHasher(State);

#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "it lies in the body under way, which takes no memory for it")]
enum State {
    Crc(ChecksumAlgorithm, crc_fast::Digest),
    Sha1(Sha1),
    Sha256(Box<Sha256>),
}

impl core::fmt::Debug for ChecksumHasher {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "ChecksumHasher({})", self.algorithm().name())
    }
}

impl ChecksumHasher {
    /// A checksum of no bytes yet.
    #[must_use]
    pub fn new(algorithm: ChecksumAlgorithm) -> Self {
        Self(match algorithm {
            ChecksumAlgorithm::Sha1 => State::Sha1(Sha1::new()),
            ChecksumAlgorithm::Sha256 => State::Sha256(Box::default()),
            ChecksumAlgorithm::Crc32 => crc(algorithm, CrcAlgorithm::Crc32IsoHdlc),
            ChecksumAlgorithm::Crc32c => crc(algorithm, CrcAlgorithm::Crc32Iscsi),
            ChecksumAlgorithm::Crc64Nvme => crc(algorithm, CrcAlgorithm::Crc64Nvme),
        })
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> ChecksumAlgorithm {
        match self.0 {
            State::Crc(algorithm, _) => algorithm,
            State::Sha1(_) => ChecksumAlgorithm::Sha1,
            State::Sha256(_) => ChecksumAlgorithm::Sha256,
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Crc(_, digest) => digest.update(bytes),
            State::Sha1(digest) => Digest::update(digest, bytes),
            State::Sha256(digest) => digest.update(bytes),
        }
    }

    /// The value of all bytes taken.
    #[must_use]
    pub fn finish(self) -> ChecksumValue {
        match self.0 {
            State::Crc(algorithm, digest) => crc_value(algorithm, digest.finalize()),
            State::Sha1(digest) => value(ChecksumAlgorithm::Sha1, &digest.finalize()),
            State::Sha256(digest) => value(ChecksumAlgorithm::Sha256, &digest.finish()),
        }
    }
}

fn crc(algorithm: ChecksumAlgorithm, parameters: CrcAlgorithm) -> State {
    State::Crc(algorithm, crc_fast::Digest::new(parameters))
}

/// S3 sends a CRC most significant byte first, as many bytes as the CRC is wide.
#[expect(clippy::big_endian_bytes, reason = "the order in which S3 sends checksums")]
pub(super) fn crc_value(algorithm: ChecksumAlgorithm, crc: u64) -> ChecksumValue {
    let bytes = crc.to_be_bytes();
    let skip = bytes.len() - algorithm.value_bytes();
    value(algorithm, bytes.get(skip..).unwrap_or_default())
}

pub(crate) fn value(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> ChecksumValue {
    let Some(value) = ChecksumValue::from_bytes(algorithm, bytes) else {
        unreachable!("a hasher makes as many bytes as its algorithm says")
    };
    value
}

#[cfg(test)]
mod tests {
    use super::{ChecksumAlgorithm, ChecksumHasher};

    /// Check values of the CRC catalogue and of FIPS 180 for "123456789".
    #[test]
    fn check_values() {
        let rows = [
            (ChecksumAlgorithm::Crc32, "cbf43926"),
            (ChecksumAlgorithm::Crc32c, "e3069283"),
            (ChecksumAlgorithm::Crc64Nvme, "ae8b14860a799888"),
            (ChecksumAlgorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (ChecksumAlgorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ];
        for (algorithm, expected) in rows {
            let mut hasher = ChecksumHasher::new(algorithm);
            hasher.update(b"1234");
            hasher.update(b"");
            hasher.update(b"56789");
            assert_eq!(hasher.algorithm(), algorithm);
            assert_eq!(hex::encode(hasher.finish().as_bytes()), expected, "{algorithm:?}");
        }
    }
}
