//! Between the values of S3 and those of the engine, and from the engine's failures to S3's.

use crate::error::{DetailName, S3Error, S3Failure};
use crate::front::timestamp;
use crate::http::etag_condition::{EtagCondition, WriteCondition};
use crate::value::checksum::{ChecksumAlgorithm, ChecksumType, ChecksumValue};
use crate::value::etag::ETag;
use crate::value::part_number::PartNumber;
use crate::xml::multipart::ShownChecksum;
use ashlar_engine::error::EngineError;
use ashlar_engine::runtime::WallTime;
use ashlar_engine::types::{Checksum, ChecksumBytes, Condition, Etag, EtagMatch};
use jiff::Timestamp;

/// A tag as it is stored.
pub(crate) fn stored_etag(tag: &ETag) -> Etag {
    Etag { md5: tag.md5(), parts: tag.part_count().map_or(0, |count| u32::from(count.get())) }
}

/// A stored tag as it is shown.
pub(crate) fn shown_etag(tag: &Etag) -> ETag {
    let count = u16::try_from(tag.parts).ok().and_then(PartNumber::new);
    count.map_or_else(|| ETag::of_md5(tag.md5), |count| ETag::of_parts(tag.md5, count))
}

/// The date of a stored time.
pub(crate) fn date(time: WallTime) -> Timestamp {
    timestamp(time.0)
}

/// The number under which an algorithm is stored. Never to be given to another.
pub(crate) const fn algorithm_number(algorithm: ChecksumAlgorithm) -> u8 {
    match algorithm {
        ChecksumAlgorithm::Crc32 => 1,
        ChecksumAlgorithm::Crc32c => 2,
        ChecksumAlgorithm::Crc64Nvme => 3,
        ChecksumAlgorithm::Sha1 => 4,
        ChecksumAlgorithm::Sha256 => 5,
    }
}

/// The algorithm of a stored number; 0 is none.
pub(crate) fn algorithm_of(number: u8) -> Option<ChecksumAlgorithm> {
    ChecksumAlgorithm::ALL.into_iter().find(|algorithm| algorithm_number(*algorithm) == number)
}

/// The number under which a type is stored.
pub(crate) const fn type_number(kind: ChecksumType) -> u8 {
    match kind {
        ChecksumType::FullObject => 0,
        ChecksumType::Composite => 1,
    }
}

/// The type of a stored number.
pub(crate) const fn type_of(number: u8) -> ChecksumType {
    if number == type_number(ChecksumType::Composite) {
        ChecksumType::Composite
    } else {
        ChecksumType::FullObject
    }
}

/// A checksum of all bytes as it is stored.
pub(crate) fn stored_checksum(value: &ChecksumValue) -> Checksum {
    Checksum {
        algorithm: algorithm_number(value.algorithm()),
        kind: type_number(ChecksumType::FullObject),
        parts: 0,
        value: ChecksumBytes::from_slice(value.as_bytes()),
    }
}

/// A checksum over those of `parts` parts as it is stored.
pub(crate) fn stored_composite(value: &ChecksumValue, parts: u16) -> Checksum {
    let kind = type_number(ChecksumType::Composite);
    Checksum { kind, parts: u32::from(parts), ..stored_checksum(value) }
}

/// A stored checksum's value.
pub(crate) fn checksum_value(stored: &Checksum) -> Option<ChecksumValue> {
    ChecksumValue::from_bytes(algorithm_of(stored.algorithm)?, &stored.value)
}

/// How a stored checksum's value is shown.
pub(crate) fn shown_checksum<'v>(stored: &Checksum, value: &'v ChecksumValue) -> ShownChecksum<'v> {
    let part_count = match type_of(stored.kind) {
        ChecksumType::FullObject => None,
        // One part of a composite object has a checksum of that type, and no number of parts.
        ChecksumType::Composite => u16::try_from(stored.parts).ok().filter(|&parts| parts > 0),
    };
    ShownChecksum { value, part_count }
}

