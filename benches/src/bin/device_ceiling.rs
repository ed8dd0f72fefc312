//! What devices give through the engine's own runtime, with nothing of the engine above it: no
//! stored object can be quicker than this. Prints a table and appends one line of JSON per measurement.
//!
//! **Overwrites** the beginning of every device it is given.

use ashlar_benches::loops::LoopDevice;
use ashlar_benches::record::{Measurement, Recorder};
use ashlar_benches::spread::short;
use ashlar_benches::usage::cpu;
use ashlar_engine::runtime::native::{
    LaunchConfig, NativeRuntime, OpenDevice, OpenOptions, affinity_cpus, create_file_device, launch,
};
use ashlar_engine::runtime::{Device, Durability, Monotonic, Runtime};
use clap::Parser;
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// Block devices or files; their contents are lost
    #[arg(required_unless_present = "loop_over", value_name = "DEVICE")]
    devices: Vec<PathBuf>,
    /// Besides, a loop device over a new file at this place
    #[arg(long, value_name = "FILE")]
    loop_over: Option<PathBuf>,
    /// That loop device [default: a free one]
    #[arg(long, value_name = "DEVICE", requires = "loop_over")]
    loop_device: Option<PathBuf>,
    /// Make devices that do not exist as files of this many MiB, and delete them afterwards
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
    /// Bytes of a transfer
    #[arg(long, value_delimiter = ',', value_name = "BYTES", default_value = "4096,262144")]
    transfers: Vec<usize>,
    /// Transfers in flight
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "1,16,64")]
    depths: Vec<usize>,
    /// File to append results to
    #[arg(long)]
    results: Option<PathBuf>,
    /// What a reader must know besides, such as that compilers run beside it
    #[arg(long, default_value = "")]
    note: String,
}

/// Room for the deepest queue of the largest transfers.
const ARENA_BYTES: usize = 64 << 20;
const RESERVE_BYTES: usize = 2 << 20;
/// Written first in pieces of this size, so that reads find data and writes change no block map.
const FILL_BYTES: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transfer {
    Read,
    WriteDurable,
}

impl Transfer {
    const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::WriteDurable => "write durable",
        }
    }
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
    let mut arguments = Arguments::parse();
    let bytes = arguments.file_mib << 20;
    let mut made = Vec::new();
    for path in &arguments.devices {
        if !path.exists() {
            create_file_device(path, bytes, false)?;
            made.push(path.clone());
        }
    }
    let over = arguments.loop_over.as_deref();
    let named = arguments.loop_device.as_deref();
    let over = over.map(|file| LoopDevice::make(file, bytes, named)).transpose()?;
    arguments.devices.extend(over.iter().map(|device| device.path().to_path_buf()));
    let outcome = run(&arguments);
    drop(over);
    for path in made {
        std::fs::remove_file(path)?;
    }
    outcome
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let options = OpenOptions { read_only: false, exclusive: true };
    let mut devices = Vec::new();
    for path in &arguments.devices {
        devices.push(OpenDevice::open(path, options)?);
    }
    let paths: Vec<&Path> = arguments.devices.iter().map(PathBuf::as_path).collect();
    let recorder = Recorder::begin(arguments.results.as_deref(), "device_ceiling", &paths, &arguments.note)?;
    let cpus = arguments.cpu.map_or_else(affinity_cpus, |cpu| vec![cpu]);
    let config = LaunchConfig {
        cpus: cpus.into_iter().take(1).collect(),
        arena_bytes: ARENA_BYTES,
        reserve_bytes: RESERVE_BYTES,
        devices,
        signals: false,
        on_task_panic: None,
    };
    let (to, from) = mpsc::channel();
    let arguments = arguments.clone();
    std::thread::scope(|scope| {
        let told = scope.spawn(|| tell(recorder, from));
        launch(config, move |runtime| {
            let (arguments, to) = (arguments.clone(), to.clone());
            async move {
                if let Err(error) = measure_all(&runtime, &arguments, &to).await {
                    // Who listens ends after the last core.
                    let _sent = to.send(Err(error.to_string()));
                }
            }
        })?;
        told.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(Into::into)
    })
}

const HEADING: &str = "\
| device | transfer | bytes | depth | IOPS | MB/s | p50 ms | p99 ms | CPU µs |
|---|---|---|---|---|---|---|---|---|";

/// Prints and keeps what is measured, until nothing more comes.
fn tell(mut recorder: Recorder, from: mpsc::Receiver<Result<Measurement, String>>) -> Result<(), String> {
    let wrong = |error: std::io::Error| error.to_string();
    let mut output = std::io::stdout();
    writeln!(output, "{HEADING}").map_err(wrong)?;
    for measured in from {
        let measured = recorder.add(measured?).map_err(wrong)?;
        let figures =
            [("per_second", 1.0), ("megabytes_per_second", 1.0), ("p50_us", 1e-3), ("p99_us", 1e-3)];
        let figures = figures.map(|(name, scale)| short(measured.value(name) * scale)).join(" | ");
        let Measurement { subject, case, bytes, connections, .. } = &measured;
        let (bytes, depth) = (bytes.unwrap_or(0), connections.unwrap_or(0));
        let cpu = short(measured.value("cpu_us_per_operation"));
        writeln!(output, "| {subject} | {case} | {bytes} | {depth} | {figures} | {cpu} |").map_err(wrong)?;
    }
    Ok(())
}

async fn measure_all(
    runtime: &NativeRuntime,
    arguments: &Arguments,
    to: &mpsc::Sender<Result<Measurement, String>>,
) -> Result<(), Box<dyn Error>> {
    for device in runtime.devices() {
        let span = device.info().bytes.min(arguments.span_mib << 20);
        let span = span - span % (FILL_BYTES as u64);
        fill(runtime, &device, span).await?;
        for transfer in [Transfer::Read, Transfer::WriteDurable] {
            for bytes in arguments.transfers.iter().copied() {
                for queue_depth in arguments.depths.iter().copied() {
                    let end = runtime.now().after(Duration::from_millis(arguments.milliseconds));
                    let load = Load { transfer, bytes, queue_depth, span, end };
                    to.send(Ok(measure(runtime, &device, load).await?))?;
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
    let cpu_before = cpu(std::process::id())?;
    let began = runtime.now();
    let lanes = (0..load.queue_depth).map(|_lane| one_lane(runtime, device, load, &tally));
    for ended in join_all(lanes).await {
        ended?;
    }
    let seconds = runtime.now().since(began).as_secs_f64();
    let used = cpu(std::process::id())?.saturating_sub(cpu_before);
    let latency = tally.latency_ns.into_inner();
    let count = latency.len() as f64;
    let quantile = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
    let info = device.info();
    let subject = if info.is_file { "file" } else { "block device" };
    let mut measured = Measurement::new("devices", subject, load.transfer.name())
        .with("count", count)
        .with("seconds", seconds)
        .with("per_second", count / seconds)
        .with("megabytes_per_second", count * load.bytes as f64 / 1e6 / seconds)
        .with("p50_us", quantile(0.5))
        .with("p99_us", quantile(0.99))
        .with("cpu_us_per_operation", used.as_secs_f64() * 1e6 / count.max(1.0));
    measured.bytes = u64::try_from(load.bytes).ok();
    measured.connections = u64::try_from(load.queue_depth).ok();
    Ok(measured)
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
