//! An index value: never panics, and what is accepted reads back the same after it was written again.
#![no_main]

use ashlar_disk_format::value;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _kind = value::value_kind(data);
    let held = value::extents(data);
    if let Ok(record) = value::decode_bucket(data) {
        assert_eq!(value::decode_bucket(&value::encode_bucket(&record)), Ok(record));
    }
    if let Ok(record) = value::decode_object(data) {
        assert!(held.is_ok());
        assert!(value::access_object(data).is_ok());
        assert_eq!(value::decode_object(&value::encode_object(&record)), Ok(record));
    }
    if let Ok(record) = value::decode_upload(data) {
        assert_eq!(value::decode_upload(&value::encode_upload(&record)), Ok(record));
    }
    if let Ok(record) = value::decode_part(data) {
        assert_eq!(value::decode_part(&value::encode_part(&record)), Ok(record));
    }
    if let Ok(record) = value::decode_shared(data) {
        assert_eq!(value::decode_shared(&value::encode_shared(&record)), Ok(record));
    }
    if let Ok(record) = value::decode_shared_ref(data) {
        assert_eq!(value::decode_shared_ref(&value::encode_shared_ref(&record)), Ok(record));
    }
    if let Ok(record) = value::decode_unref(data) {
        assert_eq!(value::decode_unref(&value::encode_unref(&record)), Ok(record));
    }
});
