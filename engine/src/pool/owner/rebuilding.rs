//! Members of groups that lie on devices out of service: how many there are, which is rebuilt next, and where.
//!
//! Invariants:
//! - Only what no recovery looks at any more is rebuilt: groups that were sealed before the newest durable checkpoint
//!   began. Their members are what its table says, and nothing behind it names them.
//! - A target is taken from the end of a device: recovery looks for groups that were opened behind a checkpoint from
//!   the front.
//! - The table changes when the copy is proved. Until a checkpoint with the change is durable, the member that was lost
//!   is still where the one before says: its device is out of service, so nothing is written over it.

use super::super::choose_plan::choose_another;
use super::{Inner, OwnerGroup, PoolOwner};
use ashlar_disk_format::group::{GroupDescriptor, Member};
use ashlar_disk_format::superblock::{DeviceEntry, DeviceState};
use ashlar_disk_format::units::{DeviceIndex, GroupId, RowOffset, SegmentIndex};
use std::collections::BTreeSet;

/// One member to rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RebuildJob {
    /// The group as it is now.
    pub(crate) descriptor: GroupDescriptor,
    /// Which of its members.
    pub(crate) member: usize,
    /// Where it is to be.
    pub(crate) target: Member,
    /// The target's segment was written before.
    pub(crate) is_prepared: bool,
    /// Just behind the group's last row.
    pub(crate) tail: RowOffset,
    /// The group survives no further loss.
    pub(crate) is_urgent: bool,
}

impl RebuildJob {
    /// The group as it will be.
    pub(crate) fn rebuilt(&self) -> GroupDescriptor {
        let mut descriptor = self.descriptor.clone();
        descriptor.members[self.member] = self.target;
        descriptor
    }
}

/// Groups that lack a member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lacking {
    /// Some of them survive no further loss.
    pub(crate) is_urgent: bool,
    /// For some there is a device that could take the member.
    pub(crate) is_placeable: bool,
}

impl PoolOwner {
    /// Groups by the number of their members that are out of service: index 0 counts the whole ones.
    pub(crate) fn redundancy(&self) -> Vec<u64> {
        let inner = self.inner.borrow();
        let mut counts = vec![0; usize::from(self.facts.shape.m) + 1];
        for group in inner.groups.values() {
            let lost = inner.lost(&group.descriptor).count();
            if counts.len() <= lost {
                counts.resize(lost + 1, 0);
            }
            counts[lost] += 1;
        }
        counts
    }

    /// The devices out of service. No group is opened on one of them any more.
    pub(crate) fn out_of_service(&self) -> BTreeSet<DeviceIndex> {
        let inner = self.inner.borrow();
        inner.devices.iter().filter(|(_, space)| !space.in_service).map(|(device, _)| *device).collect()
    }

    /// The devices that were known at the start to have nothing on them, and are not there.
    pub(crate) fn vacant(&self) -> BTreeSet<DeviceIndex> {
        let is_vacant = |entry: &&DeviceEntry| matches!(entry.state, DeviceState::Vacant { .. });
        let inner = self.inner.borrow();
        inner.superblock.devices.iter().filter(is_vacant).map(|entry| entry.index).collect()
    }

    /// The devices out of service that groups have members on.
    pub(crate) fn missed(&self) -> BTreeSet<DeviceIndex> {
        let inner = self.inner.borrow();
        let lost = inner.groups.values().flat_map(|group| inner.lost(&group.descriptor));
        lost.map(|(_, member)| member.device).collect()
    }

    /// Groups that lack a member on one of `devices`, open ones too, but for those that are left alone.
    pub(crate) fn lacking(&self, devices: &BTreeSet<DeviceIndex>, aside: &BTreeSet<GroupId>) -> Lacking {
        let inner = self.inner.borrow();
        let candidates = inner.candidates();
        let mut lacking = Lacking::default();
        for group in inner.groups.values().filter(|group| !aside.contains(&group.descriptor.group)) {
            if !inner.lost(&group.descriptor).any(|(_, member)| devices.contains(&member.device)) {
                continue;
            }
            lacking.is_urgent |= inner.is_urgent(&group.descriptor);
            lacking.is_placeable |= choose_another(&candidates, &group.descriptor.members).is_some();
        }
        lacking
    }

