//! Where groups may lie that were opened behind a checkpoint. Pure: the checkpoint in, segments to look at out.
//!
//! A group takes the first free segment of a device that was written before, else the first that was not
//! (`pool/owner/mod.rs`). Of the segments that the checkpoint does not name, those taken since are therefore the
//! first ones of their kind: the search ends behind the last of them. Groups that are dead in the checkpoint
//! came back at some moment since, or not: all their segments are looked at.

use crate::number::to_usize;
use ashlar_disk_format::checkpoint::{Checkpoint, GroupStatus};
use ashlar_disk_format::group::{GroupDescriptor, Member};
use ashlar_disk_format::segment::SegmentHeader;
use ashlar_disk_format::units::{DeviceIndex, Generation, SegmentIndex};
use std::collections::{BTreeMap, BTreeSet};

/// Segments looked at behind the last one that was taken, for those taken whose header was never written,
/// because the power went, or rotted.
const QUIET_SEGMENTS: u32 = 32;
/// And for each core, which opens a group of each kind at a time.
const QUIET_SEGMENTS_PER_CORE: u32 = 4;
/// Segments of one kind on one device that are looked at in one wave.
const LANE_SEGMENTS: usize = 8;
/// Segments that are looked at in one wave.
const WAVE_SEGMENTS: usize = 128;

/// What the checkpoint says of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Of a group that is not taken back before the next checkpoint.
    Taken,
    /// Of a group that may have been taken back.
    Dead,
    /// Free, and written before.
    Prepared,
    /// Free, and never written.
    Fresh,
}

const SEARCHED: [Class; 3] = [Class::Dead, Class::Prepared, Class::Fresh];

/// The segments of one class on one device, in the order in which they are taken.
#[derive(Debug)]
struct Lane {
    next: u32,
    quiet: u32,
}

/// A search under way.
#[derive(Debug)]
pub(super) struct Search<'a> {
    checkpoint: &'a Checkpoint,
    first: Generation,
    quiet_max: u32,
    devices: BTreeMap<DeviceIndex, Vec<Class>>,
    lanes: BTreeMap<(DeviceIndex, Class), Lane>,
    found: BTreeMap<Generation, GroupDescriptor>,
    /// The segments of what was found: they need not be looked at.
    known: BTreeSet<Member>,
}

impl<'a> Search<'a> {
    /// A search on `devices` with their numbers of segments, behind a checkpoint that a mount with `cores`
    /// cores wrote.
    pub(super) fn new(checkpoint: &'a Checkpoint, devices: &[(DeviceIndex, u32)], cores: u16) -> Self {
        let devices: BTreeMap<DeviceIndex, Vec<Class>> =
            devices.iter().map(|(device, count)| (*device, classes(checkpoint, *device, *count))).collect();
        let lanes = devices
            .keys()
            .flat_map(|device| SEARCHED.map(|class| ((*device, class), Lane { next: 0, quiet: 0 })))
            .collect();
        Self {
            checkpoint,
            first: first_generation(checkpoint),
            quiet_max: QUIET_SEGMENTS + QUIET_SEGMENTS_PER_CORE * u32::from(cores),
            devices,
            lanes,
            found: BTreeMap::new(),
            known: BTreeSet::new(),
        }
    }

    /// What to look at next; nothing when the search is over.
    pub(super) fn next_wave(&mut self) -> Vec<Member> {
        let mut wave = Vec::new();
        for ((device, class), lane) in &mut self.lanes {
            let classes = self.devices.get(device).map_or(&[][..], Vec::as_slice);
            let end = WAVE_SEGMENTS.min(wave.len() + LANE_SEGMENTS);
            while wave.len() < end && (*class == Class::Dead || lane.quiet < self.quiet_max) {
                let rest = classes.iter().skip(to_usize(u64::from(lane.next)));
                let Some((segment, _)) = (lane.next..).zip(rest).find(|(_, found)| *found == class) else {
                    break;
                };
                lane.next = segment + 1;
                let place = Member { device: *device, segment: SegmentIndex(segment) };
                if self.known.contains(&place) {
                    lane.quiet = 0;
                } else {
                    lane.quiet += 1;
                    wave.push(place);
                }
            }
        }
        wave
    }

