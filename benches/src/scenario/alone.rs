//! What a server takes that does nothing, and what it has taken after a load.

use super::context::{Context, ON_LOOPS, load, subject};
use crate::record::Measurement;
use crate::usage::cpu;
use ashlar_tools::clock;
use ashlar_tools::command::load::{LoadOptions, Operation, ServerUsage};
use std::error::Error;
use std::time::Duration;

/// What was begun for the load is done by then.
const SETTLE: Duration = Duration::from_secs(3);

const MEBIBYTE: f64 = 1_048_576.0;

/// Every size is written and read in one life of the server.
pub(super) fn memory(context: &mut Context) -> Result<(), Box<dyn Error>> {
    let pool = context.pool()?;
    let (server, _) = pool.serve()?;
    let ours = subject(ON_LOOPS, &pool.url(), server.pid());
    let start = ServerUsage::read(server.pid())?;
    for bytes in context.settings.sizes.clone() {
        for operation in [Operation::Put, Operation::Get] {
            let objects = if bytes > 1 << 20 { 32 } else { 1000 };
            load(LoadOptions { objects, prepare: true, ..context.options(&ours, operation, bytes) })?;
        }
    }
    let end = ServerUsage::read(server.pid())?;
    let measured = Measurement::new("memory", ON_LOOPS, "resident")
        .with("start_mib", start.resident_bytes as f64 / MEBIBYTE)
        .with("after_load_mib", end.resident_bytes as f64 / MEBIBYTE)
        .with("most_mib", end.resident_bytes_max as f64 / MEBIBYTE);
    let shown = [
        ("start_mib", "MiB at the start"),
        ("after_load_mib", "MiB after the load"),
        ("most_mib", "MiB at most"),
    ];
    context.tell(measured, &shown)?;
    server.stop();
    Ok(())
}

/// The same server before it was asked anything and after a load.
pub(super) fn idle(context: &mut Context) -> Result<(), Box<dyn Error>> {
    let pool = context.pool()?;
    let (server, _) = pool.serve()?;
    let ours = subject(ON_LOOPS, &pool.url(), server.pid());
    for case in ["idle after the start", "idle after a load"] {
        clock::pause(SETTLE);
        let before = cpu(server.pid())?;
        let begun = clock::now();
        clock::pause(context.settings.idle);
        let used = cpu(server.pid())?.saturating_sub(before).as_secs_f64();
        let seconds = begun.elapsed().as_secs_f64();
        let measured = Measurement::new("idle", ON_LOOPS, case)
            .with("seconds", seconds)
            .with("cpu_us_per_second", used * 1e6 / seconds)
            .with("cpu_percent", used * 100.0 / seconds);
        context
            .tell(measured, &[("cpu_us_per_second", "µs CPU per second"), ("cpu_percent", "% of a core")])?;
        let options = context.options(&ours, Operation::Get, 4 << 10);
        load(LoadOptions { prepare: true, ..options })?;
    }
    server.stop();
    Ok(())
}
