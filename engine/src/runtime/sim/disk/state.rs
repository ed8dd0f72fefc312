//! A disk's controller: carries operations out, with the faults that are planned.

use super::config::{Backing, DiskConfig};
use super::faults::FaultPlan;
use super::latency;
use super::media::{Media, SECTOR, sector_of};
use super::operation::{Operation, Reply, wide};
use crate::buffer::Buffer;
use crate::runtime::contract::{DeviceError, DeviceInfo, Durability};
use crate::runtime::sim::power::Loss;
use crate::runtime::sim::random::Dice;
use crate::runtime::sim::ranges::RangeSet;
use crate::runtime::sim::world::World;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::{Rc, Weak};

const EIO: i32 = 5;
/// How far a misdirected transfer lands from where it should, in sectors.
const MISDIRECTION_SECTORS_MAX: u64 = 64;
/// Wrong bits in a byte of a corrupt range.
const CORRUPTION: u8 = 0x5A;

/// A durable write into a range that was not prepared, on a disk that demands it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// First byte written.
    pub offset: u64,
    /// Bytes written.
    pub length: u64,
}

/// What a disk did since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskLog {
    /// Reads completed.
    pub reads: u64,
    /// Writes completed.
    pub writes: u64,
    /// Of these, durable ones.
    pub durable_writes: u64,
    /// Flushes completed.
    pub flushes: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Ranges whose write was lost by plan.
    pub lost: Vec<Range<u64>>,
    /// Ranges whose write landed elsewhere by plan, and where.
    pub misdirected: Vec<(Range<u64>, u64)>,
    /// Durable writes into unprepared ranges, where the disk demands preparation.
    pub violations: Vec<Violation>,
}

/// The plan and how far it has come.
#[derive(Debug, Default)]
struct Faults {
    plan: FaultPlan,
    unreadable: RangeSet,
    corrupt: RangeSet,
    operations: u64,
    reads: u64,
    writes: u64,
    flushes: u64,
}

#[derive(Debug)]
pub(crate) struct DiskState {
    pub(crate) info: Rc<DeviceInfo>,
    pub(crate) media: Media,
    pub(crate) prepared: RangeSet,
    pub(crate) log: DiskLog,
    pub(crate) hung: bool,
    pub(crate) dead: bool,
    /// Operations whose time has come while the disk hung.
    pub(crate) parked: Vec<u64>,
    pub(crate) world: Weak<World>,
    config: DiskConfig,
    faults: Faults,
    dice: Dice,
    under_way: BTreeMap<u64, Operation>,
    submitted: u64,
}

impl DiskState {
    pub(crate) fn new(config: DiskConfig, dice: Dice) -> Self {
        let info = DeviceInfo {
            name: config.name.clone(),
            bytes: config.bytes,
            logical_block: config.logical_block,
            physical_block: 4096,
            volatile_cache: config.volatile_cache,
            rotational: config.rotational,
            is_file: config.backing != Backing::Device,
        };
        Self {
            info: Rc::new(info),
            media: Media::default(),
            prepared: RangeSet::default(),
            log: DiskLog::default(),
            hung: false,
            dead: false,
            parked: Vec::new(),
            world: Weak::new(),
            config,
            faults: Faults::default(),
            dice,
            under_way: BTreeMap::new(),
            submitted: 0,
        }
    }

    pub(crate) fn attach(&mut self, world: Weak<World>, dice: Dice) {
        assert!(self.under_way.is_empty(), "a disk is in one running machine at a time");
        self.world = world;
        self.dice = dice;
    }

    pub(crate) fn set_faults(&mut self, plan: FaultPlan) {
        let unreadable = RangeSet::of(&plan.unreadable);
        let corrupt = RangeSet::of(&plan.corrupt);
        self.faults = Faults { plan, unreadable, corrupt, ..Faults::default() };
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.faults.plan.absent
    }

    /// Takes an operation in; returns its number and the nanoseconds it takes.
    pub(crate) fn submit(&mut self, operation: Operation) -> (u64, u64) {
        self.faults.operations += 1;
        let count = self.faults.operations;
        self.hung |= self.faults.plan.hang_after.is_some_and(|after| count > after);
        self.dead |= self.faults.plan.die_after.is_some_and(|after| count > after);
        let nanoseconds = self.nanoseconds_of(&operation);
        let number = self.submitted;
        self.submitted += 1;
        self.under_way.insert(number, operation);
        (number, nanoseconds)
    }

