//! What a checkpoint pins: the runs of every shard, the group table with live bytes, and where each log goes on.
//! Everything that replay needs besides the rows after it. Written as a blob in index rows; the superblock
//! names it.
//!
//! Own numbers of the frame: mount epoch, sequence, 0, 0.

use crate::archive::{Frame, decode};
use crate::bytes::within;
use crate::constants::{CHECKPOINT_MAGIC, VIRTUAL_SHARDS};
use crate::error::{DecodeError, Field, Structure};
use crate::extent::{Extent, check_all, expect_own};
use crate::group::GroupDescriptor;
use crate::units::{
    BucketId, DeviceIndex, Epoch, Generation, GroupId, LogId, PoolId, RowOffset, RowSequence, VirtualShard,
};
use rkyv::{Archive, Deserialize, Serialize};

/// Declares a part of a checkpoint: plain data, archived as it stands.
macro_rules! part {
    ($($item:item)*) => {
        $(
            #[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
            #[rkyv(derive(Debug))]
            $item
        )*
    };
}

part! {
    /// Where a log goes on: replay begins with this row.
    pub struct LogPosition {
        /// The log.
        pub log: LogId,
        /// The group that holds its next row.
        pub group: GroupId,
        /// Which use of that slot.
        pub generation: Generation,
        /// Where the next row begins.
        pub row: RowOffset,
        /// The next row's sequence.
        pub next_sequence: RowSequence,
        /// Header CRC of member 0 of the row before it.
        pub previous_crc: u32,
    }

    /// A run: where its manifest is.
    pub struct RunRef {
        /// Its number.
        pub run: u64,
        /// Bytes of the encoded manifest.
        pub bytes: u64,
        /// Where the encoded manifest is.
        pub extents: Vec<Extent>,
    }

    /// Exact counters of a bucket, for the keys of one core.
    pub struct BucketCounter {
        /// The bucket.
        pub bucket: BucketId,
        /// Objects. Signed because counters of several manifests add up.
        pub objects: i64,
        /// Bytes of their bodies.
        pub bytes: i64,
        /// Uploads under way.
        pub uploads: i64,
    }

    /// The index of one core.
    pub struct ShardManifest {
        /// The core.
        pub core: u16,
        /// First virtual shard that it owned.
        pub first_vshard: VirtualShard,
        /// Last virtual shard that it owned.
        pub last_vshard: VirtualShard,
        /// Its runs, newest first.
        pub runs: Vec<RunRef>,
        /// Its counters.
        pub counters: Vec<BucketCounter>,
    }

    /// Whether a group takes rows.
    pub enum GroupStatus {
        /// It may; what stands behind `tail` is replayed.
        Open,
        /// It does not.
        Sealed,
    }

    /// One group.
    pub struct GroupState {
        /// What it is.
        pub descriptor: GroupDescriptor,
        /// Whether it takes rows.
        pub status: GroupStatus,
        /// Just behind its last row.
        pub tail: RowOffset,
        /// Bytes that something points at.
        pub live_bytes: u64,
    }

    /// Which segments of a device are prepared for writing (trimmed or zone reset).
    pub struct DevicePrepared {
        /// The device.
        pub device: DeviceIndex,
        /// One bit per segment, lowest bit first.
        pub bitmap: Vec<u8>,
    }

    /// A checkpoint.
    pub struct Checkpoint {
        /// The pool.
        pub pool: PoolId,
        /// The mount that wrote it.
        pub epoch: Epoch,
        /// Counts up with each checkpoint of the pool.
        pub sequence: u64,
        /// Where each log goes on.
        pub logs: Vec<LogPosition>,
        /// The index of each core.
        pub shards: Vec<ShardManifest>,
        /// All groups, ascending.
        pub groups: Vec<GroupState>,
        /// Prepared segments by device.
        pub prepared: Vec<DevicePrepared>,
        /// The next number for a run.
        pub next_run: u64,
        /// Groups that this mount opens behind the checkpoint have at least this counter in their generation;
        /// 0 when it is not known.
        pub next_generation: u64,
    }
}

const FRAME: Frame = Frame { structure: Structure::Checkpoint, magic: CHECKPOINT_MAGIC, version: 1 };

impl Checkpoint {
    /// The checkpoint as written.
    ///
    /// # Panics
    /// When groups do not ascend or a descriptor is not sound: both are ours.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert_eq!(self.check(), Ok(()), "the engine keeps its tables sound");
        FRAME.encode(self.own(), self)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong; each extent and each descriptor is checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (found, archive) = FRAME.open(bytes, true)?;
        let checkpoint: Self = decode(Structure::Checkpoint, archive)?;
        expect_own(Structure::Checkpoint, found, checkpoint.own())?;
        checkpoint.check()?;
        Ok(checkpoint)
    }

    fn own(&self) -> [u64; 4] {
        [u64::from(self.epoch.0), self.sequence, 0, 0]
    }

    fn check(&self) -> Result<(), DecodeError> {
        let structure = Structure::Checkpoint;
        for shard in &self.shards {
            let last = u64::from(VIRTUAL_SHARDS - 1);
            within(structure, Field::VirtualShard, 0..=last, u64::from(shard.last_vshard.0))?;
            let last = u64::from(shard.last_vshard.0);
            within(structure, Field::VirtualShard, 0..=last, u64::from(shard.first_vshard.0))?;
            shard.runs.iter().try_for_each(|run| check_all(&run.extents))?;
        }
        self.groups.iter().try_for_each(|state| state.descriptor.check())?;
        let pairs = self.groups.iter().zip(self.groups.iter().skip(1));
        for (position, (state, next)) in (1..).zip(pairs) {
            if state.descriptor.group >= next.descriptor.group {
                return Err(DecodeError::Unordered { structure, field: Field::Group, position });
            }
        }
        Ok(())
    }
}
