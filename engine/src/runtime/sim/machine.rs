//! One run: switch the machine on, let it go, say how it ended.

use super::arenas;
use super::config::{Outcome, SimConfig};
use super::executor::Step;
use super::net::Network;
use super::power::Loss;
use super::random::{Dice, Purpose};
use super::runtime::{Core, SimRuntime};
use super::timeline::Action;
use super::world::{Mail, Mark, World};
use crate::buffer::Arena;
use crate::runtime::contract::{CoreId, Monotonic, Runtime as _, TaskQueue};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

/// Controls a run from inside it (tests keep a clone in a client) or between its steps.
#[derive(Debug, Clone)]
pub struct SimControl {
    world: Rc<World>,
}

impl SimControl {
    /// Resolves [`Runtime::shutdown`](crate::runtime::contract::Runtime::shutdown) on every core.
    pub fn request_shutdown(&self) {
        self.world.ending.set(true);
        self.world.end_asked.fire();
    }

    /// Cuts the power when the task now running next waits.
    pub fn cut_power(&self) {
        self.world.power.cut();
    }

    /// Makes the wall clock jump.
    pub fn jump_wall(&self, milliseconds: i64) {
        self.world.jump_wall(milliseconds);
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Monotonic {
        self.world.now()
    }
}

/// A simulated machine, from switching on to its end.
#[derive(Debug)]
pub struct Sim {
    config: SimConfig,
    world: Rc<World>,
    network: Rc<Network>,
    cores: RefCell<Vec<SimRuntime>>,
    arenas: RefCell<Vec<Arena>>,
    /// Cores whose main task has not ended.
    mains: Rc<RefCell<Vec<CoreId>>>,
    ended: Cell<bool>,
    leaked: Cell<usize>,
}

impl Sim {
    /// Puts the disks in.
    ///
    /// # Panics
    /// When the host has no memory for arenas, or a disk is in another running machine.
    #[must_use]
    pub fn new(config: SimConfig) -> Self {
        assert!(config.cores > 0, "a machine has a core");
        let world = Rc::new(World::new(&config));
        for (slot, disk) in (0..).zip(&config.disks) {
            disk.attach(&world, config.seed, slot);
        }
        if let Some(super::power::CutAt::Time(at)) = config.cut {
            let machine = Rc::downgrade(&world);
            let cut = move || {
                if let Some(world) = machine.upgrade() {
                    world.power.cut();
                }
            };
            world.timeline.plan(at, Action::Run(Box::new(cut)));
        }
        let sim = Self {
            network: Network::new(&world, config.link.clone()),
            world,
            cores: RefCell::default(),
            arenas: RefCell::default(),
            mains: Rc::default(),
            ended: Cell::new(false),
            leaked: Cell::new(0),
            config,
        };
        for _ in 0..sim.config.cores {
            sim.add_core();
        }
        sim
    }

    /// Means to control the run.
    #[must_use]
    pub fn control(&self) -> SimControl {
        SimControl { world: Rc::clone(&self.world) }
    }

    /// Adds a client: a task on a core of its own, outside the machine's cores, that starts with
    /// the run. The run lasts until it ends too. A panic in it fails the run.
    pub fn client<F: Future<Output = ()> + 'static>(&self, client: impl FnOnce(SimRuntime) -> F) {
        let core = self.add_core();
        self.start(&core, client(core.clone()));
    }

