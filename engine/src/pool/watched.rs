//! Devices that are not waited for without end.
//!
//! A device may neither answer nor fail: firmware that hangs, a path that is gone. What is asked of it is given up
//! after a while, as [`DeviceError::Late`], and whoever asked does as if it had failed. Invariants:
//!
//! - Only so many devices are given up as the code survives without, and only while the others answer: they are asked.
//!   When more do not, it is what they have in common (a controller, a host that was paused), and everybody waits on: a
//!   pool that waits is better than one without its devices.
//! - Time in which this process did not run does not count: waiting is counted in ticks ([`super::ticks`]).
//! - What is given up may still happen, at any time. So a device of which a write, a flush or a preparation was given up
//!   is out of service at once, and is written nowhere any more in this mount; none of its segments is used again. A
//!   discard is given up only when the device is out of service for another reason.
//! - A read that is given up condemns a device only if it does not answer another one either: a disk may try for long to
//!   read a bad sector.
//! - A transfer that is given up keeps its buffer until the device lets go of it; whoever asked gets another one, with
//!   the same bytes where they were to be written.

use super::ticks::{Tick, Ticks};
use crate::buffer::Buffer;
use crate::limits::{
    DEVICE_PATIENCE, DEVICE_PATIENCE_SLOW, DEVICE_PATIENCE_STEPS, PREPARED_IN_ONE_PATIENCE, TICK,
};
use crate::number::to_usize;
use crate::runtime::{Device, DeviceError, DeviceInfo, Durability, Runtime, TaskQueue};
use ashlar_disk_format::constants::WRITE_UNIT;
use futures_util::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

/// What is called with a device that was given up.
pub(super) type Report = Box<dyn Fn(u16)>;

/// What one core knows of transfers that do not end.
pub(super) struct Watch<R: Runtime> {
    /// How long is waited; `None` is what suits the device.
    patience: Cell<Option<Duration>>,
    ticks: Rc<Ticks<R>>,
    /// So many devices may be given up, or be missed for another reason.
    losses_max: usize,
    /// Devices that are missed since the start.
    missing: Cell<usize>,
    devices: RefCell<BTreeMap<u16, R::Device>>,
    /// Devices with transfers that were to be done by now, and how many.
    overdue: RefCell<BTreeMap<u16, usize>>,
    /// Devices that were asked whether they answer, and have not yet.
    asked: RefCell<BTreeSet<u16>>,
    /// Of these, those that were to have answered by now.
    silent: RefCell<BTreeSet<u16>>,
    /// Devices out of service.
    out: RefCell<BTreeSet<u16>>,
    /// Of these, or of those that are missing, the ones that are not missed any more.
    forgotten: RefCell<BTreeSet<u16>>,
    /// Tells the owner of a device that was given up.
    report: RefCell<Option<Report>>,
    /// Of those that were given up before there was an owner.
    unreported: RefCell<Vec<u16>>,
}

impl<R: Runtime> Watch<R> {
    /// Gives up at most `losses_max` devices, less those that are `missing` already.
    pub(super) fn new(runtime: R, losses_max: usize, missing: usize) -> Rc<Self> {
        Rc::new(Self {
            patience: Cell::new(None),
            ticks: Ticks::new(runtime),
            losses_max,
            missing: Cell::new(missing),
            devices: RefCell::default(),
            overdue: RefCell::default(),
            asked: RefCell::default(),
            silent: RefCell::default(),
            out: RefCell::default(),
            forgotten: RefCell::default(),
            report: RefCell::default(),
            unreported: RefCell::default(),
        })
    }

    /// Resolves when a transfer that begins now has taken so long.
    pub(super) fn after(&self, duration: Duration) -> Tick<R> {
        self.ticks.after(duration)
    }

    /// How long is waited for any device; `None` is what suits each.
    pub(super) fn wait_for(&self, patience: Option<Duration>) {
        self.patience.set(patience);
    }

    /// A device is out of service.
    pub(super) fn leave(&self, number: u16) {
        self.out.borrow_mut().insert(number);
    }

    /// A device out of service is not missed any more: what was on it is elsewhere.
    pub(super) fn forget(&self, number: u16) {
        let is_new = self.forgotten.borrow_mut().insert(number);
        if is_new && !self.is_out(number) {
            self.missing.set(self.missing.get().saturating_sub(1));
        }
    }

