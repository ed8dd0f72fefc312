//! Any bytes as each request document.
#![no_main]

use ashlar_s3::xml::request::{complete_multipart_upload, create_bucket, delete};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(parts) = complete_multipart_upload(bytes) {
        assert!(parts.windows(2).all(|pair| pair[0].number < pair[1].number));
    }
    if let Ok(request) = delete(bytes) {
        assert!((1..=1000).contains(&request.objects.len()));
    }
    let _ = create_bucket(bytes);
});