    fn nanoseconds_of(&mut self, operation: &Operation) -> u64 {
        let times = &self.config.latency;
        let dice = &mut self.dice;
        let base = match operation {
            Operation::Read { length, .. } => latency::draw(&times.read, wide(*length), dice),
            Operation::Write { length, durability, .. } => {
                let write = latency::draw(&times.write, wide(*length), dice);
                let through = *durability == Durability::Durable && self.config.volatile_cache;
                if through { write.saturating_add(latency::draw(&times.flush, 0, dice)) } else { write }
            }
            Operation::Flush { .. } => latency::draw(&times.flush, 0, dice),
            Operation::Prepare { length, .. } => latency::draw(&times.write, *length, dice),
            Operation::Discard { .. } => latency::draw(&times.write, 0, dice),
        };
        base.saturating_mul(u64::from(self.faults.plan.slowdown.max(1)))
    }

    pub(crate) fn under_way(&self, number: u64) -> Option<&Operation> {
        self.under_way.get(&number)
    }

    /// Carries the operation out. The caller decides whether the host hears of it.
    pub(crate) fn complete(&mut self, number: u64) -> Option<Reply> {
        Some(match self.under_way.remove(&number)? {
            Operation::Read { offset, length, mut buffer, to } => {
                let result = self.read(offset, &mut buffer, length);
                Reply::Moved(to, result, buffer)
            }
            Operation::Write { offset, length, buffer, durability, to } => {
                let result = self.write(offset, &buffer.bytes()[..length], durability);
                Reply::Moved(to, result, buffer)
            }
            Operation::Flush { sequence, to } => Reply::Plain(to, self.flush(sequence)),
            Operation::Prepare { offset, length, to } => Reply::Plain(to, self.prepare(offset, length)),
            Operation::Discard { offset, length, to } => {
                self.discard(offset, length);
                Reply::Advice(to)
            }
        })
    }