    /// A header that stands in a segment. It counts when it belongs there, and to a group that was opened
    /// behind the checkpoint.
    pub(super) fn take(&mut self, place: Member, header: SegmentHeader) {
        let SegmentHeader { pool, descriptor, member, epoch, .. } = header;
        let ours = pool == self.checkpoint.pool && epoch == self.checkpoint.epoch;
        let young = descriptor.generation.epoch() == epoch && descriptor.generation >= self.first;
        let in_place = descriptor.members.get(usize::from(member)) == Some(&place);
        if !(ours && young && in_place) {
            return;
        }
        let classes: Vec<(Member, Class)> =
            descriptor.members.iter().filter_map(|member| Some((*member, self.class(*member)?))).collect();
        if classes.iter().any(|(_, class)| *class == Class::Taken) {
            return;
        }
        for (member, class) in classes {
            if let Some(lane) = self.lanes.get_mut(&(member.device, class)) {
                lane.quiet = 0;
            }
        }
        self.known.extend(descriptor.members.iter().copied());
        self.found.insert(descriptor.generation, descriptor);
    }

    fn class(&self, member: Member) -> Option<Class> {
        self.devices.get(&member.device)?.get(to_usize(u64::from(member.segment.0))).copied()
    }

    /// The groups that were found, oldest first.
    pub(super) fn found(self) -> Vec<GroupDescriptor> {
        self.found.into_values().collect()
    }
}

/// Every group that was opened behind the checkpoint is of this generation or younger.
fn first_generation(checkpoint: &Checkpoint) -> Generation {
    if let Ok(counter @ 1..) = u32::try_from(checkpoint.next_generation) {
        return Generation::new(checkpoint.epoch, counter);
    }
    let own = checkpoint.groups.iter().map(|group| group.descriptor.generation);
    let newest = own.filter(|generation| generation.epoch() == checkpoint.epoch).max();
    Generation::new(checkpoint.epoch, newest.map_or(0, Generation::counter).saturating_add(1))
}

