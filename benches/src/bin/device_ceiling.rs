//! What devices give through the engine's own runtime, with nothing of the engine above it: no
//! stored object can be quicker than this. Prints one line of JSON per measurement.
//!
//! **Overwrites** the beginning of every device it is given.

use ashlar_benches::machine::Machine;
use ashlar_benches::usage::own_cpu;
use ashlar_engine::runtime::native::{
    LaunchConfig, NativeRuntime, OpenDevice, OpenOptions, affinity_cpus, create_file_device, launch,
};
use ashlar_engine::runtime::{Device, Durability, Monotonic, Runtime};
use clap::Parser;
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// Block devices or files; their contents are lost
    #[arg(required = true, value_name = "DEVICE")]
    devices: Vec<PathBuf>,
    /// Make devices that do not exist as files of this many MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    file_mib: u64,
    /// Use this many MiB of each device
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    span_mib: u64,
    /// Length of one measurement, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    milliseconds: u64,
    /// The CPU to run on [default: the first allowed]
    #[arg(long)]
    cpu: Option<usize>,
}

const TRANSFER_BYTES: [usize; 2] = [4 << 10, 256 << 10];
const QUEUE_DEPTHS: [usize; 3] = [1, 16, 64];
/// Room for the deepest queue of the largest transfers.
const ARENA_BYTES: usize = 64 << 20;
const RESERVE_BYTES: usize = 2 << 20;
/// Written first in pieces of this size, so that reads find data and writes change no block map.
const FILL_BYTES: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Transfer {
    Read,
    WriteDurable,
}

/// One line of the result.
#[derive(Debug, Serialize)]
struct Measurement {
    device: String,
    is_file: bool,
    transfer: Transfer,
    bytes: usize,
    queue_depth: usize,
    seconds: f64,
    count: u64,
    per_second: f64,
    megabytes_per_second: f64,
    cpu_us_per_transfer: Option<f64>,
    p50_us: f64,
    p99_us: f64,
    load_average: f64,
}

/// What is measured at a time.
#[derive(Debug, Clone, Copy)]
struct Load {
    transfer: Transfer,
    bytes: usize,
    queue_depth: usize,
    span: u64,
    end: Monotonic,
}

#[derive(Debug)]
struct Tally {
    latency_ns: RefCell<Histogram<u64>>,
    /// Places are drawn from this; the same ones at every run.
    state: Cell<u64>,
}

impl Tally {
    fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self { latency_ns: RefCell::new(Histogram::new(3)?), state: Cell::new(1) })
    }

    /// The next place for `bytes` in the first `span` bytes of a device.
    fn place(&self, span: u64, bytes: usize) -> u64 {
        let next = self.state.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.state.set(next);
        let bytes = bytes as u64;
        let places = span.div_euclid(bytes).max(1);
        (next >> 20) % places * bytes
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let options = OpenOptions { read_only: false, exclusive: true };
    let mut devices = Vec::new();
    for path in &arguments.devices {
        if !path.exists() {
            create_file_device(path, arguments.file_mib << 20, false)?;
        }
        devices.push(OpenDevice::open(path, options)?);
    }
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&Machine::read())?)?;
    let cpus = arguments.cpu.map_or_else(affinity_cpus, |cpu| vec![cpu]);
    let config = LaunchConfig {
        cpus: cpus.into_iter().take(1).collect(),
        arena_bytes: ARENA_BYTES,
        reserve_bytes: RESERVE_BYTES,
        devices,
        signals: false,
        on_task_panic: None,
    };
    let (failed, failure) = std::sync::mpsc::channel();
    launch(config, move |runtime| {
        let (arguments, failed) = (arguments.clone(), failed.clone());
        async move {
            if let Err(error) = measure_all(&runtime, &arguments).await {
                // The receiver lives until all cores have ended.
                let _sent = failed.send(error.to_string());
            }
        }
    })?;
    match failure.try_recv() {
        Ok(error) => Err(error.into()),
        Err(_none) => Ok(()),
    }
}

async fn measure_all(runtime: &NativeRuntime, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    for device in runtime.devices() {
        let span = device.info().bytes.min(arguments.span_mib << 20);
        let span = span - span % (FILL_BYTES as u64);
        fill(runtime, &device, span).await?;
        for transfer in [Transfer::Read, Transfer::WriteDurable] {
            for bytes in TRANSFER_BYTES {
                for queue_depth in QUEUE_DEPTHS {
                    let end = runtime.now().after(Duration::from_millis(arguments.milliseconds));
                    let load = Load { transfer, bytes, queue_depth, span, end };
                    let line = measure(runtime, &device, load).await?;
                    writeln!(std::io::stdout(), "{}", serde_json::to_string(&line)?)?;
                }
            }
        }
    }
    Ok(())
}

async fn fill(runtime: &impl Runtime, device: &impl Device, span: u64) -> Result<(), Box<dyn Error>> {
    device.prepare(0, span).await?;
    let mut buffer = runtime.arena().take(FILL_BYTES).await?;
    for (byte, index) in buffer.bytes_mut().iter_mut().zip(0_u32..) {
        // No two pages alike: storage that drops zeros or repeats would look quicker than it is.
        *byte = (index.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0];
    }
    let mut offset = 0;
    while offset < span {
        let (written, back) = device.write(offset, buffer, FILL_BYTES, Durability::Volatile).await;
        written?;
        buffer = back;
        offset += FILL_BYTES as u64;
    }
    Ok(device.flush().await?)
}

async fn measure(
    runtime: &impl Runtime,
    device: &impl Device,
    load: Load,
) -> Result<Measurement, Box<dyn Error>> {
    let tally = Tally::new()?;
    let cpu_before = own_cpu();
    let began = runtime.now();
    let lanes = (0..load.queue_depth).map(|_lane| one_lane(runtime, device, load, &tally));
    for ended in join_all(lanes).await {
        ended?;
    }
    let seconds = runtime.now().since(began).as_secs_f64();
    let cpu = own_cpu().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    let latency = tally.latency_ns.into_inner();
    let count = latency.len();
    let per_second = count as f64 / seconds;
    let quantile = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Measurement {
        device: device.info().name.clone(),
        is_file: device.info().is_file,
        transfer: load.transfer,
        bytes: load.bytes,
        queue_depth: load.queue_depth,
        seconds,
        count,
        per_second,
        megabytes_per_second: per_second * load.bytes as f64 / 1e6,
        cpu_us_per_transfer: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / count.max(1) as f64),
        p50_us: quantile(0.5),
        p99_us: quantile(0.99),
        load_average: Machine::read().load_average,
    })
}

/// One transfer after the other until the end.
async fn one_lane(
    runtime: &impl Runtime,
    device: &impl Device,
    load: Load,
    tally: &Tally,
) -> Result<(), Box<dyn Error>> {
    let mut buffer = runtime.arena().take(load.bytes).await?;
    buffer.bytes_mut().fill(0x5a);
    while runtime.now() < load.end {
        let offset = tally.place(load.span, load.bytes);
        let began = runtime.now();
        let (moved, back) = match load.transfer {
            Transfer::Read => device.read(offset, buffer, load.bytes).await,
            Transfer::WriteDurable => device.write(offset, buffer, load.bytes, Durability::Durable).await,
        };
        moved?;
        buffer = back;
        let took = runtime.now().since(began).as_nanos();
        tally.latency_ns.borrow_mut().record(u64::try_from(took)?.max(1))?;
    }
    Ok(())
}
