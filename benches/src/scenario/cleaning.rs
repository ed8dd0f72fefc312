//! Overwrites in a pool that is nearly full: does space come back as fast as it is asked for, and what does that cost.

use super::context::{Context, ON_LOOPS, load, subject};
use crate::pool::{Kind, Pool};
use crate::record::Measurement;
use crate::usage::Moved;
use ashlar_tools::command::load::{KeyOrder, Limit, LoadOptions, Operation};
use ashlar_tools::output::parse_size;
use std::error::Error;

/// Of small objects whole groups die together rarely: the hard case.
const BYTES: u64 = 256 << 10;

/// The pool is small, so that it is filled, and written over as often, in seconds.
const DEVICE_BYTES: u64 = 512 << 20;

/// Of the pool's capacity, in hundredths.
const FILLED_PERCENT: u64 = 80;
/// Written over in turn, and then at random, of the same.
const OVERWRITTEN_PERCENT: u64 = 120;

pub(super) fn run(context: &mut Context) -> Result<(), Box<dyn Error>> {
    let kind = Kind::Loops(context.settings.loops.clone());
    let pool = context.make_pool(&kind, "cleaning", DEVICE_BYTES, 2)?;
    let outcome = fill_and_overwrite(context, &pool);
    drop(pool);
    outcome
}

fn fill_and_overwrite(context: &mut Context, pool: &Pool) -> Result<(), Box<dyn Error>> {
    let capacity = capacity(&pool.status("live data")?).ok_or("the pool does not say how large it is")?;
    let devices = pool.block_devices().unwrap_or_default().to_vec();
    let (server, _) = pool.serve()?;
    let ours = subject(ON_LOOPS, &pool.url(), server.pid());
    let objects = (capacity * FILLED_PERCENT).div_ceil(100 * BYTES);
    let overwrites = (capacity * OVERWRITTEN_PERCENT).div_ceil(100 * BYTES);
    println!(
        "{objects} objects in a pool of {capacity} bytes, then {overwrites} overwrites in turn and as many at random"
    );
    let phases = [
        ("fill", objects, KeyOrder::Usual),
        // Whole groups die.
        ("overwrite in turn", overwrites, KeyOrder::Usual),
        // Every group keeps something.
        ("overwrite at random", overwrites, KeyOrder::Random),
    ];
    for (case, requests, order) in phases {
        let before = Moved::by_devices(&devices)?;
        let options = context.options(&ours, Operation::Put, BYTES);
        let report = load(LoadOptions { objects, order, limit: Limit::Requests(requests), ..options })?;
        let moved = Moved::by_devices(&devices)?.since(before);
        let stored = report.total.bytes.max(1) as f64;
        let measured = Measurement::new("cleaning", ON_LOOPS, case)
            .with_load(&report)
            .with("device_bytes_per_byte", moved.written_bytes as f64 / stored)
            .with("device_bytes_read_per_byte", moved.read_bytes as f64 / stored);
        let shown = [
            ("megabytes_per_second", "MB/s"),
            ("p99_us", "µs p99"),
            ("cpu_s_per_gigabyte", "CPU s/GB"),
            ("device_bytes_per_byte", "bytes written to devices per byte"),
            ("device_bytes_read_per_byte", "read"),
            ("failures", "failures"),
        ];
        context.tell(measured, &shown)?;
    }
    server.stop();
    println!("live data after: {}", pool.status("live data")?);
    Ok(())
}

/// Bytes of `0B of 1.50GiB`.
fn capacity(status: &str) -> Option<u64> {
    let (_, size) = status.split_once(" of ")?;
    let size = size.split_whitespace().next()?;
    let digits = size.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = parse_size(&format!("1{}", size.strip_prefix(digits)?)).ok()?;
    let number: f64 = digits.parse().ok()?;
    // Whole mebibytes are exact enough.
    let mebibytes = format!("{:.0}", number * unit as f64 / 1_048_576.0);
    Some(mebibytes.parse::<u64>().ok()? << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_are_read_as_they_are_printed() {
        assert_eq!(capacity("0B of 1.50GiB"), Some(1536 << 20));
        assert_eq!(capacity("12MiB of 512MiB (by something)"), Some(512 << 20));
        assert_eq!(capacity("nothing"), None);
        assert_eq!(capacity("1 of manyX"), None);
    }
}
