//! A simulated core: what [`Runtime`] promises, with everything drawn from the seed.

use super::disk::{SimDevice, SimDisk};
use super::executor::Yield;
use super::net::{Network, SimListener, SimNet, SimStream};
use super::world::{Mail, Mark, World};
use crate::buffer::Arena;
use crate::runtime::contract::{CoreId, Monotonic, NetError, Runtime, TaskQueue, WallTime};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// Nanoseconds a notification is under way at most.
const NOTIFY_NANOSECONDS_MAX: u64 = 3_000;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) id: CoreId,
    pub(crate) cores: u16,
    pub(crate) world: Rc<World>,
    pub(crate) network: Rc<Network>,
    pub(crate) mail: Rc<Mail>,
    pub(crate) arena: Arena,
    pub(crate) reserve: Arena,
    pub(crate) disks: Vec<SimDisk>,
}

/// A handle on a simulated core.
#[derive(Debug, Clone)]
pub struct SimRuntime {
    core: Rc<Core>,
}

impl SimRuntime {
    pub(crate) fn new(core: Core) -> Self {
        Self { core: Rc::new(core) }
    }

    /// The network, to connect from this core as a client.
    #[must_use]
    pub fn net(&self) -> SimNet {
        // Test networks have few hosts; beyond 255 cores they share an address.
        SimNet::new(&self.core.network, u8::try_from(self.core.id.0 + 1).unwrap_or(u8::MAX))
    }

    pub(crate) fn index(&self) -> usize {
        usize::from(self.core.id.0)
    }
}

impl Runtime for SimRuntime {
    type Device = SimDevice;
    type Listener = SimListener;
    type Stream = SimStream;

    fn core(&self) -> CoreId {
        self.core.id
    }

    fn cores(&self) -> u16 {
        self.core.cores
    }

    fn spawn(&self, queue: TaskQueue, task: impl Future<Output = ()> + 'static) {
        self.core.world.executor.spawn(self.index(), queue, task);
    }

    /// Any panic ends a simulated run.
    fn spawn_vital(&self, queue: TaskQueue, _name: &'static str, task: impl Future<Output = ()> + 'static) {
        self.spawn(queue, task);
    }

    async fn turn(&self) {
        Yield::new(&self.core.world.executor).await;
    }

    async fn sleep(&self, duration: Duration) {
        self.core.world.sleep(duration).await;
    }

    fn now(&self) -> Monotonic {
        self.core.world.now()
    }

    fn wall(&self) -> WallTime {
        self.core.world.wall()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.core.world.identifiers.borrow_mut().fill(bytes);
        self.core.world.note(Mark::Identifier, xxh3_64(bytes));
    }

    fn arena(&self) -> &Arena {
        &self.core.arena
    }

    fn reserve(&self) -> &Arena {
        &self.core.reserve
    }

    fn devices(&self) -> Vec<SimDevice> {
        let present = self.core.disks.iter().filter(|disk| !disk.is_absent());
        present.map(|disk| SimDevice::new(disk, &self.core.world)).collect()
    }

    fn notify(&self, core: CoreId) {
        let world = &self.core.world;
        let mail = world.mail.borrow().get(usize::from(core.0)).cloned();
        let Some(mail) = mail else { return };
        let delay = world.schedule.borrow_mut().below(NOTIFY_NANOSECONDS_MAX);
        world.timeline.run_in(delay, move || {
            mail.waiting.set(true);
            mail.arrived.fire();
        });
    }

    async fn notified(&self) {
        loop {
            let arrived = self.core.mail.arrived.wait();
            if self.core.mail.waiting.take() {
                return;
            }
            arrived.await;
        }
    }

    async fn shutdown(&self) {
        loop {
            let asked = self.core.world.end_asked.wait();
            if self.core.world.ending.get() {
                return;
            }
            asked.await;
        }
    }

    fn listen(&self, address: SocketAddr) -> Result<SimListener, NetError> {
        self.core.network.listen(self.core.id, address)
    }
}
