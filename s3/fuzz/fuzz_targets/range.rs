//! Any bytes as `Range`, dates and conditions.
#![no_main]

use ashlar_s3::http::date::{http_date, parse_amz_date, parse_http_date};
use ashlar_s3::http::etag_condition::EtagCondition;
use ashlar_s3::http::range::{RangeRequest, copy_source_range};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for size in [0, 1, 1000, u64::MAX] {
        if let Some(Ok(range)) = RangeRequest::parse(bytes).map(|range| range.resolve(size)) {
            assert!(range.length > 0);
            assert!(range.last() < size);
        }
        let _ = copy_source_range(bytes, size);
    }
    if let Some(time) = parse_http_date(bytes).or_else(|| parse_amz_date(bytes)) {
        assert_eq!(parse_http_date(&http_date(time)), Some(time));
    }
    if let Some(condition) = EtagCondition::parse(bytes) {
        let _ = condition.matches("d41d8cd98f00b204e9800998ecf8427e");
    }
});
