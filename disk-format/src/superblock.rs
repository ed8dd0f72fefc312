//! The root record of a pool: which devices it has and where the newest checkpoint is. Each device has four
//! copies, two in each region.
//!
//! A commit of sequence s writes copies 0 and 2 of every present device, flushes, then copies 1 and 3, and
//! flushes (`COMMIT_WAVES`): whatever a crash tears, copies of s - 1 or of s are whole.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `ASHSUPER` |
//! | 8 | 2 | format version |
//! | 10 | 1 | copy: which of the four this is |
//! | 11 | 1 | clean: 1 after an orderly stop, else 0 |
//! | 12 | 2 | cores of the mount |
//! | 14 | 2 | count of devices |
//! | 16 | 16 | pool |
//! | 32 | 16 | device that holds this copy |
//! | 48 | 8 | sequence |
//! | 56 | 4 | mount epoch |
//! | 60 | 1 | code family |
//! | 61 | 1 | k |
//! | 62 | 1 | m |
//! | 63 | 1 | reserved, zero |
//! | 64 | 8 | bytes of a segment |
//! | 72 | 24 | feature flags |
//! | 96 | 8 | bytes of the encoded checkpoint; 0 before the first |
//! | 104 | 2 | count of checkpoint extents |
//! | 106 | 2 | count of checkpoint groups |
//! | 108 | 8 | when the newest scrub began, ms since 1970; before the first, when the pool was started first |
//! | 116 | 8 | generation from which that scrub goes on; 2^64 - 1 when it is over, 2^64 - 2 before the first |
//! | 124 | 4 | reserved, zero |
//! | 128 | 32 each | device entry: id 16, bytes u64, index u16, state u8, reserved u8, since u32 |
//! | … | 36 + 4 c each | extent: generation u64, group u32, row u32, height u16, member u8, data count u8, payload offset u32, length u32, count of checksums u32, reserved u32, checksums u32 each |
//! | … | 20 + 6 n each | descriptor of a group that the checkpoint lies in |
//! | … | | zero |
//! | 65532 | 4 | CRC32C of bytes 0 to 65531 |

use crate::bytes::{Reader, Writer, checksum, count_u16, length_u32, magic, version, within};
use crate::checksum::crc32c;
use crate::code::CodeShape;
use crate::constants::{
    CHECKPOINT_EXTENTS_MAX, CHECKPOINT_GROUPS_MAX, DEVICES_MAX, EXTENT_CRCS_MAX, MEMBERS_MAX,
    SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SUPERBLOCK_COPIES, SUPERBLOCK_MAGIC, SUPERBLOCK_SLOT_BYTES,
};
use crate::error::{DecodeError, Field, Structure};
use crate::extent::{Crcs, Extent};
use crate::group::GroupDescriptor;
use crate::label::{read_features, write_features};
use crate::units::{DeviceId, DeviceIndex, Epoch, Generation, GroupId, Height, PoolId, RowOffset};
use crate::version::{FORMAT_VERSION, FeatureFlags};

/// What the pool thinks of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceState {
    /// It takes part.
    Present,
    /// It has been missing since that mount; what was written since is not on it.
    Absent {
        /// The first mount without it.
        since: Epoch,
    },
    /// It failed a write or a flush in that mount, and was not written to any more.
    Failed {
        /// The mount in which it failed.
        since: Epoch,
    },
    /// It is out of service, and no group of the checkpoint has a member on it: nobody misses it.
    Vacant {
        /// The mount whose checkpoint was the first that names nothing on it.
        since: Epoch,
    },
}

/// One device of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEntry {
    /// The device.
    pub id: DeviceId,
    /// Its place in the table.
    pub index: DeviceIndex,
    /// Its size when it joined, bytes.
    pub bytes: u64,
    /// What the pool thinks of it.
    pub state: DeviceState,
}

/// How far the newest scrub came: the reading of everything to find what rots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrubProgress {
    /// When it began, ms since 1970. Before the first: when the pool was started first, or 0.
    pub began_ms: u64,
    /// Groups of lower generations are done.
    pub next: Generation,
}

