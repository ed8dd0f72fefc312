//! Looks at what a device holds before anyone dares to format it.

use super::open::OpenError;
use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes looked at from the start: far enough for every signature below.
const HEAD_BYTES: usize = 1 << 20;
/// Bytes looked at from the end: backup partition tables and RAID labels.
const TAIL_BYTES: usize = 64 << 10;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Zeros in everything that was looked at.
    Empty,
    /// A label of ours.
    Ashlar,
    /// A filesystem, swap space, or a member of a volume manager or RAID.
    Filesystem(&'static str),
    /// A partition table.
    PartitionTable(&'static str),
    /// Bytes, but none we know.
    Unknown {
        /// Where the first byte lies that is not zero.
        first_nonzero_offset: u64,
    },
}

impl std::fmt::Display for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => write!(f, "empty"),
            Self::Ashlar => write!(f, "an Ashlar device"),
            Self::Filesystem(name) => write!(f, "{name}"),
            Self::PartitionTable(name) => write!(f, "a partition table ({name})"),
            Self::Unknown { first_nonzero_offset } => {
                write!(f, "unknown data from byte {first_nonzero_offset} on")
            }
        }
    }
}

/// One place where bytes tell what a device holds.
struct Signature {
    offset: usize,
    bytes: &'static [u8],
    name: &'static str,
}

const fn signature(offset: usize, bytes: &'static [u8], name: &'static str) -> Signature {
    Signature { offset, bytes, name }
}

/// From the superblock layouts in the Linux sources and `libblkid`. Filesystems stand before boot
/// sectors, because FAT and NTFS end theirs like a partition table.
const FILESYSTEMS: &[Signature] = &[
    signature(0, b"XFSB", "XFS"),
    signature(0x1_0040, b"_BHRfS_M", "btrfs"),
    signature(0, b"LUKS\xba\xbe", "LUKS"),
    signature(0, b"LABELONE", "LVM"),
    signature(512, b"LABELONE", "LVM"),
    signature(1024, b"LABELONE", "LVM"),
    signature(1536, b"LABELONE", "LVM"),
    signature(0, &MD_MAGIC, "Linux RAID"),
    signature(4096, &MD_MAGIC, "Linux RAID"),
    signature(3, b"NTFS    ", "NTFS"),
    signature(3, b"EXFAT   ", "exFAT"),
    signature(54, b"FAT12   ", "FAT"),
    signature(54, b"FAT16   ", "FAT"),
    signature(82, b"FAT32   ", "FAT"),
    signature(4086, b"SWAPSPACE2", "swap"),
    signature(4086, b"SWAP-SPACE", "swap"),
    signature(1024, &[0x10, 0x20, 0xf5, 0xf2], "F2FS"),
    signature(0x8001, b"CD001", "ISO 9660"),
    signature(0, b"hsqs", "squashfs"),
    signature(0, b"bluestore block device", "Ceph BlueStore"),
];
const MD_MAGIC: [u8; 4] = [0xfc, 0x4e, 0x2b, 0xa9];
const EXT_MAGIC_OFFSET: usize = 0x438;
const EXT_MAGIC: [u8; 2] = [0x53, 0xef];
/// `s_feature_compat`, bit 2: has a journal; `s_feature_incompat`, bit 6: extents.
const EXT_COMPATIBLE_OFFSET: usize = 0x45c;
const EXT_INCOMPATIBLE_OFFSET: usize = 0x460;
/// ZFS keeps uberblocks from 128 KiB on, one per KiB or more, in the writer's byte order.
const ZFS_UBERBLOCKS: std::ops::Range<usize> = 128 << 10..256 << 10;
const ZFS_MAGIC: [u8; 8] = [0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0];
const ZFS_MAGIC_SWAPPED: [u8; 8] = [0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c];
const GPT_MAGIC: &[u8] = b"EFI PART";
const LABEL_STEP: usize = 4096;

/// Reads the first MiB and the last 64 KiB of `path`. `label` is how a block with an Ashlar label
/// begins. Changes nothing.
///
/// # Errors
/// When it cannot be opened or read.
pub fn what_is_on(path: &Path, label: &[u8]) -> Result<Contents, OpenError> {
    let read = || -> std::io::Result<(Vec<u8>, Vec<u8>, u64)> {
        let mut file = File::open(path)?;
        let bytes = file.seek(SeekFrom::End(0))?;
        let head = read_at(&file, 0, bytes, HEAD_BYTES)?;
        let tail_offset = bytes.saturating_sub(TAIL_BYTES as u64);
        let tail = read_at(&file, tail_offset, bytes, TAIL_BYTES)?;
        Ok((head, tail, tail_offset))
    };
    let (head, tail, tail_offset) =
        read().map_err(|error| OpenError::Io { errno: error.raw_os_error().unwrap_or(libc::EIO) })?;
    Ok(recognise(&head, &tail, tail_offset, label))
}

