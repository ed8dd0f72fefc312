//! HTTP/1.1 grammars over borrowed bytes: no I/O, no S3 policy.

pub mod headers;
pub mod etag_condition;
pub mod body;
pub mod uri;
pub mod query;
pub mod range;
pub mod response;
pub mod head;
mod line;
pub mod date;
pub mod percent;
