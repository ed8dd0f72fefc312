//! Large objects: one stream against the MD5 that binds it, many streams, and rates against those of the devices.

use super::context::{CONNECTIONS, Context, ON_LOOPS, load, subject};
use crate::process::run as run_program;
use crate::record::{Measurement, Record, parse};
use crate::usage;
use ashlar_tools::command::load::{KeyOrder, Limit, LoadOptions, Operation, upload};
use md5::{Digest, Md5};
use std::error::Error;
use std::fs;

/// The object of one stream.
const STREAM_BYTES: u64 = 1 << 30;

/// Objects of many streams, and how many are written.
const PART_BYTES: u64 = 64 << 20;
const PARTS: u64 = 32;

/// Objects whose rate is held against the devices', and how many there are: more than a cache of small bodies takes.
const LARGE_BYTES: u64 = 4 << 20;
const LARGE_OBJECTS: u64 = 256;

/// Bytes to devices for each byte stored, at 4+2.
const CODE_FACTOR: f64 = 1.5;

/// Hashed to find the rate of MD5: long enough that the clock does not matter.
const HASHED_BYTES: usize = 1 << 20;
const HASHED_TIMES: u32 = 256;

/// Milliseconds of each measurement of the devices.
const DEVICE_MS: &str = "1000";

pub(super) fn run(context: &mut Context) -> Result<(), Box<dyn Error>> {
    let pool = context.pool()?;
    let (server, _) = pool.serve()?;
    let ours = subject(ON_LOOPS, &pool.url(), server.pid());
    let shown = [
        ("megabytes_per_second", "MB/s"),
        ("cpu_s_per_gigabyte", "CPU s/GB"),
        ("md5_megabytes_per_second", "MB/s MD5"),
    ];
    for round in 0..context.settings.rounds {
        let md5 = md5_rate()?;
        let options = context.options(&ours, Operation::Put, STREAM_BYTES);
        let report = load(LoadOptions {
            objects: 1,
            connections: 1,
            limit: Limit::Requests(1),
            remove: true,
            ..options
        })?;
        let mut one = Measurement::new("stream", ON_LOOPS, "put one stream").with_load(&report);
        one.round = round;
        let one = context.tell(one.with("md5_megabytes_per_second", md5), &shown)?;
        let options = context.options(&ours, Operation::Put, PART_BYTES);
        let objects = CONNECTIONS as u64;
        let report = load(LoadOptions { objects, limit: Limit::Requests(PARTS), remove: true, ..options })?;
        let mut many = Measurement::new("stream", ON_LOOPS, "put sixteen streams").with_load(&report);
        many.round = round;
        let many = context.tell(many.with("md5_megabytes_per_second", md5), &shown)?;
        let per_core =
            |measured: &Measurement| measured.value("megabytes_per_second") / measured.value("cores_busy");
        println!(
            "one stream ÷ MD5 (at least 0.85): {:.2}; sixteen streams ÷ one stream, per core (at least 6): {:.2}",
            one.value("megabytes_per_second") / md5,
            per_core(&many) / per_core(&one),
        );
    }
    server.stop();
    Ok(())
}

/// Megabytes that this core hashes in a second of its time, by the crate `md-5`, which stands for what any other
/// server does to a stream.
fn md5_rate() -> Result<f64, Box<dyn Error>> {
    let bytes: Vec<u8> = (0..=250_u8).cycle().take(HASHED_BYTES).collect();
    let mut hasher = Md5::new();
    let pid = std::process::id();
    let before = usage::cpu(pid)?;
    for _time in 0..HASHED_TIMES {
        hasher.update(std::hint::black_box(&bytes));
    }
    std::hint::black_box(hasher.finalize());
    let took = usage::cpu(pid)?.saturating_sub(before);
    Ok(bytes.len() as f64 * f64::from(HASHED_TIMES) / 1e6 / took.as_secs_f64())
}

/// What the disk gives is measured on a file beside the pool's own; the CPU's ceiling is the rate divided by the share
/// of a core that it took.
pub(super) fn throughput(context: &mut Context) -> Result<(), Box<dyn Error>> {
    let (device_read, device_write) = device_rates(context)?;
    let pool = context.pool()?;
    let (server, _) = pool.serve()?;
    let ours = subject(ON_LOOPS, &pool.url(), server.pid());
    upload(LoadOptions { objects: LARGE_OBJECTS, ..context.options(&ours, Operation::Get, LARGE_BYTES) })?;
    server.stop();
    for round in 0..context.settings.rounds {
        let pool = context.pool()?;
        let (server, _) = pool.serve()?;
        let ours = subject(ON_LOOPS, &pool.url(), server.pid());
        let cases = [
            ("get", Operation::Get, device_read),
            ("put unsigned", Operation::Put, device_write / CODE_FACTOR),
        ];
        for (case, operation, device) in cases {
            let options = context.options(&ours, operation, LARGE_BYTES);
            let report = load(LoadOptions { objects: LARGE_OBJECTS, order: KeyOrder::Scattered, ..options })?;
            let mut measured = Measurement::new("throughput", ON_LOOPS, case).with_load(&report);
            measured.round = round;
            let cpu = measured.value("megabytes_per_second") / measured.value("cores_busy");
            let share = measured.value("megabytes_per_second") / device.min(cpu);
            let measured = measured
                .with("device_ceiling_megabytes_per_second", device)
                .with("cpu_ceiling_megabytes_per_second", cpu)
                .with("share_of_ceiling", share);
            let shown = [
                ("megabytes_per_second", "MB/s"),
                ("device_ceiling_megabytes_per_second", "MB/s devices"),
                ("cpu_ceiling_megabytes_per_second", "MB/s CPU"),
                ("share_of_ceiling", "of the lower (at least 0.8)"),
            ];
            context.tell(measured, &shown)?;
        }
        server.stop();
    }
    Ok(())
}

/// Megabytes per second that the disk reads and durably writes, in transfers of 256 KiB, 64 in flight.
fn device_rates(context: &Context) -> Result<(f64, f64), Box<dyn Error>> {
    let settings = &context.settings;
    let file = settings.folder.join(format!("ceiling-{}.img", std::process::id()));
    let results = settings.folder.join(format!("ceiling-{}.jsonl", std::process::id()));
    let (file_text, results_text) = (file.display().to_string(), results.display().to_string());
    let cpu = settings.server_cpu.to_string();
    let mut arguments =
        vec!["--file-mib", "512", "--span-mib", "512", "--milliseconds", DEVICE_MS, "--cpu", &cpu];
    arguments.extend(["--transfers", "262144", "--depths", "64", "--results", &results_text, &file_text]);
    run_program(&settings.programs.join("device_ceiling"), &arguments)?;
    let records = parse(&fs::read_to_string(&results)?)?;
    fs::remove_file(&results)?;
    let rate = |case: &str| {
        let found = records.iter().find_map(|record| match record {
            Record::Measurement(measured) if measured.case == case => Some(measured),
            Record::Measurement(_) | Record::Run(_) => None,
        });
        found.map_or(f64::NAN, |measured| measured.value("megabytes_per_second"))
    };
    Ok((rate("read"), rate("write durable")))
}
