//! A device label: never panics, and what is accepted reads back the same after it was written again.
#![no_main]

use ashlar_disk_format::label::Label;
use ashlar_disk_format_fuzz as seal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&seal::block(data, 4096));
});

fn check(data: &[u8]) {
    let Ok(label) = Label::decode(data) else { return };
    let bytes = label.encode();
    assert_eq!(Label::decode(&bytes).as_ref(), Ok(&label));
    assert_eq!(bytes, data[..bytes.len()]);
}
