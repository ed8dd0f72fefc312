//! What the index stores under a key: `kind u8 ‖ version u8 ‖ rkyv archive`. The kind repeats the key's space,
//! so that a value is understood without its key.

use crate::archive;
use crate::bytes::Reader;
use crate::constants::EXTENT_PAGE_DEPTH_MAX;
use crate::error::{DecodeError, Field, Structure};
use crate::extent::{Extent, check_all};
use crate::key::SharedId;
use crate::units::{BucketId, Generation, GroupId};
use rkyv::{Archive, Deserialize, Serialize};

/// What a value describes. The numbers are on disk and those of the key spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueKind {
    /// [`BucketRecord`].
    Bucket = 1,
    /// [`ObjectRecord`].
    Object = 2,
    /// [`UploadRecord`].
    Upload = 3,
    /// [`PartRecord`].
    Part = 4,
    /// [`SharedRecord`].
    Shared = 5,
    /// [`SharedRefRecord`].
    SharedRef = 6,
    /// [`UnrefRecord`].
    Unref = 7,
}

/// Declares a record: plain data, archived as it stands.
macro_rules! record {
    ($($item:item)*) => {
        $(
            #[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
            #[rkyv(derive(Debug))]
            $item
        )*
    };
}

record! {
    /// Whether a bucket takes requests.
    pub enum BucketState {
        /// It does.
        Live,
        /// It is being deleted: frozen until every shard has said that it is empty.
        Deleting,
    }

    /// A bucket's settings.
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
    pub struct Etag {
        /// MD5 of the body, or of the MD5s of its parts.
        pub md5: [u8; 16],
        /// Parts of a multipart object; 0 for an object that was put whole.
        pub parts: u32,
    }

    /// An additional checksum that the client asked for.
    pub struct Checksum {
        /// Algorithm; the numbers are those of the front end and on disk.
        pub algorithm: u8,
        /// 0: over the full body; 1: over the checksums of the parts.
        pub kind: u8,
        /// Parts that a composite checksum covers.
        pub parts: u32,
        /// Its bytes.
        pub value: Vec<u8>,
    }

    /// One header that is given back as it came.
    pub struct Metadata {
        /// Name, lower case.
        pub name: String,
        /// Value.
        pub value: Vec<u8>,
    }

    /// Where a body is: entries in the order of its bytes.
    pub struct Body(
        /// The entries.
        pub Vec<BodyEntry>,
    );

    /// One stretch of a body.
    pub enum BodyEntry {
        /// Bytes that this record owns.
        Data(Extent),
        /// Bytes that an extent page describes.
        Page {
            /// Bytes of the body that it covers.
            length: u64,
            /// Levels of pages below it; 0: its entries are data.
            depth: u8,
            /// Where the page is.
            page: Extent,
        },
        /// Bytes of a shared body.
        Shared {
            /// The shared body.
            id: SharedId,
            /// This record's token among its sharers.
            token: u64,
            /// Where in the shared body the bytes begin.
            offset: u64,
            /// How many.
            length: u64,
        },
    }

    /// One part of a finished multipart object.
    pub struct PartInfo {
        /// Its number, 1 to 10000.
        pub number: u16,
        /// Bytes.
        pub size: u64,
        /// Its checksum, as the client asked for; may be empty.
        pub checksum: Vec<u8>,
    }

    /// The parts of a multipart object.
    pub enum PartTable {
        /// It was put whole.
        None,
        /// They stand here.
        Inline(Vec<PartInfo>),
        /// They stand in a blob.
        Page {
            /// How many parts.
            count: u32,
            /// Where the blob is.
            extents: Vec<Extent>,
        },
    }

    /// One version of an object.
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
    pub enum UploadState {
        /// It does.
        Open,
        /// It is completed or aborted, and its parts are being taken away.
        Reaping,
    }

    /// A multipart upload under way.
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
    pub struct SharedRecord {
        /// Bytes.
        pub size: u64,
        /// Where they are.
        pub body: Body,
    }

