//! Types that can only hold legal values. Below this border nobody checks them again.

/// Names of buckets.
pub mod bucket_name;

/// Checksum algorithms, types and values.
pub mod checksum;

/// Entity tags.
pub mod etag;

/// User metadata.
pub mod metadata;

/// Keys of objects.
pub mod object_key;

/// Part numbers of a multipart upload.
pub mod part_number;

/// Names of multipart uploads.
pub mod upload_id;

pub use bucket_name::BucketName;
pub use checksum::{ChecksumAlgorithm, ChecksumType, ChecksumValue};
pub use etag::ETag;
pub use metadata::Metadata;
pub use object_key::ObjectKey;
pub use part_number::PartNumber;
pub use upload_id::UploadId;
