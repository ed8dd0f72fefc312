//! What cores ask of each other, and what they answer. Plain data: it crosses threads.

use crate::body::BodyPlace;
use crate::error::EngineError;
use crate::limits::LOST_NAMES_MAX;
use crate::mesh::Lane;
use crate::pool::{DeviceUse, PoolFacts, PoolReply, PoolRequest, RebuildJob, Room, ScrubJob};
use crate::rows::{Gaps, Rebuilt, ScrubbedGroup};
use crate::types::{
    Condition, ListPage, ListQuery, LostObject, NamedPart, ObjectMeta, Part, PartPage, Published, Upload,
    UploadId, UploadInit, UploadPage, UploadQuery,
};
use ashlar_disk_format::checkpoint::{BucketCounter, LogPosition, RunRef};
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::key::SharedId;
use ashlar_disk_format::record::Batch;
use ashlar_disk_format::units::{BucketId, DeviceIndex, Generation, GroupId, RowOffset, VirtualShard};
use ashlar_disk_format::value::{BucketRecord, Checksum, ObjectRecord, PartTable, SharedRecord};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Publish an object under a key.
#[derive(Debug)]
pub(crate) struct PublishCall {
    pub(crate) bucket: BucketId,
    pub(crate) size: u64,
    pub(crate) body: BodyPlace,
    pub(crate) meta: ObjectMeta,
    pub(crate) condition: Condition,
    pub(crate) parts: PartTable,
}

/// An object that uses a shared body, by one reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sharer {
    pub(crate) bucket: BucketId,
    pub(crate) key: Vec<u8>,
}

/// Turn the body of an object into a shared one, and refer to it for another object.
#[derive(Debug)]
pub(crate) struct ShareCall {
    pub(crate) source: Sharer,
    /// Of the record that was looked up: another one is not meant.
    pub(crate) sequence: u64,
    pub(crate) target: Sharer,
}

/// What cores ask each other about shared bodies.
#[derive(Debug)]
pub(crate) enum SharingStep {
    /// To the owner of a body: where is it?
    Where(SharedId),
    /// To the owner of the source: share its bytes with another object.
    Share(Box<ShareCall>),
    /// To the owner of a body: this object refers to it too.
    Refer { id: SharedId, target: Sharer },
    /// To the owner of a body: the objects of these references are published.
    Confirm { id: SharedId, tokens: Vec<u64> },
    /// To the owner of a body: no record names this reference any more.
    Drop { id: SharedId, token: u64 },
    /// To the owner of an object: does its record name this reference?
    Names { sharer: Sharer, id: SharedId, token: u64 },
}

/// A reference that was made for a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shared {
    pub(crate) id: SharedId,
    /// Of the copy.
    pub(crate) token: u64,
    /// Of the source, when it was turned in the same step.
    pub(crate) source: Option<u64>,
}

/// Store a part.
#[derive(Debug)]
pub(crate) struct PartCall {
    pub(crate) bucket: BucketId,
    pub(crate) key: Vec<u8>,
    pub(crate) id: UploadId,
    pub(crate) number: u16,
    pub(crate) size: u64,
    pub(crate) body: BodyPlace,
    pub(crate) md5: [u8; 16],
    pub(crate) checksum: Option<Checksum>,
}

/// Make an object of an upload's parts.
#[derive(Debug)]
pub(crate) struct CompleteCall {
    pub(crate) bucket: BucketId,
    pub(crate) key: Vec<u8>,
    pub(crate) id: UploadId,
    pub(crate) parts: Vec<NamedPart>,
    pub(crate) meta: ObjectMeta,
    pub(crate) condition: Condition,
}

/// List one core's share of a bucket.
#[derive(Debug, Clone)]
pub(crate) struct ListCall {
    pub(crate) bucket: BucketId,
    pub(crate) query: ListQuery,
}

/// Steps of creating and deleting buckets.
#[derive(Debug, Clone)]
pub(crate) enum BucketStep {
    /// To the owner of the name: create it.
    Create { name: String, owner: String, region: String, id: BucketId },
    /// To the owner of the name: delete it.
    Delete { name: String },
    /// To every core: these settings hold from now on.
    Install(BucketRecord),
    /// To every core: how many objects does your share hold?
    Count(BucketId),
    /// To every core: take no more changes for it; is your share empty?
    Freeze(BucketId),
    /// To every core: it stays.
    Thaw(BucketId),
    /// To every core: it is gone.
    Remove(BucketId),
    /// To every core: drop the uploads of buckets that are gone.
    DropOrphans,
    /// To every core: the settings whose names you own.
    Collect,
}

