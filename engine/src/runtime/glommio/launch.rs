//! Starts one executor per CPU, and waits until all have ended in order.

use super::super::contract::{CoreId, TaskQueue};
use super::core::{Core, GlommioRuntime, Post};
use super::device::GlommioDevice;
use super::limits::{
    BACKGROUND_SHARES, CORES_MAX, DEVICES_MAX, FIXED_BUFFERS_MAX, FOREGROUND_SHARES, GLOMMIO_IO_MEMORY,
    GLOMMIO_MEMLOCK_MIN, GLOMMIO_RING_DEPTH, LENT_SHARE, PREEMPT_TIMER, PREPARE_STEP_BYTES,
};
use super::loan::Lending;
use super::nvme::Rings;
use super::open::OpenDevice;
use super::ring::Ring;
use super::shared::{MailFlag, Shared, Started};
use super::signal::Signals;
use super::task::Tasks;
use super::timer::{Clock, Timers};
use super::warning::LaunchWarning;
use crate::buffer::{Arena, Region, RegionError};
use crate::sync::Event;
use glommio::{ExecutorJoinHandle, Latency, LocalExecutorBuilder, Placement, Shares};
use io_uring::IoUring;
use std::future::Future;
use std::os::fd::{AsRawFd as _, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

/// What to start.
#[derive(Debug)]
pub struct LaunchConfig {
    /// One core per CPU named here, in this order. See [`super::affinity_cpus`].
    pub cpus: Vec<usize>,
    /// Buffer memory of each core for requests, bytes.
    pub arena_bytes: usize,
    /// Buffer memory of each core for the log, the index and repair, bytes.
    pub reserve_bytes: usize,
    /// The devices, in the order in which `Runtime::devices` gives them.
    pub devices: Vec<OpenDevice>,
    /// Whether SIGTERM and SIGINT end the process in order. The signals are blocked for the
    /// launching thread and the cores, so a process with other threads must block them there too.
    pub signals: bool,
    /// Called on the core where a task panicked, with the panic's message.
    pub on_task_panic: Option<fn(CoreId, &str)>,
}

/// Why nothing was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchError {
    /// No CPU was named, or more than [`CORES_MAX`].
    Cpus {
        /// How many were named.
        found: usize,
    },
    /// More than [`DEVICES_MAX`] devices.
    Devices {
        /// How many were named.
        found: usize,
    },
    /// The buffers could not be mapped.
    Memory(RegionError),
    /// The limit of locked memory is below what the scheduler needs.
    LockedMemory {
        /// Needed bytes.
        expected: u64,
        /// The limit, bytes.
        found: u64,
    },
    /// The executor of a CPU did not start: no such CPU, or no thread to be had.
    Executor {
        /// The CPU.
        cpu: usize,
    },
    /// The ring of a core could not be made; the kernel is older than 6.1 or forbids io_uring.
    Ring {
        /// Which core.
        core: u16,
        /// As from the kernel.
        errno: i32,
    },
    /// Signals could not be received.
    Signals {
        /// As from the kernel.
        errno: i32,
    },
}

impl std::fmt::Display for LaunchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpus { found } => write!(f, "cannot run on {found} CPUs (1 to {CORES_MAX})"),
            Self::Devices { found } => write!(f, "cannot run {found} devices (at most {DEVICES_MAX})"),
            Self::Memory(error) => error.fmt(f),
            Self::LockedMemory { expected, found } => {
                write!(f, "the limit of locked memory is {found} bytes, {expected} are needed")
            }
            Self::Executor { cpu } => write!(f, "cannot start a thread on CPU {cpu}"),
            Self::Ring { core, errno } => {
                write!(f, "the kernel refused an io_uring for core {core} (errno {errno})")?;
                if *errno == libc::ENOMEM {
                    write!(f, "; is the limit of locked memory (ulimit -l) too low?")?;
                }
                Ok(())
            }
            Self::Signals { errno } => write!(f, "cannot receive signals (errno {errno})"),
        }
    }
}

impl std::error::Error for LaunchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Memory(error) => Some(error),
            Self::Cpus { .. }
            | Self::Devices { .. }
            | Self::LockedMemory { .. }
            | Self::Executor { .. }
            | Self::Ring { .. }
            | Self::Signals { .. } => None,
        }
    }
}

/// What one core is given on its thread.
struct Seat {
    id: CoreId,
    shared: Arc<Shared>,
    regions: Vec<Region>,
    zeros: Region,
    /// The ring of the first core, when it registered the regions for all.
    registered_by: Option<RawFd>,
    signals: Option<RawFd>,
    on_task_panic: Option<fn(CoreId, &str)>,
}

/// A core's report to the launching thread: its ring, and a warning.
type Ready = Result<(RawFd, Option<LaunchWarning>), LaunchError>;

