//! A page of a part table: never panics, and what is accepted reads back the same after it was written again.
#![no_main]

use ashlar_disk_format::part_page;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(parts) = part_page::decode(data) else { return };
    assert_eq!(part_page::encode(&parts), data);
});
