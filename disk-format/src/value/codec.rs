//! Kinds, encoders and decoders of values.

use super::body::{ArchivedBody, ArchivedBodyEntry, ArchivedPartTable};
use super::records::{
    ArchivedBucketRecord, ArchivedObjectRecord, ArchivedPartRecord, ArchivedSharedRecord,
    ArchivedSharedRefRecord, ArchivedUnrefRecord, ArchivedUploadRecord, BucketRecord, ObjectRecord,
    PartRecord, SharedRecord, SharedRefRecord, UnrefRecord, UploadRecord,
};
use crate::archive;
use crate::bytes::Reader;
use crate::error::{DecodeError, Field, Structure};
use crate::extent::{ArchivedExtent, Extent};
use crate::units::{Generation, GroupId};

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

const VERSION: u8 = 1;
/// What an ordinary value takes, so that it is written without growing, bytes.
const VALUE_BYTES_USUAL: usize = 256;
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

/// The value of a sound record of `kind`, in memory that holds nothing any more.
fn encode<T: archive::Encode>(kind: ValueKind, record: &T, memory: Vec<u8>) -> Vec<u8> {
    let mut value = memory;
    value.clear();
    value.extend_from_slice(&[kind.number(), VERSION]);
    archive::append(record, value)
}

/// As [`encode_object`], in memory that is used again.
///
/// # Panics
/// As [`encode_object`].
#[must_use]
pub fn encode_object_in(record: &ObjectRecord, memory: Vec<u8>) -> Vec<u8> {
    assert_eq!(record.check(), Ok(()), "the engine builds sound records");
    encode(ValueKind::Object, record, memory)
}

/// As [`encode_part`], in memory that is used again.
///
/// # Panics
/// As [`encode_part`].
#[must_use]
pub fn encode_part_in(record: &PartRecord, memory: Vec<u8>) -> Vec<u8> {
    assert_eq!(record.check(), Ok(()), "the engine builds sound records");
    encode(ValueKind::Part, record, memory)
}

/// Declares the three functions of one kind.
macro_rules! codec {
    ($kind:ident, $record:ident, $archived:ident, $encode:ident, $decode:ident, $access:ident) => {
        #[doc = concat!("The value of a [`", stringify!($record), "`].")]
        ///
        /// # Panics
        /// When an extent is not sound, or the body is not as long as the record says: both are ours.
        #[must_use]
        pub fn $encode(record: &$record) -> Vec<u8> {
            assert_eq!(record.check(), Ok(()), "the engine builds sound records");
            encode(ValueKind::$kind, record, Vec::with_capacity(VALUE_BYTES_USUAL))
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

/// Whether something that a value keeps alive may lie in the groups that `wanted` names: also when extent pages have to
/// be asked. Cheap: nothing is copied.
///
/// # Errors
/// [`DecodeError`] when the value cannot be read.
pub fn may_lie_in(value: &[u8], wanted: impl Fn(GroupId) -> bool) -> Result<bool, DecodeError> {
    let lies = |extent: &ArchivedExtent| wanted(GroupId::from(&extent.group));
    let body = |body: &ArchivedBody| {
        body.0.iter().any(|entry| match entry {
            ArchivedBodyEntry::Data(extent) => lies(extent),
            ArchivedBodyEntry::Page { .. } => true,
            ArchivedBodyEntry::Shared { .. } => false,
        })
    };
    Ok(match value_kind(value)? {
        ValueKind::Object => {
            let record = access_object(value)?;
            let in_table = match &record.parts {
                ArchivedPartTable::None | ArchivedPartTable::Inline(_) => false,
                ArchivedPartTable::Page { extents, .. } => extents.iter().any(lies),
            };
            in_table || body(&record.body)
        }
        ValueKind::Part => body(&access_part(value)?.body),
        ValueKind::Shared => body(&access_shared(value)?.body),
        ValueKind::Bucket | ValueKind::Upload | ValueKind::SharedRef | ValueKind::Unref => false,
    })
}
