//! What each core does: start the engine, serve S3, close in order.

use super::keys::Keys;
use super::tls::{Certificates, renew};
use super::watch::watch;
use ashlar_engine::pool::{CreateOptions, DeviceStanding, create_pool};
use ashlar_engine::runtime::native::NativeRuntime;
use ashlar_engine::runtime::{Runtime as _, TaskQueue};
use ashlar_engine::{Engine, EngineMesh, EngineOptions, StartError, StartReport};
use ashlar_s3::server::{Served, ServerConfig, serve};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// How often a core that waits for the others looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A taken address is given up after this many looks.
const BIND_ATTEMPTS_MAX: u32 = 60;
const BIND_PAUSE: Duration = Duration::from_millis(50);

/// What every core is told.
#[derive(Debug)]
pub(super) struct Plan {
    /// Make the pool first.
    pub(super) create: Option<CreateOptions>,
    pub(super) address: SocketAddr,
    pub(super) keys: Keys,
    pub(super) show_secret: bool,
    pub(super) region: String,
    pub(super) domains: Vec<String>,
    pub(super) tls: Option<Certificates>,
    pub(super) engine: EngineOptions,
    pub(super) document_bytes: usize,
    pub(super) connections_max: usize,
    pub(super) attended_max: usize,
    pub(super) cores: u16,
}

/// What the cores share: the plan, and how far each has come.
#[derive(Debug)]
pub(super) struct Shared {
    plan: Plan,
    /// Cores that take no more requests.
    quiet: AtomicU16,
    /// Set when the engine is closed: every core may end.
    closed: OnceLock<()>,
    failure: OnceLock<String>,
}

impl Shared {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, quiet: AtomicU16::new(0), closed: OnceLock::new(), failure: OnceLock::new() }
    }

    /// What went wrong first.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    fn fail(&self, message: String) {
        // Only the first failure is told: the others follow from it.
        let _first = self.failure.set(message);
    }
}

/// Holds a port while the cores bind to it too, so that `:0` gives all of them the same one and a
/// taken port is noticed before a pool is opened.
#[derive(Debug)]
pub(super) struct ReservedAddress {
    address: SocketAddr,
    _socket: OwnedFd,
}

impl ReservedAddress {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Binds, without listening. The kernel may still be closing the sockets of a server that was killed a
/// moment ago, so a taken address is tried again for a while.
pub(super) fn reserve_address(address: SocketAddr) -> std::io::Result<ReservedAddress> {
    let mut left = BIND_ATTEMPTS_MAX;
    loop {
        match bind(address) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && left > 0 => {
                left -= 1;
                crate::clock::pause(BIND_PAUSE);
            }
            bound => return bound,
        }
    }
}

fn bind(address: SocketAddr) -> std::io::Result<ReservedAddress> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    // Somebody else who listens with SO_REUSEPORT would share our connections: look first.
    if address.port() != 0 {
        drop(std::net::TcpListener::bind(address)?);
    }
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    let bound = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok(ReservedAddress { address: bound, _socket: socket })
}

/// The main task of one core.
pub(super) async fn run_core(runtime: NativeRuntime, mesh: EngineMesh, shared: Arc<Shared>) {
    let leads = runtime.core().0 == 0;
    if leads && let Err(message) = make_pool(&runtime, &shared).await {
        shared.fail(message);
        // Nothing to open: the start below fails on every core and ends it.
    }
    let started = Box::pin(Engine::start_with(runtime.clone(), mesh, shared.plan.engine)).await;
    let (engine, report) = match started {
        Ok(started) => started,
        // The others only hear that core 0 gave up; why, it says itself.
        Err(StartError::Abandoned) => return,
        Err(error) => {
            shared.fail(error.to_string());
            return;
        }
    };
    let served = serve_core(&runtime, &engine, &shared, report.as_ref()).await;
    if let Err(message) = served {
        shared.fail(message);
        runtime.request_shutdown();
    }
    shared.quiet.fetch_add(1, Ordering::AcqRel);
    if !leads {
        while shared.closed.get().is_none() {
            runtime.sleep(LOOK_AGAIN).await;
        }
        return;
    }
    while shared.quiet.load(Ordering::Acquire) < shared.plan.cores {
        runtime.sleep(LOOK_AGAIN).await;
    }
    if let Err(error) = engine.shutdown().await {
        shared.fail(format!("the last checkpoint failed, the next start will read the log: {error}"));
    }
    let _set = shared.closed.set(());
}

