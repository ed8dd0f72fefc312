//! Every bound of the engine, in one place, with the relations that must hold between them.

use ashlar_disk_format::constants::{HEIGHT_MAX_BYTES, WRITE_UNIT};
use std::time::Duration;

/// All buffers of one row together, bytes; a body in progress holds those of one row more than
/// [`BODY_ROWS_IN_FLIGHT`]. 4+2 gives chunks of 256 KiB: 1 MiB of data in 1.5 MiB of buffers.
pub(crate) const ROW_BYTES_MAX: u32 = 2 << 20;
/// Chunks are never taller, bytes, however few members a row has.
pub(crate) const CHUNK_BYTES_MAX: u32 = 256 << 10;
/// The tallest chunk of a shape is never lower than this, bytes: a page of the index lies in one chunk.
pub(crate) const TALL_CHUNK_BYTES_MIN: u32 = 128 << 10;
/// Bytes of each chunk that are encoded and summed at a time: those of a row of six stay in the second-level cache.
pub(crate) const ENCODE_SLICE_BYTES: usize = 16 << 10;
/// Rows with at most this payload use one data chunk and are 1+m copies: one device read gives
/// the object back. Larger rows spread over all k.
pub(crate) const NARROW_PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// Bodies up to this ride in the log row of their record; larger ones get rows of their own.
pub(crate) const SMALL_BODY_BYTES_MAX: usize = 64 << 10;
/// Extents a record holds itself; more go to extent pages.
pub(crate) const INLINE_EXTENTS_MAX: usize = 8;
/// Extents in one extent page: bounded by its 64 KiB (about 80 bytes each with checksums).
pub(crate) const PAGE_EXTENTS_MAX: usize = 512;
/// One log record, bytes.
pub(crate) const RECORD_BYTES_MAX: usize = 56 << 10;
/// Pairs for answers whose memory is kept for the next ones: as many requests as one core ordinarily has.
pub(crate) const SPARE_ANSWERS_MAX: usize = 256;
/// Rows whose lists are kept for the next ones, of each kind of group: of so many bodies at a time. Those of a row take up
/// to 20 KiB where it is as wide as can be, and half a KiB where it is ordinary.
pub(crate) const SPARE_ROWS_MAX: usize = 128;
/// Lists of what bodies hold that one core keeps for the next ones: likewise, each of up to 600 bytes.
pub(crate) const SPARE_ENTRIES_MAX: usize = SPARE_ANSWERS_MAX;
/// Changes whose memory is kept for the next ones: likewise. Each takes about a KiB.
pub(crate) const SPARE_CHANGES_MAX: usize = 256;
/// Places for changes that a committer keeps from row to row: as many requests as one row ordinarily takes.
pub(crate) const ROW_CHANGES_KEPT: usize = 256;
/// Bytes of memory for records that it keeps: those of so many requests.
pub(crate) const ROW_RECORD_BYTES_KEPT: usize = ROW_CHANGES_KEPT * 512;
/// Calls one core may have outstanding, over all others.
pub(crate) const CALLS_MAX: usize = 1024;
/// Calls of the engine itself that one core may have outstanding beside those of clients. A client's call
/// may wait for them, so they never wait for a place that clients take. What they ask for may wait for
/// clients' operations that run already (freezing a bucket, passing an epoch), a few at a time.
pub(crate) const SYSTEM_CALLS_MAX: usize = 512;
/// Copies that one core makes at a time: each holds buffers of what it reads while it waits for those of
/// what it writes.
pub(crate) const COPIES_MAX: usize = 4;
/// Smaller bodies are written again when they are copied: they ride in the log row of their record, where
/// sharing would cost more rows than it saves bytes.
pub(crate) const SHARE_BYTES_MIN: u64 = SMALL_BODY_BYTES_MAX as u64 + 1;
/// Copies by reference that one core has under way, until their references are confirmed.
pub(crate) const SHARES_MAX: usize = 128;
/// Questions for addresses of shared bodies that one core asks under the lock of a key.
pub(crate) const HELD_QUESTIONS_MAX: usize = 64;
/// Unreferences sent, or references asked about, at a time by one core.
pub(crate) const SHARING_PAGE: usize = 32;
/// Pause before what failed of them is tried again; it doubles from the first to the second.
pub(crate) const SHARING_PAUSE_MIN: Duration = Duration::from_secs(1);
/// See [`SHARING_PAUSE_MIN`].
pub(crate) const SHARING_PAUSE_MAX: Duration = Duration::from_secs(64);
/// How long a reader goes on before it looks its object up again, so that space can come back behind it.
pub(crate) const READER_RENEWAL: Duration = Duration::from_secs(5);
/// How long the bytes of an object that was deleted or replaced are kept for those who read it, from when
/// they notice: until then no space at all comes back.
pub(crate) const READER_GRACE: Duration = Duration::from_secs(60);
/// Bodies hashed side by side in one batch: lanes of 32 bits in the widest registers.
pub(crate) const HASH_LANES_MAX: usize = 16;
/// Blocks of 64 bytes that one batch takes of each body before every other task gets its turn: 64 KiB of
/// each of sixteen take about half a millisecond.
pub(crate) const HASH_SLICE_BLOCKS: usize = 1024;
/// Blocks of each body after which a batch ends when one of them has no more, so that others join.
pub(crate) const HASH_COMPANY_BLOCKS: usize = 64;
/// Turns that the hasher lets pass while more bodies join: in each, every task that can run runs once.
pub(crate) const HASH_TURNS_MAX: usize = 3;
/// Extents read at a time for one row of what is moved. Each holds memory of the reserve until it was copied.
pub(crate) const CARRY_READS: usize = 8;
/// Chunks of one row read back at a time. Each holds memory of the reserve until it was compared.
pub(crate) const PROOF_READS: usize = 3;
/// Rows that one core moves at a time while writers wait for space; else one.
pub(crate) const CLEAN_ROWS_AT_A_TIME: usize = 3;
/// Bytes of bodies that one core moves between two looks at whether it should give way, end, or hurry.
pub(crate) const CLEAN_BATCH_BYTES: u64 = 8 << 20;
/// Records changed in that, at most.
pub(crate) const CLEAN_BATCH_RECORDS: usize = 512;
/// Heap bytes of their keys, values and extents, beside the last.
pub(crate) const CLEAN_BATCH_HEAP_BYTES: usize = 1 << 20;
/// Entries of the index that are looked at in that, at most.
pub(crate) const CLEAN_BATCH_ENTRIES: usize = 16 << 10;
/// Extent pages of one body that are read in that, at most: more than a tree is deep, or it would never get on.
pub(crate) const CLEAN_BATCH_PAGES: usize = 64;
/// Extent pages of all bodies that are read in that, about.
pub(crate) const CLEAN_BATCH_PAGES_ALL: usize = 512;
/// Entries looked at before all other tasks get a turn.
pub(crate) const CLEAN_TURN_ENTRIES: usize = 64;
/// How long moving gives way to requests that wait for memory, before each batch, in so many looks.
pub(crate) const CLEAN_PATIENCE_LOOKS: usize = 20;
/// Between two of these looks.
pub(crate) const CLEAN_PATIENCE: Duration = Duration::from_millis(5);
/// Longest pause behind a batch while space is not short: as long as the batch took, so that moving never takes more
/// than half of what devices give.
pub(crate) const CLEAN_PAUSE_MAX: Duration = Duration::from_millis(500);
/// A group that did not become empty although its extents were to be moved is left alone for so long, unless
/// something in it dies meanwhile.
pub(crate) const CLEAN_SET_ASIDE: Duration = Duration::from_secs(60);
/// How long the cleaner waits for the space of emptied groups before it looks again.
pub(crate) const CLEAN_RECLAIM_WAIT: Duration = Duration::from_secs(1);
/// How long a transfer with a device may take before it is given up and the device is taken out of service, unless
/// the operator says otherwise: more than a controller needs to start again. For flash.
pub(crate) const DEVICE_PATIENCE: Duration = Duration::from_secs(10);
/// The same for spinning disks, which may try for long to read a sector, and for files.
pub(crate) const DEVICE_PATIENCE_SLOW: Duration = Duration::from_secs(30);
/// In so many steps, at each of which is looked again whether it is still to be waited for.
pub(crate) const DEVICE_PATIENCE_STEPS: u32 = 8;
/// How exactly it is known that a transfer is late.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Ticks without anybody who waits, after which they are not counted any more.
pub(crate) const TICKS_IDLE_MAX: u32 = 100;
/// Bytes of a segment of a file that may take as long to be written for the first time.
pub(crate) const PREPARED_IN_ONE_PATIENCE: u64 = 32 << 20;
/// A read is late after so many times the mean time of the device in the middle; a write, so many times that of the
/// one in the middle of its row.
pub(crate) const LATE_FACTOR: u32 = 8;
/// But never before this. For flash and files.
pub(crate) const LATE_MIN: Duration = Duration::from_millis(50);
/// The same for spinning disks.
pub(crate) const LATE_MIN_SLOW: Duration = Duration::from_millis(500);
/// And always after this.
pub(crate) const LATE_MAX: Duration = Duration::from_secs(2);
/// Reads in a row that are late, or writes, after which a device is called slow.
pub(crate) const LATE_IN_A_ROW_MAX: u32 = 4;
/// Reads of one core that may be computed from other devices because they are late, at a time.
pub(crate) const HEDGES_MAX: usize = 8;
/// Reads after which it is computed anew from when on they are late.
pub(crate) const LATE_RECKONED_EVERY: u32 = 64;
/// Times that a core tells the owner of a device that it gave up, until it is heard: there may be no owner yet.
pub(crate) const REPORTS_MAX: u32 = 600;
/// Pause between two of these.
pub(crate) const REPORT_PAUSE: Duration = Duration::from_secs(1);
/// Pause between two looks at a slow device.
pub(crate) const SLOW_LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Looks in a row that were answered in time, after which a device is not slow any more.
pub(crate) const SLOW_LOOKS_GOOD: u32 = 10;
/// How long a device may be out of service before its part of the groups is rebuilt on others, unless the operator
/// says otherwise: most come back, after a restart or with a cable.
pub(crate) const REBUILD_AFTER: Duration = Duration::from_secs(600);
/// The same for groups that survive no further loss, if that is shorter.
pub(crate) const REBUILD_AFTER_URGENT: Duration = Duration::from_secs(60);
/// Pause before what could not be rebuilt is tried again.
pub(crate) const REBUILD_RETRY: Duration = Duration::from_secs(60);
/// Pause before groups with rows that were not whole are tried again.
pub(crate) const REBUILD_BROKEN_RETRY: Duration = Duration::from_secs(600);
/// Rows of one group that a core rebuilds or scrubs at a time: each holds the buffers of a row.
pub(crate) const WALK_ROWS: usize = 4;
/// How often a rebuilt chunk is written until it is found where it was written to.
pub(crate) const REBUILD_WRITES_MAX: usize = 3;
/// Members that each core rebuilds before a checkpoint makes them count.
pub(crate) const REBUILD_JOBS: usize = 16;
/// Longest pause behind some rows while their group survives a further loss: as long as they took.
pub(crate) const REBUILD_PAUSE_MAX: Duration = Duration::from_millis(500);
/// How often everything is read to find what rots, unless the operator says otherwise.
pub(crate) const SCRUB_EVERY: Duration = Duration::from_secs(14 * 24 * 3600);
/// No more often than this.
pub(crate) const SCRUB_EVERY_MIN: Duration = Duration::from_secs(1);
/// Bytes of rows that a core scrubs at a time, unless one row has more.
pub(crate) const SCRUB_BYTES_MAX: usize = 4 << 20;
/// Pause before a group is tried again that could not be scrubbed just now.
pub(crate) const SCRUB_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Beside requests a core that scrubs pauses so many times as long as it scrubbed,
pub(crate) const SCRUB_PAUSE_FACTOR: u32 = 7;
/// but not longer.
pub(crate) const SCRUB_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often the superblocks say how far scrubbing came, while it is at work.
pub(crate) const SCRUB_SAVE_EVERY: Duration = Duration::from_secs(60);
/// Stretches of one group in which rows are not whole that are told apart; the last one takes in the rest.
pub(crate) const SCRUB_GAPS_MAX: usize = 64;
/// Groups with such rows after which the index is asked who needs them.
pub(crate) const SCRUB_GAP_GROUPS_MAX: usize = 1024;
/// How often the index is asked besides, while there are such groups: until then a restart goes on at the first of them.
pub(crate) const SCRUB_ASK_EVERY: Duration = Duration::from_secs(3600);
/// Attempts at asking; then nobody knows what is lost.
pub(crate) const SCRUB_ASK_ATTEMPTS: usize = 3;
/// Records whose bytes are read at a time to find out whether they are lost.
pub(crate) const LOST_BATCH_RECORDS: usize = 16;
/// Lost objects that are named.
pub(crate) const LOST_NAMES_MAX: usize = 1000;
/// Pause before it is looked again whether scrubbing is due, or may go on.
pub(crate) const SCRUB_LOOK_PAUSE: Duration = Duration::from_secs(600);
/// How long a body waits at the door for space that is being made.
pub(crate) const SPACE_WAIT: Duration = Duration::from_secs(10);
/// Extents read ahead of the sender by one reader.
pub(crate) const READ_AHEAD_EXTENTS: usize = 4;
/// Rows one body may have in flight to the devices while it fills the next.
pub(crate) const BODY_ROWS_IN_FLIGHT: usize = 2;
/// Rows of one body whose hashes are waited for, each by the task that wrote it.
pub(crate) const HASH_WAITERS_MAX: usize = BODY_ROWS_IN_FLIGHT;
/// Log bytes after which a checkpoint is due: what recovery reads at most, about twice that in the
/// worst case of a checkpoint under way.
pub(crate) const CHECKPOINT_LOG_BYTES: u64 = 64 << 20;
/// Memtable bytes of one core after which a checkpoint is due.
pub(crate) const CHECKPOINT_MEMTABLE_BYTES: usize = 24 << 20;
/// Part of the arena that holds bodies which were read, as long as nobody wants the memory, percent.
pub(crate) const ARENA_CACHE_PERCENT: usize = 50;
/// Bodies up to this are copied to the heap when they are cached, bytes: the buffers that they were read into have
/// room for at least twice as much. Of larger ones the buffers are kept.
pub(crate) const COPIED_BODY_BYTES_MAX: usize = 16 << 10;
/// Heap bytes of one core's cache of index pages and small bodies, unless the operator gives another budget.
pub(crate) const CACHE_BYTES: usize = 32 << 20;
/// Groups that only log and index may open: deletes and checkpoints need room to make room.
pub(crate) const RESERVED_GROUPS: usize = 8;
/// Group opens tried one after another when devices fail meanwhile.
pub(crate) const OPEN_ATTEMPTS_MAX: usize = 8;
/// Parts that a record lists itself; more go to pages.
pub(crate) const PARTS_INLINE_MAX: usize = 32;
/// Parts in one page of a part table: at most 43 bytes each.
pub(crate) const PARTS_PER_PAGE: usize = 1000;
/// Room kept at the end of a log group for the row that links to the next one, bytes of height.
pub(crate) const LINK_HEIGHT_BYTES: u32 = 4 * WRITE_UNIT;
/// Write units that are read at once where the rest of a log group is searched for rows.
pub(crate) const LOOK_BEHIND_UNITS: u16 = 64;
/// Objects one core returns to a listing at most.
pub(crate) const LIST_MAX: usize = 1000;
/// Bytes of names and uploads that one core returns to a listing, beside the last: longer pages are cut.
pub(crate) const LIST_BYTES_MAX: usize = 256 << 10;
/// Parts of one upload.
pub(crate) const PARTS_MAX: usize = 10_000;

const _: () = assert!(CHUNK_BYTES_MAX <= HEIGHT_MAX_BYTES);
const _: () = assert!(SMALL_BODY_BYTES_MAX <= NARROW_PAYLOAD_BYTES_MAX);
const _: () = assert!(RECORD_BYTES_MAX <= CHUNK_BYTES_MAX as usize);
// What sharing may ask of other cores at once leaves places for what answering takes.
const _: () = assert!(SHARES_MAX + HELD_QUESTIONS_MAX + 2 * SHARING_PAGE <= SYSTEM_CALLS_MAX.div_ceil(2));
