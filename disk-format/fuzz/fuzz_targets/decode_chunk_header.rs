//! A chunk header: never panics, and what is accepted reads back the same after it was written again.
#![no_main]

use ashlar_disk_format::chunk::{ChunkHeader, header_bytes};
use ashlar_disk_format_fuzz as seal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&seal::chunk(data));
});

fn check(data: &[u8]) {
    let Ok((header, crc)) = ChunkHeader::decode_with_crc(data) else { return };
    let mut bytes = vec![0; header_bytes(header.members())];
    assert_eq!(header.encode_into(&mut bytes), crc);
    assert_eq!(bytes, data[..bytes.len()]);
}
