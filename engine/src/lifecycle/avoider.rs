//! Devices that answer much later than others: reads and new groups avoid them until they are quick again.
//!
//! Any core finds out, by its own reads and writes; core 0 decides, tells all cores, and has every core leave the
//! groups that lie there, if others can carry groups as wide. It then looks at the device from time to time. A device
//! that does not answer a look at all is taken out of service.

use super::coordinator::Coordinator;
use crate::limits::{SLOW_LOOK_PAUSE, SLOW_LOOKS_GOOD};
use crate::number::to_usize;
use crate::pool::DeviceUse;
use crate::runtime::{Device, DeviceError, Runtime, TaskQueue};
use crate::shard::Request;
use ashlar_disk_format::constants::WRITE_UNIT;
use ashlar_disk_format::units::DeviceIndex;
use std::rc::Rc;

impl<R: Runtime> Coordinator<R> {
    /// A core found the device slow. Does nothing when it is avoided already, or when the pool cannot do without it.
    pub(super) fn avoid(self: &Rc<Self>, device: DeviceIndex) {
        if !self.owner.set_slow(device, true) {
            return;
        }
        let coordinator = Rc::clone(self);
        self.view.runtime.spawn(TaskQueue::Background, async move {
            let told = coordinator.everywhere(|| Request::Use(device, DeviceUse::Last)).await;
            if told.is_err() {
                return;
            }
            if coordinator.owner.is_carried_by_quick() {
                // Rows that are under way there end when they end; a full pool has no other group.
                let _left = coordinator.everywhere(|| Request::LeaveLost).await;
            }
            coordinator.watch_slow(device).await;
        });
    }

    /// Until the device is quick again, out of service, or the engine closes.
    async fn watch_slow(self: &Rc<Self>, device: DeviceIndex) {
        let mut good = 0;
        while good < SLOW_LOOKS_GOOD {
            self.view.runtime.sleep(SLOW_LOOK_PAUSE).await;
            let is_closing = self.shard().map_or(true, |shard| shard.closing.get());
            if is_closing || self.view.device(device).is_none() {
                return;
            }
            match self.look(device).await {
                Some(Ok(true)) => good += 1,
                Some(Err(error @ DeviceError::Late)) => return self.view.report_failure(device, error).await,
                Some(Ok(false) | Err(_)) => good = 0,
                None => return,
            }
        }
        if self.owner.set_slow(device, false) {
            // A core that is closing does not mind.
            let _told = self.everywhere(|| Request::Use(device, DeviceUse::Usual)).await;
        }
    }

    /// Reads from somewhere on the device; true when that was in time. `None` when it is not in service.
    async fn look(&self, device: DeviceIndex) -> Option<Result<bool, DeviceError>> {
        let (_, watched, _) = self.view.in_service().find(|(index, _, _)| *index == device)?;
        let (watched, unit) = (watched.clone(), u64::from(WRITE_UNIT));
        let mut random = [0; 8];
        self.view.runtime.fill_random(&mut random);
        let units = watched.info().bytes.div_euclid(unit).max(1);
        let offset = u64::from_le_bytes(random).rem_euclid(units) * unit;
        let Ok(buffer) = self.view.runtime.reserve().take(to_usize(unit)).await else {
            return Some(Ok(false));
        };
        let begun = self.view.runtime.now();
        let (result, _buffer) = watched.read(offset, buffer, to_usize(unit)).await;
        let is_quick = self.view.runtime.now().since(begun) < self.view.late_after(&watched);
        Some(result.map(|()| is_quick))
    }
}
