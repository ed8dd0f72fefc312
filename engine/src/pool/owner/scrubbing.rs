//! Which groups are scrubbed, and when: the oldest first, those that lack a member last.
//!
//! Invariants:
//! - Of each group only rows are scrubbed that were complete when the pass began.
//! - While a group is scrubbed it is neither taken back nor rebuilt, and it is not scrubbed while one of that is being
//!   done: what is mended is written where it belongs.

use super::{Inner, OwnerGroup, PoolOwner};
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::superblock::ScrubProgress;
use ashlar_disk_format::units::{Generation, GroupId, RowOffset};
use std::collections::BTreeMap;

/// One group to scrub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScrubJob {
    /// What it is.
    pub(crate) descriptor: GroupDescriptor,
    /// Just behind the last row to look at.
    pub(crate) tail: RowOffset,
}

/// Groups that a pass has before it, by generation, and where they ended when it began.
pub(crate) type ScrubList = BTreeMap<Generation, (GroupId, RowOffset)>;

/// What there is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NextScrub {
    Job(ScrubJob),
    /// The rest is at work otherwise.
    Wait,
    Over,
}

impl PoolOwner {
    /// Every group of generation `from` or later that has rows, and where it ends.
    pub(crate) fn scrub_list(&self, from: Generation) -> ScrubList {
        let inner = self.inner.borrow();
        let groups = inner.groups.values().filter(|group| group.tail.0 > 0 && !group.is_dead());
        let listed = groups.map(|group| {
            let GroupDescriptor { group: id, generation, .. } = group.descriptor;
            (generation, (id, group.tail))
        });
        listed.filter(|(generation, _)| *generation >= from).collect()
    }

    /// The next job of a list; what is gone is taken off it. A job stays on it, and is to be followed by
    /// [`PoolOwner::finish_scrub`].
    pub(crate) fn next_scrub(&self, list: &mut ScrubList) -> NextScrub {
        let mut inner = self.inner.borrow_mut();
        let mut gone = Vec::new();
        let mut found: Option<(&OwnerGroup, RowOffset)> = None;
        for (&generation, &(id, tail)) in &*list {
            let group = inner.groups.get(&id).filter(|group| group.descriptor.generation == generation);
            let Some(group) = group.filter(|group| !group.is_dead()) else {
                gone.push(generation);
                continue;
            };
            let is_whole = inner.is_whole(&group.descriptor);
            // Those that lack a member are to be rebuilt first.
            if !inner.is_at_work(id) && (is_whole || found.is_none()) {
                found = Some((group, tail));
                if is_whole {
                    break;
                }
            }
        }
        let job = found.map(|(group, tail)| ScrubJob { descriptor: group.descriptor.clone(), tail });
        gone.iter().for_each(|generation| _ = list.remove(generation));
        match job {
            Some(job) => {
                inner.scrubbing.insert(job.descriptor.group);
                NextScrub::Job(job)
            }
            None if list.is_empty() => NextScrub::Over,
            None => NextScrub::Wait,
        }
    }

    /// A group may be taken back again. True if it waits for that.
    pub(crate) fn finish_scrub(&self, job: &ScrubJob) -> bool {
        let mut inner = self.inner.borrow_mut();
        inner.scrubbing.remove(&job.descriptor.group);
        inner.groups.get(&job.descriptor.group).is_some_and(OwnerGroup::is_dead)
    }

    /// Those of `dead` that nobody scrubs; from now on nobody does. To be followed by [`PoolOwner::end_reclaim`].
    pub(crate) fn begin_reclaim(&self, dead: Vec<GroupId>) -> Vec<GroupId> {
        let mut inner = self.inner.borrow_mut();
        let mut dead = dead;
        dead.retain(|group| !inner.scrubbing.contains(group));
        inner.reclaiming.extend(&dead);
        dead
    }

    /// Those that were to be taken back are gone, or stay.
    pub(crate) fn end_reclaim(&self) {
        self.inner.borrow_mut().reclaiming.clear();
    }

    /// From now on superblocks say that scrubbing came so far.
    pub(crate) fn set_scrub(&self, progress: ScrubProgress) {
        self.inner.borrow_mut().superblock.scrub = progress;
    }

    /// How far scrubbing came, as the next superblock will say.
    pub(crate) fn scrub(&self) -> ScrubProgress {
        self.inner.borrow().superblock.scrub
    }
}

impl OwnerGroup {
    /// Nothing lives in it by the last count, and nothing is written to it any more.
    pub(super) fn is_dead(&self) -> bool {
        !self.open && !self.resumable && self.live == 0
    }
}

