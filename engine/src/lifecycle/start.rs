//! Starting the engine on one core; core 0 leads.

use super::node::{Node, Stage};
use super::open::open_pool;
use crate::error::EngineError;
use crate::limits::{CACHE_BYTES, CHECKPOINT_MEMTABLE_BYTES, REBUILD_AFTER, SCRUB_EVERY};
use crate::mesh::{Mesh, Post};
use crate::pool::{DeviceReport, IdentifyError};
use crate::runtime::{CoreId, Runtime};
use crate::shard::{Reply, Request};
use ashlar_disk_format::code::CodeShape;
use ashlar_disk_format::units::DeviceIndex;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What was found when the pool was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartReport {
    /// The pool's name.
    pub pool_name: String,
    /// Its code.
    pub shape: CodeShape,
    /// Each device given.
    pub devices: Vec<DeviceReport>,
    /// Members that are not there.
    pub missing: Vec<DeviceIndex>,
    /// It was closed in order the last time.
    pub was_clean: bool,
    /// Log rows read behind the checkpoint.
    pub rows_replayed: u64,
    /// Acknowledged log rows that could not be read any more.
    pub rows_lost: u64,
    /// How often the pool has been opened.
    pub epoch: u32,
}

/// Why the engine did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    /// No pool was recognised.
    Identify(IdentifyError),
    /// Opening it failed.
    Engine(EngineError),
    /// Core 0 gave up, and says why.
    Abandoned,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Identify(error) => write!(f, "{error}"),
            Self::Engine(error) => write!(f, "the pool cannot be opened: {error}"),
            Self::Abandoned => write!(f, "core 0 could not open the pool"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<EngineError> for StartError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// The queues between the cores of one engine.
pub struct EngineMesh(pub(crate) Arc<Mesh<Request, Reply>>);

impl Clone for EngineMesh {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl std::fmt::Debug for EngineMesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EngineMesh of {} cores", self.0.cores())
    }
}

impl EngineMesh {
    /// Queues for `cores` cores, to be made before the cores start.
    #[must_use]
    pub fn new(cores: u16) -> Self {
        Self(Mesh::new(cores))
    }
}

/// What one core may use beside its buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineOptions {
    /// Memtable bytes at which a checkpoint is due; up to three times as much is held while one is
    /// made.
    pub memtable_bytes: usize,
    /// Bytes of cached index pages and small bodies.
    pub cache_bytes: usize,
    /// How long a device may be out of service before its part of the groups is rebuilt on others; of groups that
    /// survive no further loss a minute at most.
    pub rebuild_after: Duration,
    /// How long a transfer with a device may take before the device is taken out of service; `None` is what suits it.
    pub device_patience: Option<Duration>,
    /// How often everything is read to find what rots; `None` is never.
    pub scrub_every: Option<Duration>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            memtable_bytes: CHECKPOINT_MEMTABLE_BYTES,
            cache_bytes: CACHE_BYTES,
            rebuild_after: REBUILD_AFTER,
            device_patience: None,
            scrub_every: Some(SCRUB_EVERY),
        }
    }
}

/// Brings this core up. Returns when the whole engine serves; the report comes from core 0.
pub(crate) async fn start<R: Runtime>(
    runtime: R,
    mesh: EngineMesh,
    options: EngineOptions,
) -> Result<(Rc<Node<R>>, Option<StartReport>), StartError> {
    let leads = runtime.core() == CoreId(0);
    let node = Node::new(runtime.clone(), Post::new(runtime, mesh.0), options);
    node.listen();
    if !leads {
        return follow(node).await;
    }
    match open_pool(&node).await {
        Ok(report) => {
            let coordinator = node.coordinator.borrow().clone();
            let Some(coordinator) = coordinator else { return Err(StartError::Abandoned) };
            coordinator.everywhere(|| Request::Serve).await?;
            Ok((node, Some(report)))
        }
        Err(error) => {
            for core in 1..node.runtime.cores() {
                let _told = node.ask(CoreId(core), Request::Abandon).await;
            }
            Err(error)
        }
    }
}

async fn follow<R: Runtime>(node: Rc<Node<R>>) -> Result<(Rc<Node<R>>, Option<StartReport>), StartError> {
    loop {
        let wait = node.moved.wait();
        match node.stage.get() {
            Stage::Serving => return Ok((node, None)),
            Stage::Abandoned => return Err(StartError::Abandoned),
            Stage::Starting => wait.await,
        }
    }
}
