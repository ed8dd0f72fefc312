//! XML documents in both directions. Requests are read with bounds and without DTDs; answers are written straight
//! into a byte vector of the caller.

/// Request documents.
pub mod request;

/// Answers about configurations that were never set.
pub mod unset;

/// The answer of GetObjectAttributes.
pub mod attributes;

/// Answers about multipart uploads.
pub mod multipart;

/// Answers that list buckets, objects and deletions.
pub mod listing;

/// The error document.
pub mod failure;

/// The bounded pull reader.
pub mod reader;

/// The streaming writer.
pub mod writer;

/// Escaping of text, and `encoding-type=url`.
pub mod escape;
