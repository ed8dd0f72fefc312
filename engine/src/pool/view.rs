//! What one core knows of the pool: device handles, groups it has met, codecs, its space ledger.

use super::ledger::Ledger;
use super::link::{OpenedGroup, PoolLink, PoolReply, PoolRequest, Purpose};
use super::pace::{Pace, is_write_late, late_after, least_late};
use super::pins::Pins;
use super::room::RoomWatch;
use super::watched::{Watch, Watched};
use crate::cache::BlockCache;
use crate::error::EngineError;
use crate::limits::{HEDGES_MAX, LATE_MIN, LATE_RECKONED_EVERY, REPORT_PAUSE, REPORTS_MAX};
use crate::runtime::{Device, DeviceError, Monotonic, Runtime, TaskQueue};
use crate::stripe::{Codec, Family};
use crate::sync::{Epochs, Limit, Permit};
use ashlar_disk_format::code::{CodeFamily, CodeShape};
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::layout::DeviceLayout;
use ashlar_disk_format::units::{
    DeviceIndex, Epoch, Generation, GroupId, LogId, PoolId, RowOffset, SegmentIndex,
};
use futures_util::FutureExt as _;
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

struct Slot<R: Runtime> {
    device: Watched<R>,
    layout: DeviceLayout,
    pace: Pace,
}

/// What use is made of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceUse {
    /// As of all.
    Usual,
    /// It answers much later than others, so these are asked first, and groups are opened elsewhere.
    Last,
    /// It is out of service.
    Never,
    /// It is out of service, and nothing is on it any more.
    Forgotten,
}

/// The identity of a pool and of this mount of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolFacts {
    pub(crate) pool: PoolId,
    pub(crate) epoch: Epoch,
    pub(crate) shape: CodeShape,
    pub(crate) segment_bytes: u64,
    /// Devices that were not there at the start, of those that groups may lie on.
    pub(crate) missing: u16,
}

/// See the module.
pub(crate) struct PoolView<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) facts: PoolFacts,
    pub(crate) ledger: Ledger,
    /// Row writes and repairs under way: segments are reused only after those before have ended, also
    /// when whoever asked for them is gone.
    pub(crate) writes: Epochs,
    /// Rows that wait for a group, or are written: the end waits for them.
    pub(crate) appends: Epochs,
    /// Groups with rows that no record names yet.
    pub(crate) pins: Pins,
    /// How much room there is.
    pub(crate) room: RoomWatch,
    slots: BTreeMap<DeviceIndex, Slot<R>>,
    watch: Rc<Watch<R>>,
    /// From when on a read is late, for flash, and after how many reads that is computed anew.
    late_after: Cell<(Duration, u32)>,
    hedges: Limit,
    groups: RefCell<BTreeMap<GroupId, Rc<GroupDescriptor>>>,
    codecs: RefCell<Vec<(CodeShape, Rc<Codec>)>>,
    link: RefCell<Option<Rc<dyn PoolLink>>>,
    repaired: Cell<u64>,
    pub(crate) blocks: BlockCache,
}

