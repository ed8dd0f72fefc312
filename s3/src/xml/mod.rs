//! XML documents in both directions. Requests are read with bounds and without DTDs; answers are written straight
//! into a byte vector of the caller.

pub mod request;
pub mod unset;
pub mod attributes;
pub mod multipart;
pub mod listing;
pub mod failure;
pub mod reader;
pub mod writer;
pub mod escape;
