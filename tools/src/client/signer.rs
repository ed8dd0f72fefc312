//! AWS Signature Version 4, from a request to the bytes of its head.
//!
//! Source: "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3 API reference. Only what a load
//! generator needs: the signature in a header or in the query, a payload that is signed by its hash or not at all.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use std::fmt;

/// Everything but what RFC 3986 calls unreserved.
const QUERY_ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// In a path, slashes divide and stay.
const PATH_ENCODED: &AsciiSet = &QUERY_ENCODED.remove(b'/');

/// Any longer than the longest run would be as good; S3 allows seven days.
const PRESIGNED_SECONDS: u32 = 86_400;

const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// Who signs.
#[derive(Clone)]
pub struct Credentials {
    /// Sent with every request.
    pub access_key: String,
    /// Never sent and never printed.
    pub secret_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// The verbs that S3 needs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read, or list.
    Get,
    /// Write, or create a bucket.
    Put,
    /// Read without the body.
    Head,
    /// Remove.
    Delete,
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Head => "HEAD",
            Self::Delete => "DELETE",
        }
    }
}

/// What the signature says about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// Its SHA-256, which the server checks.
    Hashed([u8; 32]),
    /// Nothing.
    Unsigned,
}

impl Payload {
    /// The payload of a request that has no body.
    #[must_use]
    pub fn empty() -> Self {
        Self::Hashed(Sha256::digest(b"").into())
    }

    fn text(self) -> String {
        match self {
            Self::Hashed(hash) => hex::encode(hash),
            Self::Unsigned => UNSIGNED_PAYLOAD.to_owned(),
        }
    }
}

/// Where the signature goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignStyle {
    /// In the `Authorization` header.
    Header,
    /// In the query, as in a presigned URL; its payload is never signed.
    Query,
}

/// One request, before it is signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'text> {
    /// The verb.
    pub method: Method,
    /// `/bucket/key`, not yet percent-encoded.
    pub path: &'text str,
    /// Names and values, not yet encoded, in any order.
    pub query: &'text [(&'text str, &'text str)],
    /// Bytes that will follow the head.
    pub content_length: u64,
    /// What is signed of them.
    pub payload: Payload,
}

/// Signs requests to one host. It holds the key derived for one date and so serves until [`Self::renew`]ed.
#[derive(Clone)]
pub struct Signer {
    credentials: Credentials,
    region: String,
    host: String,
    style: SignStyle,
    /// `20260131T235959Z`.
    stamp: String,
    key: [u8; 32],
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Signer")
            .field("host", &self.host)
            .field("stamp", &self.stamp)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer for `host` whose signatures are dated `time`.
    #[must_use]
    pub fn new(
        credentials: Credentials,
        region: &str,
        host: &str,
        style: SignStyle,
        time: Timestamp,
    ) -> Self {
        let mut signer = Self {
            credentials,
            region: region.to_owned(),
            host: host.to_owned(),
            style,
            stamp: String::new(),
            key: [0; 32],
        };
        signer.renew(time);
        signer
    }

    /// Dates the following signatures `time`. Servers refuse dates more than 15 minutes from their own.
    pub fn renew(&mut self, time: Timestamp) {
        self.stamp = time.strftime("%Y%m%dT%H%M%SZ").to_string();
        let secret = format!("AWS4{}", self.credentials.secret_key);
        let date_key = authenticate(secret.as_bytes(), self.date());
        let region_key = authenticate(&date_key, &self.region);
        let service_key = authenticate(&region_key, "s3");
        self.key = authenticate(&service_key, "aws4_request");
    }

