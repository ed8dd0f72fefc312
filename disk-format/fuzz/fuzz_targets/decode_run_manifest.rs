//! A run manifest: never panics, and what is accepted reads back the same after it was written again.
#![no_main]

use ashlar_disk_format::run_manifest::RunManifest;
use ashlar_disk_format_fuzz as seal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&seal::frame(data));
});

fn check(data: &[u8]) {
    let Ok(manifest) = RunManifest::decode(data) else { return };
    assert_eq!(RunManifest::decode(&manifest.encode()), Ok(manifest));
}
