//! Values of a whole object from the values of its parts: composite (a hash of hashes, shown with `-N`), or for
//! CRCs the value of all bytes, by arithmetic (AWS page "Checking object integrity").

use crate::checksum::hasher::{ChecksumHasher, crc_value};
use crate::value::checksum::{ChecksumAlgorithm, ChecksumValue};
use crc_fast::CrcAlgorithm;

/// The composite value: the algorithm over the parts' raw values, in order of their numbers.
#[derive(Clone, Debug)]
pub struct CompositeChecksum {
    hasher: ChecksumHasher,
    part_count: u16,
}

/// The value of all bytes, put together from the CRCs of consecutive pieces.
#[derive(Clone, Debug)]
pub struct FullObjectCrc {
    algorithm: ChecksumAlgorithm,
    parameters: CrcAlgorithm,
    crc: u64,
}

impl CompositeChecksum {
    /// No parts yet.
    #[must_use]
    pub fn new(algorithm: ChecksumAlgorithm) -> Self {
        Self { hasher: ChecksumHasher::new(algorithm), part_count: 0 }
    }

    /// Takes the next part's value. `None`, and nothing taken, if it is of another algorithm or one part too many.
    #[must_use]
    pub fn add(&mut self, part: &ChecksumValue) -> Option<()> {
        if part.algorithm() != self.hasher.algorithm() {
            return None;
        }
        self.part_count = self.part_count.checked_add(1)?;
        self.hasher.update(part.as_bytes());
        Some(())
    }

    /// The value and the `N` of `-N`.
    #[must_use]
    pub fn finish(self) -> (ChecksumValue, u16) {
        (self.hasher.finish(), self.part_count)
    }
}

impl FullObjectCrc {
    /// The value of no bytes. `None` for algorithms that cannot be combined.
    #[must_use]
    pub fn new(algorithm: ChecksumAlgorithm) -> Option<Self> {
        let parameters = match algorithm {
            ChecksumAlgorithm::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
            ChecksumAlgorithm::Crc32c => CrcAlgorithm::Crc32Iscsi,
            ChecksumAlgorithm::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
            ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256 => return None,
        };
        Some(Self { algorithm, parameters, crc: 0 })
    }

    /// Appends a piece of `bytes` bytes. `None`, and nothing appended, if the value is of another algorithm.
    #[must_use]
    pub fn add(&mut self, piece: &ChecksumValue, bytes: u64) -> Option<()> {
        if piece.algorithm() != self.algorithm {
            return None;
        }
        let crc = piece.as_bytes().iter().fold(0, |crc: u64, &byte| crc << 8 | u64::from(byte));
        self.crc = crc_fast::checksum_combine(self.parameters, self.crc, crc, bytes);
        Some(())
    }

    /// The value of all pieces.
    #[must_use]
    pub fn finish(&self) -> ChecksumValue {
        crc_value(self.algorithm, self.crc)
    }
}

#[cfg(test)]
mod tests {
    use super::{CompositeChecksum, FullObjectCrc};
    use crate::checksum::hasher::ChecksumHasher;
    use crate::value::checksum::{ChecksumAlgorithm, ChecksumValue};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn checksum(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> ChecksumValue {
        let mut hasher = ChecksumHasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    proptest! {
        #[test]
        fn combining_pieces_gives_the_value_of_the_whole(pieces: Vec<Vec<u8>>, index in 0..3usize) {
            let algorithm = ChecksumAlgorithm::ALL[index];
            let mut combined = FullObjectCrc::new(algorithm).unwrap();
            for piece in &pieces {
                let length = u64::try_from(piece.len()).unwrap();
                combined.add(&checksum(algorithm, piece), length).unwrap();
            }
            prop_assert_eq!(combined.finish(), checksum(algorithm, &pieces.concat()));
        }

        #[test]
        fn composite_is_the_hash_of_the_raw_values(first in any::<[u8; 9]>(), second in any::<[u8; 5]>()) {
            for algorithm in ChecksumAlgorithm::ALL {
                let parts = [checksum(algorithm, &first), checksum(algorithm, &second)];
                let mut composite = CompositeChecksum::new(algorithm);
                for part in &parts {
                    composite.add(part).unwrap();
                }
                let raw = [parts[0].as_bytes(), parts[1].as_bytes()].concat();
                prop_assert_eq!(composite.finish(), (checksum(algorithm, &raw), 2));
            }
        }
    }

    #[test]
    fn sha_has_no_full_object_value_and_algorithms_do_not_mix() {
        assert!(FullObjectCrc::new(ChecksumAlgorithm::Sha256).is_none());
        let other = checksum(ChecksumAlgorithm::Crc32c, b"x");
        assert_eq!(FullObjectCrc::new(ChecksumAlgorithm::Crc32).unwrap().add(&other, 1), None);
        assert_eq!(CompositeChecksum::new(ChecksumAlgorithm::Crc32).add(&other), None);
    }
}
