//! The real server over the real engine on simulated disks, and a client beside it.

use super::client::Client;
use ashlar_disk_format::code::CodeShape;
use ashlar_engine::pool::{CreateOptions, create_pool};
use ashlar_engine::runtime::sim::{LinkPlan, Sim, SimConfig, SimDisk, SimRuntime};
use ashlar_engine::runtime::{CoreId, Runtime as _};
use ashlar_engine::sync::Event;
use ashlar_engine::{Engine, EngineMesh};
use ashlar_s3::server::{Served, ServerConfig, serve};
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;

pub(crate) const ACCESS_KEY: &str = "test-access";
pub(crate) const SECRET: &str = "test-secret";
pub(crate) const REGION: &str = "eu-test-1";
const CORES: u16 = 2;

/// Where the server listens.
pub(crate) fn address() -> SocketAddr {
    "10.0.0.1:9000".parse().unwrap()
}

/// What a scenario runs in.
#[derive(Clone)]
pub(crate) struct World {
    pub runtime: SimRuntime,
    pub disks: Vec<SimDisk>,
    pub stop: Rc<dyn Fn()>,
    pub served: Rc<RefCell<Vec<Served>>>,
}

impl World {
    /// A new connection.
    pub(crate) async fn connect(&self) -> Client {
        Client::new(self.runtime.clone(), self.runtime.net().connect(address()).await.unwrap())
    }

    /// A new connection that behaves as planned.
    pub(crate) async fn connect_with(&self, plan: LinkPlan) -> Client {
        Client::new(self.runtime.clone(), self.runtime.net().connect_with(address(), plan).await.unwrap())
    }
}

const ARENA_BYTES: usize = 32 << 20;

fn config(disks: &[SimDisk], seed: u64, arena_bytes: usize) -> SimConfig {
    SimConfig {
        seed,
        cores: CORES,
        arena_bytes,
        reserve_bytes: 16 << 20,
        disks: disks.to_vec(),
        ..SimConfig::default()
    }
}

fn new_pool() -> Vec<SimDisk> {
    let disks: Vec<SimDisk> = (0..3).map(|number| SimDisk::flash(&format!("d{number}"), 4 << 30)).collect();
    let sim = Sim::new(SimConfig { cores: 1, ..config(&disks, 0, ARENA_BYTES) });
    sim.run(|runtime| async move {
        let shape = CodeShape::new(2, 1).unwrap();
        let options = CreateOptions { name: "test".to_owned(), shape, segment_bytes: None };
        create_pool(&runtime, &options).await.unwrap();
    })
    .assert_finished();
    disks
}

#[derive(Default)]
struct Ends {
    count: Cell<u16>,
    changed: Event,
}

/// A scenario, boxed so that engine and server are compiled once, not once per test.
type Scenario = Box<dyn FnOnce(World) -> LocalBoxFuture<'static, ()>>;

/// Runs a scenario against a fresh server, and ends the server in order afterwards.
pub(crate) fn run<F: Future<Output = ()> + 'static>(scenario: impl FnOnce(World) -> F + 'static) {
    run_seeded(0, ServerConfig::new(REGION), scenario);
}

/// The same with a seed and settings of one's own.
pub(crate) fn run_seeded<F: Future<Output = ()> + 'static>(
    seed: u64,
    settings: ServerConfig,
    scenario: impl FnOnce(World) -> F + 'static,
) {
    run_boxed(seed, ARENA_BYTES, settings, Box::new(|world| scenario(world).boxed_local()));
}

/// The same with buffers of so many bytes on each core.
pub(crate) fn run_small<F: Future<Output = ()> + 'static>(
    arena_bytes: usize,
    scenario: impl FnOnce(World) -> F + 'static,
) {
    let settings = ServerConfig::new(REGION);
    run_boxed(0, arena_bytes, settings, Box::new(|world| scenario(world).boxed_local()));
}

fn run_boxed(seed: u64, arena_bytes: usize, settings: ServerConfig, scenario: Scenario) {
    let disks = new_pool();
    let sim = Sim::new(config(&disks, seed, arena_bytes));
    let control = sim.control();
    let stop: Rc<dyn Fn()> = Rc::new(move || control.request_shutdown());
    let served = Rc::new(RefCell::new(Vec::new()));
    let all = Rc::clone(&served);
    sim.client(|runtime| {
        let world = World { runtime: runtime.clone(), disks, stop: Rc::clone(&stop), served: all };
        let task = scenario(world);
        async move {
            // The server needs some time to open its pool.
            while runtime.net().connect(address()).await.is_err() {
                runtime.sleep(std::time::Duration::from_millis(10)).await;
            }
            task.await;
            stop();
        }
    });
    let mut settings = settings.with_key(ACCESS_KEY, SECRET);
    settings.is_region_lenient = false;
    settings.base_domains = vec!["s3.test".to_owned()];
    let settings = Rc::new(settings);
    let mesh = EngineMesh::new(CORES);
    let ends = Rc::new(Ends::default());
    let outcome = sim.run(|runtime| {
        let (mesh, ends, served) = (mesh.clone(), Rc::clone(&ends), Rc::clone(&served));
        let settings = Rc::clone(&settings);
        async move {
            let (engine, _) = Engine::start(runtime.clone(), mesh).await.unwrap();
            let listener = runtime.listen(address()).unwrap();
            let stop = runtime.shutdown();
            let end = serve(runtime.clone(), engine.clone(), listener, settings, stop).await;
            served.borrow_mut().push(end);
            ends.count.set(ends.count.get() + 1);
            ends.changed.fire();
            while runtime.core() == CoreId(0) && ends.count.get() < CORES {
                let changed = ends.changed.wait();
                changed.await;
            }
            if runtime.core() == CoreId(0) {
                engine.shutdown().await.unwrap();
            }
        }
    });
    outcome.assert_finished();
    assert_eq!(sim.leaked_bytes(), 0, "every buffer came home");
}