    /// Starts `main` on every core and runs until all of them and all clients have ended, or
    /// something else ends the run. A machine runs once.
    pub fn run<F: Future<Output = ()> + 'static>(&self, main: impl Fn(SimRuntime) -> F) -> Outcome {
        self.run_until(main, |_| false)
    }

    /// As [`Sim::run`], and stops as the process would when killed as soon as `stop` says so
    /// between two steps.
    pub fn run_until<F: Future<Output = ()> + 'static>(
        &self,
        main: impl Fn(SimRuntime) -> F,
        stop: impl FnMut(&SimControl) -> bool,
    ) -> Outcome {
        assert!(!self.ended.get(), "a machine runs once: make a new one around the same disks");
        let cores: Vec<SimRuntime> =
            self.cores.borrow().iter().take(usize::from(self.config.cores)).cloned().collect();
        for core in cores {
            let task = main(core.clone());
            self.start(&core, task);
        }
        let outcome = self.turn(stop);
        let loss = if matches!(outcome, Outcome::PowerCut { .. }) { self.config.loss } else { Loss::Process };
        self.end(loss);
        outcome
    }

    /// A hash over every scheduling decision, device operation and network delivery so far.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.world.trace()
    }

    /// Device writes that completed or were cut, over all disks: the moments of
    /// [`CutAt::Write`](super::CutAt::Write).
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.world.power.writes()
    }

    /// Device flushes, likewise.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.world.power.flushes()
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Monotonic {
        self.world.now()
    }

    /// Bytes of buffers that were still held when the run had ended and every task was dropped.
    #[must_use]
    pub fn leaked_bytes(&self) -> usize {
        self.leaked.get()
    }

    fn add_core(&self) -> SimRuntime {
        let mut cores = self.cores.borrow_mut();
        let id = CoreId(u16::try_from(cores.len()).unwrap_or(u16::MAX));
        let mail = Rc::new(Mail::default());
        self.world.mail.borrow_mut().push(Rc::clone(&mail));
        let core = SimRuntime::new(Core {
            id,
            cores: self.config.cores,
            world: Rc::clone(&self.world),
            network: Rc::clone(&self.network),
            mail,
            arena: self.arena(self.config.arena_bytes),
            reserve: self.arena(self.config.reserve_bytes),
            disks: self.config.disks.clone(),
        });
        cores.push(core.clone());
        core
    }

    fn arena(&self, bytes: usize) -> Arena {
        let arena = match arenas::take(bytes) {
            Ok(arena) => arena,
            Err(error) => panic!("no memory for a simulated core: {error}"),
        };
        self.arenas.borrow_mut().push(arena.clone());
        arena
    }

    fn start(&self, core: &SimRuntime, task: impl Future<Output = ()> + 'static) {
        let id = core.core();
        self.mains.borrow_mut().push(id);
        let mains = Rc::clone(&self.mains);
        core.spawn(TaskQueue::Foreground, async move {
            task.await;
            mains.borrow_mut().retain(|main| *main != id);
        });
    }

    fn turn(&self, mut stop: impl FnMut(&SimControl) -> bool) -> Outcome {
        let world = &self.world;
        let control = self.control();
        let poll = u64::try_from(self.config.poll_time.as_nanos()).unwrap_or(u64::MAX);
        let time_max = Monotonic::default().after(self.config.time_max);
        let mut steps = 0u64;
        loop {
            while let Some((number, action)) = world.timeline.take_due() {
                world.note(Mark::Event, number);
                match action {
                    Action::Wake(waker) => waker.wake(),
                    Action::Run(run) => run(),
                }
                if world.power.is_gone() {
                    return Outcome::PowerCut { at: world.now() };
                }
            }
            if self.mains.borrow().is_empty() {
                return Outcome::Finished;
            }
            if world.now() > time_max {
                return Outcome::TimeLimit { mains: self.mains.borrow().clone() };
            }
            let step = world.executor.step(&world.schedule);
            match step {
                Step::Ran(task) => world.note(Mark::Task, task),
                Step::Panicked(message) => return Outcome::Panicked { seed: self.config.seed, message },
                Step::Idle if world.timeline.jump() => continue,
                Step::Idle => {
                    let mains = self.mains.borrow().clone();
                    return Outcome::Deadlock { at: world.now(), tasks: world.executor.waiting(), mains };
                }
            }
            if world.power.is_gone() {
                return Outcome::PowerCut { at: world.now() };
            }
            if stop(&control) {
                return Outcome::Stopped;
            }
            steps += 1;
            if steps > self.config.steps_max {
                return Outcome::StepLimit { at: world.now() };
            }
            world.timeline.pass(poll);
        }
    }

    /// Switches off: what is in flight meets its fate, everything is dropped, memory goes back.
    fn end(&self, loss: Loss) {
        if self.ended.replace(true) {
            return;
        }
        self.world.halt();
        let mut dice = Dice::new(self.config.seed, Purpose::Loss, 0);
        for disk in &self.config.disks {
            disk.crash(loss, &mut dice);
        }
        self.world.executor.stop();
        self.world.timeline.clear();
        self.network.clear();
        self.cores.borrow_mut().clear();
        for arena in self.arenas.borrow_mut().drain(..) {
            self.leaked.set(self.leaked.get() + arenas::give(&arena));
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.end(Loss::Process);
    }
}