    /// One sharer of a shared body.
    pub struct SharedRefRecord {
        /// Bucket of the object that shares it.
        pub bucket: BucketId,
        /// Name of that object.
        pub key: Vec<u8>,
        /// Whether the object is known to be published; if not, recovery asks.
        pub confirmed: bool,
    }

    /// A sharer that is to be taken off a shared body: kept by the object's shard until the owner has done so.
    pub struct UnrefRecord {
        /// The shared body.
        pub id: SharedId,
        /// The sharer.
        pub token: u64,
    }
}

const VERSION: u8 = 1;
const STRUCTURE: Structure = Structure::Value;

impl ValueKind {
    /// The number on disk.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Bucket => 1,
            Self::Object => 2,
            Self::Upload => 3,
            Self::Part => 4,
            Self::Shared => 5,
            Self::SharedRef => 6,
            Self::Unref => 7,
        }
    }
}

/// What a value describes.
///
/// # Errors
/// [`DecodeError`] for an empty value or a first byte without meaning.
pub fn value_kind(value: &[u8]) -> Result<ValueKind, DecodeError> {
    match Reader::new(STRUCTURE, value).u8(Field::Kind)? {
        1 => Ok(ValueKind::Bucket),
        2 => Ok(ValueKind::Object),
        3 => Ok(ValueKind::Upload),
        4 => Ok(ValueKind::Part),
        5 => Ok(ValueKind::Shared),
        6 => Ok(ValueKind::SharedRef),
        7 => Ok(ValueKind::Unref),
        other => {
            Err(DecodeError::Unknown { structure: STRUCTURE, field: Field::Kind, found: u64::from(other) })
        }
    }
}

/// The archive of a value of `kind`.
fn open(kind: ValueKind, value: &[u8]) -> Result<&[u8], DecodeError> {
    let found = value_kind(value)?;
    if found != kind {
        return Err(DecodeError::Mismatch {
            structure: STRUCTURE,
            field: Field::Kind,
            expected: u64::from(kind.number()),
            found: u64::from(found.number()),
        });
    }
    let mut reader = Reader::new(STRUCTURE, value);
    reader.u8(Field::Kind)?;
    let version = reader.u8(Field::Version)?;
    crate::bytes::version(STRUCTURE, u16::from(VERSION), u16::from(version))?;
    reader.take(Field::Value, reader.left())
}

/// Declares the three functions of one kind.
macro_rules! codec {
    ($kind:ident, $record:ident, $archived:ident, $encode:ident, $decode:ident, $access:ident) => {
        #[doc = concat!("The value of a [`", stringify!($record), "`].")]
        #[must_use]
        pub fn $encode(record: &$record) -> Vec<u8> {
            archive::append(record, vec![ValueKind::$kind.number(), VERSION])
        }

        #[doc = concat!("Reads a [`", stringify!($record), "`].")]
        ///
        /// # Errors
        /// [`DecodeError`] names what is wrong; each extent is checked.
        pub fn $decode(value: &[u8]) -> Result<$record, DecodeError> {
            let record: $record = archive::decode(STRUCTURE, open(ValueKind::$kind, value)?)?;
            record.check()?;
            Ok(record)
        }

        #[doc = concat!("A [`", stringify!($record), "`] in place: pointers, tags and text are checked,")]
        /// the numbers of extents are not.
        ///
        /// # Errors
        /// [`DecodeError`] names what is wrong.
        pub fn $access(value: &[u8]) -> Result<&$archived, DecodeError> {
            archive::access::<$record>(STRUCTURE, open(ValueKind::$kind, value)?)
        }
    };
}

codec!(Bucket, BucketRecord, ArchivedBucketRecord, encode_bucket, decode_bucket, access_bucket);
codec!(Object, ObjectRecord, ArchivedObjectRecord, encode_object, decode_object, access_object);
codec!(Upload, UploadRecord, ArchivedUploadRecord, encode_upload, decode_upload, access_upload);
codec!(Part, PartRecord, ArchivedPartRecord, encode_part, decode_part, access_part);
codec!(Shared, SharedRecord, ArchivedSharedRecord, encode_shared, decode_shared, access_shared);
codec!(
    SharedRef,
    SharedRefRecord,
    ArchivedSharedRefRecord,
    encode_shared_ref,
    decode_shared_ref,
    access_shared_ref
);
codec!(Unref, UnrefRecord, ArchivedUnrefRecord, encode_unref, decode_unref, access_unref);

