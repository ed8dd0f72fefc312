//! The records: plain data, archived as it stands.

use super::body::{Body, PartTable};
use crate::error::DecodeError;
use crate::extent::{Extent, check_all};
use crate::key::SharedId;
use crate::units::BucketId;
use rkyv::{Archive, Deserialize, Serialize};
use smallvec::SmallVec;

/// Kind and version in front of each archive.
const VALUE_HEADER_BYTES: usize = 2;

fn checksum_bytes(checksum: Option<&Checksum>) -> usize {
    checksum.map_or(0, |checksum| checksum.value.len())
}

/// Whether a bucket takes requests.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub enum BucketState {
    /// It does.
    Live,
    /// It is being deleted: frozen until every shard has said that it is empty. Reserved: nothing writes it.
    Deleting,
}

/// A bucket's settings.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct BucketRecord {
    /// Its number; never reused.
    pub id: BucketId,
    /// Its name.
    pub name: String,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// Who made it.
    pub owner: String,
    /// Where the client asked for it.
    pub region: String,
    /// Whether it takes requests.
    pub state: BucketState,
}

/// What an `ETag` is made of.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Etag {
    /// MD5 of the body, or of the MD5s of its parts.
    pub md5: [u8; 16],
    /// Parts of a multipart object; 0 for an object that was put whole.
    pub parts: u32,
}

/// The bytes of a checksum; the longest that is known has 32.
pub type ChecksumBytes = SmallVec<[u8; 32]>;

/// An additional checksum that the client asked for.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Checksum {
    /// Algorithm; the numbers are those of the front end and on disk.
    pub algorithm: u8,
    /// 0: over the full body; 1: over the checksums of the parts.
    pub kind: u8,
    /// Parts that a composite checksum covers.
    pub parts: u32,
    /// Its bytes.
    pub value: ChecksumBytes,
}

/// One header that is given back as it came.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Metadata {
    /// Name, lower case.
    pub name: String,
    /// Value.
    pub value: Vec<u8>,
}

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct ObjectRecord {
    /// Bytes of the body.
    pub size: u64,
    /// When it was published, milliseconds since 1970.
    pub modified_ms: i64,
    /// Orders the versions of a key; a wall clock may not.
    pub sequence: u64,
    /// Entity tag.
    pub etag: Etag,
    /// Additional checksum.
    pub checksum: Option<Checksum>,
    /// Headers given back.
    pub metadata: Vec<Metadata>,
    /// Where the bytes are.
    pub body: Body,
    /// Parts, if it came by multipart.
    pub parts: PartTable,
    /// The upload that made it, so that a repeated completion is recognised.
    pub upload: Option<[u8; 16]>,
}

/// Whether an upload takes parts.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub enum UploadState {
    /// It does.
    Open,
    /// It is completed or aborted, and its parts are being taken away. Reserved: nothing writes it.
    Reaping,
}

/// A multipart upload under way.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct UploadRecord {
    /// When it began, milliseconds since 1970.
    pub created_ms: i64,
    /// Headers for the object.
    pub metadata: Vec<Metadata>,
    /// Additional checksum that was asked for; 0: none.
    pub checksum_algorithm: u8,
    /// Its kind, as in [`Checksum`].
    pub checksum_kind: u8,
    /// Who began it.
    pub owner: String,
    /// Whether it takes parts.
    pub state: UploadState,
}

/// One part of an upload under way.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct PartRecord {
    /// Bytes.
    pub size: u64,
    /// When it was published, milliseconds since 1970.
    pub modified_ms: i64,
    /// Orders repeated uploads of one part.
    pub sequence: u64,
    /// MD5 of its body.
    pub md5: [u8; 16],
    /// Additional checksum.
    pub checksum: Option<Checksum>,
    /// Where the bytes are.
    pub body: Body,
}

/// A body that several objects share.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct SharedRecord {
    /// Bytes.
    pub size: u64,
    /// Where they are.
    pub body: Body,
}

/// One sharer of a shared body.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct SharedRefRecord {
    /// Bucket of the object that shares it.
    pub bucket: BucketId,
    /// Name of that object.
    pub key: Vec<u8>,
    /// Whether the object is known to be published; if not, recovery asks.
    pub confirmed: bool,
}

/// A sharer that is to be taken off a shared body: kept by the object's shard until the owner has done so.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct UnrefRecord {
    /// The shared body.
    pub id: SharedId,
    /// The sharer.
    pub token: u64,
}

impl ObjectRecord {
    /// Bytes of its value, which [`super::encode_object`] never exceeds.
    #[must_use]
    pub fn value_bytes_max(&self) -> usize {
        let Self { checksum, metadata, body, parts, .. } = self;
        let metadata: usize = metadata
            .iter()
            .map(|header| size_of::<ArchivedMetadata>() + header.name.len() + header.value.len())
            .sum();
        let own = VALUE_HEADER_BYTES + size_of::<ArchivedObjectRecord>();
        own + checksum_bytes(checksum.as_ref()) + metadata + body.archived_bytes() + parts.archived_bytes()
    }

    /// The extents that the record holds directly.
    pub fn extents(&self) -> impl Iterator<Item = &Extent> {
        self.body.extents().chain(self.parts.extents())
    }

    pub(super) fn check(&self) -> Result<(), DecodeError> {
        self.body.check(self.size)?;
        check_all(self.parts.extents())
    }
}

impl PartRecord {
    /// Bytes of its value, which [`super::encode_part`] never exceeds.
    #[must_use]
    pub fn value_bytes_max(&self) -> usize {
        let own = VALUE_HEADER_BYTES + size_of::<ArchivedPartRecord>();
        own + checksum_bytes(self.checksum.as_ref()) + self.body.archived_bytes()
    }

    pub(super) fn check(&self) -> Result<(), DecodeError> {
        self.body.check(self.size)
    }
}

impl SharedRecord {
    pub(super) fn check(&self) -> Result<(), DecodeError> {
        self.body.check(self.size)
    }
}

/// Records without extents: what the archive guarantees is all there is to check.
macro_rules! unchecked {
    ($($record:ident)*) => {
        $(impl $record {
            pub(super) fn check(&self) -> Result<(), DecodeError> {
                Ok(())
            }
        })*
    };
}

unchecked! { BucketRecord UploadRecord SharedRefRecord UnrefRecord }
