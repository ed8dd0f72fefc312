//! A pool on simulated disks, and the engine on simulated cores over it.
//!
//! A `Rig` outlives its boots, as hardware does: each `Rig::boot` is one life of the process.

use ashlar_disk_format::code::CodeShape;
use ashlar_engine::pool::{CreateOptions, add_devices, create_pool};
use ashlar_engine::runtime::Runtime as _;
use ashlar_engine::runtime::sim::{CutAt, Loss, Outcome, Sim, SimConfig, SimDisk, SimRuntime};
use ashlar_engine::sync::Event;
use ashlar_engine::{Engine, EngineMesh, EngineOptions, StartError, StartReport};
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

/// The engine as the tests use it.
pub type SimEngine = Engine<SimRuntime>;

/// What core 0 does in one life, boxed so that engine and simulator are compiled once, not once per test.
type Scenario = Rc<dyn Fn(Vec<SimEngine>) -> LocalBoxFuture<'static, ()>>;

/// The disks of a pool.
#[derive(Debug, Clone)]
pub struct Rig {
    /// In the order of their slots.
    pub disks: Vec<SimDisk>,
    shape: CodeShape,
}

/// One life of the process.
#[derive(Debug, Clone)]
pub struct Boot {
    /// Decides everything random.
    pub seed: u64,
    /// Cores.
    pub cores: u16,
    /// When the power goes.
    pub cut: Option<CutAt>,
    /// What it leaves.
    pub loss: Loss,
    /// Buffer memory per core, bytes.
    pub arena_bytes: usize,
    /// Memory of the engine's own work per core, bytes.
    pub reserve_bytes: usize,
    /// Positions of disks that are not plugged in.
    pub unplugged: Vec<usize>,
    /// What the engine may use, and when it does what.
    pub options: EngineOptions,
}

impl Default for Boot {
    fn default() -> Self {
        Self {
            seed: 0,
            cores: 2,
            cut: None,
            loss: Loss::default(),
            arena_bytes: 16 << 20,
            reserve_bytes: 16 << 20,
            unplugged: Vec::new(),
            options: EngineOptions::default(),
        }
    }
}

/// How a life ended.
#[derive(Debug)]
pub struct Ended {
    /// The simulator's verdict.
    pub outcome: Outcome,
    /// Core 0's report, if the engine came up.
    pub report: Option<StartReport>,
    /// Why it did not.
    pub error: Option<StartError>,
    /// Device writes of this life.
    pub writes: u64,
    /// The fold of every decision: equal for equal seeds.
    pub trace: u64,
}

impl Ended {
    /// The life went to its planned end, with the engine up.
    ///
    /// # Panics
    /// When it did not: the message says how it ended.
    pub fn assert_finished(&self) -> &StartReport {
        assert_eq!(self.error, None, "the engine starts");
        self.outcome.assert_finished();
        let Some(report) = &self.report else { panic!("no report: {:?}", self.outcome) };
        report
    }
}

