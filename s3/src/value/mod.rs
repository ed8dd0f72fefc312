//! Types that can only hold legal values. Below this border nobody checks them again.

pub mod bucket_name;
pub mod checksum;
pub mod etag;
pub mod metadata;
pub mod object_key;
pub mod part_number;
pub mod upload_id;

pub use bucket_name::BucketName;
pub use checksum::{ChecksumAlgorithm, ChecksumType, ChecksumValue};
pub use etag::ETag;
pub use metadata::Metadata;
pub use object_key::ObjectKey;
pub use part_number::PartNumber;
pub use upload_id::UploadId;
