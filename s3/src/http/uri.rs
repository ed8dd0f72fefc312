//! Request targets: whose bucket, which key. Path style, and virtual-host style on configured domains.
//!
//! The raw path is split and unescaped exactly once, here. A key is never normalised: what was signed is what is
//! authorised and what is stored.

use crate::error::S3Failure;
use crate::http::percent::{Plus, decode};
use crate::limits::BUCKET_NAME_BYTES_MAX;
use crate::value::bucket_name::{BucketName, BucketNameError};
use crate::value::object_key::{ObjectKey, ObjectKeyError};
use smallvec::SmallVec;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The service: `/` without a bucket.
    Service,
    /// A bucket.
    Bucket(BucketName),
    /// An object in a bucket.
    Object(BucketName, ObjectKey<'a>),
}

/// Domains below which a label is a bucket: with `s3.example.org`, the host `b.s3.example.org` means bucket `b`.
#[derive(Clone, Debug, Default)]
pub struct BaseDomains(Vec<Box<str>>);

/// Why a target names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceError {
    /// The bucket's name breaks a rule.
    Bucket(BucketNameError),
    /// The key breaks a rule.
    Key(ObjectKeyError),
}

impl BaseDomains {
    /// These domains, in any case.
    pub fn new<'d>(domains: impl IntoIterator<Item = &'d str>) -> Self {
        let mut domains: Vec<Box<str>> =
            domains.into_iter().map(|domain| domain.trim_matches('.').to_ascii_lowercase().into()).collect();
        // The longest first, so that nested domains give the shortest bucket.
        domains.sort_by_key(|domain| core::cmp::Reverse(domain.len()));
        Self(domains)
    }

    /// The bucket that a `Host` names, lower-cased; `None` for path style.
    fn bucket_of(&self, host: &[u8]) -> Option<SmallVec<[u8; BUCKET_NAME_BYTES_MAX]>> {
        let host = without_port(host);
        let host = host.strip_suffix(b".").unwrap_or(host);
        if self.0.iter().any(|domain| domain.as_bytes().eq_ignore_ascii_case(host)) {
            return None;
        }
        self.0.iter().find_map(|domain| {
            let (front, end) = host.split_at_checked(host.len().checked_sub(domain.len())?)?;
            let bucket = front.strip_suffix(b".").filter(|_| end.eq_ignore_ascii_case(domain.as_bytes()))?;
            Some(bucket.iter().map(u8::to_ascii_lowercase).collect())
        })
    }
}

/// Reads what a request is about from its raw path and its host.
///
/// # Errors
/// A name or key that breaks a rule.
pub fn parse_resource<'a>(
    raw_path: &'a [u8],
    host: &[u8],
    domains: &BaseDomains,
) -> Result<Resource<'a>, ResourceError> {
    let path = raw_path.strip_prefix(b"/").unwrap_or(raw_path);
    if let Some(bucket) = domains.bucket_of(host) {
        return with_key(&bucket, path);
    }
    // S3 Browser asks for `//` when it means the service.
    if path.is_empty() || path == b"/" {
        return Ok(Resource::Service);
    }
    match path.iter().position(|&byte| byte == b'/') {
        Some(at) => {
            let (bucket, rest) = path.split_at_checked(at).unwrap_or((path, b""));
            with_key(&decode(bucket, Plus::Literal), rest.strip_prefix(b"/").unwrap_or(rest))
        }
        None => with_key(&decode(path, Plus::Literal), b""),
    }
}

fn with_key<'a>(bucket: &[u8], raw_key: &'a [u8]) -> Result<Resource<'a>, ResourceError> {
    let bucket = BucketName::parse(bucket).map_err(ResourceError::Bucket)?;
    if raw_key.is_empty() {
        return Ok(Resource::Bucket(bucket));
    }
    let key = ObjectKey::parse(decode(raw_key, Plus::Literal)).map_err(ResourceError::Key)?;
    Ok(Resource::Object(bucket, key))
}

fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&byte| byte == b':') {
        // Brackets hold an IPv6 address, whose colons are no ports.
        Some(at) if !host.get(at..).unwrap_or_default().contains(&b']') => host.get(..at).unwrap_or(host),
        _ => host,
    }
}

impl From<ResourceError> for S3Failure {
    fn from(error: ResourceError) -> Self {
        match error {
            ResourceError::Bucket(error) => error.into(),
            ResourceError::Key(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BaseDomains, Resource, ResourceError, parse_resource};

    fn shown(path: &str, host: &str) -> String {
        let domains = BaseDomains::new(["s3.example.org", "Example.ORG."]);
        match parse_resource(path.as_bytes(), host.as_bytes(), &domains) {
            Ok(Resource::Service) => "service".into(),
            Ok(Resource::Bucket(bucket)) => bucket.to_string(),
            Ok(Resource::Object(bucket, key)) => format!("{bucket}|{}", key.as_str()),
            Err(ResourceError::Bucket(_)) => "bad bucket".into(),
            Err(ResourceError::Key(_)) => "bad key".into(),
        }
    }

    #[test]
    fn path_style() {
        let rows = [
            ("/", "service"),
            ("//", "service"),
            ("/abc", "abc"),
            ("/abc/", "abc"),
            ("/abc/k", "abc|k"),
            ("/abc//k", "abc|/k"),
            ("/abc/../x/./", "abc|../x/./"),
            ("/abc/a%2Fb+c%25", "abc|a/b+c%"),
            ("/a%2Fbc/k", "bad bucket"),
            ("//abc/k", "bad bucket"),
            ("/abc/%ff", "bad key"),
        ];
        for (path, expected) in rows {
            assert_eq!(shown(path, "127.0.0.1:9000"), expected, "{path}");
            assert_eq!(shown(path, "s3.example.org"), expected, "{path}");
            assert_eq!(shown(path, "[::1]:80"), expected, "{path}");
        }
    }

    #[test]
    fn virtual_host_style() {
        let rows = [("/", "abc"), ("/k", "abc|k"), ("//k", "abc|/k"), ("/x/y", "abc|x/y")];
        for (path, expected) in rows {
            assert_eq!(shown(path, "abc.s3.example.org"), expected, "{path}");
            assert_eq!(shown(path, "ABC.S3.example.org.:443"), expected, "{path}");
        }
        assert_eq!(shown("/k", "a.b.c.s3.example.org"), "a.b.c|k");
        assert_eq!(shown("/k", "a_b.s3.example.org"), "bad bucket");
        assert_eq!(shown("/abc/k", "notexample.org"), "abc|k");
    }
}
