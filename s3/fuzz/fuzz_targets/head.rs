//! Any bytes as a request head, then everything that is read out of a head.
#![no_main]

use ashlar_s3::http::etag_condition::{ReadConditions, WriteCondition};
use ashlar_s3::http::uri::{BaseDomains, parse_resource};
use ashlar_s3::http::{head, headers, query};
use ashlar_s3::route::route;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(parsed)) = head::parse(bytes) else { return };
    assert!(parsed.head_len() <= bytes.len());
    // The same head without what follows it reads the same; with its last byte missing it is not whole.
    let whole = bytes.get(..parsed.head_len()).unwrap_or_default();
    assert!(matches!(head::parse(whole), Ok(Some(_))));
    let short = whole.get(..whole.len() - 1).unwrap_or_default();
    assert!(matches!(head::parse(short), Ok(None)));
    let _ = (parsed.framing(), parsed.keep_alive(), parsed.expect_continue());
    let _ = (headers::checksum(&parsed), headers::copy_source(&parsed), headers::metadata(&parsed));
    let _ = (headers::content_md5(&parsed), headers::stored_content_encoding(&parsed));
    let _ = (ReadConditions::of_read(&parsed), WriteCondition::of_write(&parsed).is_ok());
    let domains = BaseDomains::new(["s3.example.org"]);
    let resource = parse_resource(parsed.path(), parsed.host(), &domains);
    if let (Ok(resource), Ok(query)) = (resource, query::Query::parse(parsed.query())) {
        let _ = route(&parsed, &resource, &query);
    }
});
