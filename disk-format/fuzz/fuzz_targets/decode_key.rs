//! An index key: never panics, and what is accepted reads back the same after it was written again.
#![no_main]

use ashlar_disk_format::key;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(name) = key::decode_bucket_key(data) {
        assert_eq!(key::bucket_key(&name), data);
    }
    if let Ok((bucket, name)) = key::decode_object_key(data) {
        let start = key::object_prefix(bucket, &name);
        assert!(data.starts_with(&start));
    }
    if let Ok((bucket, name, id)) = key::decode_upload_key(data) {
        assert_eq!(key::upload_key(bucket, &name, id), data);
    }
    if let Ok((bucket, name, id, part)) = key::decode_part_key(data) {
        assert_eq!(key::part_key(bucket, &name, id, part), data);
    }
    if let Ok(id) = key::decode_shared_key(data) {
        assert_eq!(key::shared_key(id), data);
    }
    if let Ok((id, token)) = key::decode_shared_ref_key(data) {
        assert_eq!(key::shared_ref_key(id, token), data);
    }
    if let Ok((vshard, id, token)) = key::decode_unref_key(data) {
        assert_eq!(key::unref_key(vshard, id, token), data);
    }
});
