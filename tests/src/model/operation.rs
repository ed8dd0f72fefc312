//! What can be asked, and what can be answered: the vocabulary that model, generator and drivers share.

use super::content::{Content, Tag};
use super::listing::{Listing, Page};
use std::ops::Range;

/// Names an upload before the store has given it an identity: the number of its beginning in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadName(pub u32);

/// Which tags satisfy a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagMatch {
    /// Any existing object.
    Any,
    /// This tag.
    Exactly(Tag),
}

/// What must hold at the moment of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Condition {
    /// The current object must exist and match.
    pub if_match: Option<TagMatch>,
    /// The current object must be absent or not match.
    pub if_none_match: Option<TagMatch>,
}

/// One request. Buckets are named, keys are bytes, bodies are recipes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields repeat the words of the S3 operations")]
pub enum Operation {
    /// Makes a bucket.
    CreateBucket { bucket: String },
    /// Removes an empty bucket.
    DeleteBucket { bucket: String },
    /// Stores an object.
    Put { bucket: String, key: Vec<u8>, content: Content, metadata: u64, condition: Condition },
    /// Reads an object, or the part of it that lies in `range` when that is given.
    Get { bucket: String, key: Vec<u8>, range: Option<Range<u64>> },
    /// Deletes an object.
    Delete { bucket: String, key: Vec<u8>, condition: Condition },
    /// Copies an object with its metadata.
    Copy { source: (String, Vec<u8>), bucket: String, key: Vec<u8>, condition: Condition },
    /// Lists a page of objects.
    List { bucket: String, query: Listing },
    /// Begins an upload.
    CreateUpload { bucket: String, key: Vec<u8>, upload: UploadName, metadata: u64 },
    /// Stores a part.
    PutPart { upload: UploadName, number: u16, content: Content },
    /// Lists all parts of an upload; the driver puts the pages together.
    ListParts { upload: UploadName, page: usize },
    /// Lists all uploads below a prefix; the driver puts the pages together.
    ListUploads { bucket: String, prefix: Vec<u8>, page: usize },
    /// Makes the object of the parts with these numbers as they are now, and of `wrong_part`, which has a false tag.
    Complete { upload: UploadName, parts: Vec<u16>, wrong_part: bool, condition: Condition },
    /// Gives an upload up.
    Abort { upload: UploadName },
}

/// What one looks at when reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The object's tag.
    pub tag: Tag,
    /// The object's whole size, bytes.
    pub size: u64,
    /// Stands for the metadata: the driver stores and reads it as one user header.
    pub metadata: u64,
    /// The bytes that were asked for.
    pub bytes: Vec<u8>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The bucket exists already.
    BucketExists,
    /// There is no such bucket.
    NoSuchBucket,
    /// The bucket holds objects.
    BucketNotEmpty,
    /// There is no such object.
    NoSuchKey,
    /// There is no such upload.
    NoSuchUpload,
    /// A part is absent or is not the one that was meant.
    InvalidPart,
    /// A condition does not hold.
    PreconditionFailed,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done, and there is nothing more to say.
    Done,
    /// An object was made. Whether it replaced one; `None` where either may be said.
    Published(Option<bool>),
    /// An object was deleted, or there was none.
    Deleted {
        /// Whether there was one.
        existed: bool,
    },
    /// What was read.
    Object(View),
    /// A page of a listing.
    Page(Page),
    /// All parts of an upload: number, size, MD5.
    Parts(Vec<(u16, u64, [u8; 16])>),
    /// All uploads: key and name, in order of both.
    Uploads(Vec<(Vec<u8>, UploadName)>),
    /// Refused. The model gives every reason that holds; a store gives one of them.
    Refused(Vec<Refusal>),
}

impl Operation {
    /// Whether it can change anything. An operation without effect need not survive a crash.
    #[must_use]
    pub fn changes(&self) -> bool {
        match self {
            Self::CreateBucket { .. }
            | Self::DeleteBucket { .. }
            | Self::Put { .. }
            | Self::Delete { .. }
            | Self::Copy { .. }
            | Self::CreateUpload { .. }
            | Self::PutPart { .. }
            | Self::Complete { .. }
            | Self::Abort { .. } => true,
            Self::Get { .. } | Self::List { .. } | Self::ListParts { .. } | Self::ListUploads { .. } => false,
        }
    }
}

impl Condition {
    /// Nothing is asked.
    pub const NONE: Self = Self { if_match: None, if_none_match: None };
    /// There must be no object.
    pub const ABSENT: Self = Self { if_match: None, if_none_match: Some(TagMatch::Any) };

    /// Why the condition does not hold for an object with this tag, or for none.
    #[must_use]
    pub fn refusal(&self, current: Option<Tag>) -> Option<Refusal> {
        let matches = |wanted: TagMatch, tag: Tag| match wanted {
            TagMatch::Any => true,
            TagMatch::Exactly(exactly) => exactly == tag,
        };
        match (self.if_match, current) {
            (Some(_), None) => return Some(Refusal::NoSuchKey),
            (Some(wanted), Some(tag)) if !matches(wanted, tag) => return Some(Refusal::PreconditionFailed),
            (Some(_) | None, _) => {}
        }
        match (self.if_none_match, current) {
            (Some(unwanted), Some(tag)) if matches(unwanted, tag) => Some(Refusal::PreconditionFailed),
            (Some(_) | None, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_as_the_table_says() {
        let (one, two) = (Tag { md5: [1; 16], part_count: 0 }, Tag { md5: [2; 16], part_count: 0 });
        let exactly = |tag| Some(TagMatch::Exactly(tag));
        let (failed, absent) = (Some(Refusal::PreconditionFailed), Some(Refusal::NoSuchKey));
        // if_match, if_none_match, then the refusal for: no object, an object `one`, an object `two`.
        let rows = [
            (None, None, None, None, None),
            (Some(TagMatch::Any), None, absent, None, None),
            (exactly(one), None, absent, None, failed),
            (None, Some(TagMatch::Any), None, failed, failed),
            (None, exactly(one), None, failed, None),
            (exactly(one), exactly(two), absent, None, failed),
        ];
        for (if_match, if_none_match, none, first, second) in rows {
            let condition = Condition { if_match, if_none_match };
            let found = [None, Some(one), Some(two)].map(|tag| condition.refusal(tag));
            assert_eq!(found, [none, first, second], "{condition:?}");
        }
    }

    #[test]
    fn a_part_count_makes_another_tag() {
        let plain = Tag { md5: [1; 16], part_count: 0 };
        let parts = Tag { part_count: 1, ..plain };
        let condition = Condition { if_match: Some(TagMatch::Exactly(plain)), if_none_match: None };
        assert_eq!(condition.refusal(Some(parts)), Some(Refusal::PreconditionFailed));
    }
}
