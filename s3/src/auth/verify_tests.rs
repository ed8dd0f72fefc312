//! The examples of the AWS pages on header and query authentication, and one test per rule.

use crate::auth::credentials::SecretKey;
use crate::auth::signature::{ScopeText, SigningKey, sha256};
use crate::auth::{AuthConfig, AuthError, Authenticator, PayloadMode};
use crate::http::date::amz_date;
use crate::http::head;
use crate::http::query::Query;
use jiff::Timestamp;
use std::collections::BTreeMap;

const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// 2013-05-24T00:00:00Z
const EXAMPLE_TIME_S: i64 = 1_369_353_600;

fn secrets() -> BTreeMap<String, SecretKey> {
    BTreeMap::from([(ACCESS_KEY.to_owned(), SecretKey::new(SECRET))])
}

fn judge_with(config: AuthConfig, bytes: &str, late_s: i64) -> Result<PayloadMode, AuthError> {
    let head = head::parse(bytes.as_bytes()).unwrap().unwrap();
    let query = Query::parse(head.query()).unwrap();
    let now = Timestamp::from_second(EXAMPLE_TIME_S + late_s).unwrap();
    let mut authenticator = Authenticator::new(config);
    let first = authenticator.authenticate(&head, &query, &secrets(), now);
    let again = authenticator.authenticate(&head, &query, &secrets(), now);
    assert_eq!(first.is_ok(), again.is_ok(), "a remembered key gives the same answer");
    first.map(|proof| {
        assert_eq!(proof.access_key(), ACCESS_KEY);
        proof.payload()
    })
}

fn judge(bytes: &str, late_s: i64) -> Result<PayloadMode, AuthError> {
    judge_with(AuthConfig::new("us-east-1").unwrap(), bytes, late_s)
}

fn authorization(names: &str, signature: &str) -> String {
    format!(
        "Authorization: AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20130524/us-east-1/s3/aws4_request,\
         SignedHeaders={names},Signature={signature}\r\n"
    )
}

fn request(line: &str, headers: &[&str], names: &str, signature: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let authorization = authorization(names, signature);
    format!("{line} HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n{headers}{authorization}\r\n")
}

/// Signs with our own code, for rules whose requests AWS publishes no signature of.
fn signed(line: &str, headers: &[&str], names: &str, region: &str) -> String {
    let unsigned =
        request(line, headers, names, &"0".repeat(64)).replace("/us-east-1/", &format!("/{region}/"));
    let head = head::parse(unsigned.as_bytes()).unwrap().unwrap();
    let query = Query::parse(head.query()).unwrap();
    let payload = head.header("x-amz-content-sha256").unwrap_or(b"UNSIGNED-PAYLOAD");
    let mut canonical = Vec::new();
    crate::auth::canonical::write_request(&mut canonical, &head, &query, names, payload).unwrap();
    let key = SigningKey::derive(&SecretKey::new(SECRET), "20130524", region, "s3");
    let scope = ScopeText::new("20130524", region, "s3").unwrap();
    let date = amz_date(Timestamp::from_second(EXAMPLE_TIME_S).unwrap());
    let signature = key.sign_request(&date, &scope, &sha256(&canonical));
    unsigned.replace(&"0".repeat(64), &hex::encode(signature))
}

fn empty_hash() -> String {
    format!("x-amz-content-sha256: {EMPTY}")
}

const DATE: &str = "x-amz-date: 20130524T000000Z";
const NAMES: &str = "host;x-amz-content-sha256;x-amz-date";

