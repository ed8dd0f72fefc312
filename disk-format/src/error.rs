//! Why bytes were refused. Each variant is one kind of culprit and carries what was expected and what was
//! found, so that a report needs nothing else; no strings.

use std::fmt;

/// Which structure was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Structure {
    /// Label of a device.
    Label,
    /// Superblock copy.
    Superblock,
    /// List of extents.
    ExtentList,
    /// One extent.
    Extent,
    /// Code shape.
    CodeShape,
    /// Group descriptor.
    GroupDescriptor,
    /// Segment header.
    SegmentHeader,
    /// Chunk header.
    ChunkHeader,
    /// Log record.
    Record,
    /// Index key.
    Key,
    /// Index value.
    Value,
    /// Extent page.
    ExtentPage,
    /// Page of a part table.
    PartPage,
    /// Index page.
    IndexPage,
    /// Run manifest.
    RunManifest,
    /// Checkpoint.
    Checkpoint,
}

/// Which field was bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the name of the field in docs/disk-format.md")]
pub enum Field {
    Body,
    Bucket,
    CheckpointBytes,
    CheckpointExtents,
    CheckpointGroups,
    Clean,
    Copy,
    Count,
    Covered,
    Crcs,
    DataCount,
    Depth,
    Device,
    DeviceBytes,
    DeviceIndex,
    DeviceState,
    Devices,
    Entries,
    Family,
    Generation,
    Group,
    Header,
    Height,
    Index,
    Key,
    Kind,
    Length,
    Log,
    Member,
    Members,
    Mutation,
    Name,
    OwnFields,
    Part,
    PayloadBytes,
    PayloadOffset,
    Pool,
    PoolName,
    PreviousCrc,
    RecordBytes,
    Row,
    Scrub,
    Sequence,
    SegmentBytes,
    Shape,
    Slot,
    Space,
    State,
    Value,
    Version,
    VirtualShard,
}

/// Why bytes were refused. Offsets are in bytes from the start of the structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end before the field does.
    Short {
        /// What was being read.
        structure: Structure,
        /// The field that is cut off.
        field: Field,
        /// Where the field begins.
        offset: u64,
        /// Bytes the field needs.
        needed: u64,
        /// Bytes that are left.
        found: u64,
    },
    /// Bytes are left behind the structure.
    Trailing {
        /// What was being read.
        structure: Structure,
        /// Where the structure ended.
        offset: u64,
        /// How many bytes are left.
        found: u64,
    },
    /// The magic number is another: these bytes are not this structure at all.
    Magic {
        /// What was being read.
        structure: Structure,
        /// The magic of the structure.
        expected: u64,
        /// What stands there.
        found: u64,
    },
    /// Written by a format version that this build does not read.
    Version {
        /// What was being read.
        structure: Structure,
        /// The newest version that this build reads.
        expected: u16,
        /// What stands there.
        found: u16,
    },
    /// The structure's checksum does not match its bytes.
    Checksum {
        /// What was being read.
        structure: Structure,
        /// What the structure says.
        expected: u32,
        /// What the bytes hash to.
        found: u32,
    },
    /// A reserved byte is not zero.
    Reserved {
        /// What was being read.
        structure: Structure,
        /// Where the byte is.
        offset: u64,
        /// What stands there.
        found: u8,
    },
    /// A tag has no meaning.
    Unknown {
        /// What was being read.
        structure: Structure,
        /// The field that holds the tag.
        field: Field,
        /// What stands there.
        found: u64,
    },
    /// A number is outside its limits.
    OutOfRange {
        /// What was being read.
        structure: Structure,
        /// The field that holds the number.
        field: Field,
        /// The least that is allowed.
        minimum: u64,
        /// The most that is allowed.
        maximum: u64,
        /// What stands there.
        found: u64,
    },
    /// A number is valid but not the one that was looked for (misdirected or stale write).
    Mismatch {
        /// What was being read.
        structure: Structure,
        /// The field that differs.
        field: Field,
        /// What was looked for.
        expected: u64,
        /// What stands there.
        found: u64,
    },
    /// A 16-byte identity is not the one that was looked for (foreign or misdirected).
    Identity {
        /// What was being read.
        structure: Structure,
        /// The field that differs.
        field: Field,
        /// What was looked for.
        expected: [u8; 16],
        /// What stands there.
        found: [u8; 16],
    },
    /// The archive inside the structure has bad pointers, tags or text.
    Archive {
        /// What was being read.
        structure: Structure,
        /// How many bytes the archive has.
        bytes: u64,
    },
    /// Text is not UTF-8.
    Text {
        /// What was being read.
        structure: Structure,
        /// The field that holds the text.
        field: Field,
        /// Bytes of the text that are valid.
        offset: u64,
    },
    /// A list is not in strictly ascending order.
    Unordered {
        /// What was being read.
        structure: Structure,
        /// The field that orders the list.
        field: Field,
        /// 0-based position of the first entry that is not above its predecessor.
        position: u64,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { structure, field, offset, needed, found } => {
                write!(f, "{structure:?}: {field:?} at byte {offset} needs {needed} bytes, {found} are left")
            }
            Self::Trailing { structure, offset, found } => {
                write!(f, "{structure:?}: {found} bytes are left behind its end at byte {offset}")
            }
            Self::Magic { structure, expected, found } => {
                write!(f, "{structure:?}: magic is {found:#018x}, not {expected:#018x}")
            }
            Self::Version { structure, expected, found } => {
                write!(f, "{structure:?}: version is {found}, this build reads {expected}")
            }
            Self::Checksum { structure, expected, found } => {
                write!(f, "{structure:?}: checksum says {expected:#010x}, the bytes give {found:#010x}")
            }
            Self::Reserved { structure, offset, found } => {
                write!(f, "{structure:?}: reserved byte {offset} is {found:#04x}, not zero")
            }
            Self::Unknown { structure, field, found } => {
                write!(f, "{structure:?}: {field:?} is {found}, which has no meaning")
            }
            Self::OutOfRange { structure, field, minimum, maximum, found } => {
                write!(f, "{structure:?}: {field:?} is {found}, outside {minimum} to {maximum}")
            }
            Self::Mismatch { structure, field, expected, found } => {
                write!(f, "{structure:?}: {field:?} is {found}, {expected} was looked for")
            }
            Self::Identity { structure, field, expected, found } => {
                write!(f, "{structure:?}: {field:?} is {found:02x?}, {expected:02x?} was looked for")
            }
            Self::Archive { structure, bytes } => {
                write!(f, "{structure:?}: the archive of {bytes} bytes is malformed")
            }
            Self::Text { structure, field, offset } => {
                write!(f, "{structure:?}: {field:?} is not UTF-8 from its byte {offset}")
            }
            Self::Unordered { structure, field, position } => {
                write!(f, "{structure:?}: {field:?} {position} is not above its predecessor")
            }
        }
    }
}

impl std::error::Error for DecodeError {}