impl Inner {
    /// Something has to do with the group's members.
    pub(super) fn is_at_work(&self, group: GroupId) -> bool {
        let jobs = [&self.rebuilding, &self.scrubbing, &self.reclaiming];
        jobs.into_iter().any(|groups| groups.contains(&group))
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnedDevice;
    use super::*;
    use crate::pool::PoolFacts;
    use ashlar_disk_format::code::CodeShape;
    use ashlar_disk_format::group::{GroupKind, Member};
    use ashlar_disk_format::superblock::Superblock;
    use ashlar_disk_format::units::{DeviceId, DeviceIndex, Epoch, LogId, PoolId, SegmentIndex};
    use ashlar_disk_format::version::FeatureFlags;

    const SHAPE: CodeShape = CodeShape { k: 1, m: 1, family: ashlar_disk_format::code::CodeFamily::Copies };

    fn owner() -> PoolOwner {
        let pool = PoolId([1; 16]);
        let superblock = Superblock {
            pool,
            device: DeviceId([0; 16]),
            sequence: 1,
            epoch: Epoch(3),
            shape: SHAPE,
            segment_bytes: 1 << 20,
            features: FeatureFlags::default(),
            devices: Vec::new(),
            checkpoint: Vec::new(),
            checkpoint_bytes: 0,
            checkpoint_groups: Vec::new(),
            scrub: ScrubProgress::default(),
            cores: 1,
            clean: false,
        };
        let facts = PoolFacts { pool, epoch: Epoch(3), shape: SHAPE, segment_bytes: 1 << 20, missing: 0 };
        let device = |index| OwnedDevice {
            index: DeviceIndex(index),
            segments: 64,
            always_prepared: true,
            in_service: index != 2,
        };
        PoolOwner::new(facts, superblock, &[0, 1, 2].map(device), 1)
    }

    fn group(id: u32, devices: [u16; 2]) -> OwnerGroup {
        let member = |device| Member { device: DeviceIndex(device), segment: SegmentIndex(id) };
        let descriptor = GroupDescriptor {
            group: GroupId(id),
            generation: Generation(u64::from(id) + 10),
            kind: GroupKind::Data,
            shape: SHAPE,
            log: LogId(0),
            members: devices.map(member).to_vec(),
        };
        OwnerGroup { open: false, tail: RowOffset(9), live: 1, ..OwnerGroup::opened(descriptor) }
    }

    fn taken(owner: &PoolOwner, list: &mut ScrubList) -> Option<u32> {
        match owner.next_scrub(list) {
            NextScrub::Job(job) => Some(job.descriptor.group.0),
            NextScrub::Wait | NextScrub::Over => None,
        }
    }

    #[test]
    fn whole_groups_come_first_and_each_has_one_job() {
        let owner = owner();
        for found in [group(1, [0, 2]), group(2, [0, 1]), group(3, [1, 0])] {
            owner.restore(found);
        }
        let mut list = owner.scrub_list(Generation(0));
        let order: Vec<Option<u32>> = (0..4).map(|_| taken(&owner, &mut list)).collect();
        assert_eq!(order, [Some(2), Some(3), Some(1), None]);
        assert_eq!(owner.next_scrub(&mut list), NextScrub::Wait, "all are under way");
        assert_eq!(owner.scrub_list(Generation(13)).len(), 1);
        list.clear();
        assert_eq!(owner.next_scrub(&mut list), NextScrub::Over);
    }

    #[test]
    fn what_is_taken_back_is_not_scrubbed_and_the_other_way_round() {
        let owner = owner();
        let dead = OwnerGroup { live: 0, ..group(1, [0, 1]) };
        let unlabelled = OwnerGroup { open: true, tail: RowOffset(0), ..group(2, [0, 1]) };
        for found in [dead, unlabelled, group(3, [0, 1]), group(4, [0, 1])] {
            owner.restore(found);
        }
        let mut list = owner.scrub_list(Generation(0));
        assert_eq!(list.len(), 2, "neither dead nor without rows");
        let NextScrub::Job(job) = owner.next_scrub(&mut list) else { panic!("there is a job") };
        assert_eq!(job.descriptor.group, GroupId(3));
        let both = vec![GroupId(3), GroupId(4)];
        assert_eq!(owner.begin_reclaim(both.clone()), [GroupId(4)], "one is being scrubbed");
        assert_eq!(taken(&owner, &mut list), None, "the other one is on its way back");
        assert!(!owner.finish_scrub(&job));
        owner.end_reclaim();
        assert_eq!(owner.begin_reclaim(both.clone()), both);
    }
}
