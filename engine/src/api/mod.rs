//! The only door of the engine.
//!
//! Every operation may be called on any core: it asks the owner of the key through the mesh, moves
//! bodies itself, and holds the guard that keeps the segments it reads from being reused.

mod body;
mod buckets;
mod copy;
mod hold;
mod objects;
mod status;
mod uploads;

pub use body::{Body, BodyWriter, Object, ObjectPart, ObjectReader};
pub use status::{DeviceStatus, EngineStatus};

use crate::error::EngineError;
use crate::lifecycle::{EngineMesh, EngineOptions, Node, StartError, StartReport, start};
use crate::runtime::{CoreId, Runtime};
use crate::shard::{Reply, Request, Shard};
use crate::sync::{OpGuard, Permit};
use crate::types::LostObject;
use hold::Holds;
use std::rc::Rc;

/// A core's handle on the engine. Cheap to clone; never leaves its core.
pub struct Engine<R: Runtime> {
    node: Rc<Node<R>>,
    shard: Rc<Shard<R>>,
    holds: Holds,
}

impl<R: Runtime> Clone for Engine<R> {
    fn clone(&self) -> Self {
        Self { node: Rc::clone(&self.node), shard: Rc::clone(&self.shard), holds: self.holds.clone() }
    }
}

impl<R: Runtime> std::fmt::Debug for Engine<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("shard", &self.shard).finish_non_exhaustive()
    }
}

impl<R: Runtime> Engine<R> {
    /// Opens the pool that the runtime's devices hold and brings this core up; to be called on every
    /// core with the same mesh. Core 0 also gets the report.
    ///
    /// # Errors
    /// [`StartError`]: no pool, too few devices, or damage that cannot be mended.
    pub async fn start(runtime: R, mesh: EngineMesh) -> Result<(Self, Option<StartReport>), StartError> {
        Self::start_with(runtime, mesh, EngineOptions::default()).await
    }

    /// As [`Engine::start`], with another budget per core than the default.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub async fn start_with(
        runtime: R,
        mesh: EngineMesh,
        options: EngineOptions,
    ) -> Result<(Self, Option<StartReport>), StartError> {
        let (node, report) = start(runtime, mesh, options).await?;
        let shard = node.shard()?;
        Ok((Self { node, shard, holds: Holds::default() }, report))
    }

    /// This core.
    #[must_use]
    pub fn runtime(&self) -> &R {
        &self.node.runtime
    }

    /// Closes the engine: no operation begins any more, those that run are waited for, a last
    /// checkpoint makes the next start a short one. To be called on core 0, once every core has
    /// stopped taking requests.
    ///
    /// # Errors
    /// When the last checkpoint failed: nothing is lost, the next start reads the log.
    pub async fn shutdown(&self) -> Result<(), EngineError> {
        let coordinator = self.node.coordinator.borrow().clone();
        let Some(coordinator) = coordinator else { return Ok(()) };
        coordinator.everywhere(|| Request::Close).await?;
        let result = coordinator.checkpoint(true).await;
        coordinator.everywhere(|| Request::Stop).await?;
        result
    }

    /// Makes a checkpoint now (core 0; elsewhere nothing happens).
    ///
    /// # Errors
    /// When it did not become durable.
    pub async fn checkpoint(&self) -> Result<(), EngineError> {
        let coordinator = self.node.coordinator.borrow().clone();
        match coordinator {
            Some(coordinator) => coordinator.checkpoint(false).await,
            None => Ok(()),
        }
    }

    /// Moves live data out of the groups that bring the most space for it now, once, however much space there is (core
    /// 0; elsewhere nothing happens). The engine does so by itself when space is short.
    ///
    /// # Errors
    /// When what lives could not be counted before.
    pub async fn clean(&self) -> Result<(), EngineError> {
        let coordinator = self.node.coordinator.borrow().clone();
        match coordinator {
            Some(coordinator) => coordinator.clean_now().await,
            None => Ok(()),
        }
    }

    /// Rebuilds what lies on devices out of service now, as far as there are others for it (core 0; elsewhere nothing
    /// happens). The engine does so by itself when they have been away for a while.
    pub async fn rebuild(&self) {
        let coordinator = self.node.coordinator.borrow().clone();
        if let Some(coordinator) = coordinator {
            coordinator.rebuild_now().await;
        }
    }

    /// Reads everything that lies on the devices, or goes on with that, and writes back what is bad; whether it came to
    /// the end (core 0; elsewhere nothing happens). The engine does so by itself from time to time.
    pub async fn scrub(&self) -> bool {
        let coordinator = self.node.coordinator.borrow().clone();
        match coordinator {
            Some(coordinator) => coordinator.scrub_now().await,
            None => true,
        }
    }

    /// Of which objects something cannot be read, by the pass of [`Engine::scrub`] that is under way or by the last one,
    /// in order; empty elsewhere than on core 0. [`crate::ScrubStatus`] says whether there may be more.
    #[must_use]
    pub fn lost(&self) -> Vec<LostObject> {
        let coordinator = self.node.coordinator.borrow().clone();
        coordinator.map(|coordinator| coordinator.lost()).unwrap_or_default()
    }

    fn enter(&self) -> Result<OpGuard, EngineError> {
        self.shard.enter()
    }

    /// Asks for a change whose body must stay where it is until the owner has published it, also when
    /// the caller goes away meanwhile.
    async fn ask_holding(
        &self,
        core: CoreId,
        request: Request,
        held: impl Sized + 'static,
    ) -> Result<Reply, EngineError> {
        self.node.ask_holding(core, request, held).await
    }

    /// Waits for a place to copy bytes from one object to another: a copy holds buffers of what it reads
    /// while it waits for buffers to write to, so only a few may run at a time.
    pub async fn copy_place(&self) -> Permit {
        self.shard.copies.enter().await
    }

    async fn ask(&self, core: CoreId, request: Request) -> Result<Reply, EngineError> {
        self.node.ask(core, request).await
    }
}

/// The reply was of another kind: a bug between two files of this crate, reported as closing because
/// the caller can do nothing else about it.
fn unexpected() -> EngineError {
    EngineError::Closing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{CreateOptions, create_pool};
    use crate::runtime::sim::{Sim, SimConfig, SimDisk};
    use ashlar_disk_format::code::CodeShape;
    use std::cell::RefCell;
    use std::rc::{Rc, Weak};

    #[test]
    fn an_engine_that_nobody_closed_leaves_nothing_behind() {
        let disks = (0..3).map(|number| SimDisk::flash(&format!("d{number}"), 1 << 30)).collect();
        let sim = Sim::new(SimConfig { cores: 2, disks, ..SimConfig::default() });
        let mesh = EngineMesh::new(2);
        let nodes: Rc<RefCell<Vec<Weak<_>>>> = Rc::default();
        let met = Rc::clone(&nodes);
        let outcome = sim.run(move |runtime| {
            let (met, mesh) = (Rc::clone(&met), mesh.clone());
            async move {
                let shape = CodeShape::new(2, 1).unwrap();
                let options = CreateOptions { name: "test".to_owned(), shape, segment_bytes: None };
                if runtime.core() == CoreId(0) {
                    create_pool(&runtime, &options).await.unwrap();
                }
                let (engine, _) = Engine::start(runtime, mesh).await.unwrap();
                met.borrow_mut().push(Rc::downgrade(&engine.node));
            }
        });
        outcome.assert_finished();
        assert_eq!(nodes.borrow().len(), 2);
        assert!(nodes.borrow().iter().all(|node| node.upgrade().is_none()), "a node is held in a circle");
    }
}
