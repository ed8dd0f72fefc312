//! What goes to the devices for what is stored.

use super::context::{Context, ON_LOOPS, load, subject};
use crate::record::Measurement;
use crate::usage::Moved;
use ashlar_tools::clock;
use ashlar_tools::command::load::{LoadOptions, Operation};
use std::error::Error;
use std::time::Duration;

/// Sizes and numbers of objects, which are written over and over.
const OBJECTS: [(u64, u64); 3] = [(4 << 20, 64), (128 << 10, 1000), (4 << 10, 1000)];

/// What a server still writes after its last answer is counted when it comes within this.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) fn run(context: &mut Context) -> Result<(), Box<dyn Error>> {
    let pool = context.pool()?;
    let devices = pool.block_devices().unwrap_or_default().to_vec();
    let (server, _) = pool.serve()?;
    let ours = subject(ON_LOOPS, &pool.url(), server.pid());
    for (bytes, objects) in OBJECTS {
        for round in 0..context.settings.rounds {
            let before = Moved::by_devices(&devices)?;
            let options = context.options(&ours, Operation::Put, bytes);
            let report = load(LoadOptions { objects, ..options })?;
            clock::pause(SETTLE);
            let moved = Moved::by_devices(&devices)?.since(before);
            let stored = report.total.bytes.max(1) as f64;
            let mut measured = Measurement::new("space", ON_LOOPS, "put unsigned").with_load(&report);
            measured.round = round;
            let measured = measured
                .with("device_bytes_per_byte", moved.written_bytes as f64 / stored)
                .with("device_writes_per_operation", moved.writes as f64 / report.total.count.max(1) as f64);
            let shown = [
                ("megabytes_per_second", "MB/s"),
                ("device_bytes_per_byte", "bytes to devices per byte"),
                ("device_writes_per_operation", "device writes per object"),
            ];
            context.tell(measured, &shown)?;
        }
    }
    server.stop();
    Ok(())
}
