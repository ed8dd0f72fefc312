//! Group commit: whatever waits when a row is cut goes into it, records and small bodies together.
//!
//! 1. Take changes while they fit a row.
//! 2. Reserve the row's place: only then are the addresses of its payload known.
//! 3. Copy the small bodies in, checksummed; their extents go into their records.
//! 4. Records follow, groups that they name first.
//! 5. One wave of device writes. A refused row is filled again for another place.
//! 6. Durable: apply every change to index, ledger and counters, then answer everyone.

use super::locks::KeyLock;
use super::state::{CounterDelta, Shard};
use crate::body::BodySpace;
use crate::buffer::Buffer;
use crate::error::EngineError;
use crate::limits::{
    OPEN_ATTEMPTS_MAX, RECORD_BYTES_MAX, ROW_CHANGES_KEPT, ROW_RECORD_BYTES_KEPT, SPARE_CHANGES_MAX,
};
use crate::log::{Durable, RowSlot};
use crate::number::to_u32;
use crate::pool::PinSet;
use crate::rows::{Announcement, Extents, RowBuffer};
use crate::runtime::Runtime;
use crate::sync::{AnswerTo, OpGuard};
use ashlar_disk_format::constants::{CRC_BLOCK, HEIGHT_MAX};
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::key::LookupKey;
use ashlar_disk_format::record::{BatchEncoder, Record, batch_len, encode_record};
use ashlar_disk_format::units::{Generation, GroupId, Height, RowOffset, VirtualShard};
use ashlar_disk_format::value::{
    Body, BodyEntry, Entries, ObjectRecord, PartRecord, encode_object_in, encode_part_in,
};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

/// A small body on its way into a row.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) buffer: Buffer,
    pub(crate) range: Range<usize>,
}

/// A value of the index before its row has a place.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lies in a change, whose memory is used again")]
pub(crate) enum PlannedValue {
    /// Encoded already.
    Ready(Vec<u8>),
    /// Its body is the change's payload, if there is one; until that has its place, stand-ins are in its place.
    Object(ObjectRecord),
    /// Likewise.
    Part(Box<PartRecord>),
}

/// One mutation of a change.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "as above")]
pub(crate) enum Planned {
    Put {
        key: LookupKey,
        value: PlannedValue,
    },
    Delete {
        key: Vec<u8>,
    },
    /// Every key with this prefix; `keys` are those that exist now, under the lock of the upload.
    DeletePrefix {
        prefix: Vec<u8>,
        keys: Vec<Vec<u8>>,
    },
}

/// The mutations of a change, in order.
pub(crate) type Mutations = SmallVec<[Planned; 1]>;

/// What keeps a body's bytes where they are until its record is published.
pub(crate) type KeptBody = (OpGuard, PinSet);

/// What a change keeps until it is applied or refused, also when nobody waits for it any more: the lock of the key that
/// was decided about, that a change is under way, the body's bytes.
pub(crate) type Kept = (KeyLock, OpGuard, Option<KeptBody>);

/// An atomic change of one virtual shard, and what it means for space and counters.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) shard: VirtualShard,
    pub(crate) mutations: Mutations,
    pub(crate) payload: Option<Payload>,
    /// Space of stored bodies that become live.
    pub(crate) hold: BodySpace,
    /// Bodies that die.
    pub(crate) release: Entries,
    pub(crate) counters: Option<CounterDelta>,
    /// Of a change whose submitter may go away.
    pub(crate) kept: Option<Kept>,
    /// For [`Shard::submit`] to fill in.
    pub(super) answer: Option<AnswerTo<Submitted>>,
}

/// What became of a change.
pub(crate) type Submitted = Result<(), EngineError>;

/// Changes that wait for a row, and the memory of those that no longer do.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "changes are large, and pass from one list to the other")]
pub(crate) struct Changes {
    waiting: VecDeque<Box<Change>>,
    spare: Vec<Box<Change>>,
}

/// Index key prefix of the mutation that deletes every key with a prefix. Not a key space: such a
/// key never stands in the index.
pub(crate) const DELETE_PREFIX: u8 = 0xFF;

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn push(&mut self, change: Change) {
        match self.spare.pop() {
            Some(mut memory) => {
                *memory = change;
                self.waiting.push_back(memory);
            }
            None => self.waiting.push_back(Box::new(change)),
        }
    }

    fn keep(&mut self, memory: Box<Change>) {
        if self.spare.len() < SPARE_CHANGES_MAX {
            self.spare.push(memory);
        }
    }
}

impl Change {
    /// These mutations, which mean nothing for space and counters.
    pub(crate) fn new(shard: VirtualShard, mutations: impl Into<Mutations>) -> Self {
        Self {
            shard,
            mutations: mutations.into(),
            payload: None,
            hold: BodySpace::default(),
            release: Entries::new(),
            counters: None,
            kept: None,
            answer: None,
        }
    }

    /// Bytes of a row that it may take, at most.
    fn estimate(&self) -> usize {
        let payload = self.payload.as_ref().map_or(0, |payload| payload.range.len());
        payload + self.record_bytes_max()
    }

