//! An index page: never panics, and what is accepted reads back the same after it was written again.
#![no_main]

use ashlar_disk_format::index_page::{IndexPageView, encode_index_page};
use ashlar_disk_format_fuzz as seal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&seal::frame(data));
});

fn check(data: &[u8]) {
    if let Ok(page) = IndexPageView::trusted(data) {
        for index in 0..page.len() {
            let _found = page.find(page.key(index));
        }
    }
    let Ok(page) = IndexPageView::validate(data) else { return };
    let entries: Vec<_> = (0..page.len()).map(|index| (page.key(index), page.value(index))).collect();
    for (index, (key, _)) in entries.iter().enumerate() {
        assert_eq!(page.find(key), Ok(index));
    }
    let bytes = encode_index_page(page.run(), page.page_number(), &entries);
    assert!(IndexPageView::validate(&bytes).is_ok());
}