    /// Has the owner told of devices that are given up, also of those that were already.
    pub(super) fn report_to(&self, report: Report) {
        self.unreported.take().into_iter().for_each(&report);
        *self.report.borrow_mut() = Some(report);
    }

    /// The device is out of service.
    pub(super) fn is_out(&self, number: u16) -> bool {
        self.out.borrow().contains(&number)
    }

    fn give_up(&self, number: u16) {
        if self.is_out(number) {
            return;
        }
        self.leave(number);
        match &*self.report.borrow() {
            Some(report) => report(number),
            None => self.unreported.borrow_mut().push(number),
        }
    }

    /// Whether the code survives without this device, and all that are overdue or out of service.
    fn may_give_up(&self, number: u16) -> bool {
        let out = self.out.borrow();
        let overdue = self.overdue.borrow();
        let late = overdue.keys().filter(|late| !out.contains(late)).count();
        let missed = self.missing.get() + out.difference(&self.forgotten.borrow()).count();
        out.contains(&number) || late + missed <= self.losses_max
    }

    /// It did not answer when it was asked, and has not since.
    fn is_silent(&self, number: u16) -> bool {
        self.silent.borrow().contains(&number)
    }

    /// Asks every device in service for something. Those that have not answered after `grace` are silent and overdue until
    /// they do. False when there is no memory to ask with.
    fn ask_all(self: &Rc<Self>, runtime: &R, grace: Duration) -> bool {
        for (number, device) in &*self.devices.borrow() {
            if self.is_out(*number) || self.asked.borrow().contains(number) {
                continue;
            }
            let unit = to_usize(u64::from(WRITE_UNIT));
            let Some(buffer) =
                runtime.reserve().take_first(unit).or_else(|| runtime.arena().take_first(unit))
            else {
                return false;
            };
            self.asked.borrow_mut().insert(*number);
            let (watch, number, device) = (Rc::clone(self), *number, device.clone());
            runtime.spawn(TaskQueue::Foreground, async move {
                let mut answer = pin!(device.read(0, buffer, unit));
                // An error is an answer.
                if let Either::Right(_) = select(answer.as_mut(), watch.ticks.after(grace)).await {
                    let _overdue = Overdue::enter(&watch, number);
                    watch.silent.borrow_mut().insert(number);
                    let _answer = answer.await;
                    watch.silent.borrow_mut().remove(&number);
                }
                watch.asked.borrow_mut().remove(&number);
            });
        }
        true
    }
}

/// A transfer that was to be done by now.
struct Overdue<'w, R: Runtime>(&'w Watch<R>, u16);

impl<'w, R: Runtime> Overdue<'w, R> {
    fn enter(watch: &'w Watch<R>, number: u16) -> Self {
        *watch.overdue.borrow_mut().entry(number).or_default() += 1;
        Self(watch, number)
    }
}

impl<R: Runtime> Drop for Overdue<'_, R> {
    fn drop(&mut self) {
        let mut overdue = self.0.overdue.borrow_mut();
        if let Some(count) = overdue.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                overdue.remove(&self.1);
            }
        }
    }
}

/// See the module.
pub(crate) struct Watched<R: Runtime> {
    runtime: R,
    device: R::Device,
    number: u16,
    watch: Rc<Watch<R>>,
}

impl<R: Runtime> Clone for Watched<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            device: self.device.clone(),
            number: self.number,
            watch: Rc::clone(&self.watch),
        }
    }
}

impl<R: Runtime> std::fmt::Debug for Watched<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<R: Runtime> Watched<R> {
    /// `number` tells the devices of one watch apart.
    pub(super) fn new(runtime: R, device: R::Device, number: u16, watch: Rc<Watch<R>>) -> Self {
        watch.devices.borrow_mut().insert(number, device.clone());
        Self { runtime, device, number, watch }
    }

    /// The device itself, for a transfer that somebody else sees to.
    pub(crate) fn unwatched(&self) -> &R::Device {
        &self.device
    }

    fn patience(&self) -> Duration {
        let info = self.device.info();
        let own = if info.rotational || info.is_file { DEVICE_PATIENCE_SLOW } else { DEVICE_PATIENCE };
        self.watch.patience.get().unwrap_or(own)
    }

    /// What comes of a read; `None` when it was given up.
    pub(crate) async fn patiently<F: Future>(&self, read: Pin<&mut F>) -> Option<F::Output> {
        let done = self.within(self.patience(), read).await;
        if done.is_none() && self.watch.is_silent(self.number) {
            self.watch.give_up(self.number);
        }
        done
    }