    fn record_bytes_max(&self) -> usize {
        batch_len(self.mutations.iter().map(|planned| match planned {
            Planned::Put { key, value } => (key.len(), Some(value.bytes_max())),
            Planned::Delete { key } => (key.len(), None),
            Planned::DeletePrefix { prefix, .. } => (1 + prefix.len(), None),
        }))
    }
}

/// A body of `length` bytes somewhere in a row, mostly not shorter on disk than the real one: a payload lies in two
/// chunks at most, but for rows just wide enough to have several short ones. Those are cut anew if need be.
pub(crate) fn stand_in(length: usize) -> Body {
    let length = to_u32(length);
    let pieces = match length {
        0 => &[][..],
        1 => &[1],
        more => &[1, more - 1],
    };
    let extent = |length: &u32| Extent {
        generation: Generation(u64::MAX),
        group: GroupId(u32::MAX),
        row: RowOffset(0),
        height: Height(HEIGHT_MAX),
        member: 0,
        data_count: 1,
        payload_offset: 0,
        length: *length,
        crcs: (0..length.div_ceil(CRC_BLOCK)).collect(),
    };
    Body(pieces.iter().map(extent).map(BodyEntry::Data).collect())
}

impl PlannedValue {
    fn bytes_max(&self) -> usize {
        match self {
            Self::Ready(value) => value.len(),
            Self::Object(record) => record.value_bytes_max(),
            Self::Part(record) => record.value_bytes_max(),
        }
    }

    /// The value, with the payload where it was placed. It is encoded in `memory`, or stands already.
    fn encode<'v>(&'v mut self, payload: &[Extent], memory: &'v mut Vec<u8>) -> &'v [u8] {
        let body = || Body(payload.iter().cloned().map(BodyEntry::Data).collect());
        *memory = match self {
            Self::Ready(value) => return value,
            Self::Object(record) => {
                if !payload.is_empty() {
                    record.body = body();
                }
                encode_object_in(record, std::mem::take(memory))
            }
            Self::Part(record) => {
                record.body = body();
                encode_part_in(record, std::mem::take(memory))
            }
        };
        memory
    }
}

impl<R: Runtime> Shard<R> {
    /// Makes a change durable and applied. It is on its way when this returns, whoever waits for the answer.
    pub(crate) fn submit(&self, change: Change) -> impl Future<Output = Submitted> + use<R> {
        let mut change = change;
        let (to, done) = self.answers.pair();
        change.answer = Some(to);
        self.changes.borrow_mut().push(change);
        self.queue_filled.fire();
        async { done.await.unwrap_or(Err(EngineError::Closing)) }
    }

    /// Lets go of all that a change holds, and answers who waits for it.
    fn end(&self, mut change: Box<Change>, outcome: Submitted) {
        let (answer, kept) = (change.answer.take(), change.kept.take());
        // What it kept falls before the answer is sent.
        drop(kept);
        *change = Change::new(VirtualShard(0), Mutations::new());
        self.changes.borrow_mut().keep(change);
        if let Some(answer) = answer {
            answer.send(outcome);
        }
    }
}

/// What goes into the next row. Its memory serves every row of a committer.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "changes are large, and pass from one list to the other")]
struct NextRow {
    changes: Vec<Box<Change>>,
    /// Where the payload of each change is.
    placed: Vec<Extents>,
    /// The records, as they stand behind the payloads.
    records: Vec<u8>,
    /// Where in `records` the value of each put is, in order.
    values: Vec<Range<usize>>,
    /// A value while it is encoded.
    value: Vec<u8>,
}

impl NextRow {
    /// Encodes the records of all changes, whose payloads are placed.
    fn encode(&mut self, announcements: &[Announcement]) {
        let Self { changes, placed, records, values, value: memory } = self;
        records.clear();
        values.clear();
        for announcement in announcements {
            let record = Record::GroupOpen(announcement.descriptor.clone());
            encode_record(&record, VirtualShard(0), records);
        }
        for (change, extents) in changes.iter_mut().zip(&*placed) {
            let mut batch = BatchEncoder::new(change.shard, records);
            for planned in &mut change.mutations {
                match planned {
                    Planned::Put { key, value } => {
                        values.push(batch.put(key, value.encode(extents, memory)));
                    }
                    Planned::Delete { key } => batch.delete(key),
                    Planned::DeletePrefix { prefix, .. } => {
                        batch.delete(&[&[DELETE_PREFIX], &**prefix].concat())
                    }
                }
            }
            batch.finish();
        }
    }

    /// Lets go of what a row of unusual size took.
    fn trim(&mut self) {
        self.changes.shrink_to(ROW_CHANGES_KEPT);
        self.placed.shrink_to(ROW_CHANGES_KEPT);
        self.values.shrink_to(ROW_CHANGES_KEPT);
        self.records.shrink_to(ROW_RECORD_BYTES_KEPT);
        self.value.shrink_to(ROW_RECORD_BYTES_KEPT);
    }
}