/// A core whose ring exists, and that waits for the others'.
struct Launched {
    join: ExecutorJoinHandle<Option<IoUring>>,
    go: mpsc::Sender<Arc<Started>>,
    ring_fd: RawFd,
    warning: Option<LaunchWarning>,
}

/// Runs `main` once on every CPU of `config`, and returns when all of them have returned, their
/// tasks are dropped and all transfers have ended. Then buffer memory that nobody holds is unmapped.
///
/// A panic in `main` ends the process: the other cores would wait for this one for ever.
///
/// # Errors
/// When not every core could be started; then none has run `main`.
pub fn launch<M, F>(config: LaunchConfig, main: M) -> Result<(), LaunchError>
where
    M: Fn(GlommioRuntime) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    check(&config)?;
    let LaunchConfig { cpus, arena_bytes, reserve_bytes, devices, signals, on_task_panic } = config;
    let signals =
        if signals { Some(Signals::block().map_err(|errno| LaunchError::Signals { errno })?) } else { None };
    let mut regions = Vec::new();
    for _core in &cpus {
        regions.push(Region::allocate(arena_bytes).map_err(LaunchError::Memory)?);
        regions.push(Region::allocate(reserve_bytes).map_err(LaunchError::Memory)?);
    }
    let zeros = Region::allocate(PREPARE_STEP_BYTES).map_err(LaunchError::Memory)?;
    let shared = Arc::new(Shared {
        clock: Clock::start(),
        mail: cpus.iter().map(|_core| MailFlag::default()).collect(),
        mains_left: AtomicUsize::new(cpus.len()),
        drained: AtomicUsize::new(0),
        shutdown: AtomicBool::new(false),
        devices,
    });
    let mut launched: Vec<Launched> = Vec::new();
    for (index, cpu) in cpus.into_iter().enumerate() {
        let id = CoreId(u16::try_from(index).unwrap_or(u16::MAX));
        let watched = signals.as_ref().filter(|_first| index == 0);
        let seat = Seat {
            id,
            shared: Arc::clone(&shared),
            regions: regions.clone(),
            zeros: zeros.clone(),
            registered_by: launched
                .first()
                .filter(|first| first.warning.is_none())
                .map(|first| first.ring_fd),
            signals: watched.map(|signals| signals.fd().as_raw_fd()),
            on_task_panic,
        };
        match start(seat, cpu, main.clone()) {
            Ok(core) => launched.push(core),
            Err(error) => {
                dismiss(launched);
                return Err(error);
            }
        }
    }
    supervise(launched);
    // Only now is no ring left that knows their addresses.
    drop((regions, zeros));
    Ok(())
}

fn check(config: &LaunchConfig) -> Result<(), LaunchError> {
    let cores = config.cpus.len();
    if cores == 0 || cores > CORES_MAX {
        return Err(LaunchError::Cpus { found: cores });
    }
    let devices = config.devices.len();
    if devices > DEVICES_MAX {
        return Err(LaunchError::Devices { found: devices });
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock);
    if let Some(found) = limit.current
        && found < GLOMMIO_MEMLOCK_MIN
    {
        return Err(LaunchError::LockedMemory { expected: GLOMMIO_MEMLOCK_MIN, found });
    }
    Ok(())
}

/// Starts one core's thread and waits until its ring exists.
fn start<M, F>(seat: Seat, cpu: usize, main: M) -> Result<Launched, LaunchError>
where
    M: Fn(GlommioRuntime) -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let (ready_to, ready) = mpsc::channel::<Ready>();
    let (go, go_from) = mpsc::channel();
    let join = LocalExecutorBuilder::new(Placement::Fixed(cpu))
        .name("ashlar")
        .io_memory(GLOMMIO_IO_MEMORY)
        .ring_depth(GLOMMIO_RING_DEPTH)
        .preempt_timer(PREEMPT_TIMER)
        .spawn(move || async move {
            let (rings, warning) = match make_rings(&seat) {
                Ok(made) => made,
                Err(error) => {
                    // The launching thread may have given up already; either way this core ends.
                    let _told = ready_to.send(Err(error));
                    return None;
                }
            };
            let told = ready_to.send(Ok((rings.ring.raw_fd(), warning)));
            // Blocking here is fine: nothing else runs on this thread yet.
            let (Ok(()), Ok(started)) = (told, go_from.recv()) else { return None };
            run_core(seat, rings, started, main).await
        })
        .map_err(|_refused| LaunchError::Executor { cpu })?;
    // When the executor itself could not be made, the thread has ended and nobody sends.
    let (ring_fd, warning) = ready.recv().map_err(|_ended| LaunchError::Executor { cpu })??;
    Ok(Launched { join, go, ring_fd, warning })
}