fn read_at(file: &File, offset: u64, end: u64, most: usize) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(end - offset).unwrap_or(most).min(most);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn has(bytes: &[u8], offset: usize, expected: &[u8]) -> bool {
    bytes.get(offset..).is_some_and(|rest| rest.starts_with(expected))
}

fn recognise(head: &[u8], tail: &[u8], tail_offset: u64, label: &[u8]) -> Contents {
    assert!(!label.is_empty(), "an empty label would be found everywhere");
    if has(head, 0, label) {
        return Contents::Ashlar;
    }
    if let Some(name) = filesystem(head, tail) {
        return Contents::Filesystem(name);
    }
    if let Some(name) = partition_table(head, tail) {
        return Contents::PartitionTable(name);
    }
    // After the others: a filesystem may hold, in its first MiB, a file that is an image of ours.
    if head.chunks(LABEL_STEP).chain(tail.chunks(LABEL_STEP)).any(|block| block.starts_with(label)) {
        return Contents::Ashlar;
    }
    let in_head = head.iter().position(|byte| *byte != 0).map(|at| at as u64);
    let in_tail = tail.iter().position(|byte| *byte != 0).map(|at| tail_offset + at as u64);
    match in_head.or(in_tail) {
        Some(first_nonzero_offset) => Contents::Unknown { first_nonzero_offset },
        None => Contents::Empty,
    }
}

fn filesystem(head: &[u8], tail: &[u8]) -> Option<&'static str> {
    if let Some(found) = FILESYSTEMS.iter().find(|known| has(head, known.offset, known.bytes)) {
        return Some(found.name);
    }
    if has(head, EXT_MAGIC_OFFSET, &EXT_MAGIC) {
        return Some(ext_version(head));
    }
    // RAID labels of format 1.0 and 0.90 lie at a 4 KiB boundary near the end.
    if tail.chunks(LABEL_STEP).any(|block| block.starts_with(&MD_MAGIC)) {
        return Some("Linux RAID");
    }
    let uberblocks = head.get(ZFS_UBERBLOCKS)?;
    let is_zfs = |block: &[u8]| block.starts_with(&ZFS_MAGIC) || block.starts_with(&ZFS_MAGIC_SWAPPED);
    uberblocks.chunks(1024).any(is_zfs).then_some("ZFS")
}

fn ext_version(head: &[u8]) -> &'static str {
    let byte = |offset: usize| head.get(offset).copied().unwrap_or(0);
    if byte(EXT_INCOMPATIBLE_OFFSET) & 0x40 != 0 {
        "ext4"
    } else if byte(EXT_COMPATIBLE_OFFSET) & 0x04 != 0 {
        "ext3"
    } else {
        "ext2"
    }
}

fn partition_table(head: &[u8], tail: &[u8]) -> Option<&'static str> {
    let backup = |block: usize| tail.len().checked_sub(block).is_some_and(|at| has(tail, at, GPT_MAGIC));
    if has(head, 512, GPT_MAGIC) || has(head, 4096, GPT_MAGIC) || backup(512) || backup(4096) {
        return Some("GPT");
    }
    has(head, 510, &[0x55, 0xaa]).then_some("MBR")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: &[u8] = b"OURLABEL";

    fn look(at: usize, bytes: &[u8]) -> Contents {
        let mut device = vec![0_u8; 4 << 20];
        device[at..at + bytes.len()].copy_from_slice(bytes);
        let tail_offset = device.len() - TAIL_BYTES;
        recognise(&device[..HEAD_BYTES], &device[tail_offset..], tail_offset as u64, LABEL)
    }

    #[test]
    fn each_signature_is_recognised_by_its_name() {
        for known in FILESYSTEMS {
            assert_eq!(look(known.offset, known.bytes), Contents::Filesystem(known.name));
        }
        assert_eq!(look(EXT_MAGIC_OFFSET, &EXT_MAGIC), Contents::Filesystem("ext2"));
        assert_eq!(look(130 << 10, &ZFS_MAGIC), Contents::Filesystem("ZFS"));
        assert_eq!(look((4 << 20) - (64 << 10), &MD_MAGIC), Contents::Filesystem("Linux RAID"));
        assert_eq!(look(510, &[0x55, 0xaa]), Contents::PartitionTable("MBR"));
        assert_eq!(look(512, GPT_MAGIC), Contents::PartitionTable("GPT"));
        assert_eq!(look((4 << 20) - 512, GPT_MAGIC), Contents::PartitionTable("GPT"));
    }

    #[test]
    fn ours_unknown_and_empty_are_told_apart() {
        assert_eq!(look(0, LABEL), Contents::Ashlar);
        assert_eq!(look((4 << 20) - 4096, LABEL), Contents::Ashlar);
        assert_eq!(look(0, &[]), Contents::Empty);
        assert_eq!(look(77, &[1]), Contents::Unknown { first_nonzero_offset: 77 });
        assert_eq!(look((4 << 20) - 1, &[1]), Contents::Unknown { first_nonzero_offset: (4 << 20) - 1 });
    }
}