impl BodyEntry {
    /// Bytes of the body that the entry covers.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Data(extent) => u64::from(extent.length),
            Self::Page { length, .. } | Self::Shared { length, .. } => *length,
        }
    }

    /// The extent that the entry holds directly: data or a page.
    #[must_use]
    pub fn extent(&self) -> Option<&Extent> {
        match self {
            Self::Data(extent) | Self::Page { page: extent, .. } => Some(extent),
            Self::Shared { .. } => None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), DecodeError> {
        if let Some(extent) = self.extent() {
            extent.check()?;
        }
        match self {
            Self::Data(_) | Self::Shared { .. } => Ok(()),
            Self::Page { depth, .. } => {
                let deepest = u64::from(EXTENT_PAGE_DEPTH_MAX);
                crate::bytes::within(STRUCTURE, Field::Depth, 0..=deepest, u64::from(*depth))
            }
        }
    }
}

impl Body {
    /// The extents that the body holds directly: data and pages, not what pages or shared bodies hold.
    pub fn extents(&self) -> impl Iterator<Item = &Extent> {
        self.0.iter().filter_map(BodyEntry::extent)
    }

    /// Bytes of the body; `None` when they do not fit 64 bits.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.0.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.length()))
    }

    /// Checks each entry, and that together they are as long as the record says.
    fn check(&self, size: u64) -> Result<(), DecodeError> {
        self.0.iter().try_for_each(BodyEntry::check)?;
        let found = self.length().unwrap_or(u64::MAX);
        if found != size {
            let (structure, field) = (STRUCTURE, Field::Length);
            return Err(DecodeError::Mismatch { structure, field, expected: size, found });
        }
        Ok(())
    }
}

impl PartTable {
    /// The extents that the table holds directly.
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        match self {
            Self::None | Self::Inline(_) => &[],
            Self::Page { extents, .. } => extents,
        }
    }
}

impl ObjectRecord {
    /// The extents that the record holds directly.
    pub fn extents(&self) -> impl Iterator<Item = &Extent> {
        self.body.extents().chain(self.parts.extents())
    }

    fn check(&self) -> Result<(), DecodeError> {
        self.body.check(self.size)?;
        check_all(self.parts.extents())
    }
}

impl PartRecord {
    fn check(&self) -> Result<(), DecodeError> {
        self.body.check(self.size)
    }
}

impl SharedRecord {
    fn check(&self) -> Result<(), DecodeError> {
        self.body.check(self.size)
    }
}

/// Records without extents: what the archive guarantees is all there is to check.
macro_rules! unchecked {
    ($($record:ident)*) => {
        $(impl $record {
            #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "same shape as its siblings")]
            fn check(&self) -> Result<(), DecodeError> {
                Ok(())
            }
        })*
    };
}

unchecked! { BucketRecord UploadRecord SharedRefRecord UnrefRecord }

/// Group, generation and bytes of each extent that a value holds directly: what space accounting counts.
///
/// # Errors
/// [`DecodeError`] when the value cannot be read.
pub fn extents(value: &[u8]) -> Result<std::vec::IntoIter<(GroupId, Generation, u64)>, DecodeError> {
    let held = |extent: &Extent| (extent.group, extent.generation, u64::from(extent.length));
    let list: Vec<_> = match value_kind(value)? {
        ValueKind::Object => decode_object(value)?.extents().map(held).collect(),
        ValueKind::Part => decode_part(value)?.body.extents().map(held).collect(),
        ValueKind::Shared => decode_shared(value)?.body.extents().map(held).collect(),
        ValueKind::Bucket | ValueKind::Upload | ValueKind::SharedRef | ValueKind::Unref => Vec::new(),
    };
    Ok(list.into_iter())
}
