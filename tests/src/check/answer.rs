//! One answer against another. Bytes are compared wholly, and shown hardly at all.

use crate::model::{Operation, Reply, View};
use std::fmt;

/// How an answer differs from what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// Bytes differ.
    Bytes {
        /// How many there must be.
        length_expected: usize,
        /// How many there are.
        length_found: usize,
        /// Where the first difference is, from the start of what was read.
        index: usize,
    },
    /// Anything else differs.
    Reply {
        /// What the model says.
        expected: Box<Reply>,
        /// What came.
        found: Box<Reply>,
    },
}

/// Compares the answer of a store with the model's.
///
/// # Errors
/// The difference.
pub fn compare(operation: &Operation, expected: &Reply, found: &Reply) -> Result<(), Mismatch> {
    let equal = match (expected, found) {
        // A store gives one of the reasons that hold.
        (Reply::Refused(reasons), Reply::Refused(given)) => {
            !given.is_empty() && given.iter().all(|reason| reasons.contains(reason))
        }
        (Reply::Published(None), Reply::Published(_)) => true,
        (Reply::Object(expected), Reply::Object(found)) => {
            compare_bytes(&expected.bytes, &found.bytes)?;
            same_but_bytes(expected, found)
        }
        (
            Reply::Done
            | Reply::Published(_)
            | Reply::Deleted { .. }
            | Reply::Object(_)
            | Reply::Page(_)
            | Reply::Parts(_)
            | Reply::Uploads(_)
            | Reply::Refused(_),
            _,
        ) => expected == found,
    };
    assert!(
        !equal || operation.changes() || !matches!(found, Reply::Published(_)),
        "a read published something"
    );
    if equal {
        return Ok(());
    }
    Err(Mismatch::Reply {
        expected: Box::new(without_bytes(expected)),
        found: Box::new(without_bytes(found)),
    })
}

/// Compares bytes and finds the first difference.
///
/// # Errors
/// The difference.
fn compare_bytes(expected: &[u8], found: &[u8]) -> Result<(), Mismatch> {
    if expected == found {
        return Ok(());
    }
    let index = expected.iter().zip(found).position(|(left, right)| left != right);
    let index = index.unwrap_or_else(|| expected.len().min(found.len()));
    Err(Mismatch::Bytes { length_expected: expected.len(), length_found: found.len(), index })
}

fn same_but_bytes(left: &View, right: &View) -> bool {
    (left.tag, left.size, left.metadata) == (right.tag, right.size, right.metadata)
}

/// The same reply without megabytes.
fn without_bytes(reply: &Reply) -> Reply {
    match reply {
        Reply::Object(view) => Reply::Object(View { bytes: Vec::new(), ..view.clone() }),
        Reply::Done
        | Reply::Published(_)
        | Reply::Deleted { .. }
        | Reply::Page(_)
        | Reply::Parts(_)
        | Reply::Uploads(_)
        | Reply::Refused(_) => reply.clone(),
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { length_expected, length_found, index } => write!(
                f,
                "byte {index} is the first that differs; {length_found} bytes came, {length_expected} should"
            ),
            Self::Reply { expected, found } => write!(f, "should be {expected:?}\n       is {found:?}"),
        }
    }
}

impl std::error::Error for Mismatch {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Refusal, Tag};

    const GET: Operation = Operation::Get { bucket: String::new(), key: Vec::new(), range: None };

    fn view(bytes: &[u8], metadata: u64) -> Reply {
        let tag = Tag { md5: [1; 16], part_count: 0 };
        Reply::Object(View { tag, size: 3, metadata, bytes: bytes.to_vec() })
    }

    #[test]
    fn the_first_wrong_byte_is_named() {
        assert_eq!(compare(&GET, &view(b"abc", 1), &view(b"abc", 1)), Ok(()));
        let wrong = compare(&GET, &view(b"abc", 1), &view(b"axc", 1)).unwrap_err();
        assert_eq!(wrong, Mismatch::Bytes { length_expected: 3, length_found: 3, index: 1 });
        let short = compare(&GET, &view(b"abc", 1), &view(b"ab", 1)).unwrap_err();
        assert_eq!(short, Mismatch::Bytes { length_expected: 3, length_found: 2, index: 2 });
    }

    #[test]
    fn metadata_counts() {
        assert!(compare(&GET, &view(b"abc", 1), &view(b"abc", 2)).is_err());
    }

    #[test]
    fn one_of_the_reasons_is_enough_but_no_other() {
        let both = Reply::Refused(vec![Refusal::InvalidPart, Refusal::PreconditionFailed]);
        for (given, right) in
            [(Refusal::InvalidPart, true), (Refusal::PreconditionFailed, true), (Refusal::NoSuchKey, false)]
        {
            assert_eq!(compare(&GET, &both, &Reply::Refused(vec![given])).is_ok(), right);
        }
        assert!(compare(&GET, &both, &Reply::Refused(Vec::new())).is_err());
        assert!(compare(&GET, &both, &Reply::Done).is_err());
    }

    #[test]
    fn a_repeated_complete_may_say_either() {
        let complete = Operation::Abort { upload: crate::model::UploadName(1) };
        for replaced in [true, false] {
            let found = Reply::Published(Some(replaced));
            assert_eq!(compare(&complete, &Reply::Published(None), &found), Ok(()));
        }
        assert!(compare(&complete, &Reply::Published(Some(true)), &Reply::Published(Some(false))).is_err());
    }
}
