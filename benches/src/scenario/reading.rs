//! Reads from devices: that no cache has met, and that must be computed because a device is away.

use super::context::{Context, ON_LOOPS, load, subject};
use crate::compare::LISTED_KEYS;
use crate::record::Measurement;
use crate::spread::Spread;
use ashlar_tools::command::load::{KeyOrder, Limit, LoadOptions, Operation, upload};
use std::error::Error;

/// Sizes and numbers of objects that are read once each after a start.
const COLD: [(u64, u64); 2] = [(4 << 10, LISTED_KEYS), (128 << 10, 1000)];

/// Sizes and numbers of objects that are read with a device away.
const DEGRADED: [(u64, u64); 2] = [(128 << 10, 1000), (4 << 20, 64)];

const SHOWN: [(&str, &str); 4] = [
    ("cpu_us_per_operation", "µs CPU"),
    ("per_second", "op/s"),
    ("megabytes_per_second", "MB/s"),
    ("p99_us", "µs p99"),
];

/// Each round starts the server anew, so that nothing is cached. The same objects are then read from the static
/// responder.
pub(super) fn cold(context: &mut Context) -> Result<(), Box<dyn Error>> {
    let (yardstick, static_subject) = context.static_responder()?;
    for (bytes, objects) in COLD {
        prepare(context, bytes, objects)?;
        let reading = |options: LoadOptions| LoadOptions {
            objects,
            limit: Limit::Requests(objects),
            order: KeyOrder::Scattered,
            ..options
        };
        upload(reading(context.options(&static_subject, Operation::Get, bytes)))?;
        let mut ratios = Vec::new();
        for round in 0..context.settings.rounds {
            let pool = context.pool()?;
            let (server, _) = pool.serve()?;
            let ours = subject(ON_LOOPS, &pool.url(), server.pid());
            let report = load(reading(context.options(&ours, Operation::Get, bytes)))?;
            server.stop();
            let mut measured = Measurement::new("cold", ON_LOOPS, "get cold");
            measured.round = round;
            let measured = context.tell(measured.with_load(&report), &SHOWN)?;
            let report = load(reading(context.options(&static_subject, Operation::Get, bytes)))?;
            let mut beside = Measurement::new("cold", &static_subject.name, "get cold");
            beside.round = round;
            let beside = context.tell(beside.with_load(&report), &SHOWN)?;
            ratios.push(measured.value("cpu_us_per_operation") / beside.value("cpu_us_per_operation"));
        }
        print_ratio("cold CPU ÷ static responder", bytes, &ratios);
    }
    yardstick.stop();
    Ok(())
}

/// Plain and degraded in turns: the server is started with five of its six devices, and with all.
pub(super) fn degraded(context: &mut Context) -> Result<(), Box<dyn Error>> {
    for (bytes, objects) in DEGRADED {
        prepare(context, bytes, objects)?;
        let mut ratios = Vec::new();
        for round in 0..context.settings.rounds {
            let mut cpu = Vec::new();
            for (case, is_whole) in [("get", true), ("get degraded", false)] {
                let pool = context.pool()?;
                let (server, _) = if is_whole { pool.serve()? } else { pool.serve_without_one()? };
                let ours = subject(ON_LOOPS, &pool.url(), server.pid());
                let options = context.options(&ours, Operation::Get, bytes);
                let report = load(LoadOptions { objects, order: KeyOrder::Scattered, ..options })?;
                server.stop();
                let mut measured = Measurement::new("degraded", ON_LOOPS, case);
                measured.round = round;
                cpu.push(context.tell(measured.with_load(&report), &SHOWN)?.value("cpu_us_per_operation"));
            }
            if let [plain, degraded] = cpu.as_slice() {
                ratios.push(degraded / plain);
            }
        }
        print_ratio("degraded CPU ÷ plain (at most 2)", bytes, &ratios);
    }
    Ok(())
}

/// Uploads what is read and ends the server, so that the next one begins with empty caches.
fn prepare(context: &mut Context, bytes: u64, objects: u64) -> Result<(), Box<dyn Error>> {
    let pool = context.pool()?;
    let (server, _) = pool.serve()?;
    let ours = subject(ON_LOOPS, &pool.url(), server.pid());
    upload(LoadOptions { objects, ..context.options(&ours, Operation::Get, bytes) })?;
    server.stop();
    Ok(())
}

fn print_ratio(what: &str, bytes: u64, ratios: &[f64]) {
    if let Some(spread) = Spread::of(ratios.iter().copied()) {
        println!("{what}, {}: {spread}", ashlar_tools::output::format_size(bytes));
    }
}