#[test]
fn published_get_object() {
    let bytes = request(
        "GET /test.txt",
        &["Range: bytes=0-9", &empty_hash(), DATE],
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
    let mode = judge(&bytes, 0).unwrap();
    assert_eq!(mode, PayloadMode::Hashed(sha256(b"")));
    assert_eq!(judge(&bytes.replace("0-9", "0-8"), 0), Err(AuthError::Mismatch));
    assert_eq!(judge(&bytes.replace("/test.txt", "/test.tx"), 0), Err(AuthError::Mismatch));
    assert_eq!(judge(&bytes.replace("GET ", "PUT "), 0), Err(AuthError::Mismatch));
}

#[test]
fn published_put_object() {
    let hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let bytes = request(
        "PUT /test%24file.text",
        &[
            "Date: Fri, 24 May 2013 00:00:00 GMT",
            DATE,
            "x-amz-storage-class: REDUCED_REDUNDANCY",
            &format!("x-amz-content-sha256: {hash}"),
        ],
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
    assert_eq!(judge(&bytes, 0), Ok(PayloadMode::Hashed(sha256(b"Welcome to Amazon S3."))));
    // The same path with the byte unescaped is the same path.
    assert!(judge(&bytes.replace("%24", "$"), 0).is_ok());
}

#[test]
fn published_lifecycle_and_list() {
    let rows = [
        ("GET /?lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("GET /?max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ("GET /?prefix=J&max-keys=2", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ];
    for (line, signature) in rows {
        assert!(judge(&request(line, &[&empty_hash(), DATE], NAMES, signature), 0).is_ok(), "{line}");
    }
}

#[test]
fn published_seed_of_chunks() {
    let bytes = "PUT /examplebucket/chunkObject.txt HTTP/1.1\r\nHost: s3.amazonaws.com\r\n\
        x-amz-date: 20130524T000000Z\r\nx-amz-storage-class: REDUCED_REDUNDANCY\r\n\
        x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\r\nContent-Encoding: aws-chunked\r\n\
        x-amz-decoded-content-length: 66560\r\nContent-Length: 66824\r\n"
        .to_owned()
        + &authorization(
            "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;\
             x-amz-storage-class",
            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        )
        + "\r\n";
    assert_eq!(judge(&bytes, 0), Ok(PayloadMode::StreamingSigned { trailer: false }));
}

const PRESIGNED: &str = "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE\
    %2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&\
    X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 \
    HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n\r\n";

#[test]
fn published_presigned_url() {
    assert_eq!(judge(PRESIGNED, 0), Ok(PayloadMode::Unsigned));
    assert_eq!(judge(PRESIGNED, 86_400), Ok(PayloadMode::Unsigned));
    assert_eq!(judge(PRESIGNED, 86_401), Err(AuthError::Expired));
    assert_eq!(judge(PRESIGNED, -900), Ok(PayloadMode::Unsigned));
    assert_eq!(judge(PRESIGNED, -901), Err(AuthError::NotYetValid));
    assert_eq!(judge(&PRESIGNED.replace("86400", "86401"), 0), Err(AuthError::Mismatch));
    let added = PRESIGNED.replace("Host:", "x-amz-acl: public-read\r\nHost:");
    assert_eq!(judge(&added, 0), Err(AuthError::UnsignedHeader));
    let both = PRESIGNED.replace("Host:", &(authorization("host", &"a".repeat(64)) + "Host:"));
    assert_eq!(judge(&both, 0), Err(AuthError::SeveralMechanisms));
}

#[test]
fn every_amz_header_and_host_must_be_signed() {
    let hash = empty_hash();
    let good = signed("GET /k", &[&hash, DATE], NAMES, "us-east-1");
    assert!(judge(&good, 0).is_ok());
    for header in ["X-Amz-Copy-Source: /b/k", "x-amz-meta-a: b", "x-amz-acl: private"] {
        let added = good.replace("Host:", &format!("{header}\r\nHost:"));
        assert_eq!(judge(&added, 0), Err(AuthError::UnsignedHeader), "{header}");
    }
    // What changes nothing that matters may stay unsigned.
    assert!(judge(&good.replace("Host:", "Accept: */*\r\nContent-Length: 0\r\nHost:"), 0).is_ok());
    let hostless = signed("GET /k", &[&hash, DATE], "x-amz-content-sha256;x-amz-date", "us-east-1");
    assert_eq!(judge(&hostless, 0), Err(AuthError::UnsignedHeader));
}

#[test]
fn dates() {
    let hash = empty_hash();
    let good = signed("GET /k", &[&hash, DATE], NAMES, "us-east-1");
    for (late_s, expected) in [(900, true), (901, false), (-900, true), (-901, false)] {
        let error = judge(&good, late_s).err();
        assert_eq!(error, (!expected).then_some(AuthError::Skewed), "{late_s}");
    }
    let other_day = good.replace("/20130524/", "/20130523/");
    assert!(matches!(judge(&other_day, 0), Err(AuthError::HeaderMalformed(_))));
    let http_date = ["Date: Fri, 24 May 2013 00:00:00 GMT", &hash];
    assert!(judge(&signed("GET /k", &http_date, "date;host;x-amz-content-sha256", "us-east-1"), 0).is_ok());
    let none = signed("GET /k", &[&hash], "host;x-amz-content-sha256", "us-east-1");
    assert_eq!(judge(&none, 0), Err(AuthError::MissingHeader("x-amz-date")));
    let twice = good.replace("Host:", &format!("{DATE}\r\nHost:"));
    assert!(matches!(judge(&twice, 0), Err(AuthError::HeaderMalformed(_))));
}

#[test]
fn regions() {
    let strict = AuthConfig::new("eu-1").unwrap();
    let lenient = AuthConfig { is_region_lenient: true, ..strict };
    for region in ["us-east-1", "US", "", "aws-global"] {
        let bytes = signed("GET /k", &[&empty_hash(), DATE], NAMES, region);
        assert!(judge_with(lenient.clone(), &bytes, 0).is_ok(), "{region}");
        let error = judge_with(strict.clone(), &bytes, 0).unwrap_err();
        assert_eq!(error, AuthError::Region { expected: strict.region, presigned: false });
        let failure = crate::error::S3Failure::from(error);
        assert_eq!(failure.error, crate::error::S3Error::AuthorizationHeaderMalformed);
        assert_eq!(failure.details.len(), 1);
    }
    let bytes = signed("GET /k", &[&empty_hash(), DATE], NAMES, "eu-1");
    assert!(judge_with(strict, &bytes, 0).is_ok());
    let bytes = signed("GET /k", &[&empty_hash(), DATE], NAMES, "us-west-2");
    assert!(judge_with(lenient, &bytes, 0).is_err());
}

#[test]
fn payload_modes() {
    let mode = |text: &str| {
        let header = format!("x-amz-content-sha256: {text}");
        judge(&signed("PUT /k", &[&header, DATE], NAMES, "us-east-1"), 0)
    };
    assert_eq!(mode("UNSIGNED-PAYLOAD"), Ok(PayloadMode::Unsigned));
    assert_eq!(mode("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), Ok(PayloadMode::StreamingUnsignedTrailer));
    assert_eq!(
        mode("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
        Ok(PayloadMode::StreamingSigned { trailer: true })
    );
    assert_eq!(mode("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"), Err(AuthError::UnsupportedMechanism));
    assert_eq!(mode("unsigned"), Err(AuthError::ContentSha256));
    assert_eq!(mode("STREAMING-SOMETHING-NEW"), Err(AuthError::ContentSha256));
    let none = signed("PUT /k", &[DATE], "host;x-amz-date", "us-east-1");
    assert_eq!(judge(&none, 0), Err(AuthError::MissingHeader("x-amz-content-sha256")));
}

#[test]
fn strangers_and_other_mechanisms() {
    let plain = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(judge(plain, 0), Err(AuthError::Anonymous));
    let with = |header: &str| judge(&plain.replace("Host:", &format!("Authorization: {header}\r\nHost:")), 0);
    assert_eq!(with("AWS AKID:c2ln"), Err(AuthError::UnsupportedMechanism));
    assert_eq!(with("AWS4-ECDSA-P256-SHA256 Credential=a"), Err(AuthError::UnsupportedMechanism));
    let good = signed("GET /k", &[&empty_hash(), DATE], NAMES, "us-east-1");
    assert_eq!(judge(&good.replace(ACCESS_KEY, "AKIASTRANGER"), 0), Err(AuthError::UnknownAccessKey));
    let token = signed(
        "GET /k",
        &[&empty_hash(), DATE, "x-amz-security-token: t"],
        "host;x-amz-content-sha256;x-amz-date;x-amz-security-token",
        "us-east-1",
    );
    assert_eq!(judge(&token, 0), Err(AuthError::SessionToken));
    let other = good.replace("/s3/", "/iam/");
    assert!(matches!(judge(&other, 0), Err(AuthError::HeaderMalformed(_))));
}

#[test]
fn a_changed_secret_counts_at_once() {
    let bytes = signed("GET /k", &[&empty_hash(), DATE], NAMES, "us-east-1");
    let head = head::parse(bytes.as_bytes()).unwrap().unwrap();
    let now = Timestamp::from_second(EXAMPLE_TIME_S).unwrap();
    let mut authenticator = Authenticator::new(AuthConfig::new("us-east-1").unwrap());
    assert!(authenticator.authenticate(&head, &Query::default(), &secrets(), now).is_ok());
    let changed = BTreeMap::from([(ACCESS_KEY.to_owned(), SecretKey::new("other"))]);
    let refused = authenticator.authenticate(&head, &Query::default(), &changed, now);
    assert_eq!(refused.map(|_| ()), Err(AuthError::Mismatch));
}
