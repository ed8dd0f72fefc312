//! The one place where segments are given out and taken back, on core 0.
//!
//! 1. A group is opened on the devices with the most free segments, with the pool's shape, or with
//!    fewer data chunks and the same parity when devices are missing.
//! 2. The core that asked writes to it, and names it in its log before any record refers to it.
//! 3. It is sealed when it is full or lost a device.
//! 4. It is taken back when a durable checkpoint that began after the sealing counts no live byte
//!    in it, and every operation that began before has ended.

mod choosing;
mod rebuilding;
mod scrubbing;

pub(crate) use rebuilding::RebuildJob;
pub(crate) use scrubbing::{NextScrub, ScrubJob, ScrubList};

use super::choose_plan::{Candidate, groups_left};
use super::clean_plan::{self, Level, Marks};
use super::link::{PoolReply, PoolRequest, Purpose};
use super::view::PoolFacts;
use crate::error::EngineError;
use crate::limits::RESERVED_GROUPS;
use crate::number::to_usize;
use ashlar_disk_format::checkpoint::{DevicePrepared, GroupState, GroupStatus};
use ashlar_disk_format::code::CodeShape;
use ashlar_disk_format::group::{GroupDescriptor, GroupKind, Member};
use ashlar_disk_format::superblock::{DeviceState, Superblock};
use ashlar_disk_format::units::{DeviceIndex, Generation, GroupId, LogId, RowOffset, SegmentIndex};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// A group in the table.
#[derive(Debug, Clone)]
pub(crate) struct OwnerGroup {
    pub(crate) descriptor: GroupDescriptor,
    pub(crate) open: bool,
    pub(crate) tail: RowOffset,
    /// Checkpoints begun when it was sealed.
    pub(crate) sealed_at: u64,
    /// Open at the last mount and free to be continued in this one.
    pub(crate) resumable: bool,
    /// Live bytes by the last checkpoint.
    pub(crate) live: u64,
    /// And the most there ever were in it, if it was filled in this mount by the cleaner: it left no room in it that
    /// could be left out.
    pub(crate) packed: Option<u64>,
}

impl OwnerGroup {
    /// A group that was opened and of which nothing else is known yet.
    pub(crate) fn opened(descriptor: GroupDescriptor) -> Self {
        Self {
            descriptor,
            open: true,
            tail: RowOffset(0),
            sealed_at: 0,
            resumable: false,
            live: 0,
            packed: None,
        }
    }
}

#[derive(Debug)]
struct DeviceSpace {
    used: Vec<bool>,
    prepared: Vec<bool>,
    in_service: bool,
    /// It answers much later than others: groups are opened elsewhere, if that is possible.
    is_slow: bool,
}

