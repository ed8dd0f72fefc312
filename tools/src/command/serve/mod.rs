//! `ashlar serve`: the composition root. Configuration, devices, engine and S3 meet here and nowhere
//! else.

mod config;
mod core;
mod demo;
mod keys;
mod memory;
mod tls;
mod watch;

pub(crate) use config::MEMORY_DEFAULT;
pub use config::{ConfigError, ServeConfig};
pub use demo::{DemoError, DemoOptions};
pub use keys::Keys;
pub use tls::{TlsError, TlsFiles};

use crate::command::devices::{DeviceProblem, open_present};
use ashlar_disk_format::code::CodeShape;
use ashlar_engine::pool::CreateOptions;
use ashlar_engine::runtime::CoreId;
use ashlar_engine::runtime::native::{
    Backend, LaunchConfig, LaunchError, OpenDevice, Passthrough, affinity_cpus, launch,
};
use ashlar_engine::{EngineMesh, EngineOptions};
use core::{Plan, Shared, run_core};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A checked `serve` command.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Device paths.
    pub devices: Vec<PathBuf>,
    /// Whether NVMe namespaces are driven by commands.
    pub passthrough: Passthrough,
    /// Make a pool of this code on the devices first.
    pub create: Option<CodeShape>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Cores, at most those of the CPU affinity; by default all of them.
    pub cores: Option<usize>,
    /// Memory budget, bytes.
    pub memory: u64,
    /// Who may sign requests.
    pub keys: Keys,
    /// The keys were made just now and must be shown.
    pub show_secret: bool,
    /// Region that signatures name.
    pub region: String,
    /// Domains under which buckets are hosts.
    pub domains: Vec<String>,
    /// With which TLS is spoken; without, plain HTTP.
    pub tls: Option<TlsFiles>,
    /// How long a device may be out of service before what lies on it is rebuilt on others, if not the default.
    pub rebuild_after: Option<Duration>,
    /// How long a transfer with a device may take before the device is taken out of service, if not what suits it.
    pub device_patience: Option<Duration>,
    /// How often everything is read to find what rots; `None` is never.
    pub scrub_every: Option<Duration>,
}

/// Why the server does not serve.
#[derive(Debug)]
pub enum ServeError {
    /// The configuration.
    Config(ConfigError),
    /// The demo folder.
    Demo(DemoError),
    /// The certificate or its key.
    Tls(TlsError),
    /// A device.
    Device(DeviceProblem),
    /// Too little memory for so many cores.
    Memory {
        /// What the operator gave, bytes.
        given: u64,
        /// What the cores need, bytes.
        needed: u64,
    },
    /// The address is taken or not ours.
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The runtime.
    Launch(LaunchError),
    /// A core said why.
    Core(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "{error}"),
            Self::Demo(error) => write!(f, "{error}"),
            Self::Tls(error) => write!(f, "{error}"),
            Self::Device(problem) => write!(f, "{problem}"),
            Self::Memory { given, needed } => write!(
                f,
                "a memory budget of {} is too small: give --memory {} or fewer --cores",
                crate::output::format_size(*given),
                crate::output::format_size(*needed)
            ),
            Self::Listen { address, error } => {
                write!(f, "cannot listen on {address}: {error}; choose another with --listen")
            }
            Self::Launch(error) => write!(f, "cannot start the cores: {error}"),
            Self::Core(message) => write!(f, "{message}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Serves a demonstration pool in a folder until a signal ends it.
///
/// # Errors
/// [`ServeError`] in one line that says what to do.
pub fn run_demo(options: DemoOptions) -> Result<(), ServeError> {
    run(demo::prepare(options).map_err(ServeError::Demo)?)
}

/// Serves the pool of a configuration file until a signal ends it. `tls` goes before what the file says.
///
/// # Errors
/// [`ServeError`] in one line that says what to do.
pub fn run_config(path: &std::path::Path, tls: Option<TlsFiles>) -> Result<(), ServeError> {
    let mut options = ServeConfig::load(path).and_then(ServeConfig::check).map_err(ServeError::Config)?;
    options.tls = tls.or(options.tls);
    run(options)
}

/// Allows this process as many open files as it may allow itself: one is needed for each connection. How many.
fn raise_files_max() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, all).is_ok() { limit.maximum } else { limit.current };
    current.unwrap_or(u64::MAX)
}

fn run(options: ServeOptions) -> Result<(), ServeError> {
    let mut cpus = affinity_cpus();
    if let Some(cores) = options.cores {
        cpus.truncate(cores.max(1));
    }
    let share = memory::share(options.memory, cpus.len(), options.tls.is_some())
        .map_err(|needed| ServeError::Memory { given: options.memory, needed })?
        .within_files(raise_files_max(), options.devices.len(), cpus.len());
    // Before anything is opened: a mistake here is the commonest.
    let tls = options.tls.map(tls::open).transpose().map_err(ServeError::Tls)?;
    let reserved = core::reserve_address(options.listen)
        .map_err(|error| ServeError::Listen { address: options.listen, error })?;
    let (devices, absent) =
        open_present(&options.devices, options.passthrough).map_err(ServeError::Device)?;
    for problem in &absent {
        eprintln!("ashlar: warning: {problem}");
    }
    report_backends(&devices);
    let cores = u16::try_from(cpus.len()).unwrap_or(u16::MAX);
    let create =
        options.create.map(|shape| CreateOptions { name: "demo".to_owned(), shape, segment_bytes: None });
    let shared = Arc::new(Shared::new(Plan {
        create,
        address: reserved.address(),
        keys: options.keys,
        show_secret: options.show_secret,
        region: options.region,
        domains: options.domains,
        tls,
        engine: EngineOptions {
            rebuild_after: options.rebuild_after.unwrap_or(share.engine.rebuild_after),
            device_patience: options.device_patience,
            scrub_every: options.scrub_every,
            ..share.engine
        },
        document_bytes: share.document_bytes,
        connections_max: share.connections_max,
        attended_max: share.attended_max,
        cores,
    }));
    let config = LaunchConfig {
        cpus,
        arena_bytes: share.arena_bytes,
        reserve_bytes: share.reserve_bytes,
        devices,
        signals: true,
        on_task_panic: Some(report_panic),
    };
    let mesh = EngineMesh::new(cores);
    let seat = Arc::clone(&shared);
    launch(config, move |runtime| run_core(runtime, mesh.clone(), Arc::clone(&seat)))
        .map_err(ServeError::Launch)?;
    drop(reserved);
    match shared.failure() {
        Some(message) => Err(ServeError::Core(message)),
        None => Ok(()),
    }
}

/// Says in one line how the devices are used.
fn report_backends(devices: &[OpenDevice]) {
    let mut counts: Vec<(Backend, usize)> = Vec::new();
    for backend in devices.iter().map(OpenDevice::backend) {
        match counts.iter_mut().find(|(known, _)| *known == backend) {
            Some((_, count)) => *count += 1,
            None => counts.push((backend, 1)),
        }
    }
    let words: Vec<String> = counts.iter().map(|(backend, count)| format!("{count} by {backend}")).collect();
    println!("devices: {}", words.join(", "));
}

fn report_panic(core: CoreId, message: &str) {
    eprintln!("ashlar: core {}: a task failed: {message}", core.0);
}
