//! Every whole-system test, one behaviour per module, in one program.

mod buckets;
mod cleaning;
mod crash_consistency;
mod device_loss;
mod lost_log;
mod memory;
mod model_conformance;
mod promises;
mod rebuilding;
mod scrub_repair;
mod scrubbing;
#[cfg(test)]
mod server;
mod sharing;
mod slice;
mod slow_bodies;
mod slow_devices;
mod space;

/// A file that is not named above would never run, and nobody would see it.
#[test]
fn every_file_is_a_module_of_this_program() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let named = include_str!("main.rs").contains(&format!("\nmod {name};\n"));
        assert!(named || name == "main", "{name} is not in main.rs");
    }
}