impl ScrubProgress {
    /// [`ScrubProgress::next`] when all groups are done.
    pub const OVER: Generation = Generation(u64::MAX);
    /// [`ScrubProgress::next`] before the first scrub.
    pub const NONE_YET: Generation = Generation(u64::MAX - 1);

    /// Groups are left.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.began_ms > 0 && self.next < Self::NONE_YET
    }
}

/// The root record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// The pool.
    pub pool: PoolId,
    /// The device that holds this copy.
    pub device: DeviceId,
    /// Counts up with each commit.
    pub sequence: u64,
    /// The mount that wrote it.
    pub epoch: Epoch,
    /// Shape of the pool's groups.
    pub shape: CodeShape,
    /// Size of a segment, bytes.
    pub segment_bytes: u64,
    /// What the pool uses.
    pub features: FeatureFlags,
    /// The device table, by ascending index.
    pub devices: Vec<DeviceEntry>,
    /// Where the encoded extent list of the checkpoint blob is; empty before the first checkpoint.
    pub checkpoint: Vec<Extent>,
    /// Bytes of the encoded checkpoint; 0 before the first.
    pub checkpoint_bytes: u64,
    /// The groups that the checkpoint and its extent list lie in: without the checkpoint nothing else says
    /// where their members are.
    pub checkpoint_groups: Vec<GroupDescriptor>,
    /// How far the newest scrub came.
    pub scrub: ScrubProgress,
    /// Cores of the mount.
    pub cores: u16,
    /// Whether the mount was stopped in order: no log rows stand behind the checkpoint.
    pub clean: bool,
}

/// The copies of a device that are written together; a flush stands between the waves, so that at no time
/// are all copies in flight.
pub const COMMIT_WAVES: [[u8; 2]; 2] = [[0, 2], [1, 3]];

const FIXED_BYTES: usize = 128;
const DEVICE_BYTES: usize = 32;
const EXTENT_BYTES_MAX: usize = 36 + 4 * EXTENT_CRCS_MAX;
const GROUP_BYTES_MAX: usize = 20 + 6 * MEMBERS_MAX;
const CRC_OFFSET: usize = SUPERBLOCK_SLOT_BYTES - 4;
const _: () = assert!(
    FIXED_BYTES
        + DEVICE_BYTES * DEVICES_MAX
        + EXTENT_BYTES_MAX * CHECKPOINT_EXTENTS_MAX
        + GROUP_BYTES_MAX * CHECKPOINT_GROUPS_MAX
        <= CRC_OFFSET
);

impl Superblock {
    /// One slot as written.
    ///
    /// # Panics
    /// When a table is above its limit or not in order, or an extent not sound: all are ours.
    #[must_use]
    pub fn encode(&self, copy: u8) -> Vec<u8> {
        assert!(copy < SUPERBLOCK_COPIES, "a device has {SUPERBLOCK_COPIES} copies");
        assert_eq!(self.check(), Ok(()), "the engine keeps its device table sound");
        let mut slot = vec![0; SUPERBLOCK_SLOT_BYTES];
        let mut writer = Writer::new(&mut slot);
        writer.u64(SUPERBLOCK_MAGIC);
        writer.u16(FORMAT_VERSION.0);
        writer.u8(copy);
        writer.u8(u8::from(self.clean));
        writer.u16(self.cores);
        writer.u16(count_u16(self.devices.len()));
        writer.put(&self.pool.0);
        writer.put(&self.device.0);
        writer.u64(self.sequence);
        writer.u32(self.epoch.0);
        for byte in [self.shape.family.number(), self.shape.k, self.shape.m, 0] {
            writer.u8(byte);
        }
        writer.u64(self.segment_bytes);
        write_features(self.features, &mut writer);
        writer.u64(self.checkpoint_bytes);
        writer.u16(count_u16(self.checkpoint.len()));
        writer.u16(count_u16(self.checkpoint_groups.len()));
        writer.u64(self.scrub.began_ms);
        writer.u64(self.scrub.next.0);
        writer.zeros(4);
        assert_eq!(writer.offset(), FIXED_BYTES, "the table above");
        for entry in &self.devices {
            write_device(entry, &mut writer);
        }
        for extent in &self.checkpoint {
            write_extent(extent, &mut writer);
        }
        for descriptor in &self.checkpoint_groups {
            descriptor.write(&mut writer);
        }
        let crc = crc32c(slot.get(..CRC_OFFSET).unwrap_or_default());
        Writer::new(slot.get_mut(CRC_OFFSET..).unwrap_or_default()).u32(crc);
        slot
    }