    /// What comes of a transfer that changes something; `None` when it was given up, and the device with it.
    async fn change<F: Future>(&self, patience: Duration, change: Pin<&mut F>) -> Option<F::Output> {
        let done = self.within(patience, change).await;
        if done.is_none() {
            self.watch.give_up(self.number);
        }
        done
    }

    async fn within<F: Future>(&self, patience: Duration, transfer: Pin<&mut F>) -> Option<F::Output> {
        let mut transfer = transfer;
        let step = patience.div_f64(f64::from(DEVICE_PATIENCE_STEPS));
        let mut steps = 0;
        let mut overdue = None;
        let mut asked_at = None;
        loop {
            if let Either::Left((done, _)) = select(transfer.as_mut(), self.watch.ticks.after(step)).await {
                return Some(done);
            }
            steps += 1;
            if self.watch.is_out(self.number) {
                return None;
            }
            if steps < DEVICE_PATIENCE_STEPS {
                continue;
            }
            overdue.get_or_insert_with(|| Overdue::enter(&self.watch, self.number));
            let is_fresh = asked_at.is_some_and(|at| steps - at < DEVICE_PATIENCE_STEPS);
            if !is_fresh {
                asked_at = self.watch.ask_all(&self.runtime, step).then_some(steps);
            }
            // They had one step to answer, and the next to be noted.
            if asked_at.is_some_and(|at| steps >= at + 2) && self.watch.may_give_up(self.number) {
                return None;
            }
        }
    }

    /// A buffer like one that the device did not give back, which was one of the reserve or not. Half of the reserve is
    /// left to those who have theirs and go on with it, so that they end and give it back.
    pub(crate) async fn another(&self, capacity: usize, is_of_reserve: bool) -> Buffer {
        let (arena, reserve) = (self.runtime.arena(), self.runtime.reserve());
        loop {
            let is_ample = is_of_reserve || reserve.available() > reserve.capacity() >> 1;
            let taken = if is_ample { reserve.take_first(capacity) } else { None };
            if let Some(buffer) = taken.or_else(|| arena.take_first(capacity)) {
                return buffer;
            }
            self.watch.ticks.after(TICK).await;
        }
    }
}

impl<R: Runtime> Device for Watched<R> {
    fn info(&self) -> &DeviceInfo {
        self.device.info()
    }

    async fn read(&self, offset: u64, buffer: Buffer, length: usize) -> (Result<(), DeviceError>, Buffer) {
        let (capacity, is_of_reserve) = (buffer.capacity(), self.runtime.reserve().owns(&buffer));
        match self.patiently(pin!(self.device.read(offset, buffer, length))).await {
            Some(done) => done,
            None => (Err(DeviceError::Late), self.another(capacity, is_of_reserve).await),
        }
    }

    async fn write(
        &self,
        offset: u64,
        buffer: Buffer,
        length: usize,
        durability: Durability,
    ) -> (Result<(), DeviceError>, Buffer) {
        let (capacity, is_of_reserve) = (buffer.capacity(), self.runtime.reserve().owns(&buffer));
        let bytes = buffer.share();
        let writing = pin!(self.device.write(offset, buffer, length, durability));
        if let Some(done) = self.change(self.patience(), writing).await {
            return done;
        }
        let mut copy = self.another(capacity, is_of_reserve).await;
        copy.bytes_mut()[..length].copy_from_slice(&bytes.bytes()[..length]);
        (Err(DeviceError::Late), copy)
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        let flushing = pin!(self.device.flush());
        self.change(self.patience(), flushing).await.unwrap_or(Err(DeviceError::Late))
    }

    async fn prepare(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let times = u32::try_from(length.div_ceil(PREPARED_IN_ONE_PATIENCE)).unwrap_or(u32::MAX).max(1);
        let preparing = pin!(self.device.prepare(offset, length));
        let patience = self.patience().saturating_mul(times);
        self.change(patience, preparing).await.unwrap_or(Err(DeviceError::Late))
    }