impl DeviceSpace {
    fn free(&self) -> u32 {
        let count = self.used.iter().filter(|used| !**used).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// A free segment, one that was written before if there is any: it needs no preparation. The first of
    /// its kind: recovery looks for what was opened behind a checkpoint in this order.
    fn pick(&self) -> Option<usize> {
        let free = |index: &usize| !self.used[*index];
        let all = 0..self.used.len();
        all.clone().filter(free).find(|index| self.prepared[*index]).or_else(|| all.clone().find(free))
    }
}

#[derive(Debug)]
struct Inner {
    superblock: Superblock,
    devices: BTreeMap<DeviceIndex, DeviceSpace>,
    groups: BTreeMap<GroupId, OwnerGroup>,
    /// Groups of which a member is being rebuilt.
    rebuilding: BTreeSet<GroupId>,
    /// Groups that are being scrubbed: they are not taken back.
    scrubbing: BTreeSet<GroupId>,
    /// Groups that are being taken back: they are not scrubbed.
    reclaiming: BTreeSet<GroupId>,
    next_group: u32,
    next_generation: u32,
    checkpoints: u64,
}

/// How many groups a pool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// Groups of the pool's shape that can still be opened.
    pub(crate) left: u64,
    /// And how many there are room for in all.
    pub(crate) all: u64,
    /// What of them is for whom.
    pub(crate) marks: Marks,
    /// Who has to do without now.
    pub(crate) level: Level,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct PoolOwner {
    facts: PoolFacts,
    reserved: u64,
    cores: u64,
    inner: RefCell<Inner>,
    /// Groups that counted less than nothing in checkpoints of this mount.
    pub(crate) miscounted: Cell<u64>,
}

/// One device as the owner starts with it.
pub(crate) struct OwnedDevice {
    pub(crate) index: DeviceIndex,
    pub(crate) segments: u32,
    /// Segments need no preparation on it (a block device).
    pub(crate) always_prepared: bool,
    pub(crate) in_service: bool,
}

impl PoolOwner {
    /// An owner of `devices` whose segments are all free.
    pub(crate) fn new(facts: PoolFacts, superblock: Superblock, devices: &[OwnedDevice], cores: u16) -> Self {
        let space = |device: &OwnedDevice| DeviceSpace {
            used: vec![false; device.segments as usize],
            prepared: vec![device.always_prepared; device.segments as usize],
            in_service: device.in_service,
            is_slow: false,
        };
        let devices = devices.iter().map(|device| (device.index, space(device))).collect();
        let inner = Inner {
            superblock,
            devices,
            groups: BTreeMap::new(),
            rebuilding: BTreeSet::new(),
            scrubbing: BTreeSet::new(),
            reclaiming: BTreeSet::new(),
            next_group: 1,
            next_generation: 1,
            checkpoints: 0,
        };
        // Every core may need a log group and an index group at once, and a checkpoint some more.
        let reserved = (2 * u64::from(cores) + 4).max(RESERVED_GROUPS as u64);
        let cores = u64::from(cores);
        Self { facts, reserved, cores, inner: RefCell::new(inner), miscounted: Cell::new(0) }
    }

    /// Takes over what a checkpoint says of the segments.
    pub(crate) fn restore_prepared(&self, prepared: &[DevicePrepared]) {
        let mut inner = self.inner.borrow_mut();
        for known in prepared {
            let Some(space) = inner.devices.get_mut(&known.device) else { continue };
            for (index, flag) in space.prepared.iter_mut().enumerate() {
                let byte = known.bitmap.get(index.div_euclid(8)).copied().unwrap_or(0);
                *flag |= byte & (1 << index.rem_euclid(8)) != 0;
            }
        }
    }

    /// Puts a group into the table, from a checkpoint or from the log. Of two groups with a segment in
    /// common the younger one stands, in whatever order they are named: the other was dead, and its
    /// segments were taken back, before the younger could be opened.
    pub(crate) fn restore(&self, group: OwnerGroup) {
        let mut inner = self.inner.borrow_mut();
        let overlaps = group.descriptor.members.iter().any(|member| inner.is_used(*member));
        let meets = |other: &&OwnerGroup| {
            overlaps
                && other.descriptor.group != group.descriptor.group
                && other.descriptor.members.iter().any(|m| group.descriptor.members.contains(m))
        };
        let taken: Vec<(GroupId, Generation)> = inner
            .groups
            .values()
            .filter(meets)
            .map(|other| (other.descriptor.group, other.descriptor.generation))
            .collect();
        if taken.iter().any(|(_, generation)| *generation > group.descriptor.generation) {
            return;
        }
        for (stale, _) in taken {
            inner.drop_group(stale);
        }
        inner.next_group = inner.next_group.max(group.descriptor.group.0 + 1);
        for member in &group.descriptor.members {
            inner.set_used(*member, true);
            inner.set_prepared(*member);
        }
        inner.groups.insert(group.descriptor.group, group);
    }

    /// Says where a restored group ends; it may be continued from there.
    pub(crate) fn resume(&self, group: GroupId, tail: RowOffset) {
        let mut inner = self.inner.borrow_mut();
        if let Some(group) = inner.groups.get_mut(&group) {
            group.tail = group.tail.max(tail);
        }
    }

    /// The group is in the table.
    pub(crate) fn knows(&self, descriptor: &GroupDescriptor) -> bool {
        let inner = self.inner.borrow();
        let known = inner.groups.get(&descriptor.group);
        known.is_some_and(|known| known.descriptor.generation == descriptor.generation)
    }

