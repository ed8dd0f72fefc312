//! What the index stores under a key: `kind u8 ‖ version u8 ‖ rkyv archive`. The kind repeats the key's space,
//! so that a value is understood without its key.

pub mod codec;
pub mod records;
pub mod body;

pub use body::{
    ArchivedBody, ArchivedBodyEntry, ArchivedPartInfo, ArchivedPartTable, Body, BodyEntry, Entries, PartInfo,
    PartTable,
};
pub use codec::{
    ValueKind, access_bucket, access_object, access_part, access_shared, access_shared_ref, access_unref,
    access_upload, decode_bucket, decode_object, decode_part, decode_shared, decode_shared_ref, decode_unref,
    decode_upload, encode_bucket, encode_object, encode_object_in, encode_part, encode_part_in,
    encode_shared, encode_shared_ref, encode_unref, encode_upload, extents, may_lie_in, value_kind,
};
pub use records::{
    ArchivedBucketRecord, ArchivedBucketState, ArchivedChecksum, ArchivedEtag, ArchivedMetadata,
    ArchivedObjectRecord, ArchivedPartRecord, ArchivedSharedRecord, ArchivedSharedRefRecord,
    ArchivedUnrefRecord, ArchivedUploadRecord, ArchivedUploadState, BucketRecord, BucketState, Checksum,
    ChecksumBytes, Etag, Metadata, ObjectRecord, PartRecord, SharedRecord, SharedRefRecord, UnrefRecord,
    UploadRecord, UploadState,
};
