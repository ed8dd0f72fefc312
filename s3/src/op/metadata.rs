//! Metadata from request to store to response: six system headers as they came, and user metadata.

use crate::error::S3Failure;
use crate::http::head::RequestHead;
use crate::http::headers::{self, STORED_HEADERS};
use crate::op::convert::{checksum_value, date, shown_checksum, shown_etag, type_of};
use crate::wire::reply::Reply;
use ashlar_engine::Object;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::types::{Checksum, Metadata};

const USER_PREFIX: &str = "x-amz-meta-";
const DEFAULT_TYPE: &str = "binary/octet-stream";

/// System headers as clients spell them, in the order of [`STORED_HEADERS`].
const SHOWN_HEADERS: [&str; 6] = [
    "Content-Type",
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Expires",
];

/// What is kept of a request's headers.
///
/// # Errors
/// User metadata that are too large or have no legal names.
pub(crate) fn of_request(head: &RequestHead<'_>) -> Result<Vec<Metadata>, S3Failure> {
    let mut kept = Vec::new();
    for name in STORED_HEADERS {
        let value = match name {
            "content-encoding" => headers::stored_content_encoding(head),
            _ => head.header(name).map(|value| value.trim_ascii().to_vec()),
        };
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            kept.push(Metadata { name: name.to_owned(), value });
        }
    }
    let user = headers::metadata(head)?;
    let named = user
        .iter()
        .map(|(name, value)| Metadata { name: format!("{USER_PREFIX}{name}"), value: value.to_vec() });
    kept.extend(named);
    Ok(kept)
}

/// The headers that describe an object, on GET, HEAD and 304.
pub(crate) fn describe<R: Runtime>(reply: &mut Reply<R>, object: &Object) {
    reply.set("ETag", shown_etag(object.etag()).quoted());
    reply.set("Last-Modified", date(object.modified()));
    reply.set("Accept-Ranges", "bytes");
    reply.set("Content-Type", DEFAULT_TYPE);
    for Metadata { name, value } in object.metadata() {
        let position = STORED_HEADERS.iter().position(|stored| stored == name);
        match position.and_then(|position| SHOWN_HEADERS.get(position)) {
            Some(shown) => reply.set(*shown, value.clone()),
            None => reply.set(name.clone(), value.clone()),
        }
    }
}

/// The headers of a checksum.
pub(crate) fn show_checksum<R: Runtime>(reply: &mut Reply<R>, stored: Option<&Checksum>) {
    let Some((stored, value)) = stored.and_then(|stored| Some((stored, checksum_value(stored)?))) else {
        return;
    };
    let shown = shown_checksum(stored, &value);
    reply.set(value.algorithm().header_name(), shown.text());
    reply.set("x-amz-checksum-type", type_of(stored.kind).name());
}
