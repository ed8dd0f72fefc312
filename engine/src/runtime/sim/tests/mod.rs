//! The simulator keeps its own promises: replay, the fault model, the network.

mod faults;
mod network;
mod power;
mod schedule;

use super::{Sim, SimConfig, SimDevice, SimDisk, SimRuntime};
use crate::buffer::Buffer;
use crate::runtime::contract::{Device as _, DeviceError, Durability, Monotonic, Runtime as _};
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

const SECTOR: usize = 4096;
const NEVER: Monotonic = Monotonic(u64::MAX);

fn disk() -> SimDisk {
    SimDisk::flash("disk0", 1 << 40)
}

fn config(seed: u64, disk: &SimDisk) -> SimConfig {
    SimConfig {
        seed,
        disks: vec![disk.clone()],
        arena_bytes: 2 << 20,
        reserve_bytes: 2 << 20,
        ..SimConfig::default()
    }
}

/// Runs `work` on one core and hands back what it returned.
fn boot<T: 'static, F: Future<Output = T> + 'static>(
    config: SimConfig,
    work: impl Fn(SimRuntime) -> F,
) -> (super::Outcome, Option<T>) {
    let result = Rc::new(RefCell::new(None));
    let sim = Sim::new(config);
    let outcome = sim.run(|runtime| {
        let (work, result) = (work(runtime), Rc::clone(&result));
        async move {
            let value = work.await;
            result.borrow_mut().replace(value);
        }
    });
    let value = result.borrow_mut().take();
    (outcome, value)
}

fn filled(runtime: &SimRuntime, sectors: usize, byte: u8) -> Buffer {
    let mut buffer = runtime.arena().try_take(sectors * SECTOR).unwrap();
    buffer.bytes_mut().fill(byte);
    buffer
}

fn only(runtime: &SimRuntime) -> SimDevice {
    runtime.devices().remove(0)
}

async fn write(
    runtime: &SimRuntime,
    offset: u64,
    sectors: usize,
    byte: u8,
    durability: Durability,
) -> Result<(), DeviceError> {
    only(runtime).write(offset, filled(runtime, sectors, byte), sectors * SECTOR, durability).await.0
}

async fn read(runtime: &SimRuntime, offset: u64, sectors: usize) -> Result<Vec<u8>, DeviceError> {
    let buffer = runtime.arena().try_take(sectors * SECTOR).unwrap();
    let (result, buffer) = only(runtime).read(offset, buffer, sectors * SECTOR).await;
    result.map(|()| buffer.bytes()[..sectors * SECTOR].to_vec())
}