/// Runs for the life of the shard.
pub(crate) async fn run_committer<R: Runtime>(shard: Rc<Shard<R>>) {
    let mut row = NextRow::default();
    loop {
        let wait = shard.queue_filled.wait();
        if shard.changes.borrow().is_empty() && shard.announcements.is_empty() {
            if shard.is_stopped() {
                return;
            }
            wait.await;
            continue;
        }
        shard.wait_for_memtable_room().await;
        let _turn = shard.turn.enter().await;
        let total = take_fitting(&shard, &mut row);
        commit(&shard, &mut row, total).await;
        row.trim();
        shard.ask_for_checkpoint_if_due();
    }
}

/// Takes the changes of the next row; their bytes at most.
fn take_fitting<R: Runtime>(shard: &Shard<R>, row: &mut NextRow) -> usize {
    let capacity = shard.log.capacity();
    let mut total = shard.announcements.bytes();
    loop {
        let next = shard.changes.borrow_mut().waiting.pop_front();
        let Some(change) = next else { return total };
        let bytes = change.estimate();
        let record = bytes - change.payload.as_ref().map_or(0, |payload| payload.range.len());
        if record > RECORD_BYTES_MAX {
            shard.end(change, Err(EngineError::RecordTooLarge { found: record, limit: RECORD_BYTES_MAX }));
            continue;
        }
        if total > 0 && total + bytes > capacity {
            shard.changes.borrow_mut().waiting.push_front(change);
            return total;
        }
        total += bytes;
        row.changes.push(change);
    }
}

async fn commit<R: Runtime>(shard: &Rc<Shard<R>>, row: &mut NextRow, total: usize) {
    if row.changes.is_empty() && shard.announcements.is_empty() {
        return;
    }
    match write(shard, row, total).await {
        Ok(durable) => apply(shard, row, &durable),
        Err(error) => {
            for change in row.changes.drain(..) {
                shard.end(change, Err(error.clone()));
            }
        }
    }
}

async fn write<R: Runtime>(
    shard: &Rc<Shard<R>>,
    row: &mut NextRow,
    total: usize,
) -> Result<Durable, EngineError> {
    let mut total = total;
    let announcements = shard.announcements.take();
    for _attempt in 0..OPEN_ATTEMPTS_MAX {
        let slot = shard.log.reserve(total).await?;
        while slot.geometry.capacity() < total {
            // The group that is open now has narrower rows: the last changes wait for the next row.
            let Some(last) = row.changes.pop() else { break };
            total -= last.estimate();
            shard.changes.borrow_mut().waiting.push_front(last);
        }
        if row.changes.is_empty() && announcements.is_empty() {
            return Err(EngineError::Full);
        }
        let filled = match fill(shard, &slot, row, &announcements).await? {
            Ok(filled) => filled,
            Err(missing) => {
                // A payload lies in more chunks than was reckoned with: a taller slot has room for their extents.
                total = slot.geometry.capacity() + missing;
                continue;
            }
        };
        if let Ok(durable) = shard.log.write(&slot, filled, row.records.len()).await? {
            for announcement in announcements {
                announcement.done.send(());
            }
            return Ok(durable);
        }
    }
    Err(EngineError::Full)
}

/// The row, or how many bytes its records have too many for the slot.
async fn fill<R: Runtime>(
    shard: &Shard<R>,
    slot: &RowSlot,
    row: &mut NextRow,
    announcements: &[Announcement],
) -> Result<Result<RowBuffer, usize>, EngineError> {
    let mut filled = shard.log.row(slot).await?;
    row.placed.clear();
    for change in &row.changes {
        let extents = change.payload.as_ref().map_or_else(Extents::new, |payload| {
            let start = filled.used();
            filled.push(&payload.buffer.bytes()[payload.range.clone()]);
            filled.extents(slot.address, start, payload.range.len())
        });
        row.placed.push(extents);
    }
    row.encode(announcements);
    if let Some(missing) = row.records.len().checked_sub(filled.room()).filter(|missing| *missing > 0) {
        return Ok(Err(missing));
    }
    filled.push(&row.records);
    Ok(Ok(filled))
}

/// The one place where changes take effect: their row is durable.
fn apply<R: Runtime>(shard: &Rc<Shard<R>>, row: &mut NextRow, _proof: &Durable) {
    let side = shard.view.ledger.side();
    let NextRow { changes, placed, records, values, value: _ } = row;
    let mut values = values.drain(..);
    for (mut change, extents) in changes.drain(..).zip(placed.drain(..)) {
        for planned in &change.mutations {
            match planned {
                Planned::Put { key, .. } => {
                    let Some(place) = values.next() else { unreachable!("every put was encoded") };
                    shard.index.put(key, Some(&records[place]));
                    shard.note_unreference(key);
                }
                Planned::Delete { key } => shard.index.put(key, None),
                Planned::DeletePrefix { keys, .. } => {
                    for key in keys {
                        shard.index.put(key, None);
                    }
                }
            }
        }
        shard.view.ledger.hold(side, &extents);
        for (group, bytes) in change.hold.bytes() {
            shard.view.ledger.add(side, group, crate::number::to_i64(bytes));
        }
        shard.release_later(side, std::mem::take(&mut change.release));
        if let Some(delta) = change.counters {
            shard.count(delta);
        }
        shard.end(change, Ok(()));
    }
}
