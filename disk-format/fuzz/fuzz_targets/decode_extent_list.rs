//! A list of extents: never panics, and what is accepted reads back the same after it was written again.
#![no_main]

use ashlar_disk_format::extent::Extent;
use ashlar_disk_format_fuzz as seal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&seal::frame(data));
});

fn check(data: &[u8]) {
    let Ok(list) = Extent::list_decode(data) else { return };
    assert_eq!(Extent::list_decode(&Extent::list_encode(&list)), Ok(list));
}
