//! Bounds of the index, tied together where they are used.

/// Largest page, bytes, and largest piece of a manifest: an extent of that length has one checksum.
pub const PAGE_BYTES_MAX: usize = 64 * 1024;
/// Largest value, bytes: with the longest key it fits one page.
pub const VALUE_BYTES_MAX: usize = 56 * 1024;
/// Largest encoded manifest, bytes: archives hold 31-bit offsets.
pub(super) const MANIFEST_BYTES_MAX: u64 = (1 << 31) - 1;
/// Hidden entries (tombstones) that a scan passes before it lets other tasks run.
pub(super) const SCAN_HIDDEN_MAX: usize = 1024;

const _: () = assert!(PAGE_BYTES_MAX as u64 == ashlar_disk_format::constants::CRC_BLOCK as u64);
