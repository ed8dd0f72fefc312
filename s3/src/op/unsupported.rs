//! Headers that promise what we do not do. None is passed over in silence: a client that asked for encryption, a
//! lock or public access must not believe that it got them.

use crate::error::{DetailName, S3Error, S3Failure};
use crate::http::head::RequestHead;
use crate::http::query::Query;
use arrayvec::ArrayString;

/// Refused whatever they hold.
const REFUSED: [&str; 13] = [
    "x-amz-server-side-encryption",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-event-hold",
    "x-amz-website-redirect-location",
    "x-amz-tagging",
    "x-amz-write-offset-bytes",
    "x-amz-rdma-token",
    "x-amz-bucket-namespace",
    "x-amz-rename-source",
    // Conditions of DeleteObject that AWS has for directory buckets only.
    "x-amz-if-match-last-modified-time",
    "x-amz-if-match-size",
];

/// Refused whatever follows.
const REFUSED_PREFIXES: [&str; 4] = [
    "x-amz-server-side-encryption-",
    "x-amz-copy-source-server-side-encryption-",
    "x-amz-grant-",
    "x-amz-object-annotation-",
];

/// Every name and every prefix above is shorter.
const DECIDING_BYTES: usize = 64;

/// Canned ACLs that say no more than what holds anyway: the one account owns all and nobody else reads.
const PRIVATE_ACLS: [&[u8]; 3] = [b"private", b"bucket-owner-full-control", b"bucket-owner-read"];

/// Refuses a request whose headers ask for what we do not do, or name somebody else as owner or another version.
///
/// # Errors
/// `NotImplemented`, `InvalidStorageClass`, `AccessDenied`, `NoSuchVersion`.
pub(crate) fn refuse(head: &RequestHead<'_>, query: &Query<'_>, owner_id: &str) -> Result<(), S3Failure> {
    let not_implemented = |name: &str| {
        let name = name.to_ascii_lowercase();
        Err(S3Failure::new(S3Error::NotImplemented).text(DetailName::Header, &name))
    };
    for (name, value) in head.headers() {
        let Some(start) = name.get(..6) else { continue };
        if !start.eq_ignore_ascii_case("x-amz-") {
            continue;
        }
        let lower = start_in_lower_case(name);
        let is_whole = lower.len() == name.len();
        if (is_whole && REFUSED.contains(&lower.as_str()))
            || REFUSED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
        {
            return not_implemented(name);
        }
        match lower.as_str() {
            "x-amz-acl" if !PRIVATE_ACLS.contains(&value) => return not_implemented(name),
            "x-amz-bucket-object-lock-enabled" if !value.eq_ignore_ascii_case(b"false") => {
                return not_implemented(name);
            }
            "x-amz-storage-class" if value != b"STANDARD" => return Err(S3Error::InvalidStorageClass.into()),
            "x-amz-expected-bucket-owner" | "x-amz-source-expected-bucket-owner"
                if value != owner_id.as_bytes() =>
            {
                return Err(S3Error::AccessDenied.into());
            }
            _ => {}
        }
    }
    match query.get("versionId") {
        None | Some("null") => Ok(()),
        Some(other) => no_such_version(other),
    }
}

/// As much of a header's name as decides what it is.
fn start_in_lower_case(name: &str) -> ArrayString<DECIDING_BYTES> {
    // Names are ASCII, so any place is a border between characters.
    let start = name.get(..DECIDING_BYTES).unwrap_or(name);
    let mut lower = ArrayString::from(start).unwrap_or_default();
    lower.make_ascii_lowercase();
    lower
}

/// Nothing has versions but `null`.
///
/// # Errors
/// `NoSuchVersion`; `InvalidArgument` for an empty one.
pub(crate) fn no_such_version(id: &str) -> Result<(), S3Failure> {
    if id == "null" {
        return Ok(());
    }
    let error = if id.is_empty() { S3Error::InvalidArgument } else { S3Error::NoSuchVersion };
    Err(S3Failure::new(error).note(DetailName::ArgumentName, "versionId").text(DetailName::ArgumentValue, id))
}

#[cfg(test)]
mod tests {
    use super::refuse;
    use crate::error::S3Error;
    use crate::http::head;
    use crate::http::query::Query;

    #[test]
    fn no_promise_is_passed_over() {
        let refused = |line: &str| {
            let bytes = format!("DELETE /abc/k HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n");
            let head = head::parse(bytes.as_bytes()).unwrap().unwrap();
            refuse(&head, &Query::parse(b"").unwrap(), "me").map_err(|failure| failure.error)
        };
        for line in ["x-amz-acl: private", "x-amz-storage-class: STANDARD", "x-amz-expected-bucket-owner: me"]
        {
            assert_eq!(refused(line), Ok(()), "{line}");
        }
        for line in [
            "x-amz-acl: public-read",
            "X-Amz-If-Match-Size: 9999",
            "x-amz-if-match-last-modified-time: Thu, 01 Jan 2015 00:00:00 GMT",
            "X-Amz-Object-Annotation-a-name-that-is-longer-than-what-decides-about-it-by-far: 1",
        ] {
            assert_eq!(refused(line), Err(S3Error::NotImplemented), "{line}");
        }
        assert_eq!(refused("x-amz-expected-bucket-owner: you"), Err(S3Error::AccessDenied));
    }
}