impl Rig {
    /// A new pool of the code `shape` over `disks`.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(shape: &str, disks: Vec<SimDisk>) -> Self {
        let Ok(shape) = CodeShape::parse(shape) else { panic!("{shape} is no code") };
        let rig = Self { disks, shape };
        let sim = Sim::new(rig.config(&Boot { cores: 1, ..Boot::default() }));
        let options = CreateOptions { name: "rig".to_owned(), shape, segment_bytes: None };
        let made = Rc::new(RefCell::new(None));
        let outcome = sim.run(|runtime| {
            let (options, made) = (options.clone(), Rc::clone(&made));
            async move {
                *made.borrow_mut() = Some(create_pool(&runtime, &options).await);
            }
        });
        outcome.assert_finished();
        let made = made.borrow_mut().take();
        assert!(matches!(made, Some(Ok(_))), "{made:?}");
        rig
    }

    /// A pool on `count` flash disks of `bytes` each.
    #[must_use]
    pub fn flash(shape: &str, count: usize, bytes: u64) -> Self {
        let disks = (0..count).map(|number| SimDisk::flash(&format!("d{number}"), bytes)).collect();
        Self::new(shape, disks)
    }

    /// Takes another disk into the pool.
    ///
    /// # Panics
    /// When it is not taken in.
    pub fn add(&mut self, disk: SimDisk) {
        self.disks.push(disk);
        let sim = Sim::new(self.config(&Boot { cores: 1, ..Boot::default() }));
        let made = Rc::new(RefCell::new(None));
        let new = self.disks.len() - 1;
        let outcome = sim.run(|runtime| {
            let made = Rc::clone(&made);
            async move {
                *made.borrow_mut() = Some(add_devices(&runtime, &[new]).await);
            }
        });
        outcome.assert_finished();
        let made = made.borrow_mut().take();
        assert!(matches!(made, Some(Ok(_))), "{made:?}");
    }

    /// The pool's code.
    #[must_use]
    pub fn shape(&self) -> CodeShape {
        self.shape
    }

    fn config(&self, boot: &Boot) -> SimConfig {
        let plugged =
            |(position, disk): (usize, &SimDisk)| (!boot.unplugged.contains(&position)).then(|| disk.clone());
        SimConfig {
            seed: boot.seed,
            cores: boot.cores,
            arena_bytes: boot.arena_bytes,
            reserve_bytes: boot.reserve_bytes,
            disks: self.disks.iter().enumerate().filter_map(plugged).collect(),
            cut: boot.cut,
            loss: boot.loss,
            ..SimConfig::default()
        }
    }

    /// Starts the engine on every core and runs `scenario` on core 0 with all cores' engines.
    pub fn boot<F: Future<Output = ()> + 'static>(
        &self,
        boot: &Boot,
        scenario: impl Fn(Vec<SimEngine>) -> F + 'static,
    ) -> Ended {
        let scenario: Scenario = Rc::new(move |engines| scenario(engines).boxed_local());
        self.boot_boxed(boot, &scenario)
    }

    fn boot_boxed(&self, boot: &Boot, scenario: &Scenario) -> Ended {
        let sim = Sim::new(self.config(boot));
        let mesh = EngineMesh::new(boot.cores);
        let stage = Rc::new(Stage::default());
        let options = boot.options;
        let outcome = sim
            .run(|runtime| run_core(runtime, mesh.clone(), options, Rc::clone(&stage), Rc::clone(scenario)));
        Ended {
            outcome,
            report: stage.report.borrow_mut().take(),
            error: stage.error.borrow_mut().take(),
            writes: sim.writes(),
            trace: sim.trace(),
        }
    }
}

/// What the cores of one life share; all of them are on one thread.
#[derive(Debug, Default)]
struct Stage {
    engines: RefCell<Vec<(u16, SimEngine)>>,
    up: Event,
    over: Cell<bool>,
    ended: Event,
    report: RefCell<Option<StartReport>>,
    error: RefCell<Option<StartError>>,
}

async fn run_core(
    runtime: SimRuntime,
    mesh: EngineMesh,
    options: EngineOptions,
    stage: Rc<Stage>,
    scenario: Scenario,
) {
    let core = runtime.core().0;
    let cores = usize::from(runtime.cores());
    match Engine::start_with(runtime, mesh, options).await {
        Ok((engine, report)) => {
            if report.is_some() {
                *stage.report.borrow_mut() = report;
            }
            stage.engines.borrow_mut().push((core, engine));
            stage.up.fire();
        }
        Err(error) => {
            if core == 0 {
                *stage.error.borrow_mut() = Some(error);
            }
            return;
        }
    }
    if core != 0 {
        loop {
            let wait = stage.ended.wait();
            if stage.over.get() {
                return;
            }
            wait.await;
        }
    }
    loop {
        let wait = stage.up.wait();
        if stage.engines.borrow().len() == cores {
            break;
        }
        wait.await;
    }
    let mut engines = stage.engines.borrow().clone();
    engines.sort_by_key(|(core, _)| *core);
    scenario(engines.into_iter().map(|(_, engine)| engine).collect()).await;
    stage.over.set(true);
    stage.ended.fire();
}
