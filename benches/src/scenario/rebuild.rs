//! A device that is lost for good: how fast a new one takes what it had, at what cost, and what clients notice of it.

use super::context::{Context, ON_LOOPS, load, subject};
use crate::pool::{Kind, Pool};
use crate::process::ProcessError;
use crate::record::Measurement;
use crate::usage::{Moved, cpu};
use ashlar_tools::clock;
use ashlar_tools::command::load::{KeyOrder, LoadOptions, LoadReport, Operation, upload};
use std::error::Error;
use std::path::Path;
use std::time::Duration;

const STORED: (u64, u64) = (4 << 20, 512);
const SMALL_BYTES: u64 = 4 << 10;
/// How often the pool is asked whether it is whole.
const LOOK: Duration = Duration::from_millis(100);
/// A rebuilding that takes longer has failed.
const LOOKS_MAX: u32 = 6000;

pub(super) fn run(context: &mut Context) -> Result<(), Box<dyn Error>> {
    let kind = Kind::Loops(context.settings.loops.clone());
    let mut pool = context.make_pool(&kind, "rebuild", context.settings.device_bytes, 3)?;
    fill(context, &pool)?;
    for round in 0..context.settings.rounds {
        for is_loaded in [false, true] {
            // The oldest device goes, so that each round finds all others whole.
            let new = pool.replace_first(context.settings.device_bytes)?;
            rebuild(context, &pool, &new, is_loaded, round)?;
        }
    }
    Ok(())
}

fn fill(context: &Context, pool: &Pool) -> Result<(), Box<dyn Error>> {
    let (server, _) = pool.serve()?;
    let ours = subject(ON_LOOPS, &pool.url(), server.pid());
    let (bytes, objects) = STORED;
    upload(LoadOptions { objects, ..context.options(&ours, Operation::Get, bytes) })?;
    upload(context.options(&ours, Operation::Get, SMALL_BYTES))?;
    server.stop();
    Ok(())
}

/// From the start of the server until no group lacks a member.
fn rebuild(
    context: &mut Context,
    pool: &Pool,
    new: &Path,
    is_loaded: bool,
    round: u32,
) -> Result<(), Box<dyn Error>> {
    let (server, _) = pool.serve_rebuilding()?;
    let ours = subject(ON_LOOPS, &pool.url(), server.pid());
    let devices = [new.to_path_buf()];
    let (begun, written) = (clock::now(), Moved::by_devices(&devices)?);
    let cpu_before = cpu(server.pid())?;
    let reading = LoadOptions {
        order: KeyOrder::Scattered,
        server_pid: None,
        ..context.options(&ours, Operation::Get, SMALL_BYTES)
    };
    let beside = if is_loaded { Some(load(reading.clone())?) } else { None };
    wait_until_whole(pool)?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu_seconds = cpu(server.pid())?.saturating_sub(cpu_before).as_secs_f64();
    let bytes = Moved::by_devices(&devices)?.since(written).written_bytes as f64;
    let mut measured = Measurement::new("rebuild", ON_LOOPS, if is_loaded { "beside GETs" } else { "alone" })
        .with("rebuilt_megabytes", bytes / 1e6)
        .with("seconds", seconds)
        .with("megabytes_per_second", bytes / 1e6 / seconds);
    if !is_loaded {
        measured = measured.with("cpu_s_per_gigabyte", cpu_seconds / (bytes / 1e9));
    }
    measured.round = round;
    context.tell(
        measured,
        &[
            ("rebuilt_megabytes", "MB rebuilt"),
            ("megabytes_per_second", "MB/s"),
            ("cpu_s_per_gigabyte", "CPU s/GB"),
        ],
    )?;
    if let Some(beside) = beside {
        tell_reads(context, "GETs meanwhile", &beside, round)?;
        let alone = load(reading)?;
        tell_reads(context, "GETs afterwards", &alone, round)?;
    }
    server.stop();
    Ok(())
}

fn tell_reads(
    context: &mut Context,
    case: &str,
    report: &LoadReport,
    round: u32,
) -> Result<(), Box<dyn Error>> {
    let mut measured = Measurement::new("rebuild", ON_LOOPS, case).with_load(report);
    measured.round = round;
    context.tell(measured, &[("per_second", "op/s"), ("p50_us", "µs p50"), ("p99_us", "µs p99")])?;
    Ok(())
}

fn wait_until_whole(pool: &Pool) -> Result<(), ProcessError> {
    for _look in 0..LOOKS_MAX {
        if pool.is_whole()? {
            return Ok(());
        }
        clock::pause(LOOK);
    }
    Err(ProcessError::Silent { what: "the rebuilding of a device".to_owned() })
}