async fn make_pool(runtime: &NativeRuntime, shared: &Shared) -> Result<(), String> {
    let Some(options) = &shared.plan.create else { return Ok(()) };
    create_pool(runtime, options).await.map(|_pool| ()).map_err(|error| error.to_string())
}

async fn serve_core(
    runtime: &NativeRuntime,
    engine: &Engine<NativeRuntime>,
    shared: &Shared,
    report: Option<&StartReport>,
) -> Result<(), String> {
    let plan = &shared.plan;
    let listener = runtime
        .listen(plan.address)
        .map_err(|error| format!("cannot listen on {}: {error}", plan.address))?;
    if let Some(report) = report {
        for warning in runtime.warnings() {
            eprintln!("ashlar: warning: {warning}");
        }
        announce(plan, report);
        runtime.spawn(TaskQueue::Background, watch(runtime.clone(), engine.clone()));
    }
    let mut config = ServerConfig::new(&plan.region).with_key(&plan.keys.access_key, &plan.keys.secret_key);
    config.base_domains.clone_from(&plan.domains);
    config.document_bytes = plan.document_bytes;
    config.connections_max = plan.connections_max;
    config.attended_max = plan.attended_max;
    if let Some(certificates) = &plan.tls {
        config = config.with_tls(certificates.tls.clone());
    }
    let config = Rc::new(config);
    if let Some(certificates) = plan.tls.clone() {
        runtime.spawn(TaskQueue::Background, renew(runtime.clone(), certificates, Rc::clone(&config)));
    }
    let stop = runtime.shutdown();
    match serve(runtime.clone(), engine.clone(), listener, config, stop).await {
        Served::Drained | Served::Cut => Ok(()),
        Served::InvalidRegion => Err(format!("region {:?} is too long for a region's name", plan.region)),
    }
}

/// What a person needs to know to use it.
fn announce(plan: &Plan, report: &StartReport) {
    println!("pool: {} (code {}, opened {} times)", report.pool_name, report.shape, report.epoch);
    if !report.was_clean {
        println!("recovery: read {} log rows behind the last checkpoint", report.rows_replayed);
    }
    for device in &report.devices {
        match device.standing {
            DeviceStanding::Member(_) => {}
            DeviceStanding::Damaged(index) => {
                eprintln!(
                    "ashlar: WARNING: device {index} ({}) has damaged labels or superblocks; they were written again",
                    device.name
                );
            }
            DeviceStanding::Foreign(pool) => {
                eprintln!(
                    "ashlar: WARNING: {} belongs to another pool ({pool}) and is not used",
                    device.name
                );
            }
            DeviceStanding::Unknown => {
                eprintln!("ashlar: WARNING: {} is not recognised and is not used", device.name);
            }
        }
    }
    if !report.missing.is_empty() {
        let missing: Vec<String> = report.missing.iter().map(ToString::to_string).collect();
        eprintln!(
            "ashlar: WARNING: DEGRADED: {} of the pool's devices are missing (number {}); the pool survives {} in all",
            missing.len(),
            missing.join(", "),
            report.shape.m
        );
    }
    if report.rows_lost > 0 {
        eprintln!(
            "ashlar: WARNING: {} acknowledged log rows are damaged beyond repair; what they held is lost",
            report.rows_lost
        );
    }
    let scheme = if plan.tls.is_some() { "https" } else { "http" };
    let endpoint = format!("{scheme}://{}", plan.address);
    println!("endpoint: {endpoint}");
    println!("access key: {}", plan.keys.access_key);
    if plan.show_secret {
        println!("secret key: {}", plan.keys.secret_key);
    }
    let secret = if plan.show_secret { plan.keys.secret_key.as_str() } else { "…" };
    println!("\nto try it:");
    println!(
        "  export AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={secret} AWS_REGION={}",
        plan.keys.access_key, plan.region
    );
    println!("  aws --endpoint-url {endpoint} s3 mb s3://first");
    println!("  aws --endpoint-url {endpoint} s3 cp README.md s3://first/");
    println!("  aws --endpoint-url {endpoint} s3 ls s3://first");
}