    /// No data group is continued; all of them, for whoever keeps them from being taken back.
    pub(crate) fn keep_data_groups(&self) -> Vec<GroupId> {
        let mut inner = self.inner.borrow_mut();
        let data = inner.groups.values_mut().filter(|group| group.descriptor.kind == GroupKind::Data);
        data.map(|group| {
            group.open = false;
            group.descriptor.group
        })
        .collect()
    }

    /// Of the log groups only those in which a log ended may be continued.
    pub(crate) fn seal_logs_except(&self, ends: &[GroupId]) {
        let mut inner = self.inner.borrow_mut();
        for (id, group) in &mut inner.groups {
            if group.descriptor.kind == GroupKind::Log && !ends.contains(id) {
                group.open = false;
            }
        }
    }

    /// Everything is restored: open groups may be continued if all their devices are in service,
    /// the others are sealed as they stand.
    pub(crate) fn settle(&self) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        for group in inner.groups.values_mut() {
            let whole = group
                .descriptor
                .members
                .iter()
                .all(|member| inner.devices.get(&member.device).is_some_and(|space| space.in_service));
            group.resumable = group.open && whole && group.tail.0 > 0;
            group.open = false;
        }
    }

    /// Every log has its first group. From now on logs go on in new groups only: a link names a group
    /// and no row, so that the log is read from the group's first row.
    pub(crate) fn leave_logs(&self) {
        let mut inner = self.inner.borrow_mut();
        for group in inner.groups.values_mut().filter(|group| group.descriptor.kind == GroupKind::Log) {
            group.resumable = false;
        }
    }

    /// Answers a core.
    pub(crate) fn answer(&self, request: &PoolRequest) -> Result<PoolReply, EngineError> {
        match request {
            PoolRequest::Open { purpose, log } => self.open(*purpose, *log),
            PoolRequest::Describe { group } => {
                let inner = self.inner.borrow();
                let found = inner.groups.get(group).map(|group| group.descriptor.clone());
                Ok(PoolReply::Described(found))
            }
            PoolRequest::Prepared { group } => {
                let mut inner = self.inner.borrow_mut();
                let members = inner.groups.get(group).map(|group| group.descriptor.members.clone());
                for member in members.unwrap_or_default() {
                    inner.set_prepared(member);
                }
                Ok(PoolReply::Done)
            }
            PoolRequest::Seal { group, tail } => {
                let mut inner = self.inner.borrow_mut();
                if tail.0 == 0 {
                    // Not even its headers are written: nothing may refer to it.
                    inner.drop_group(*group);
                    return Ok(PoolReply::Done);
                }
                let checkpoints = inner.checkpoints;
                if let Some(group) = inner.groups.get_mut(group) {
                    group.open = false;
                    group.tail = *tail;
                    group.sealed_at = checkpoints;
                }
                Ok(PoolReply::Done)
            }
            PoolRequest::Due | PoolRequest::Slow { .. } => Ok(PoolReply::Done),
            PoolRequest::Failed { device, .. } => {
                let _newly = self.fail(*device);
                Ok(PoolReply::Done)
            }
        }
    }

    /// Takes a device out of service; true when it was in service.
    pub(crate) fn fail(&self, device: DeviceIndex) -> bool {
        let mut inner = self.inner.borrow_mut();
        let epoch = self.facts.epoch;
        let Some(space) = inner.devices.get_mut(&device) else { return false };
        let was_in_service = std::mem::replace(&mut space.in_service, false);
        let entry = inner.superblock.devices.iter_mut().find(|entry| entry.index == device);
        if let Some(entry) = entry.filter(|_| was_in_service) {
            entry.state = DeviceState::Failed { since: epoch };
        }
        was_in_service
    }