    /// Reads a slot; bytes behind it are not looked at. Which copy it claims to be is
    /// [`Superblock::decode_copy`]'s to say.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_copy(bytes).map(|(superblock, _)| superblock)
    }

    /// Reads a slot and which copy it claims to be.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong.
    pub fn decode_copy(bytes: &[u8]) -> Result<(Self, u8), DecodeError> {
        let structure = Structure::Superblock;
        let mut whole = Reader::new(structure, bytes);
        magic(structure, SUPERBLOCK_MAGIC, Reader::new(structure, bytes).u64(Field::Header)?)?;
        let covered = whole.take(Field::Header, CRC_OFFSET)?;
        let mut reader = Reader::new(structure, covered);
        reader.u64(Field::Header)?;
        version(structure, FORMAT_VERSION.0, reader.u16(Field::Version)?)?;
        checksum(structure, whole.u32(Field::Header)?, crc32c(covered))?;
        let copy = reader.u8(Field::Copy)?;
        within(structure, Field::Copy, 0..=u64::from(SUPERBLOCK_COPIES - 1), u64::from(copy))?;
        let clean = reader.u8(Field::Clean)?;
        within(structure, Field::Clean, 0..=1, u64::from(clean))?;
        let cores = reader.u16(Field::Header)?;
        let devices = reader.u16(Field::Devices)?;
        within(structure, Field::Devices, 0..=DEVICES_MAX as u64, u64::from(devices))?;
        let pool = PoolId(reader.array(Field::Pool)?);
        let device = DeviceId(reader.array(Field::Device)?);
        let sequence = reader.u64(Field::Sequence)?;
        let epoch = Epoch(reader.u32(Field::Header)?);
        let [family, k, m] = reader.array(Field::Shape)?;
        let shape = CodeShape::from_stored(family, k, m)?;
        reader.reserved(1)?;
        let segment_bytes = reader.u64(Field::SegmentBytes)?;
        let features = read_features(&mut reader)?;
        let checkpoint_bytes = reader.u64(Field::CheckpointBytes)?;
        let extents = reader.u16(Field::CheckpointExtents)?;
        within(structure, Field::CheckpointExtents, 0..=CHECKPOINT_EXTENTS_MAX as u64, u64::from(extents))?;
        let groups = reader.u16(Field::CheckpointGroups)?;
        within(structure, Field::CheckpointGroups, 0..=CHECKPOINT_GROUPS_MAX as u64, u64::from(groups))?;
        let began_ms = reader.u64(Field::Scrub)?;
        let scrub = ScrubProgress { began_ms, next: Generation(reader.u64(Field::Scrub)?) };
        reader.reserved(4)?;
        let superblock = Self {
            pool,
            device,
            sequence,
            epoch,
            shape,
            segment_bytes,
            features,
            devices: (0..devices).map(|_| read_device(&mut reader)).collect::<Result<_, _>>()?,
            checkpoint: (0..extents).map(|_| read_extent(&mut reader)).collect::<Result<_, _>>()?,
            checkpoint_bytes,
            checkpoint_groups: (0..groups)
                .map(|_| GroupDescriptor::read(&mut reader))
                .collect::<Result<_, _>>()?,
            scrub,
            cores,
            clean: clean == 1,
        };
        reader.reserved_rest()?;
        superblock.check()?;
        Ok((superblock, copy))
    }

    /// Whether two copies say the same: everything but which device holds them.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        Self { device: other.device, ..self.clone() } == *other
    }

    fn check(&self) -> Result<(), DecodeError> {
        let structure = Structure::Superblock;
        self.shape.check()?;
        within(structure, Field::SegmentBytes, SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX, self.segment_bytes)?;
        within(structure, Field::Devices, 0..=DEVICES_MAX as u64, self.devices.len() as u64)?;
        let pairs = self.devices.iter().zip(self.devices.iter().skip(1));
        for (position, (entry, next)) in (1..).zip(pairs) {
            if entry.index >= next.index {
                return Err(DecodeError::Unordered { structure, field: Field::DeviceIndex, position });
            }
        }
        let maximum = CHECKPOINT_EXTENTS_MAX as u64;
        within(structure, Field::CheckpointExtents, 0..=maximum, self.checkpoint.len() as u64)?;
        crate::extent::check_all(&self.checkpoint)?;
        let maximum = CHECKPOINT_GROUPS_MAX as u64;
        within(structure, Field::CheckpointGroups, 0..=maximum, self.checkpoint_groups.len() as u64)?;
        self.checkpoint_groups.iter().try_for_each(GroupDescriptor::check)?;
        let sizes = if self.checkpoint.is_empty() { 0..=0 } else { 1..=u64::MAX };
        within(structure, Field::CheckpointBytes, sizes, self.checkpoint_bytes)
    }
}

