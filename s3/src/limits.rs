//! Every bound of this crate, with its reason. Nothing here is tuned per request.

/// Largest request head (request line, headers, final empty line), in bytes. Twice what AWS promises (8 KiB),
/// so that long signatures and metadata fit together.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header lines of one request.
pub const HEADER_COUNT_MAX: usize = 100;
/// Longest request target, in bytes: a 1024-byte key whose every byte is escaped is 3 KiB, the rest is query.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Empty lines that may stand before a request line (RFC 9112 section 2.2 asks for at least one).
pub const LEADING_EMPTY_LINES_MAX: usize = 2;
/// Most parameters of one query string.
pub const QUERY_PARAMETER_COUNT_MAX: usize = 64;

/// Longest chunk-size line or trailer line of a body, in bytes without CRLF.
pub const BODY_LINE_BYTES_MAX: usize = 256;
/// Most bytes of all trailers of one body together, in the form `name:value\n`.
pub const TRAILER_BYTES_MAX: usize = 512;
/// Most trailer lines after the last outer chunk, which are read and dropped.
pub const OUTER_TRAILER_COUNT_MAX: usize = 16;

/// Largest body of one PUT or one part, in bytes (5 GiB, as AWS).
pub const UPLOAD_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// Smallest part that is not the last, in bytes (5 MiB, as AWS).
pub const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// Highest part number, and so the most parts of one upload.
pub const PART_NUMBER_MAX: u16 = 10_000;

/// Largest XML request body, in bytes: a Complete of 10,000 parts with SHA-256 checksums takes 1.6 MB.
pub const XML_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Deepest nesting of elements in a request body.
pub const XML_DEPTH_MAX: usize = 16;
/// Most keys of one DeleteObjects request.
pub const DELETE_KEY_COUNT_MAX: usize = 1000;
/// Most rows of one listing page.
pub const LIST_ROW_COUNT_MAX: u32 = 1000;

/// Longest object key, in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 1024;
/// Longest bucket name, in bytes.
pub const BUCKET_NAME_BYTES_MAX: usize = 63;
/// Shortest bucket name, in bytes.
pub const BUCKET_NAME_BYTES_MIN: usize = 3;
/// Most bytes of user metadata: names without `x-amz-meta-`, plus values.
pub const METADATA_BYTES_MAX: usize = 2 * 1024;
/// Longest access key id, in bytes.
pub const ACCESS_KEY_BYTES_MAX: usize = 128;
/// Longest region name, in bytes.
pub const REGION_BYTES_MAX: usize = 64;
/// Signing keys remembered per core.
pub const SIGNING_KEY_COUNT_MAX: usize = 64;

/// Allowed distance between a request's date and our clock, in seconds (15 minutes, as AWS).
pub const CLOCK_SKEW_S: i64 = 15 * 60;
/// Longest life of a presigned URL, in seconds (7 days, as AWS).
pub const PRESIGNED_EXPIRES_S_MAX: u32 = 604_800;

// Spans of a head are kept as u16.
const _: () = assert!(HEAD_BYTES_MAX <= u16::MAX as usize);
// A target must fit in a head with room for the smallest set of headers.
const _: () = assert!(TARGET_BYTES_MAX < HEAD_BYTES_MAX);
// A trailer line must fit in the trailer store.
const _: () = assert!(BODY_LINE_BYTES_MAX < TRAILER_BYTES_MAX);
