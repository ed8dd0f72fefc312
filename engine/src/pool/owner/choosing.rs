//! Which devices groups are opened on: those in service, and not on slow ones where that can be avoided.

use super::super::choose_plan::{Candidate, choose, groups_left};
use super::{Inner, PoolOwner};
use crate::error::EngineError;
use crate::number::to_u8;
use ashlar_disk_format::code::CodeShape;
use ashlar_disk_format::units::DeviceIndex;
use std::collections::BTreeSet;

impl PoolOwner {
    /// Has groups opened elsewhere than on a device that is slow, or there again. False when it was so already, is out
    /// of service, or is missed too much: as many devices as the code survives without are slow or out of service.
    pub(crate) fn set_slow(&self, device: DeviceIndex, is_slow: bool) -> bool {
        let missed = self.missed().len();
        let mut inner = self.inner.borrow_mut();
        let slow = inner.devices.values().filter(|space| space.is_slow && space.in_service).count();
        let is_bearable = !is_slow || slow + missed < usize::from(self.facts.shape.m);
        let Some(space) = inner.devices.get_mut(&device) else { return false };
        if space.is_slow == is_slow || !space.in_service || !is_bearable {
            return false;
        }
        space.is_slow = is_slow;
        true
    }

    /// Whether the devices that are not slow carry groups as wide as all in service do.
    pub(crate) fn is_carried_by_quick(&self) -> bool {
        let inner = self.inner.borrow();
        let quick = inner.quick_candidates().len();
        matches!((shape_of(self.facts.shape, quick), inner.shape_now(self.facts.shape)), (Ok(a), Ok(b)) if a == b)
    }

    /// Devices in service that are slow.
    pub(crate) fn slow(&self) -> BTreeSet<DeviceIndex> {
        let inner = self.inner.borrow();
        let slow = inner.devices.iter().filter(|(_, space)| space.in_service && space.is_slow);
        slow.map(|(device, _)| *device).collect()
    }
}

impl Inner {
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        self.devices
            .iter()
            .filter(|(_, space)| space.in_service)
            .map(|(device, space)| Candidate { device: *device, free: space.free() })
            .collect()
    }

    /// Of these, those that are not slow.
    pub(super) fn quick_candidates(&self) -> Vec<Candidate> {
        let is_quick =
            |candidate: &Candidate| self.devices.get(&candidate.device).is_some_and(|s| !s.is_slow);
        self.candidates().into_iter().filter(is_quick).collect()
    }

    /// The widest shape that the devices in service carry.
    pub(super) fn shape_now(&self, wanted: CodeShape) -> Result<CodeShape, EngineError> {
        shape_of(wanted, self.devices.values().filter(|space| space.in_service).count())
    }

    /// Devices for a group, so that `kept_back` groups are left for others. Devices that are slow are used only when the
    /// others have no room for a group as wide. Where nothing is kept back, a narrower group is better than none;
    /// who has to leave something leaves groups of the widest shape, because room is counted in those.
    pub(super) fn choose_devices(
        &self,
        wanted: CodeShape,
        kept_back: u64,
    ) -> Result<(CodeShape, Vec<DeviceIndex>), EngineError> {
        let widest = self.shape_now(wanted)?;
        let quick = self.quick_candidates();
        if let Ok(shape) = shape_of(wanted, quick.len())
            && shape == widest
            && let Some(devices) = self.choose_shape(&quick, shape, kept_back)
        {
            return Ok((shape, devices));
        }
        let all = self.candidates();
        let narrowest = if kept_back == 0 { 1 } else { widest.k };
        for k in (narrowest..=widest.k).rev() {
            let Ok(shape) = CodeShape::new(k, wanted.m) else { continue };
            if let Some(devices) = self.choose_shape(&all, shape, kept_back) {
                return Ok((shape, devices));
            }
        }
        Err(EngineError::Full)
    }

    fn choose_shape(
        &self,
        candidates: &[Candidate],
        shape: CodeShape,
        kept_back: u64,
    ) -> Option<Vec<DeviceIndex>> {
        let left = groups_left(candidates, shape.members());
        if left > kept_back { choose(candidates, shape.members(), self.next_group) } else { None }
    }
}

/// The widest shape that `present` devices carry.
fn shape_of(wanted: CodeShape, present: usize) -> Result<CodeShape, EngineError> {
    let needed = usize::from(wanted.m) + 1;
    if present < needed {
        return Err(EngineError::ReadOnly { present, needed });
    }
    let k = to_u8((present - usize::from(wanted.m)).min(usize::from(wanted.k)));
    CodeShape::new(k, wanted.m).map_err(|_impossible| EngineError::ReadOnly { present, needed })
}