/// Ends cores that were never let go: each waits for a word that does not come.
fn dismiss(launched: Vec<Launched>) {
    for Launched { join, go, .. } in launched {
        drop(go);
        // A core that has done nothing has nothing to say.
        let _ended = join.join();
    }
}

/// Lets the cores go, and waits until every one has ended.
fn supervise(launched: Vec<Launched>) {
    let ring_fds = launched.iter().map(|core| core.ring_fd).collect();
    let warnings = launched.iter().filter_map(|core| core.warning).collect();
    let started = Arc::new(Started { ring_fds, warnings });
    for core in &launched {
        // A core that has died since is found out by the join.
        let _told = core.go.send(Arc::clone(&started));
    }
    // The rings are closed only after all cores have ended: until then others may send to them.
    let mut rings = Vec::new();
    for core in launched {
        match core.join.join() {
            Ok(ring) => rings.extend(ring),
            Err(error) => super::abort("a core died", &error.to_string()),
        }
    }
    drop(rings);
}

/// A core's own ring, and those of its devices that are driven by commands.
struct CoreRings {
    ring: Ring,
    nvme: Rings,
}

fn make_rings(seat: &Seat) -> Result<(CoreRings, Option<LaunchWarning>), LaunchError> {
    let core = seat.id.0;
    let mut ring = Ring::new().map_err(|errno| LaunchError::Ring { core, errno })?;
    let files: Vec<RawFd> = seat.shared.devices.iter().map(OpenDevice::raw_fd).collect();
    ring.register_files(&files).map_err(|errno| LaunchError::Ring { core, errno })?;
    assert!(seat.regions.len() <= FIXED_BUFFERS_MAX, "two regions per core fit one registration");
    let registered = ring.register_regions(&seat.regions, seat.registered_by);
    let nvme = Rings::new(&seat.shared.devices, &seat.regions, ring.raw_fd(), seat.shared.clock)
        .map_err(|errno| LaunchError::Ring { core, errno })?;
    let registered = registered.and(nvme.registration());
    let warning = registered.err().map(|errno| LaunchWarning::BuffersNotRegistered { core, errno });
    Ok((CoreRings { ring, nvme }, warning))
}

async fn run_core<M, F>(seat: Seat, rings: CoreRings, started: Arc<Started>, main: M) -> Option<IoUring>
where
    M: Fn(GlommioRuntime) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let executor = ::glommio::executor();
    let queue =
        |shares, name| executor.create_task_queue(Shares::Static(shares), Latency::NotImportant, name);
    let driver_queue = queue(FOREGROUND_SHARES, "driver");
    let foreground = queue(FOREGROUND_SHARES, "foreground");
    let background = queue(BACKGROUND_SHARES, "background");
    let CoreRings { ring, nvme } = rings;
    let ring = Rc::new(ring);
    if let Some(fd) = nvme.event() {
        ring.watch_events(fd);
    }
    if let Some(fd) = seat.signals {
        ring.watch_signals(fd);
    }
    let (id, hook) = (seat.id, seat.on_task_panic);
    let tasks = Tasks::new(
        seat.shared.clock,
        Box::new(move |message| {
            if let Some(hook) = hook {
                hook(id, message);
            }
        }),
    );
    let index = usize::from(id.0) * 2;
    let arena_of =
        |index: usize| Arena::new(seat.regions[index].clone(), u16::try_from(index).unwrap_or(u16::MAX));
    let core = Rc::new(Core {
        id,
        started,
        timers: Timers::new(seat.shared.clock),
        tasks,
        arena: arena_of(index),
        reserve: arena_of(index + 1),
        spare_sends: Rc::default(),
        lending: Lending::new(seat.regions[index].bytes().div_euclid(LENT_SHARE)),
        devices: GlommioDevice::all(&ring, &nvme, &seat.shared, &seat.zeros),
        nvme,
        foreground,
        background,
        post: Post::default(),
        shutdown: Event::new(),
        turned: Event::new(),
        shared: Arc::clone(&seat.shared),
        ring: Rc::clone(&ring),
    });
    let runtime = GlommioRuntime { core: Rc::clone(&core) };
    let shared = Arc::clone(&seat.shared);
    core.spawn(TaskQueue::Foreground, Some("the main task"), async move {
        main(runtime.clone()).await;
        if shared.mains_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            runtime.core.notify_others();
        }
    });
    let driven = ::glommio::spawn_local_into(super::driver::drive(Rc::clone(&core)), driver_queue);
    let Ok(driven) = driven else { unreachable!("the queue was just made") };
    let ended = driven.detach().await;
    assert!(ended.is_some(), "the driver is never cancelled");
    if !core.ring.is_drained() || !core.nvme.is_drained() {
        // Their memory (the zeros are held by the devices) and rings stay as they are until the process is gone.
        let _kept: &'static mut _ = Box::leak(Box::new((core, ring)));
        return None;
    }
    core.nvme.close();
    ring.close()
}
