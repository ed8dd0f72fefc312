//! Operations: checked head to engine call, engine answer to reply. One file per family.

/// PutObject.
pub(crate) mod put;

/// GetObject and HeadObject.
pub(crate) mod get;

/// DeleteObject and DeleteObjects.
pub(crate) mod delete;

/// CopyObject.
pub(crate) mod copy;

/// Listings of objects.
pub(crate) mod list;

/// Multipart uploads.
pub(crate) mod multipart;

/// UploadPartCopy.
pub(crate) mod part_copy;

/// CompleteMultipartUpload.
pub(crate) mod complete;

/// Listings of parts and uploads.
pub(crate) mod list_uploads;

/// Buckets, and configurations that were never set.
pub(crate) mod bucket;

/// Object versions and attributes.
pub(crate) mod attributes;

/// Headers that promise what we do not do.
pub(crate) mod unsupported;

/// Metadata from request to store to response.
pub(crate) mod metadata;

/// Bodies on their way in.
pub(crate) mod receive;

/// What a payload hashes to.
pub(crate) mod hashes;

/// What an operation is given.
pub(crate) mod request;

/// Why an operation gives no reply.
pub(crate) mod refusal;

/// Between the values of S3 and those of the engine.
pub(crate) mod convert;