impl<R: Runtime> std::fmt::Debug for PoolView<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolView").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl<R: Runtime> PoolView<R> {
    /// A view over the devices that are in service.
    pub(crate) fn new(
        runtime: R,
        facts: PoolFacts,
        devices: Vec<(DeviceIndex, R::Device, DeviceLayout)>,
    ) -> Self {
        let watch = Watch::new(runtime.clone(), usize::from(facts.shape.m), usize::from(facts.missing));
        let slot = |(index, device, layout): (DeviceIndex, R::Device, DeviceLayout)| {
            let device = Watched::new(runtime.clone(), device, index.0, Rc::clone(&watch));
            (index, Slot { device, layout, pace: Pace::default() })
        };
        let slots = devices.into_iter().map(slot).collect();
        Self {
            runtime,
            facts,
            ledger: Ledger::default(),
            writes: Epochs::default(),
            appends: Epochs::default(),
            pins: Pins::default(),
            room: RoomWatch::default(),
            slots,
            watch,
            late_after: Cell::default(),
            hedges: Limit::new(HEDGES_MAX),
            groups: RefCell::default(),
            codecs: RefCell::default(),
            link: RefCell::new(None),
            repaired: Cell::new(0),
            blocks: BlockCache::none(),
        }
    }

    /// The same view, keeping what was read: pages of the index and small bodies in at most `bytes` of the heap, larger
    /// bodies in the arena.
    pub(crate) fn with_block_cache(self, bytes: usize) -> Self {
        Self { blocks: BlockCache::new(bytes, self.runtime.arena()), ..self }
    }

    /// Waits so long for any device; `None` is what suits each.
    pub(crate) fn wait_for_devices(&self, patience: Option<Duration>) {
        self.watch.wait_for(patience);
    }

    /// Connects the view with the pool's owner; once, before the first write.
    pub(crate) fn connect(&self, link: Rc<dyn PoolLink>) {
        *self.link.borrow_mut() = Some(Rc::clone(&link));
        let runtime = self.runtime.clone();
        self.watch.report_to(Box::new(move |number| {
            let (link, device) = (Rc::clone(&link), DeviceIndex(number));
            let own = runtime.clone();
            runtime.spawn(TaskQueue::Foreground, async move {
                let error = DeviceError::Late;
                for _ in 0..REPORTS_MAX {
                    if link.ask(PoolRequest::Failed { device, error }).await.is_ok() {
                        return;
                    }
                    // There is no owner yet, or none any more.
                    own.sleep(REPORT_PAUSE).await;
                }
            });
        }));
    }

    /// Asks the pool's owner.
    pub(crate) async fn ask(&self, request: PoolRequest) -> Result<PoolReply, EngineError> {
        let link = self.link.borrow().clone();
        let Some(link) = link else { return Err(EngineError::Closing) };
        link.ask(request).await
    }

    /// The device, when it is in service.
    pub(crate) fn device(&self, index: DeviceIndex) -> Option<&Watched<R>> {
        self.slots.get(&index).filter(|_| !self.watch.is_out(index.0)).map(|slot| &slot.device)
    }

    /// One of the group's devices is out of service, or slow.
    pub(crate) fn is_to_be_left(&self, group: &GroupDescriptor) -> bool {
        let is_bad = |device| self.device(device).is_none() || self.is_slow(device);
        group.members.iter().any(|member| is_bad(member.device))
    }

    /// Every device in service.
    pub(crate) fn in_service(&self) -> impl Iterator<Item = (DeviceIndex, &Watched<R>, &DeviceLayout)> {
        self.slots
            .iter()
            .filter(|(index, _)| !self.watch.is_out(index.0))
            .map(|(index, slot)| (*index, &slot.device, &slot.layout))
    }

    /// Takes a device out of service on this core.
    pub(crate) fn fence(&self, index: DeviceIndex) {
        self.watch.leave(index.0);
    }

    /// Byte address of a row's chunk on its device; `None` for a device that this pool lacks now.
    pub(crate) fn chunk_offset(
        &self,
        device: DeviceIndex,
        segment: SegmentIndex,
        row: RowOffset,
    ) -> Option<u64> {
        let slot = self.slots.get(&device)?;
        // A device that came back smaller than it was lacks its last segments.
        (segment.0 < slot.layout.segment_count()).then(|| slot.layout.chunk_offset(segment, row))
    }

    /// The codec of a shape, built once.
    pub(crate) fn codec(&self, shape: CodeShape) -> Rc<Codec> {
        let mut codecs = self.codecs.borrow_mut();
        if let Some((_, codec)) = codecs.iter().find(|(known, _)| *known == shape) {
            return Rc::clone(codec);
        }
        let family = match shape.family {
            CodeFamily::Copies => Family::Copies,
            CodeFamily::Xor => Family::Xor,
            CodeFamily::Gf8 => Family::Gf8,
            CodeFamily::Gf16 => Family::Gf16,
        };
        let Ok(codec) = Codec::new(family, usize::from(shape.k), usize::from(shape.m)) else {
            panic!("a checked shape {shape} has a codec")
        };
        let codec = Rc::new(codec);
        codecs.push((shape, Rc::clone(&codec)));
        codec
    }

    /// Remembers a group.
    pub(crate) fn learn(&self, descriptor: Rc<GroupDescriptor>) {
        self.groups.borrow_mut().insert(descriptor.group, descriptor);
    }

    /// Forgets groups whose segments were taken back.
    pub(crate) fn forget(&self, groups: &[GroupId]) {
        let mut known = self.groups.borrow_mut();
        for group in groups {
            known.remove(group);
        }
    }

    /// The members of a group, if they are known here.
    pub(crate) fn known_group(&self, group: GroupId, generation: Generation) -> Option<Rc<GroupDescriptor>> {
        self.groups.borrow().get(&group).filter(|known| known.generation == generation).cloned()
    }

    /// The members of a group, asked for once.
    ///
    /// # Errors
    /// [`EngineError::UnknownGroup`] when the pool has no such group of that generation.
    pub(crate) async fn group(
        &self,
        group: GroupId,
        generation: Generation,
    ) -> Result<Rc<GroupDescriptor>, EngineError> {
        if let Some(known) = self.known_group(group, generation) {
            return Ok(known);
        }
        let reply = self.ask(PoolRequest::Describe { group }).await?;
        if let PoolReply::Described(Some(descriptor)) = reply
            && descriptor.generation == generation
        {
            let descriptor = Rc::new(descriptor);
            self.learn(Rc::clone(&descriptor));
            return Ok(descriptor);
        }
        Err(EngineError::UnknownGroup { group, generation })
    }

    /// Tells the owner of a failure and stops using the device here at once.
    pub(crate) async fn report_failure(&self, device: DeviceIndex, error: DeviceError) {
        self.fence(device);
        // The owner may be shutting down; the device is fenced here in any case.
        let _reported = self.ask(PoolRequest::Failed { device, error }).await;
    }

    /// What is read is asked of others first.
    pub(crate) fn is_slow(&self, index: DeviceIndex) -> bool {
        self.slots.get(&index).is_some_and(|slot| slot.pace.is_slow())
    }

    /// The owner says what use is to be made of a device.
    pub(crate) fn make_use(&self, index: DeviceIndex, how: DeviceUse) {
        match how {
            DeviceUse::Usual | DeviceUse::Last => {
                if let Some(slot) = self.slots.get(&index) {
                    slot.pace.set_slow(how == DeviceUse::Last);
                }
            }
            DeviceUse::Never => self.fence(index),
            DeviceUse::Forgotten => self.watch.forget(index.0),
        }
    }

    /// Resolves when a read of this device that begins now is late.
    pub(crate) fn late(&self, device: &Watched<R>) -> impl Future<Output = ()> + Unpin + use<R> {
        self.watch.after(self.late_after(device))
    }

    /// From when on a read of this device is late.
    pub(crate) fn late_after(&self, device: &Watched<R>) -> Duration {
        let least = least_late(device.info());
        let (late, left) = self.late_after.get();
        if let Some(left) = left.checked_sub(1) {
            self.late_after.set((late, left));
            return late.max(least);
        }
        let means = self.slots.values().map(|slot| slot.pace.mean()).filter(|mean| *mean > 0);
        let late = late_after(&mut means.collect::<SmallVec<[u64; 64]>>(), LATE_MIN);
        self.late_after.set((late, LATE_RECKONED_EVERY));
        late.max(least)
    }

    /// A read took so long, and was not late.
    pub(crate) fn read_took(&self, index: DeviceIndex, time: Duration) {
        if let Some(slot) = self.slots.get(&index) {
            slot.pace.read_took(time);
        }
    }

    /// A late read took so long after all.
    pub(crate) fn late_read_took(&self, index: DeviceIndex, time: Duration) {
        if let Some(slot) = self.slots.get(&index) {
            slot.pace.late_read_took(time);
            // All of them may have grown slow.
            self.late_after.set((self.late_after.get().0, 0));
        }
    }

    /// A read is late: what it was to bring may be computed instead, if that is not done for too many already.
    pub(crate) fn read_is_late(self: &Rc<Self>, index: DeviceIndex, begun: Monotonic) -> Option<Permit> {
        let now = self.runtime.now();
        if self.slots.get(&index).is_some_and(|slot| slot.pace.read_is_late(begun, now)) {
            self.report_slow(index);
        }
        self.may_compute()
    }

    /// One more may compute what others are slow to read.
    pub(crate) fn may_compute(&self) -> Option<Permit> {
        self.hedges.enter().now_or_never()
    }

    /// The writes of one row took so long each.
    pub(crate) fn row_took(self: &Rc<Self>, begun: Monotonic, times: &[(DeviceIndex, Duration)]) {
        let Some((index, longest)) = times.iter().max_by_key(|(_, time)| *time) else { return };
        let now = self.runtime.now();
        if *longest < LATE_MIN {
            // Nearly always.
            times.iter().for_each(|(index, _)| _ = self.write_was(*index, false, (begun, now)));
            return;
        }
        let mut all: SmallVec<[Duration; 64]> = times.iter().map(|(_, time)| *time).collect();
        let least = self.device(*index).map_or(LATE_MIN, |device| least_late(device.info()));
        let is_late = is_write_late(*longest, &mut all, least);
        for (other, _) in times {
            if self.write_was(*other, is_late && other == index, (begun, now)) {
                self.report_slow(*other);
            }
        }
    }

    /// A write that began and ended then was late or not. True when the device is to be called slow.
    fn write_was(&self, index: DeviceIndex, is_late: bool, (begun, now): (Monotonic, Monotonic)) -> bool {
        self.slots.get(&index).is_some_and(|slot| slot.pace.write_was(is_late, begun, now))
    }

    /// Tells the owner that a device is slow, in a task of its own: nobody waits for that.
    fn report_slow(self: &Rc<Self>, device: DeviceIndex) {
        let view = Rc::clone(self);
        self.runtime.spawn(TaskQueue::Background, async move {
            // The owner may be closing.
            let _reported = view.ask(PoolRequest::Slow { device }).await;
        });
    }

    /// Tells the owner that a checkpoint is due.
    pub(crate) async fn request_checkpoint(&self) {
        // The owner may be closing; then it makes its last checkpoint anyway.
        let _asked = self.ask(PoolRequest::Due).await;
    }

    /// Asks for a group to append to, prepared and with its segment headers durable.
    ///
    /// # Errors
    /// As the owner answers: full, read-only, closing.
    pub(crate) async fn open_group(&self, purpose: Purpose, log: LogId) -> Result<OpenedGroup, EngineError> {
        let reply = self.ask(PoolRequest::Open { purpose, log }).await?;
        let PoolReply::Opened { descriptor, tail, unprepared } = reply else {
            return Err(EngineError::Closing);
        };
        let descriptor = Rc::new(descriptor);
        self.learn(Rc::clone(&descriptor));
        Ok(OpenedGroup { descriptor, tail, unprepared })
    }

    /// Chunks written back after they were found missing or bad.
    pub(crate) fn repaired(&self) -> u64 {
        self.repaired.get()
    }

    pub(crate) fn count_repair(&self) {
        self.repaired.set(self.repaired.get() + 1);
    }
}