    fn open(&self, purpose: Purpose, log: LogId) -> Result<PoolReply, EngineError> {
        let kind = purpose.kind();
        let marks = self.space().marks;
        let kept_back = match purpose {
            Purpose::Log | Purpose::Index => 0,
            Purpose::Cleaning => marks.low,
            Purpose::Bodies => marks.out,
        };
        let mut inner = self.inner.borrow_mut();
        if let Some(resumed) = inner.resume_one(kind) {
            return Ok(PoolReply::Opened {
                descriptor: resumed.descriptor,
                tail: resumed.tail,
                unprepared: Vec::new(),
            });
        }
        let (shape, devices) = inner.choose_devices(self.facts.shape, kept_back)?;
        let mut members = Vec::with_capacity(devices.len());
        let mut unprepared = Vec::new();
        for device in devices {
            let Some(space) = inner.devices.get(&device) else { return Err(EngineError::Full) };
            let Some(segment) = space.pick() else { return Err(EngineError::Full) };
            if !space.prepared[segment] {
                unprepared.push(members.len());
            }
            let segment = SegmentIndex(u32::try_from(segment).unwrap_or(u32::MAX));
            members.push(Member { device, segment });
        }
        for member in &members {
            inner.set_used(*member, true);
        }
        let group = GroupId(inner.next_group);
        inner.next_group += 1;
        let generation = Generation::new(self.facts.epoch, inner.next_generation);
        inner.next_generation += 1;
        let descriptor = GroupDescriptor { group, generation, kind, shape, log, members };
        let mut entry = OwnerGroup::opened(descriptor.clone());
        entry.packed = (purpose == Purpose::Cleaning).then_some(0);
        inner.groups.insert(group, entry);
        Ok(PoolReply::Opened { descriptor, tail: RowOffset(0), unprepared })
    }

    /// A checkpoint begins: its number. Groups sealed from now on are not its business.
    pub(crate) fn begin_checkpoint(&self) -> u64 {
        let mut inner = self.inner.borrow_mut();
        inner.checkpoints += 1;
        inner.checkpoints
    }

    /// The group table for a checkpoint, with live bytes as summed over the cores.
    pub(crate) fn table(&self, live: &BTreeMap<GroupId, i64>) -> Vec<GroupState> {
        let mut inner = self.inner.borrow_mut();
        for (id, group) in &mut inner.groups {
            let bytes = live.get(id).copied().unwrap_or(0);
            if bytes < 0 {
                // Possible only after pages were unreadable at a start and came back: such a group is
                // never taken back.
                self.miscounted.set(self.miscounted.get() + 1);
            }
            group.live = if bytes < 0 { 1 } else { bytes.unsigned_abs() };
            group.packed = group.packed.map(|most| most.max(group.live));
        }
        let state = |group: &OwnerGroup| GroupState {
            descriptor: group.descriptor.clone(),
            status: if group.open || group.resumable { GroupStatus::Open } else { GroupStatus::Sealed },
            tail: group.tail,
            live_bytes: group.live,
        };
        inner.groups.values().map(state).collect()
    }

    /// Groups that are opened from now on have at least this counter in their generation.
    pub(crate) fn next_generation(&self) -> u64 {
        u64::from(self.inner.borrow().next_generation)
    }

    /// Which segments are allocated and written once.
    pub(crate) fn prepared(&self) -> Vec<DevicePrepared> {
        let pack = |(device, space): (&DeviceIndex, &DeviceSpace)| DevicePrepared {
            device: *device,
            bitmap: space
                .prepared
                .chunks(8)
                .map(|bits| bits.iter().enumerate().map(|(bit, set)| u8::from(*set) << bit).sum())
                .collect(),
        };
        self.inner.borrow().devices.iter().map(pack).collect()
    }

    /// Sealed groups without live bytes that checkpoint `number` may take back.
    pub(crate) fn dead(&self, number: u64) -> Vec<GroupId> {
        let inner = self.inner.borrow();
        let dead = |group: &&OwnerGroup| group.is_dead() && group.sealed_at < number;
        inner.groups.values().filter(dead).map(|group| group.descriptor.group).collect()
    }

    /// Takes groups back: their segments are free.
    pub(crate) fn take_back(&self, groups: &[GroupId]) {
        let mut inner = self.inner.borrow_mut();
        for group in groups {
            inner.drop_group(*group);
        }
    }

    /// The next superblock to write, one sequence number on.
    pub(crate) fn next_superblock(&self, change: impl FnOnce(&mut Superblock)) -> Superblock {
        let mut inner = self.inner.borrow_mut();
        inner.superblock.sequence += 1;
        change(&mut inner.superblock);
        inner.superblock.clone()
    }

