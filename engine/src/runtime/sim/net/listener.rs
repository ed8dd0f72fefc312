//! Who listens where, and how connections come about.

use super::link::Link;
use super::plan::LinkPlan;
use super::stream::SimStream;
use crate::runtime::contract::{CoreId, Listener, NetError};
use crate::runtime::sim::world::{Mark, World};
use crate::sync::{Event, answer};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

const EADDRINUSE: i32 = 98;
const ECONNREFUSED: i32 = 111;
/// Ports that are handed out, to clients and to who listens on port 0.
const PORTS_FROM: u16 = 32_768;

#[derive(Debug)]
struct Door {
    core: CoreId,
    waiting: RefCell<VecDeque<SimStream>>,
    arrived: Event,
}

/// All listeners of the machine.
#[derive(Debug)]
pub(crate) struct Network {
    world: Rc<World>,
    plan: LinkPlan,
    doors: RefCell<BTreeMap<SocketAddr, Vec<Rc<Door>>>>,
    next_port: Cell<u16>,
}

impl Network {
    pub(crate) fn new(world: &Rc<World>, plan: LinkPlan) -> Rc<Self> {
        let next_port = Cell::new(PORTS_FROM);
        Rc::new(Self { world: Rc::clone(world), plan, doors: RefCell::default(), next_port })
    }

    fn take_port(&self) -> u16 {
        let port = self.next_port.get();
        self.next_port.set(port.checked_add(1).unwrap_or(PORTS_FROM));
        port
    }

    pub(crate) fn listen(
        self: &Rc<Self>,
        core: CoreId,
        address: SocketAddr,
    ) -> Result<SimListener, NetError> {
        let mut address = address;
        if address.port() == 0 {
            address.set_port(self.take_port());
        }
        let mut doors = self.doors.borrow_mut();
        let here = doors.entry(address).or_default();
        if here.iter().any(|door| door.core == core) {
            return Err(NetError::Io { errno: EADDRINUSE });
        }
        let door = Rc::new(Door { core, waiting: RefCell::default(), arrived: Event::new() });
        here.push(Rc::clone(&door));
        Ok(SimListener { network: Rc::clone(self), door, address })
    }

    /// Forgets every listener: the machine is off.
    pub(crate) fn clear(&self) {
        let doors = std::mem::take(&mut *self.doors.borrow_mut());
        for door in doors.into_values().flatten() {
            let waiting = std::mem::take(&mut *door.waiting.borrow_mut());
            drop(waiting);
        }
    }

    fn knock(&self, address: SocketAddr, from: SocketAddr, plan: LinkPlan) -> Result<SimStream, NetError> {
        let doors = self.doors.borrow();
        let here = doors.get(&address).map(Vec::as_slice).unwrap_or_default();
        if here.is_empty() {
            return Err(NetError::Io { errno: ECONNREFUSED });
        }
        // As the kernel spreads connections over the sockets that share a port.
        let chosen = self.world.network.borrow_mut().index(here.len());
        let link = Link::new(&self.world, plan);
        here[chosen].waiting.borrow_mut().push_back(SimStream::new(Rc::clone(&link), 1, from));
        here[chosen].arrived.fire();
        self.world.note(Mark::Network, u64::from(from.port()));
        Ok(SimStream::new(link, 0, address))
    }
}

/// A listening socket of one core.
#[derive(Debug)]
pub struct SimListener {
    network: Rc<Network>,
    door: Rc<Door>,
    address: SocketAddr,
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&self) -> Result<SimStream, NetError> {
        loop {
            let arrived = self.door.arrived.wait();
            let next = self.door.waiting.borrow_mut().pop_front();
            if let Some(stream) = next {
                return Ok(stream);
            }
            arrived.await;
        }
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        if let Some(here) = self.network.doors.borrow_mut().get_mut(&self.address) {
            here.retain(|door| !Rc::ptr_eq(door, &self.door));
        }
        let waiting = std::mem::take(&mut *self.door.waiting.borrow_mut());
        drop(waiting);
    }
}

/// The side of the network from which clients connect.
#[derive(Debug, Clone)]
pub struct SimNet {
    network: Rc<Network>,
    host: u8,
}

impl SimNet {
    pub(crate) fn new(network: &Rc<Network>, host: u8) -> Self {
        Self { network: Rc::clone(network), host }
    }

    /// Connects, with the behaviour of the run's configuration.
    ///
    /// # Errors
    /// ECONNREFUSED when nobody listens there.
    pub async fn connect(&self, address: SocketAddr) -> Result<SimStream, NetError> {
        self.connect_with(address, self.network.plan.clone()).await
    }

    /// Connects with a behaviour of its own.
    ///
    /// # Errors
    /// ECONNREFUSED when nobody listens there.
    pub async fn connect_with(&self, address: SocketAddr, plan: LinkPlan) -> Result<SimStream, NetError> {
        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, self.host)), self.network.take_port());
        let delay = self.network.world.network.borrow_mut().between(*plan.delay.start(), *plan.delay.end());
        let (to, result) = answer();
        let network = Rc::clone(&self.network);
        self.network.world.timeline.run_in(delay, move || to.send(network.knock(address, from, plan)));
        match result.await {
            Some(result) => result,
            None => std::future::pending().await,
        }
    }
}