/// What a core starts its shard with.
#[derive(Debug, Clone)]
pub(crate) struct ShardSeed {
    pub(crate) facts: PoolFacts,
    /// Devices in service: index in the pool, position among the runtime's devices.
    pub(crate) devices: Vec<(DeviceIndex, usize)>,
    /// Runs of this core's own virtual shards, newest first.
    pub(crate) runs: Vec<RunRef>,
    /// Written when the cores had other virtual shards: what of them is this core's now is copied.
    pub(crate) imports: Vec<ShardImport>,
    pub(crate) counters: Vec<BucketCounter>,
    pub(crate) next_run: u64,
}

/// The runs of one core of an earlier mount, and which of its virtual shards are wanted.
#[derive(Debug, Clone)]
pub(crate) struct ShardImport {
    pub(crate) first: VirtualShard,
    pub(crate) last: VirtualShard,
    pub(crate) runs: Vec<RunRef>,
}

/// One core's part of a checkpoint.
#[derive(Debug, Clone)]
pub(crate) struct ShardSnapshot {
    pub(crate) position: LogPosition,
    pub(crate) runs: Vec<RunRef>,
    pub(crate) counters: Vec<BucketCounter>,
    pub(crate) live: BTreeMap<GroupId, i64>,
    pub(crate) next_run: u64,
    pub(crate) damaged_runs: u64,
}

/// Empty these groups of what your records hold there.
#[derive(Debug, Clone)]
pub(crate) struct CleanCall {
    pub(crate) groups: Vec<GroupId>,
}

/// What came of it on one core.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CleanReport {
    /// Bytes of bodies that have a new address.
    pub(crate) moved_bytes: u64,
    /// Bytes of group that were taken for that, without parity.
    pub(crate) row_bytes: u64,
    /// Records changed.
    pub(crate) records: u64,
    /// Records that clients changed meanwhile; their copies were dropped.
    pub(crate) raced: u64,
    /// Groups with something that could not be read, or whose copy did not prove itself.
    pub(crate) stayed: BTreeSet<GroupId>,
    /// It ended early: no group could be had for what was to be moved.
    pub(crate) is_cut: bool,
}

impl CleanReport {
    /// Something of the group stays where it is.
    pub(crate) fn stay(&mut self, group: GroupId) {
        self.stayed.insert(group);
    }

    /// Adds what another core reports.
    pub(crate) fn add(&mut self, other: Self) {
        self.moved_bytes += other.moved_bytes;
        self.row_bytes += other.row_bytes;
        self.records += other.records;
        self.raced += other.raced;
        self.stayed.extend(other.stayed);
        self.is_cut |= other.is_cut;
    }
}

/// Say who needs what lies in these rows, and cannot be read.
#[derive(Debug, Clone)]
pub(crate) struct LostCall {
    pub(crate) gaps: Arc<BTreeMap<GroupId, (Generation, Gaps)>>,
}

impl LostCall {
    /// The extent lies in one of them.
    pub(crate) fn has(&self, extent: &Extent) -> bool {
        let gaps = self.gaps.get(&extent.group);
        gaps.is_some_and(|(generation, gaps)| *generation == extent.generation && gaps.contain(extent.row))
    }
}

/// Whose bytes are lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LostReport {
    /// At most [`LOST_NAMES_MAX`].
    pub(crate) names: BTreeSet<LostObject>,
    /// Others may be lost, too: there are more of them, or pages of the index are lost.
    pub(crate) may_be_more: bool,
    /// Pages or lists of the index cannot be read from the devices.
    pub(crate) is_index_damaged: bool,
}

impl LostReport {
    /// One more can be named.
    pub(crate) fn has_room(&self) -> bool {
        self.names.len() < LOST_NAMES_MAX
    }

    pub(crate) fn add(&mut self, name: LostObject) {
        if self.has_room() {
            self.names.insert(name);
        } else {
            self.may_be_more |= !self.names.contains(&name);
        }
    }

    /// Adds what another core reports.
    pub(crate) fn add_all(&mut self, other: Self) {
        self.may_be_more |= other.may_be_more;
        self.is_index_damaged |= other.is_index_damaged;
        other.names.into_iter().for_each(|name| self.add(name));
    }
}

/// A key on its way. As long as most are it takes nothing from the heap, and no call is larger for it.
pub(crate) type CallKey = SmallVec<[u8; 64]>;