    /// The bytes of the signed request up to and including the empty line before the body.
    #[must_use]
    pub fn head(&self, request: &Request<'_>) -> Vec<u8> {
        let path = utf8_percent_encode(request.path, PATH_ENCODED).to_string();
        let (target, authorization) = match self.style {
            SignStyle::Header => self.sign_header(request, &path),
            SignStyle::Query => self.sign_query(request, &path),
        };
        let mut head = format!("{} {target} HTTP/1.1\r\nHost: {}\r\n", request.method.name(), self.host);
        head.push_str(&authorization);
        if request.method == Method::Put {
            head.push_str(&format!("Content-Length: {}\r\n", request.content_length));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Returns the request target and the header lines that carry the signature.
    fn sign_header(&self, request: &Request<'_>, path: &str) -> (String, String) {
        let payload = request.payload.text();
        let query = canonical_query(request.query.iter().copied());
        let signed_headers = "host;x-amz-content-sha256;x-amz-date";
        let headers =
            format!("host:{}\nx-amz-content-sha256:{payload}\nx-amz-date:{}\n", self.host, self.stamp);
        let canonical =
            format!("{}\n{path}\n{query}\n{headers}\n{signed_headers}\n{payload}", request.method.name());
        let lines = format!(
            "x-amz-date: {}\r\nx-amz-content-sha256: {payload}\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential={}/{}, SignedHeaders={signed_headers}, Signature={}\r\n",
            self.stamp,
            self.credentials.access_key,
            self.scope(),
            self.signature(&canonical),
        );
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        (target, lines)
    }

    fn sign_query(&self, request: &Request<'_>, path: &str) -> (String, String) {
        let credential = format!("{}/{}", self.credentials.access_key, self.scope());
        let expires = PRESIGNED_SECONDS.to_string();
        let own = [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", credential.as_str()),
            ("X-Amz-Date", self.stamp.as_str()),
            ("X-Amz-Expires", expires.as_str()),
            ("X-Amz-SignedHeaders", "host"),
        ];
        let query = canonical_query(request.query.iter().copied().chain(own));
        let canonical = format!(
            "{}\n{path}\n{query}\nhost:{}\n\nhost\n{UNSIGNED_PAYLOAD}",
            request.method.name(),
            self.host
        );
        (format!("{path}?{query}&X-Amz-Signature={}", self.signature(&canonical)), String::new())
    }

    fn date(&self) -> &str {
        self.stamp.split('T').next().unwrap_or_default()
    }

    fn scope(&self) -> String {
        format!("{}/{}/s3/aws4_request", self.date(), self.region)
    }

    fn signature(&self, canonical_request: &str) -> String {
        let hash = hex::encode(Sha256::digest(canonical_request.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{}\n{hash}", self.stamp, self.scope());
        hex::encode(authenticate(&self.key, &to_sign))
    }
}

fn authenticate(key: &[u8], message: &str) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length is good");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().into()
}

/// Encoded, then sorted: the order that the signature is made over is also the order that is sent.
fn canonical_query<'text>(pairs: impl Iterator<Item = (&'text str, &'text str)>) -> String {
    let encode = |text| utf8_percent_encode(text, QUERY_ENCODED).to_string();
    let mut encoded: Vec<(String, String)> =
        pairs.map(|(name, value)| (encode(name), encode(value))).collect();
    encoded.sort();
    encoded.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The credentials, host and time of the examples in the Amazon S3 API reference.
    fn example(style: SignStyle) -> Signer {
        let credentials = Credentials {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        };
        let time = "2013-05-24T00:00:00Z".parse().unwrap();
        Signer::new(credentials, "us-east-1", "examplebucket.s3.amazonaws.com", style, time)
    }

    fn text(signer: &Signer, request: &Request<'_>) -> String {
        String::from_utf8(signer.head(request)).unwrap()
    }

    #[test]
    fn the_published_presigned_example_is_met() {
        let request = Request {
            method: Method::Get,
            path: "/test.txt",
            query: &[],
            content_length: 0,
            payload: Payload::Unsigned,
        };
        let head = text(&example(SignStyle::Query), &request);
        // The published example also expires after 86400 seconds.
        assert!(
            head.contains(
                "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP"
            ),
            "{head}"
        );
    }

    #[test]
    fn the_published_listing_examples_are_met() {
        let request = Request {
            method: Method::Get,
            path: "/",
            query: &[("prefix", "J"), ("max-keys", "2")],
            content_length: 0,
            payload: Payload::empty(),
        };
        let head = text(&example(SignStyle::Header), &request);
        assert!(head.starts_with("GET /?max-keys=2&prefix=J HTTP/1.1\r\n"), "{head}");
        let signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
        assert!(head.contains(&format!("Signature={signature}\r\n")), "{head}");
    }

    #[test]
    fn only_a_put_states_its_length_and_no_secret_is_sent() {
        let mut request = Request {
            method: Method::Put,
            path: "/bucket/a key",
            query: &[],
            content_length: 5,
            payload: Payload::Unsigned,
        };
        let signer = example(SignStyle::Header);
        let head = text(&signer, &request);
        assert!(head.starts_with("PUT /bucket/a%20key HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("Content-Length: 5\r\n"));
        assert!(head.ends_with("\r\n\r\n"));
        assert!(!head.contains("wJalr"));
        assert!(!format!("{signer:?} {:?}", signer.credentials).contains("wJalr"));
        request.method = Method::Get;
        assert!(!text(&signer, &request).contains("Content-Length"));
    }
}
