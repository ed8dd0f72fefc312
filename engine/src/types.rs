//! The values that cross the engine's door. They know nothing of HTTP or XML.

use ashlar_disk_format::units::BucketId;
pub use ashlar_disk_format::value::{Checksum, ChecksumBytes, Etag, Metadata, PartInfo};

use crate::runtime::WallTime;

/// Names one multipart upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(pub [u8; 16]);

/// A bucket's settings, as every core holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Unique over the life of the pool: a bucket made again under an old name is another bucket.
    pub id: BucketId,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: WallTime,
    /// Access key of its owner.
    pub owner: String,
    /// Its location constraint; empty for the default.
    pub region: String,
}

/// What an object is besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// MD5 of the body, or of the parts' MD5s together with their number.
    pub etag: Etag,
    /// The checksum that the client asked to be kept.
    pub checksum: Option<Checksum>,
    /// Stored headers and user metadata, in order, names in lower case.
    pub metadata: Vec<Metadata>,
}

/// Which entity tags satisfy a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EtagMatch {
    /// Any existing object (`*`).
    Any,
    /// One of these.
    OneOf(Vec<Etag>),
}

/// Decided by the owner core in the same step as the change it guards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// The current object must match. Absent object: [`crate::error::EngineError::NoSuchKey`].
    pub if_match: Option<EtagMatch>,
    /// The current object must not match (`Any`: there must be none).
    pub if_none_match: Option<EtagMatch>,
}

/// A change that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The object's modification time, milliseconds since 1970.
    pub modified: WallTime,
    /// An older object of that key was replaced.
    pub replaced: bool,
}

/// A listing of one bucket, in key order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// Only keys that begin so.
    pub prefix: Vec<u8>,
    /// Keys that contain this after the prefix are rolled up to their common prefix. Never empty.
    pub delimiter: Option<Vec<u8>>,
    /// Only keys (and common prefixes) greater than this.
    pub after: Option<Vec<u8>>,
    /// At most so many keys and common prefixes together.
    pub max: usize,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListEntry {
    /// An object.
    Object {
        /// Its key.
        key: Vec<u8>,
        /// Its size, bytes.
        size: u64,
        /// Its modification time.
        modified: WallTime,
        /// Its entity tag.
        etag: Etag,
        /// Algorithm and kind of its checksum, as stored; 0, 0 for none.
        checksum: (u8, u8),
    },
    /// A common prefix.
    Prefix(Vec<u8>),
}

impl ListEntry {
    /// The key or prefix: what listings are ordered by.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Object { key, .. } => key,
            Self::Prefix(prefix) => prefix,
        }
    }
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListPage {
    /// In order.
    pub entries: Vec<ListEntry>,
    /// More follow after the last entry.
    pub truncated: bool,
}

/// What an upload was begun with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UploadInit {
    /// Goes to the finished object.
    pub metadata: Vec<Metadata>,
    /// Checksum algorithm of the parts, 0 for none.
    pub checksum_algorithm: u8,
    /// Full-object or composite, as stored.
    pub checksum_kind: u8,
    /// Access key of who began it.
    pub owner: String,
}

/// What a client would not get back: more chunks of one of its rows are bad or away than the code makes up for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostObject {
    /// Name of its bucket.
    pub bucket: String,
    /// Its key.
    pub key: Vec<u8>,
    /// Not the object: a part of an upload to that key.
    pub is_upload: bool,
}

/// An upload in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The key it will make.
    pub key: Vec<u8>,
    /// Its identity.
    pub id: UploadId,
    /// When it was begun.
    pub created: WallTime,
    /// What it was begun with.
    pub init: UploadInit,
}

/// A stored part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// 1 to 10,000.
    pub number: u16,
    /// Bytes.
    pub size: u64,
    /// When it was stored.
    pub modified: WallTime,
    /// Its MD5.
    pub md5: [u8; 16],
    /// Its checksum.
    pub checksum: Option<Checksum>,
}

/// A page of parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartPage {
    /// In order of number.
    pub parts: Vec<Part>,
    /// More follow.
    pub truncated: bool,
}

/// A listing of a bucket's uploads, in order of key, then of identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UploadQuery {
    /// Only keys that begin so.
    pub prefix: Vec<u8>,
    /// As for objects.
    pub delimiter: Option<Vec<u8>>,
    /// Only keys greater than this, or equal with an identity greater than `upload_marker`.
    pub key_marker: Option<Vec<u8>>,
    /// See `key_marker`; without it only greater keys follow.
    pub upload_marker: Option<UploadId>,
    /// At most so many.
    pub max: usize,
}

/// A page of uploads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UploadPage {
    /// Uploads, in order.
    pub uploads: Vec<Upload>,
    /// Common prefixes, in order.
    pub prefixes: Vec<Vec<u8>>,
    /// More follow.
    pub truncated: bool,
    /// Where to go on: the last key or prefix looked at, and the upload when it was one.
    pub next: Option<(Vec<u8>, Option<UploadId>)>,
}

/// A part as named when an upload is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedPart {
    /// Its number.
    pub number: u16,
    /// The MD5 that the client saw for it.
    pub md5: [u8; 16],
}
