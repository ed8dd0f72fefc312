//! Signing keys, strings to sign, signatures.

use crate::auth::authorization::ALGORITHM;
use crate::auth::credentials::SecretKey;
use crate::auth::hmac::{Hmac, hmac};
use crate::http::date::AMZ_DATE_BYTES;
use std::cell::RefCell;
use std::rc::Rc;
use subtle::ConstantTimeEq;

/// A key derived from a secret for one day, region and service. As good as the secret within that scope. Shared,
/// because every request has one.
#[derive(Clone)]
pub struct SigningKey(Rc<Signer>);

/// What each signature begins with, hashed already.
struct Signer {
    /// Behind the key: spares each signature two blocks.
    keyed: Hmac,
    /// Behind the first lines of the string to sign as well: spares another, as long as requests have one date. A key
    /// has one scope.
    dated: RefCell<Option<([u8; AMZ_DATE_BYTES], Hmac)>>,
}

impl core::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// Derives the key.
    #[must_use]
    pub fn derive(secret: &SecretKey, date: &str, region: &str, service: &str) -> Self {
        let seed = [b"AWS4", secret.as_bytes()].concat();
        let key = hmac(&seed, date.as_bytes());
        let key = hmac(&key, region.as_bytes());
        let key = hmac(&key, service.as_bytes());
        let keyed = Hmac::new(&hmac(&key, b"aws4_request"));
        Self(Rc::new(Signer { keyed, dated: RefCell::new(None) }))
    }

    /// Signs a canonical request by its hash. `scope` is the one that the key was derived for.
    #[must_use]
    pub fn sign_request(
        &self,
        date: &[u8; AMZ_DATE_BYTES],
        scope: &ScopeText,
        request_hash: &[u8; 32],
    ) -> [u8; 32] {
        let mut dated = self.0.dated.borrow_mut();
        let known = dated.as_ref().filter(|(known, _)| known == date).map(|(_, mac)| mac.clone());
        let mut mac = known.unwrap_or_else(|| {
            let lines = [ALGORITHM.as_bytes(), b"\n", date, b"\n", scope.as_bytes(), b"\n"];
            let mac = self.0.keyed.clone().with(&lines);
            *dated = Some((*date, mac.clone()));
            mac
        });
        mac.update(&hex_of(request_hash));
        mac.finish()
    }

    /// Signs any string, given in pieces.
    #[must_use]
    pub fn sign(&self, pieces: &[&[u8]]) -> [u8; 32] {
        self.0.keyed.clone().with(pieces).finish()
    }
}

/// `date/region/service/aws4_request`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeText(arrayvec::ArrayString<{ 8 + crate::limits::REGION_BYTES_MAX + 32 }>);

impl ScopeText {
    /// The text of a scope. `None` if region or service are longer than any that we answer to.
    #[must_use]
    pub fn new(date: &str, region: &str, service: &str) -> Option<Self> {
        let mut text = arrayvec::ArrayString::new();
        for piece in [date, "/", region, "/", service, "/aws4_request"] {
            text.try_push_str(piece).ok()?;
        }
        Some(Self(text))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Compares in constant time.
#[must_use]
pub fn is_equal(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.ct_eq(right).into()
}

/// Lower-case hex digits.
#[must_use]
pub fn hex_of(bytes: &[u8; 32]) -> [u8; 64] {
    let mut digits = [0; 64];
    let encoded = hex::encode_to_slice(bytes, &mut digits);
    assert!(encoded.is_ok(), "64 digits hold 32 bytes");
    digits
}

/// SHA-256 in one go.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    ashlar_engine::hash::sha256(bytes)
}

/// SHA-256 of nothing.
pub const EMPTY_SHA256_HEX: &[u8; 64] = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[cfg(test)]
mod tests {
    use super::{EMPTY_SHA256_HEX, ScopeText, SigningKey, hex_of, is_equal, sha256};
    use crate::auth::canonical::write_request;
    use crate::auth::credentials::SecretKey;
    use crate::auth::hmac::hmac;
    use crate::http::head;
    use crate::http::query::Query;

    #[test]
    fn the_empty_hash() {
        assert_eq!(&hex_of(&sha256(b"")), EMPTY_SHA256_HEX);
        assert!(is_equal(&[1; 32], &[1; 32]));
        assert!(!is_equal(&[1; 32], &[2; 32]));
    }

    /// AWS documentation "Examples of how to derive a signing key for Signature Version 4".
    #[test]
    fn published_signing_key() {
        let secret = SecretKey::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let key = SigningKey::derive(&secret, "20120215", "us-east-1", "iam");
        let published =
            hex::decode("f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d").unwrap();
        assert_eq!(key.sign(&[b"te", b"xt"]), hmac(&published, b"text"));
    }

    #[test]
    fn what_is_remembered_of_a_date_serves_that_date_only() {
        let secret = SecretKey::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let scope = ScopeText::new("20150830", "us-east-1", "s3").unwrap();
        let key = SigningKey::derive(&secret, "20150830", "us-east-1", "s3");
        for (date, hash) in [(b"20150830T123600Z", 1), (b"20150830T123600Z", 2), (b"20150830T123601Z", 2)] {
            let fresh = SigningKey::derive(&secret, "20150830", "us-east-1", "s3");
            let whole = [
                b"AWS4-HMAC-SHA256\n".as_slice(),
                date,
                b"\n20150830/us-east-1/s3/aws4_request\n",
                &hex_of(&[hash; 32]),
            ];
            let signature = key.sign_request(date, &scope, &[hash; 32]);
            assert_eq!(signature, fresh.sign(&whole), "{date:?} {hash}");
        }
    }

    /// AWS SigV4 test suite (`aws-sig-v4-test-suite`): request line, further headers, names, signature.
    #[test]
    fn published_test_suite() {
        let secret = SecretKey::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let key = SigningKey::derive(&secret, "20150830", "us-east-1", "service");
        let scope = ScopeText::new("20150830", "us-east-1", "service").unwrap();
        let rows = [
            ("GET /", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (
                "GET /?Param2=value2&Param1=value1",
                "",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "GET /?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                "",
                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            ),
            ("GET /%E1%88%B4", "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
            ("POST /", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            ("POST /?Param1=value1", "", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
        ];
        for (line, headers, expected) in rows {
            let bytes = format!(
                "{line} HTTP/1.1\r\nHost:example.amazonaws.com\r\nX-Amz-Date:20150830T123600Z\r\n{headers}\r\n"
            );
            let head = head::parse(bytes.as_bytes()).unwrap().unwrap();
            let query = Query::parse(head.query()).unwrap();
            let mut request = Vec::new();
            write_request(&mut request, &head, &query, "host;x-amz-date", EMPTY_SHA256_HEX).unwrap();
            let signature = key.sign_request(b"20150830T123600Z", &scope, &sha256(&request));
            assert_eq!(hex::encode(signature), expected, "{line}");
        }
    }
}
