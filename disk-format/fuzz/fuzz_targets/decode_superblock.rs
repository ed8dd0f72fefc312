//! A superblock copy: never panics, and what is accepted reads back the same after it was written again.
#![no_main]

use ashlar_disk_format::superblock::Superblock;
use ashlar_disk_format_fuzz as seal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&seal::block(data, 65536));
});

fn check(data: &[u8]) {
    let Ok((superblock, copy)) = Superblock::decode_copy(data) else { return };
    let bytes = superblock.encode(copy);
    assert_eq!(bytes, data[..bytes.len()]);
}