fn write_device(entry: &DeviceEntry, writer: &mut Writer<'_>) {
    let (state, since) = match entry.state {
        DeviceState::Present => (1, 0),
        DeviceState::Absent { since } => (2, since.0),
        DeviceState::Failed { since } => (3, since.0),
        DeviceState::Vacant { since } => (4, since.0),
    };
    writer.put(&entry.id.0);
    writer.u64(entry.bytes);
    writer.u16(entry.index.0);
    writer.u8(state);
    writer.u8(0);
    writer.u32(since);
}

fn read_device(reader: &mut Reader<'_>) -> Result<DeviceEntry, DecodeError> {
    let structure = Structure::Superblock;
    let id = DeviceId(reader.array(Field::Device)?);
    let bytes = reader.u64(Field::DeviceBytes)?;
    let index = DeviceIndex(reader.u16(Field::DeviceIndex)?);
    let state = reader.u8(Field::DeviceState)?;
    reader.reserved(1)?;
    let since = Epoch(reader.u32(Field::DeviceState)?);
    let state = match state {
        1 => {
            within(structure, Field::DeviceState, 0..=0, u64::from(since.0))?;
            DeviceState::Present
        }
        2 => DeviceState::Absent { since },
        3 => DeviceState::Failed { since },
        4 => DeviceState::Vacant { since },
        other => {
            let found = u64::from(other);
            return Err(DecodeError::Unknown { structure, field: Field::DeviceState, found });
        }
    };
    Ok(DeviceEntry { id, index, bytes, state })
}

fn write_extent(extent: &Extent, writer: &mut Writer<'_>) {
    writer.u64(extent.generation.0);
    writer.u32(extent.group.0);
    writer.u32(extent.row.0);
    writer.u16(extent.height.0);
    writer.u8(extent.member);
    writer.u8(extent.data_count);
    writer.u32(extent.payload_offset);
    writer.u32(extent.length);
    writer.u32(length_u32(extent.crcs.len()));
    writer.u32(0);
    for &crc in &extent.crcs {
        writer.u32(crc);
    }
}

fn read_extent(reader: &mut Reader<'_>) -> Result<Extent, DecodeError> {
    let extent = Extent {
        generation: Generation(reader.u64(Field::Generation)?),
        group: GroupId(reader.u32(Field::Group)?),
        row: RowOffset(reader.u32(Field::Row)?),
        height: Height(reader.u16(Field::Height)?),
        member: reader.u8(Field::Member)?,
        data_count: reader.u8(Field::DataCount)?,
        payload_offset: reader.u32(Field::PayloadOffset)?,
        length: reader.u32(Field::Length)?,
        crcs: Crcs::new(),
    };
    let count = reader.u32(Field::Crcs)?;
    within(Structure::Superblock, Field::Crcs, 1..=EXTENT_CRCS_MAX as u64, u64::from(count))?;
    reader.reserved(4)?;
    let crcs = (0..count).map(|_| reader.u32(Field::Crcs)).collect::<Result<_, _>>()?;
    Ok(Extent { crcs, ..extent })
}