    /// The superblock as it stands.
    pub(crate) fn superblock(&self) -> Superblock {
        self.inner.borrow().superblock.clone()
    }

    /// Every group.
    pub(crate) fn groups(&self) -> Vec<OwnerGroup> {
        self.inner.borrow().groups.values().cloned().collect()
    }

    /// Sealed groups in which something lives and something may be dead, by the durable checkpoint `number`. Of the
    /// kinds whose bytes records name: pages of the index come back when runs are merged.
    pub(crate) fn candidates(&self, number: u64) -> Vec<clean_plan::Candidate> {
        let inner = self.inner.borrow();
        let counted = |group: &&OwnerGroup| {
            let has_bodies = match group.descriptor.kind {
                GroupKind::Data | GroupKind::Log => true,
                GroupKind::Index => false,
            };
            has_bodies && !group.open && !group.resumable && group.live > 0 && group.sealed_at < number
        };
        let candidate = |group: &OwnerGroup| clean_plan::Candidate {
            group: group.descriptor.group,
            generation: group.descriptor.generation,
            capacity: data_bytes(1, group.descriptor.shape, self.facts.segment_bytes),
            live: group.live,
            died: group.packed.map(|most| most.saturating_sub(group.live)),
        };
        inner.groups.values().filter(counted).map(candidate).collect()
    }

    /// What a group's rows hold; `None` when it is gone.
    pub(crate) fn kind(&self, group: GroupId) -> Option<GroupKind> {
        self.inner.borrow().groups.get(&group).map(|group| group.descriptor.kind)
    }

    /// Bytes that live in a group by the last checkpoint; `None` when it is gone.
    pub(crate) fn live(&self, group: GroupId) -> Option<u64> {
        self.inner.borrow().groups.get(&group).map(|group| group.live)
    }

    /// How much room there is, and for whom.
    pub(crate) fn space(&self) -> Space {
        let (left, all) = self.room();
        let marks = Marks::new(all, self.reserved, self.cores);
        Space { left, all, marks, level: marks.level(left) }
    }

    /// Groups of the pool's shape that can still be opened, and how many there are room for in all.
    pub(crate) fn room(&self) -> (u64, u64) {
        let inner = self.inner.borrow();
        let members = inner.shape_now(self.facts.shape).map_or(1, CodeShape::members);
        let all: Vec<Candidate> = inner
            .devices
            .iter()
            .filter(|(_, space)| space.in_service)
            .map(|(device, space)| Candidate {
                device: *device,
                free: u32::try_from(space.used.len()).unwrap_or(u32::MAX),
            })
            .collect();
        (groups_left(&inner.candidates(), members), groups_left(&all, members))
    }
}

impl Inner {
    fn is_used(&self, member: Member) -> bool {
        let space = self.devices.get(&member.device);
        space.and_then(|space| space.used.get(member.segment.0 as usize)).copied().unwrap_or(false)
    }

    fn set_used(&mut self, member: Member, used: bool) {
        let flag = self.devices.get_mut(&member.device);
        if let Some(flag) = flag.and_then(|space| space.used.get_mut(member.segment.0 as usize)) {
            *flag = used;
        }
    }

    fn set_prepared(&mut self, member: Member) {
        let flag = self.devices.get_mut(&member.device);
        if let Some(flag) = flag.and_then(|space| space.prepared.get_mut(member.segment.0 as usize)) {
            *flag = true;
        }
    }

    fn drop_group(&mut self, group: GroupId) {
        let Some(group) = self.groups.remove(&group) else { return };
        for member in group.descriptor.members {
            self.set_used(member, false);
        }
    }

    fn resume_one(&mut self, kind: GroupKind) -> Option<OwnerGroup> {
        let group = self.groups.values_mut().find(|g| g.resumable && g.descriptor.kind == kind)?;
        group.resumable = false;
        group.open = true;
        Some(group.clone())
    }
}

/// Bytes of data that `groups` more groups of `shape` hold.
pub(crate) fn data_bytes(groups: u64, shape: CodeShape, segment_bytes: u64) -> u64 {
    groups.saturating_mul(segment_bytes).saturating_mul(to_usize(u64::from(shape.k)) as u64)
}
