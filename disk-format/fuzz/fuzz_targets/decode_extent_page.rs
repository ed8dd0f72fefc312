//! An extent page: never panics, and what is accepted reads back the same after it was written again.
#![no_main]

use ashlar_disk_format::extent_page::ExtentPage;
use ashlar_disk_format_fuzz as seal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&seal::frame(data));
});

fn check(data: &[u8]) {
    let Ok(page) = ExtentPage::decode(data) else { return };
    let Some(bytes) = page.encode() else { return };
    assert_eq!(ExtentPage::decode(&bytes), Ok(page));
}