/// A write's condition as the key's owner decides it. Tags that we cannot have made match nothing.
pub(crate) fn condition(condition: &WriteCondition<'_>) -> Condition {
    match condition {
        WriteCondition::None => Condition::default(),
        WriteCondition::Absent => Condition { if_match: None, if_none_match: Some(EtagMatch::Any) },
        WriteCondition::Match(tags) => Condition { if_match: Some(tag_match(tags)), if_none_match: None },
    }
}

/// Which tags satisfy a condition.
pub(crate) fn tag_match(tags: &EtagCondition<'_>) -> EtagMatch {
    if tags.is_any() {
        return EtagMatch::Any;
    }
    let parse = |tag| core::str::from_utf8(tag).ok().and_then(ETag::parse);
    EtagMatch::OneOf(tags.tags().filter_map(parse).map(|tag| stored_etag(&tag)).collect())
}

/// A failed write, naming the condition that failed.
pub(crate) fn write_failure(error: EngineError, condition: &WriteCondition<'_>) -> S3Failure {
    let failed = matches!(error, EngineError::PreconditionFailed);
    let failure = S3Failure::from(error);
    match condition {
        WriteCondition::Absent if failed => failure.note(DetailName::Condition, "If-None-Match"),
        WriteCondition::Match(_) if failed => failure.note(DetailName::Condition, "If-Match"),
        WriteCondition::Absent | WriteCondition::Match(_) | WriteCondition::None => failure,
    }
}

/// The only place where the engine's failures get S3 names.
impl From<EngineError> for S3Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NoSuchBucket => S3Error::NoSuchBucket.into(),
            EngineError::BucketBusy => S3Error::OperationAborted.into(),
            EngineError::BucketExists => S3Error::BucketAlreadyOwnedByYou.into(),
            EngineError::BucketNotEmpty => S3Error::BucketNotEmpty.into(),
            EngineError::NoSuchKey | EngineError::Superseded => S3Error::NoSuchKey.into(),
            EngineError::NoSuchUpload => S3Error::NoSuchUpload.into(),
            EngineError::InvalidPart => S3Error::InvalidPart.into(),
            EngineError::PreconditionFailed => S3Error::PreconditionFailed.into(),
            EngineError::Overloaded(_) => S3Error::SlowDown.into(),
            EngineError::Full => Self::new(S3Error::ServiceUnavailable)
                .message("The storage is full. Objects can be read and deleted."),
            EngineError::ReadOnly { .. } => Self::new(S3Error::ServiceUnavailable)
                .message("Too few devices are in service to write. Objects can be read."),
            EngineError::Closing => {
                Self::new(S3Error::ServiceUnavailable).message("The service is shutting down.")
            }
            EngineError::Device { .. }
            | EngineError::Unrecoverable { .. }
            | EngineError::Decode(_)
            | EngineError::UnknownGroup { .. }
            | EngineError::Panicked
            | EngineError::CheckpointTooLarge { .. }
            | EngineError::SharedBodyMissing { .. }
            | EngineError::RecordTooLarge { .. } => S3Error::InternalError.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ChecksumAlgorithm, EngineError, S3Error, S3Failure, algorithm_number, algorithm_of};

    #[test]
    fn each_algorithm_has_a_number_of_its_own_and_none_has_zero() {
        for algorithm in ChecksumAlgorithm::ALL {
            assert_eq!(algorithm_of(algorithm_number(algorithm)), Some(algorithm));
        }
        assert_eq!(algorithm_of(0), None);
    }

    #[test]
    fn a_bucket_about_to_go_is_no_absent_bucket() {
        assert_eq!(S3Failure::from(EngineError::BucketBusy).error, S3Error::OperationAborted);
    }

    #[test]
    fn what_may_pass_is_answered_so_that_clients_try_again() {
        for error in
            [EngineError::Full, EngineError::Closing, EngineError::ReadOnly { present: 1, needed: 2 }]
        {
            assert_eq!(S3Failure::from(error).error.status(), 503);
        }
    }
}
