//! Sizes, limits and magic numbers. None of them may change: they are on disk.
//!
//! Each magic is eight ASCII bytes, read as one little-endian `u64`, so that a hex dump names the structure.

/// Smallest write to a device, bytes: the unit of row offsets and heights.
pub const WRITE_UNIT: u32 = 4096;
/// Bytes that one payload checksum of an extent covers.
pub const CRC_BLOCK: u32 = 64 * 1024;
/// Tallest chunk, bytes. Larger writes gain nothing on flash or disk, and a row's buffers stay bounded.
pub const HEIGHT_MAX_BYTES: u32 = 1024 * 1024;
/// Tallest chunk, write units.
pub const HEIGHT_MAX: u16 = 256;
/// Key hash ranges; mapped onto however many cores a machine has.
pub const VIRTUAL_SHARDS: u16 = 4096;
/// Most segments in one group, k + m.
pub const MEMBERS_MAX: usize = 64;
/// Most entries in a pool's device table.
pub const DEVICES_MAX: usize = 512;
/// Most extents in a superblock.
pub const CHECKPOINT_EXTENTS_MAX: usize = 128;
/// Parts in one page of a part table.
pub const PARTS_PER_PAGE_MAX: usize = 1000;
/// Groups that the checkpoint blob and its extent list may lie in.
pub const CHECKPOINT_GROUPS_MAX: usize = 16;
/// Most checksums in one extent: an extent lies within one chunk.
pub const EXTENT_CRCS_MAX: usize = 16;

/// Encoded label, bytes.
pub const LABEL_BYTES: usize = 4096;
/// Longest pool name, bytes of UTF-8.
pub const POOL_NAME_BYTES_MAX: usize = 64;
/// Encoded superblock copy, bytes.
pub const SUPERBLOCK_SLOT_BYTES: usize = 65536;
/// Superblock copies on each device.
pub const SUPERBLOCK_COPIES: u8 = 4;
/// Encoded segment header, bytes: rows begin behind it.
pub const SEGMENT_HEADER_BYTES: usize = 4096;
/// Fixed part of a chunk header, bytes; a checksum per member follows.
pub const CHUNK_HEADER_FIXED_BYTES: usize = 128;
/// Header in front of a log record, bytes.
pub const RECORD_HEADER_BYTES: usize = 16;
/// Header in front of a framed archive (pages, manifests, checkpoints), bytes.
pub const FRAME_HEADER_BYTES: usize = 64;

/// Offset of the first segment, bytes.
pub const SEGMENTS_OFFSET: u64 = 1024 * 1024;
/// Size of the region at the end of a device, bytes.
pub const TAIL_REGION_BYTES: u64 = 256 * 1024;
/// Distance from a region's label to its first superblock slot, bytes.
pub const REGION_SLOT_OFFSET: u64 = 64 * 1024;
/// Smallest segment, bytes.
pub const SEGMENT_BYTES_MIN: u64 = 1024 * 1024;
/// Largest segment, bytes.
pub const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Fewest segments of a usable device.
pub const SEGMENTS_MIN: u64 = 4;

/// Longest index key, bytes: an object name of 1024 bytes, escaped to at most twice that, and its suffixes.
pub const INDEX_KEY_BYTES_MAX: usize = 4096;
/// Longest name (object key) that fits an index key, bytes.
pub const NAME_BYTES_MAX: usize = 1024;
/// Largest encoded extent page, bytes.
pub const EXTENT_PAGE_BYTES_MAX: usize = 64 * 1024;
/// Deepest tree of extent pages: 4 levels address more than any object may hold.
pub const EXTENT_PAGE_DEPTH_MAX: u8 = 4;

/// First bytes of a label.
pub const LABEL_MAGIC: u64 = u64::from_le_bytes(*b"ASHLABEL");
/// First bytes of a superblock copy.
pub const SUPERBLOCK_MAGIC: u64 = u64::from_le_bytes(*b"ASHSUPER");
/// First bytes of a segment header.
pub const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"ASHSEGMT");
/// First bytes of a chunk header.
pub const CHUNK_MAGIC: u64 = u64::from_le_bytes(*b"ASHCHUNK");
/// First bytes of an encoded list of extents.
pub const EXTENT_LIST_MAGIC: u64 = u64::from_le_bytes(*b"ASHXLIST");
/// First bytes of an extent page.
pub const EXTENT_PAGE_MAGIC: u64 = u64::from_le_bytes(*b"ASHXPAGE");
/// First bytes of an index page.
pub const INDEX_PAGE_MAGIC: u64 = u64::from_le_bytes(*b"ASHIPAGE");
/// First bytes of a run manifest.
pub const RUN_MANIFEST_MAGIC: u64 = u64::from_le_bytes(*b"ASHRUNMF");
/// First bytes of a checkpoint.
pub const CHECKPOINT_MAGIC: u64 = u64::from_le_bytes(*b"ASHCHKPT");
/// First bytes of a log record. Not zero, so that zero-filled space is not a record.
pub const RECORD_MAGIC: u16 = 0xA51B;

const _: () = assert!(HEIGHT_MAX_BYTES == WRITE_UNIT * HEIGHT_MAX as u32);
const _: () = assert!(CRC_BLOCK.is_multiple_of(WRITE_UNIT));
const _: () = assert!(HEIGHT_MAX_BYTES as usize <= EXTENT_CRCS_MAX * CRC_BLOCK as usize);
const _: () = assert!(LABEL_BYTES == WRITE_UNIT as usize);
const _: () = assert!(SEGMENT_HEADER_BYTES == WRITE_UNIT as usize);
// A chunk of the lowest height must hold its header and some payload.
const _: () = assert!(CHUNK_HEADER_FIXED_BYTES + 4 * MEMBERS_MAX < WRITE_UNIT as usize);
// A region holds its label and two slots.
const _: () = assert!(REGION_SLOT_OFFSET + 2 * SUPERBLOCK_SLOT_BYTES as u64 <= TAIL_REGION_BYTES);
const _: () = assert!(TAIL_REGION_BYTES <= SEGMENTS_OFFSET);
const _: () = assert!(LABEL_BYTES as u64 <= REGION_SLOT_OFFSET);
// Each virtual shard fits the top 12 bits of a hash.
const _: () = assert!(VIRTUAL_SHARDS == 1 << 12);
// Space and bucket, escaped name, terminator, upload identity and part number.
const _: () = assert!(9 + 2 * NAME_BYTES_MAX + 2 + 16 + 2 <= INDEX_KEY_BYTES_MAX);