    async fn discard(&self, offset: u64, length: u64) {
        let mut discarding = pin!(self.device.discard(offset, length));
        // Behind it the range is written again, so it must have ended, or nothing be written there any more.
        while let Either::Right(_) =
            select(discarding.as_mut(), self.watch.ticks.after(self.patience())).await
        {
            if self.watch.is_out(self.number) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::sim::{Sim, SimConfig, SimDisk, SimRuntime};

    #[test]
    fn no_more_are_given_up_than_the_code_survives_without() {
        let run = Sim::new(SimConfig::default()).run(|runtime| async move {
            let watch = Watch::new(runtime, 2, 0);
            let _first = Overdue::enter(&watch, 1);
            let _again = Overdue::enter(&watch, 1);
            let second = Overdue::enter(&watch, 2);
            assert!(watch.may_give_up(1) && watch.may_give_up(2));
            let third = Overdue::enter(&watch, 3);
            assert!(!watch.may_give_up(1), "what three have in common is no device");
            drop(second);
            assert!(watch.may_give_up(1) && watch.may_give_up(3));
            watch.leave(1);
            assert!(watch.may_give_up(3), "one that is overdue and out of service is one");
            watch.leave(5);
            assert!(!watch.may_give_up(3));
            assert!(watch.may_give_up(5), "out of service already");
            watch.forget(5);
            watch.forget(5);
            assert!(watch.may_give_up(3), "one that is not missed does not count");
            drop(third);
        });
        run.assert_finished();
    }

    #[test]
    fn what_was_missing_at_the_start_counts_until_it_is_forgotten() {
        let run = Sim::new(SimConfig::default()).run(|runtime| async move {
            let watch = Watch::new(runtime, 2, 2);
            let _late = Overdue::enter(&watch, 1);
            assert!(!watch.may_give_up(1));
            watch.forget(7);
            watch.forget(7);
            assert!(watch.may_give_up(1));
            let _other = Overdue::enter(&watch, 2);
            assert!(!watch.may_give_up(1), "it was forgotten once");
        });
        run.assert_finished();
    }

    /// One disk that hangs, watched.
    async fn with_hung<F: Future<Output = ()>>(
        runtime: SimRuntime,
        disk: SimDisk,
        work: impl FnOnce(SimRuntime, Watched<SimRuntime>, Rc<Watch<SimRuntime>>) -> F,
    ) {
        disk.set_hung(true);
        let watch = Watch::new(runtime.clone(), 1, 0);
        let Some(device) = runtime.devices().into_iter().next() else { panic!("there is one") };
        let watched = Watched::new(runtime.clone(), device, 0, Rc::clone(&watch));
        work(runtime, watched, watch).await;
    }

    #[test]
    fn a_discard_is_waited_for_as_long_as_the_device_is_in_service() {
        let disk = SimDisk::flash("d", 1 << 20);
        let config = SimConfig { disks: vec![disk.clone()], ..SimConfig::default() };
        let run = Sim::new(config).run(move |runtime| {
            with_hung(runtime, disk.clone(), |runtime, watched, watch| async move {
                let mut discarding = pin!(watched.discard(0, 1 << 20));
                let long = pin!(runtime.sleep(20 * DEVICE_PATIENCE));
                assert!(matches!(select(discarding.as_mut(), long).await, Either::Right(_)));
                assert!(!watch.is_out(0));
                watch.leave(0);
                discarding.await;
            })
        });
        run.assert_finished();
    }

    #[test]
    fn whoever_gives_up_a_write_has_its_bytes_and_the_device_is_out() {
        let disk = SimDisk::flash("d", 1 << 20);
        let config = SimConfig { disks: vec![disk.clone()], ..SimConfig::default() };
        let run = Sim::new(config).run(move |runtime| {
            with_hung(runtime, disk.clone(), |runtime, watched, watch| async move {
                let mut buffer = runtime.reserve().take(4096).await.unwrap();
                buffer.bytes_mut().fill(7);
                let (result, buffer) = watched.write(0, buffer, 4096, Durability::Durable).await;
                assert_eq!(result, Err(DeviceError::Late));
                assert!(buffer.bytes()[..4096].iter().all(|byte| *byte == 7));
                assert!(watch.is_out(0));
                let told = Rc::new(RefCell::new(Vec::new()));
                let list = Rc::clone(&told);
                watch.report_to(Box::new(move |number| list.borrow_mut().push(number)));
                assert_eq!(*told.borrow(), [0], "also of what was before");
                watch.give_up(0);
                assert_eq!(*told.borrow(), [0], "once");
            })
        });
        run.assert_finished();
    }
}
