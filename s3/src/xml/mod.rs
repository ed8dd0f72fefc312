//! XML documents in both directions. Requests are read with bounds and without DTDs; answers are written straight
//! into a byte vector of the caller.

/// Escaping of text, and `encoding-type=url`.
pub mod escape;
/// The error document.
pub mod failure;
/// Answers that list buckets, objects and deletions.
pub mod listing;
/// Answers about multipart uploads.
pub mod multipart;
/// The bounded pull reader.
pub mod reader;
/// Request documents.
pub mod request;
/// Answers about configurations that were never set.
pub mod unset;
/// The streaming writer.
pub mod writer;