fn classes(checkpoint: &Checkpoint, device: DeviceIndex, count: u32) -> Vec<Class> {
    let bitmap = checkpoint.prepared.iter().find(|known| known.device == device);
    let is_prepared = |segment: u32| {
        let byte = bitmap.and_then(|known| known.bitmap.get(to_usize(u64::from(segment.div_euclid(8)))));
        byte.is_some_and(|byte| byte & (1 << segment.rem_euclid(8)) != 0)
    };
    let mut classes: Vec<Class> =
        (0..count).map(|segment| if is_prepared(segment) { Class::Prepared } else { Class::Fresh }).collect();
    for state in &checkpoint.groups {
        let dead = state.status == GroupStatus::Sealed && state.live_bytes == 0;
        for member in state.descriptor.members.iter().filter(|member| member.device == device) {
            if let Some(class) = classes.get_mut(to_usize(u64::from(member.segment.0))) {
                *class = if dead { Class::Dead } else { Class::Taken };
            }
        }
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_disk_format::checkpoint::{DevicePrepared, GroupState};
    use ashlar_disk_format::code::CodeShape;
    use ashlar_disk_format::group::GroupKind;
    use ashlar_disk_format::units::{Epoch, GroupId, LogId, PoolId, RowOffset};

    const SEGMENTS: u32 = 400;

    fn group(number: u32, segments: [u32; 2]) -> GroupDescriptor {
        let member =
            |(device, segment)| Member { device: DeviceIndex(device), segment: SegmentIndex(segment) };
        GroupDescriptor {
            group: GroupId(number),
            generation: Generation::new(Epoch(2), number),
            kind: GroupKind::Data,
            shape: CodeShape::new(1, 1).unwrap(),
            log: LogId(0),
            members: (0..).zip(segments).map(member).collect(),
        }
    }

    /// Group 1 lives in segment 3, group 2 is dead in segment 390; segments below 100 were written before.
    fn checkpoint(next_generation: u64) -> Checkpoint {
        let state = |number, segment, status, live_bytes| GroupState {
            descriptor: group(number, [segment; 2]),
            status,
            tail: RowOffset(5),
            live_bytes,
        };
        let bitmap = (0..50).map(|byte| if byte < 12 { 0xFF } else { 0 }).collect::<Vec<u8>>();
        Checkpoint {
            pool: PoolId([1; 16]),
            epoch: Epoch(2),
            sequence: 4,
            logs: Vec::new(),
            shards: Vec::new(),
            groups: vec![state(1, 3, GroupStatus::Open, 0), state(2, 390, GroupStatus::Sealed, 0)],
            prepared: (0..2)
                .map(|device| DevicePrepared { device: DeviceIndex(device), bitmap: bitmap.clone() })
                .collect(),
            next_run: 1,
            next_generation,
        }
    }

    /// Runs the search over devices with these groups; what it finds, and how many segments it looks at.
    fn search(checkpoint: &Checkpoint, groups: &[GroupDescriptor], lost: &[Member]) -> (Vec<u32>, usize) {
        let devices = [(DeviceIndex(0), SEGMENTS), (DeviceIndex(1), SEGMENTS)];
        let mut search = Search::new(checkpoint, &devices, 1);
        let mut looked = 0;
        loop {
            let wave = search.next_wave();
            if wave.is_empty() {
                return (search.found().iter().map(|found| found.group.0).collect(), looked);
            }
            assert!(wave.len() <= WAVE_SEGMENTS);
            looked += wave.len();
            for place in wave.into_iter().filter(|place| !lost.contains(place)) {
                let here = groups.iter().filter(|group| group.members.contains(&place));
                let Some(descriptor) = here.max_by_key(|group| group.generation) else { continue };
                let header = SegmentHeader {
                    pool: PoolId([1; 16]),
                    member: u8::try_from(place.device.0).unwrap(),
                    descriptor: descriptor.clone(),
                    epoch: Epoch(2),
                    segment_bytes: 1 << 20,
                };
                search.take(place, header);
            }
        }
    }

    #[test]
    fn what_was_opened_is_found_without_looking_at_the_whole_device() {
        // All that was written before, then three that were not, and the dead one.
        let taken = (0..99).filter(|segment| *segment != 3).chain([390]);
        let groups: Vec<GroupDescriptor> =
            (10..).zip(taken).map(|(number, segment)| group(number, [segment; 2])).collect();
        let (found, looked) = search(&checkpoint(10), &groups, &[]);
        assert_eq!(found.len(), groups.len());
        assert!(looked < 2 * 200, "{looked}");
        let (found, looked) = search(&checkpoint(10), &[], &[]);
        assert_eq!(found, Vec::<u32>::new());
        assert_eq!(looked, 2 * (2 * 36 + 1), "each class to its bound, and the dead one");
    }

    #[test]
    fn headers_that_rot_on_one_device_hide_nothing() {
        let groups: Vec<GroupDescriptor> = (4..96).map(|segment| group(segment + 10, [segment; 2])).collect();
        let lost: Vec<Member> = groups.iter().map(|group| group.members[1]).collect();
        let (found, _) = search(&checkpoint(10), &groups, &lost);
        assert_eq!(found.len(), groups.len());
        // Half on the one, half on the other.
        let lost: Vec<Member> =
            groups.iter().map(|group| group.members[usize::from(group.group.0 % 2 == 0)]).collect();
        assert_eq!(search(&checkpoint(10), &groups, &lost).0.len(), groups.len());
    }

    #[test]
    fn older_groups_and_those_in_taken_segments_do_not_count() {
        let groups = [group(9, [5, 5]), group(10, [6, 3]), group(11, [7, 7])];
        assert_eq!(search(&checkpoint(10), &groups, &[]).0, vec![11]);
        // Not known: what is younger than all that the checkpoint names.
        assert_eq!(search(&checkpoint(0), &groups, &[]).0, vec![9, 11]);
        let mut foreign = group(12, [8, 8]);
        foreign.generation = Generation::new(Epoch(1), 12);
        assert_eq!(search(&checkpoint(10), &[foreign], &[]).0, Vec::<u32>::new());
    }
}
