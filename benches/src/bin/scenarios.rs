//! Runs the named scenarios, or all, and appends what they measured to a file of results.

use ashlar_benches::compare::size;
use ashlar_benches::record::Recorder;
use ashlar_benches::scenario::{Context, Scenario, Settings};
use ashlar_tools::output::parse_duration;
use clap::Parser;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(about = "What a server does for a load, and when it is full, crippled, killed or left alone")]
struct Arguments {
    /// Which, in this order: see --list
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<Scenario>,
    /// Say which there are, and end
    #[arg(long)]
    list: bool,
    /// The program under test
    #[arg(long, default_value = "target/release/ashlar")]
    ashlar: PathBuf,
    /// Where pools are made; it needs room for what they hold
    #[arg(long, default_value = "/tmp/ashlar-bench")]
    folder: PathBuf,
    /// Loop devices to use [default: free ones]
    #[arg(long, value_delimiter = ',', value_name = "DEVICE")]
    loops: Vec<PathBuf>,
    /// Do not measure on files besides
    #[arg(long)]
    no_files: bool,
    /// Bytes of each of the six devices
    #[arg(long, default_value = "3GiB", value_parser = size)]
    device_size: u64,
    /// The first of ten ports on the loopback address
    #[arg(long, default_value_t = 9140)]
    port: u16,
    /// CPU of the servers
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// CPU of the load
    #[arg(long, default_value_t = 1)]
    load_cpu: usize,
    /// Memory budget of the servers
    #[arg(long, default_value = "1GiB")]
    memory: String,
    /// Length of one measurement
    #[arg(long, default_value = "1500ms", value_parser = parse_duration)]
    seconds: Duration,
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long an idle server is watched
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    idle: Duration,
    /// Object sizes
    #[arg(long, value_delimiter = ',', default_value = "4KiB,128KiB,4MiB", value_parser = size)]
    sizes: Vec<u64>,
    /// File to append results to
    #[arg(long)]
    results: Option<PathBuf>,
    /// What a reader must know besides, such as that compilers run beside it
    #[arg(long, default_value = "")]
    note: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut output = std::io::stdout();
    if arguments.list {
        for scenario in Scenario::ALL {
            writeln!(output, "{:<11} {}", scenario.name(), scenario.about())?;
        }
        return Ok(());
    }
    std::fs::create_dir_all(&arguments.folder)?;
    let storage = [arguments.folder.as_path()];
    let recorder = Recorder::begin(arguments.results.as_deref(), "scenarios", &storage, &arguments.note)?;
    let mut cpus = CpuSet::new();
    cpus.set(arguments.load_cpu);
    sched_setaffinity(None, &cpus)?;
    let programs = std::env::current_exe()?.parent().map(PathBuf::from).unwrap_or_default();
    let settings = Settings {
        ashlar: arguments.ashlar,
        programs,
        folder: arguments.folder,
        loops: arguments.loops,
        files: !arguments.no_files,
        device_bytes: arguments.device_size,
        port: arguments.port,
        server_cpu: arguments.server_cpu,
        memory: arguments.memory,
        duration: arguments.seconds,
        rounds: arguments.rounds,
        idle: arguments.idle,
        sizes: arguments.sizes,
    };
    let mut context = Context::new(settings, recorder);
    let chosen = if arguments.only.is_empty() { Scenario::ALL.to_vec() } else { arguments.only };
    let mut failed = Vec::new();
    for scenario in chosen {
        writeln!(output, "\n## {}: {}\n", scenario.name(), scenario.about())?;
        // One that fails keeps no other from running.
        if let Err(error) = scenario.run(&mut context) {
            writeln!(output, "failed: {error}")?;
            failed.push(scenario.name());
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}