    /// The next member to rebuild of those on `devices`, its target taken: of the groups that have lost most, the oldest.
    /// `number` is the newest durable checkpoint. To be followed by [`PoolOwner::finish_rebuild`].
    pub(crate) fn next_rebuild(
        &self,
        number: u64,
        devices: &BTreeSet<DeviceIndex>,
        aside: &BTreeSet<GroupId>,
    ) -> Option<RebuildJob> {
        let mut inner = self.inner.borrow_mut();
        let is_ready = |group: &&OwnerGroup| {
            let id = group.descriptor.group;
            let is_counted = !group.open && !group.resumable && group.sealed_at < number;
            // What is dead comes back by itself.
            is_counted && group.live > 0 && !aside.contains(&id) && !inner.is_at_work(id)
        };
        let mut degraded: Vec<(usize, &OwnerGroup)> = inner
            .groups
            .values()
            .filter(is_ready)
            .map(|group| (inner.lost(&group.descriptor).count(), group))
            .filter(|(lost, _)| *lost > 0)
            .collect();
        degraded.sort_by_key(|(lost, group)| (std::cmp::Reverse(*lost), group.descriptor.generation));
        let (quick, all) = (inner.quick_candidates(), inner.candidates());
        let job = degraded.into_iter().find_map(|(_, group)| {
            let mut lost = inner.lost(&group.descriptor);
            let (member, _) = lost.find(|(_, member)| devices.contains(&member.device))?;
            let on = |candidates| choose_another(candidates, &group.descriptor.members);
            let device = on(&quick).or_else(|| on(&all))?;
            let space = inner.devices.get(&device)?;
            let segment = space.used.iter().rposition(|used| !used)?;
            let target = Member { device, segment: SegmentIndex(u32::try_from(segment).ok()?) };
            Some(RebuildJob {
                descriptor: group.descriptor.clone(),
                member,
                target,
                is_prepared: space.prepared.get(segment).copied().unwrap_or(false),
                tail: group.tail,
                is_urgent: inner.is_urgent(&group.descriptor),
            })
        })?;
        inner.set_used(job.target, true);
        inner.rebuilding.insert(job.descriptor.group);
        Some(job)
    }

    /// The member is where the job says, if it `is_whole` there and the group is still what it was; true then. Else the
    /// target is free again.
    pub(crate) fn finish_rebuild(&self, job: &RebuildJob, is_whole: bool) -> bool {
        let mut inner = self.inner.borrow_mut();
        inner.rebuilding.remove(&job.descriptor.group);
        let is_in_service = inner.devices.get(&job.target.device).is_some_and(|space| space.in_service);
        let group = inner.groups.get_mut(&job.descriptor.group);
        let same = group.filter(|group| group.descriptor == job.descriptor);
        let Some(group) = same.filter(|_| is_whole && is_in_service) else {
            inner.set_used(job.target, false);
            return false;
        };
        group.descriptor = job.rebuilt();
        let lost = job.descriptor.members[job.member];
        assert!(!inner.is_in_service(lost.device), "a device that is out of service stays so in this mount");
        inner.set_used(lost, false);
        inner.set_prepared(job.target);
        true
    }
}

impl Inner {
    fn is_in_service(&self, device: DeviceIndex) -> bool {
        self.devices.get(&device).is_some_and(|space| space.in_service)
    }

    /// A group's members on devices that are out of service.
    fn lost<'a>(&'a self, descriptor: &'a GroupDescriptor) -> impl Iterator<Item = (usize, Member)> + 'a {
        let members = descriptor.members.iter().copied().enumerate();
        members.filter(|(_, member)| !self.is_in_service(member.device))
    }

    /// All members of a group are in service.
    pub(super) fn is_whole(&self, descriptor: &GroupDescriptor) -> bool {
        self.lost(descriptor).next().is_none()
    }

    fn is_urgent(&self, descriptor: &GroupDescriptor) -> bool {
        self.lost(descriptor).count() >= usize::from(descriptor.shape.m)
    }
}
