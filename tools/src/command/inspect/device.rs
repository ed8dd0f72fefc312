//! A device or an image of one, opened for reading only: bytes by offset, and where the format says that its
//! structures are. There is no way to write through this type.

use super::report::Report;
use ashlar_disk_format::DecodeError;
use ashlar_disk_format::constants::{LABEL_BYTES, SUPERBLOCK_COPIES, SUPERBLOCK_SLOT_BYTES};
use ashlar_disk_format::label::Label;
use ashlar_disk_format::layout::{DeviceLayout, tail_label_offset};
use ashlar_disk_format::superblock::Superblock;
use ashlar_disk_format::units::{DeviceIndex, PoolId, RowOffset, SegmentIndex};
use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Why bytes are not to be had.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The device says so.
    Io(io::Error),
    /// The range is not on the device.
    Outside { offset: u64, length: usize, device_bytes: u64 },
    /// They are there, but are not what they should be.
    Decode(DecodeError),
}

/// A device with what its labels say.
#[derive(Debug)]
pub(super) struct Device {
    path: PathBuf,
    file: File,
    bytes: u64,
    identity: Option<Identity>,
}

/// What the device is, from the first label or superblock that can be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    pub(super) pool: PoolId,
    pub(super) index: DeviceIndex,
    pub(super) layout: DeviceLayout,
}

impl Device {
    /// Opens `path` read-only and finds out what it is.
    ///
    /// # Errors
    /// When it cannot be opened. Damage is not an error here.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        // A block device has no length in its metadata, but an end.
        let bytes = file.seek(SeekFrom::End(0))?;
        let mut device = Self { path: path.to_owned(), file, bytes, identity: None };
        device.identity = device.identify();
        Ok(device)
    }

    pub(super) fn path(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the device is; `None` when neither a label nor a superblock can be read.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// `length` bytes from `offset`.
    pub(super) fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, ReadError> {
        let end = offset.checked_add(length as u64);
        if end.is_none_or(|end| end > self.bytes) {
            return Err(ReadError::Outside { offset, length, device_bytes: self.bytes });
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).map_err(ReadError::Io)?;
        Ok(bytes)
    }

    /// Label 0 (A) or 1 (B). Label B is looked for where the size of the device puts it.
    pub(super) fn label(&self, which: usize) -> Result<Label, ReadError> {
        let offset = if which == 0 { Some(0) } else { tail_label_offset(self.bytes) };
        let bytes = self.read(offset.unwrap_or(u64::MAX), LABEL_BYTES)?;
        Ok(Label::decode(&bytes)?)
    }

    /// A superblock copy; one that says it is another copy is refused as misdirected.
    pub(super) fn superblock(&self, copy: u8) -> Result<Superblock, ReadError> {
        let Some(offset) = self.superblock_offset(copy) else {
            return Err(ReadError::Outside {
                offset: u64::MAX,
                length: SUPERBLOCK_SLOT_BYTES,
                device_bytes: self.bytes,
            });
        };
        let bytes = self.read(offset, SUPERBLOCK_SLOT_BYTES)?;
        let (superblock, found) = Superblock::decode_copy(&bytes)?;
        if found != copy {
            return Err(ReadError::Decode(DecodeError::Mismatch {
                structure: ashlar_disk_format::error::Structure::Superblock,
                field: ashlar_disk_format::error::Field::Copy,
                expected: u64::from(copy),
                found: u64::from(found),
            }));
        }
        Ok(superblock)
    }

    /// All copies with their numbers.
    pub(super) fn superblocks(&self) -> impl Iterator<Item = (u8, Result<Superblock, ReadError>)> + '_ {
        (0..SUPERBLOCK_COPIES).map(|copy| (copy, self.superblock(copy)))
    }

    /// `length` bytes from the start of the row at `row` of `segment`.
    pub(super) fn read_chunk(
        &self,
        segment: SegmentIndex,
        row: RowOffset,
        length: usize,
    ) -> Result<Vec<u8>, ReadError> {
        let outside = |offset| ReadError::Outside { offset, length, device_bytes: self.bytes };
        let Some(identity) = self.identity else { return Err(outside(u64::MAX)) };
        let layout = identity.layout;
        let inside = row.bytes().checked_add(length as u64).is_some_and(|end| end <= layout.segment_bytes());
        if segment.0 >= layout.segment_count() || !inside {
            return Err(outside(row.bytes()));
        }
        self.read(layout.chunk_offset(segment, row), length)
    }

    fn superblock_offset(&self, copy: u8) -> Option<u64> {
        // The same for every segment size: only the size of the device counts.
        let tail = tail_label_offset(self.bytes)?;
        let region = if copy < 2 { 0 } else { tail };
        Some(
            region
                + ashlar_disk_format::constants::REGION_SLOT_OFFSET
                + u64::from(copy & 1) * SUPERBLOCK_SLOT_BYTES as u64,
        )
    }

    fn identify(&self) -> Option<Identity> {
        for which in 0..2 {
            if let Ok(label) = self.label(which)
                && let Ok(layout) = DeviceLayout::new(label.device_bytes, label.segment_bytes)
            {
                return Some(Identity { pool: label.pool, index: label.index, layout });
            }
        }
        self.superblocks().find_map(|(_, superblock)| {
            let superblock = superblock.ok()?;
            let entry = superblock.devices.iter().find(|entry| entry.id == superblock.device)?;
            let layout = DeviceLayout::new(entry.bytes, superblock.segment_bytes).ok()?;
            Some(Identity { pool: superblock.pool, index: entry.index, layout })
        })
    }
}

/// Notes devices that do not go together: of another pool, or the same one twice.
pub(super) fn check_together(devices: &[Device], report: &mut Report) {
    for (position, device) in devices.iter().enumerate() {
        let Some(identity) = device.identity() else {
            report.fault(device.path(), "no label and no superblock can be read");
            continue;
        };
        for earlier in devices.iter().take(position) {
            let Some(other) = earlier.identity() else { continue };
            if other.pool != identity.pool {
                report.fault(device.path(), format!("is of pool {}, not {}", identity.pool, other.pool));
                break;
            }
            if other.index == identity.index {
                report.fault(device.path(), format!("is device {}, as is {}", other.index, earlier.path()));
                break;
            }
        }
    }
}

impl From<DecodeError> for ReadError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(formatter, "cannot be read: {error}"),
            Self::Outside { offset: u64::MAX, device_bytes, .. } => {
                write!(formatter, "has no place on this device of {device_bytes} bytes")
            }
            Self::Outside { offset, length, device_bytes } => {
                write!(formatter, "{length} bytes at {offset} are not on this device of {device_bytes} bytes")
            }
            Self::Decode(error) => error.fmt(formatter),
        }
    }
}