    fn read(&mut self, offset: u64, buffer: &mut Buffer, length: usize) -> Result<(), DeviceError> {
        if self.dead {
            // A drive that was pulled answers some reads with "end of device", as seen on Linux.
            let gone = DeviceError::Short { expected: length, found: 0 };
            return Err(if self.dice.coin() { gone } else { DeviceError::Io { errno: EIO } });
        }
        self.faults.reads += 1;
        self.log.reads += 1;
        self.log.bytes_read += wide(length);
        let number = self.faults.reads;
        let range = offset..offset + wide(length);
        let failed = self.faults.plan.failed_reads.hits(number, &mut self.dice);
        if failed || self.faults.unreadable.touches(range.clone()) {
            return Err(DeviceError::Io { errno: EIO });
        }
        let misdirected = self.faults.plan.misdirected_reads.hits(number, &mut self.dice);
        let from = if misdirected { self.elsewhere(offset, length) } else { offset };
        let target = &mut buffer.bytes_mut()[..length];
        self.media.read(from, target);
        if self.faults.corrupt.touches(range) {
            for (start, sector) in (offset..).step_by(SECTOR).zip(target.chunks_mut(SECTOR)) {
                if self.faults.corrupt.touches(start..start + wide(SECTOR)) {
                    let position = self.dice.index(sector.len());
                    sector[position] ^= CORRUPTION;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, source: &[u8], durability: Durability) -> Result<(), DeviceError> {
        if self.dead {
            self.media.write_some(offset, source, false, &mut self.dice);
            return Err(if self.dice.coin() { DeviceError::NoSpace } else { DeviceError::Io { errno: EIO } });
        }
        self.faults.writes += 1;
        let number = self.faults.writes;
        let length = wide(source.len());
        let range = offset..offset + length;
        self.count_write(range.clone(), durability);
        let durable = self.is_through(durability);
        if self.faults.plan.failed_writes.hits(number, &mut self.dice) {
            self.media.write_some(offset, source, durable, &mut self.dice);
            return Err(DeviceError::Io { errno: EIO });
        }
        let flushes = durability == Durability::Durable && self.config.volatile_cache;
        if flushes && self.flush_fails() {
            self.store(offset, source, false);
            self.media.lose_some(&mut self.dice);
            return Err(DeviceError::Io { errno: EIO });
        }
        if self.faults.plan.lost_writes.hits(number, &mut self.dice) {
            self.log.lost.push(range);
            return Ok(());
        }
        if self.faults.plan.misdirected_writes.hits(number, &mut self.dice) {
            let target = self.elsewhere(offset, source.len());
            self.log.misdirected.push((range, target));
            self.store(target, source, durable);
            return Ok(());
        }
        self.store(offset, source, durable);
        Ok(())
    }

    /// Whether a completed write is on the medium and not only in the cache.
    fn is_through(&self, durability: Durability) -> bool {
        durability == Durability::Durable || !self.config.volatile_cache
    }

    fn count_write(&mut self, range: Range<u64>, durability: Durability) {
        self.log.writes += 1;
        let length = range.end - range.start;
        self.log.bytes_written += length;
        if durability == Durability::Durable {
            self.log.durable_writes += 1;
            if self.config.backing == Backing::StrictFile && !self.prepared.covers(range.clone()) {
                self.log.violations.push(Violation { offset: range.start, length });
            }
        }
    }

    /// A write that reaches the medium also heals what was unreadable there.
    fn store(&mut self, offset: u64, source: &[u8], durable: bool) {
        let range = offset..offset + wide(source.len());
        self.faults.unreadable.remove(range.clone());
        self.faults.corrupt.remove(range);
        self.media.write(offset, source, durable);
    }

    /// Another place nearby where `length` bytes fit; `offset` itself when there is none.
    fn elsewhere(&mut self, offset: u64, length: usize) -> u64 {
        let shift = (1 + self.dice.below(MISDIRECTION_SECTORS_MAX)) * wide(SECTOR);
        let up = offset + shift;
        if up + wide(length) <= self.config.bytes && (self.dice.coin() || offset < shift) {
            return up;
        }
        offset.checked_sub(shift).unwrap_or(offset)
    }

    fn flush(&mut self, sequence: u64) -> Result<(), DeviceError> {
        if self.dead {
            return Err(DeviceError::Io { errno: EIO });
        }
        self.log.flushes += 1;
        if self.flush_fails() {
            self.media.lose_some(&mut self.dice);
            return Err(DeviceError::Io { errno: EIO });
        }
        self.media.settle(sequence);
        Ok(())
    }

    /// Counts a flush, and says whether the plan lets it fail.
    fn flush_fails(&mut self) -> bool {
        self.faults.flushes += 1;
        self.faults.plan.failed_flushes.hits(self.faults.flushes, &mut self.dice)
    }

    fn prepare(&mut self, offset: u64, length: u64) -> Result<(), DeviceError> {
        if self.dead {
            return Err(DeviceError::Io { errno: EIO });
        }
        if self.info.is_file {
            self.media.zero(offset, length);
            self.prepared.insert(offset..offset + length);
            self.faults.unreadable.remove(offset..offset + length);
            self.faults.corrupt.remove(offset..offset + length);
        }
        Ok(())
    }

    /// A device may zero the range or leave it as it is: nobody may count on either.
    fn discard(&mut self, offset: u64, length: u64) {
        if self.dead {
            return;
        }
        self.prepared.remove(offset..offset + length);
        if self.dice.coin() {
            self.media.zero(offset, length);
        }
    }

    /// The machine stops: decides what becomes of the cache and of what was under way.
    pub(crate) fn crash(&mut self, loss: Loss, dice: &mut Dice) {
        self.media.crash(loss, dice);
        self.parked.clear();
        let under_way = std::mem::take(&mut self.under_way);
        for operation in under_way.values() {
            match operation {
                Operation::Write { offset, length, buffer, durability, .. } if !self.dead => {
                    let durable = self.is_through(*durability);
                    self.media.crash_write(*offset, &buffer.bytes()[..*length], durable, (loss, dice));
                }
                Operation::Prepare { offset, length, .. } if self.info.is_file && !self.dead => {
                    self.media.crash_zero(*offset, *length, dice);
                }
                Operation::Read { .. }
                | Operation::Write { .. }
                | Operation::Flush { .. }
                | Operation::Prepare { .. }
                | Operation::Discard { .. } => {}
            }
        }
    }

    /// Copies any bytes, as the newest version of each sector has them.
    pub(crate) fn image(&self, range: Range<u64>) -> Vec<u8> {
        let start = sector_of(range.start) * wide(SECTOR);
        let length = usize::try_from(range.end.saturating_sub(start)).unwrap_or_default();
        let mut bytes = vec![0; length.next_multiple_of(SECTOR)];
        self.media.read(start, &mut bytes);
        let skipped = usize::try_from(range.start - start).unwrap_or_default();
        bytes.truncate(length);
        bytes.split_off(skipped.min(length))
    }
}
