//! Any bytes as a signed head: nothing that was not signed with the secret may be authenticated.
#![no_main]

use ashlar_s3::auth::{AuthConfig, Authenticator, SecretKey};
use ashlar_s3::http::{head, query::Query};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(parsed)) = head::parse(bytes) else { return };
    let Ok(query) = Query::parse(parsed.query()) else { return };
    let Some(config) = AuthConfig::new("us-east-1") else { return };
    let Ok(now) = Timestamp::from_second(1_369_353_600) else { return };
    // The corpus holds requests that are signed with another secret.
    let secrets = BTreeMap::from([("AKIAIOSFODNN7EXAMPLE".to_owned(), SecretKey::new("nobody knows this one"))]);
    let proof = Authenticator::new(config).authenticate(&parsed, &query, &secrets, now);
    assert!(proof.is_err(), "a forged signature");
});
