//! One core's front end, from the first connection to the last.

pub use crate::config::ServerConfig;
use crate::front::Core;
use crate::listener::Connections;
use ashlar_engine::Engine;
use ashlar_engine::runtime::Runtime;
use core::future::Future;
use core::pin::pin;
use futures_util::future::{Either, select};
use std::rc::Rc;

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Every request that had begun was answered.
    Drained,
    /// Some took longer than [`ServerConfig::drain`] and were cut.
    Cut,
    /// Nothing was served: the region's name is longer than 64 bytes.
    InvalidRegion,
}

/// Serves S3 on one core until `stop` resolves (usually [`Runtime::shutdown`]): then nothing is accepted any
/// more, idle connections close, requests in progress are finished, and the call returns when all connections
/// have ended or the drain time has passed. To be called on every core, with a listener of its own.
pub async fn serve<R: Runtime>(
    runtime: R,
    engine: Engine<R>,
    listener: R::Listener,
    config: Rc<ServerConfig>,
    stop: impl Future<Output = ()>,
) -> Served {
    let drain = config.drain;
    let connections = Rc::new(Connections::new(config.connections_max));
    let Some(core) = Core::new(runtime.clone(), engine, config) else { return Served::InvalidRegion };
    let core = Rc::new(core);
    select(pin!(connections.accept(&core, &listener)), pin!(stop)).await;
    drop(listener);
    core.stop();
    match select(pin!(connections.ended()), pin!(runtime.sleep(drain))).await {
        Either::Left(_) => Served::Drained,
        Either::Right(_) => {
            connections.cut();
            connections.ended().await;
            Served::Cut
        }
    }
}