/// A call to another core.
#[derive(Debug)]
pub(crate) enum Request {
    Pool(PoolRequest),
    Lookup {
        bucket: BucketId,
        key: CallKey,
    },
    Publish {
        key: CallKey,
        call: Box<PublishCall>,
    },
    Delete {
        bucket: BucketId,
        key: Vec<u8>,
        condition: Condition,
    },
    List(Box<ListCall>),
    CreateUpload {
        bucket: BucketId,
        key: Vec<u8>,
        init: UploadInit,
    },
    Upload {
        bucket: BucketId,
        key: Vec<u8>,
        id: UploadId,
    },
    PutPart(Box<PartCall>),
    ListParts {
        bucket: BucketId,
        key: Vec<u8>,
        id: UploadId,
        after: u16,
        max: usize,
    },
    ListUploads {
        bucket: BucketId,
        query: Box<UploadQuery>,
    },
    /// The record of a key and the body that it shares, both of one moment.
    LookupHeld {
        bucket: BucketId,
        key: Vec<u8>,
    },
    Sharing(SharingStep),
    Complete(Box<CompleteCall>),
    Abort {
        bucket: BucketId,
        key: Vec<u8>,
        id: UploadId,
    },
    Bucket(BucketStep),
    /// Open your share of the index.
    Seed(Box<ShardSeed>),
    /// Apply these batches of an old log, in order.
    Replay(Vec<Batch>),
    /// Open your log and take requests from other cores.
    Start,
    /// Everything is ready: serve clients.
    Serve,
    /// Freeze, flush, and say what a checkpoint must hold.
    Snapshot,
    /// Where do your open groups end now?
    Tails,
    /// The checkpoint is over: durable, or given up.
    SnapshotDone {
        is_durable: bool,
    },
    /// Which of these groups hold rows that no record names yet?
    Pinned(Vec<GroupId>),
    /// Wait until every operation that began before this has ended.
    PassEpoch,
    /// Live bytes of these groups by your ledger.
    Live(Vec<GroupId>),
    /// These groups are gone.
    Forget(Vec<GroupId>),
    /// What use is to be made of this device from now on.
    Use(DeviceIndex, DeviceUse),
    /// So much room there is now.
    Room(Room),
    /// Move what lies in these groups.
    Clean(Box<CleanCall>),
    /// Write no more to groups that lack a member or have one on a slow device, and wait until those rows are written
    /// that were begun.
    LeaveLost,
    /// Rebuild this member.
    Rebuild(Box<RebuildJob>),
    /// Scrub this group.
    Scrub(Box<ScrubJob>),
    /// Say whose bytes are lost.
    Lost(LostCall),
    /// Begin no more operations; wait for those that run.
    Close,
    /// End the committer.
    Stop,
    /// Core 0 could not start.
    Abandon,
}

impl Request {
    /// Which limit the call counts against.
    pub(crate) fn lane(&self) -> Lane {
        let by_client = self.only_reads()
            || matches!(
                self,
                Self::Publish { .. }
                    | Self::Delete { .. }
                    | Self::CreateUpload { .. }
                    | Self::PutPart(_)
                    | Self::Complete(_)
                    | Self::Abort { .. }
                    | Self::LookupHeld { .. }
                    | Self::Sharing(SharingStep::Share(_) | SharingStep::Refer { .. })
                    | Self::Bucket(BucketStep::Create { .. } | BucketStep::Delete { .. })
            );
        if by_client { Lane::Client } else { Lane::System }
    }

    /// Nothing is changed by it.
    pub(crate) fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::Lookup { .. }
                | Self::List(_)
                | Self::Upload { .. }
                | Self::ListParts { .. }
                | Self::ListUploads { .. }
                | Self::Sharing(SharingStep::Where(_))
        )
    }
}

/// The answer to a [`Request`].
#[derive(Debug)]
pub(crate) enum Reply {
    Done,
    /// It may still be found at the next start, when it was a change that its log did not take.
    Failed(EngineError),
    /// Nothing was changed, and nothing will be found.
    Refused(EngineError),
    Pool(PoolReply),
    Object(Option<Box<ObjectRecord>>),
    Published(Published),
    Held(Option<Box<(ObjectRecord, Option<SharedRecord>)>>),
    Where(Option<Box<SharedRecord>>),
    Shared(Option<Shared>),
    Names(bool),
    Existed(bool),
    Listed(ListPage),
    UploadCreated(UploadId),
    Upload(Option<Box<Upload>>),
    Part(Box<Part>),
    Parts(PartPage),
    Uploads(UploadPage),
    Bucket(BucketRecord),
    Buckets(Vec<BucketRecord>),
    Snapshot(Box<ShardSnapshot>),
    Pinned(Vec<GroupId>),
    Live(Vec<i64>),
    Cleaned(Box<CleanReport>),
    Rebuilt(Rebuilt),
    Scrubbed(Box<ScrubbedGroup>),
    Lost(Box<LostReport>),
    /// Where groups end, and how many extent pages could not be read on the way.
    Ends {
        ends: Vec<(GroupId, RowOffset)>,
        unreadable: u64,
    },
}

impl Reply {
    /// The error, if this is one; otherwise the reply.
    pub(crate) fn checked(self) -> Result<Self, EngineError> {
        if let Self::Failed(error) = self { Err(error) } else { Ok(self) }
    }
}
