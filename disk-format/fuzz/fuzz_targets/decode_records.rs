//! The records of a row: never panics, and what is accepted reads back the same after it was written again.
#![no_main]

use ashlar_disk_format::record::{RecordReader, encode_record};
use ashlar_disk_format_fuzz as seal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&seal::record(data));
});

fn check(data: &[u8]) {
    let mut reader = RecordReader::new(data);
    loop {
        let before = reader.rest();
        let Some(Ok((vshard, record))) = reader.next() else { return };
        let mut bytes = Vec::new();
        encode_record(&record, vshard, &mut bytes);
        assert_eq!(bytes, before[..before.len() - reader.rest().len()]);
    }
}
