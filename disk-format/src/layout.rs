//! Arithmetic only: device size to zones and back.
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 4 KiB | label A |
//! | 64 KiB | 64 KiB | superblock slot 0 |
//! | 128 KiB | 64 KiB | superblock slot 1 |
//! | 1 MiB | segment bytes each | segments |
//! | T | 4 KiB | label B |
//! | T + 64 KiB | 64 KiB | superblock slot 2 |
//! | T + 128 KiB | 64 KiB | superblock slot 3 |
//!
//! T is 256 KiB before the end of the device, whose size counts rounded down to 64 KiB. What is left between
//! the last whole segment and T is not used.

use crate::constants::{
    REGION_SLOT_OFFSET, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SEGMENTS_MIN, SEGMENTS_OFFSET,
    SUPERBLOCK_COPIES, SUPERBLOCK_SLOT_BYTES, TAIL_REGION_BYTES, WRITE_UNIT,
};
use crate::units::{RowOffset, SegmentIndex};
use std::fmt;

/// What a device is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Media {
    /// Flash: small segments.
    Flash,
    /// Rotating: larger segments.
    Disk,
}

/// Why a device cannot be laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutError {
    /// Too small for the regions and a few segments.
    DeviceTooSmall {
        /// The least that would do, bytes.
        minimum: u64,
        /// What it has, bytes.
        found: u64,
    },
    /// The segment size is outside its limits or no multiple of the write unit.
    SegmentBytes {
        /// The least, bytes.
        minimum: u64,
        /// The most, bytes.
        maximum: u64,
        /// What was asked for, bytes.
        found: u64,
    },
    /// More segments than an index can count.
    TooManySegments {
        /// How many there would be.
        found: u64,
    },
}

/// Where everything is on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceLayout {
    segment_bytes: u64,
    segment_count: u32,
    tail_offset: u64,
}

/// Devices should have at least that many segments, so that open groups tie up little of them.
const SEGMENTS_WANTED: u64 = 512;
const FLASH_SEGMENT_BYTES: u64 = 128 * 1024 * 1024;
const DISK_SEGMENT_BYTES: u64 = 256 * 1024 * 1024;

impl DeviceLayout {
    /// Lays out a device.
    ///
    /// # Errors
    /// [`LayoutError`] by field.
    pub fn new(device_bytes: u64, segment_bytes: u64) -> Result<Self, LayoutError> {
        let sizes = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
        if !sizes.contains(&segment_bytes) || !segment_bytes.is_multiple_of(u64::from(WRITE_UNIT)) {
            let (minimum, maximum) = (SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
            return Err(LayoutError::SegmentBytes { minimum, maximum, found: segment_bytes });
        }
        let minimum = SEGMENTS_OFFSET + SEGMENTS_MIN * segment_bytes + TAIL_REGION_BYTES;
        let whole = device_bytes - device_bytes % REGION_SLOT_OFFSET;
        if whole < minimum {
            let minimum = minimum.next_multiple_of(REGION_SLOT_OFFSET);
            return Err(LayoutError::DeviceTooSmall { minimum, found: device_bytes });
        }
        let tail_offset = whole - TAIL_REGION_BYTES;
        let count = whole_segments(tail_offset - SEGMENTS_OFFSET, segment_bytes);
        let Ok(segment_count) = u32::try_from(count) else {
            return Err(LayoutError::TooManySegments { found: count });
        };
        Ok(Self { segment_bytes, segment_count, tail_offset })
    }

    /// How many segments.
    #[must_use]
    pub fn segment_count(&self) -> u32 {
        self.segment_count
    }

    /// Size of a segment, bytes.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Where a segment begins, bytes.
    ///
    /// # Panics
    /// For a segment behind the last.
    #[must_use]
    pub fn segment_offset(&self, segment: SegmentIndex) -> u64 {
        assert!(segment.0 < self.segment_count, "segment {segment} of {}", self.segment_count);
        SEGMENTS_OFFSET + u64::from(segment.0) * self.segment_bytes
    }

    /// Where the chunk of a row begins, bytes.
    ///
    /// # Panics
    /// For a segment behind the last or a row behind its end.
    #[must_use]
    pub fn chunk_offset(&self, segment: SegmentIndex, row: RowOffset) -> u64 {
        assert!(row.bytes() < self.segment_bytes, "row {row} is behind the end of the segment");
        self.segment_offset(segment) + row.bytes()
    }

    /// Where labels A and B are, bytes.
    #[must_use]
    pub fn label_offsets(&self) -> [u64; 2] {
        [0, self.tail_offset]
    }

    /// Where a superblock copy is, bytes.
    ///
    /// # Panics
    /// For a copy behind the last.
    #[must_use]
    pub fn superblock_offset(&self, copy: u8) -> u64 {
        assert!(copy < SUPERBLOCK_COPIES, "a device has {SUPERBLOCK_COPIES} copies");
        let region = if copy < 2 { 0 } else { self.tail_offset };
        region + REGION_SLOT_OFFSET + u64::from(copy % 2) * SUPERBLOCK_SLOT_BYTES as u64
    }
}

/// Where label B would be on a device of that size, when label A cannot be read and nothing else is known.
#[must_use]
pub fn tail_label_offset(device_bytes: u64) -> Option<u64> {
    (device_bytes - device_bytes % REGION_SLOT_OFFSET).checked_sub(TAIL_REGION_BYTES)
}

/// The segment size for a device: 128 MiB on flash, 256 MiB on disk, halved until there are at least 512
/// segments, but not below 1 MiB.
#[must_use]
pub fn default_segment_bytes(device_bytes: u64, media: Media) -> u64 {
    let usable = device_bytes.saturating_sub(SEGMENTS_OFFSET + TAIL_REGION_BYTES);
    let mut bytes = match media {
        Media::Flash => FLASH_SEGMENT_BYTES,
        Media::Disk => DISK_SEGMENT_BYTES,
    };
    while bytes > SEGMENT_BYTES_MIN && whole_segments(usable, bytes) < SEGMENTS_WANTED {
        bytes >>= 1;
    }
    bytes
}

#[expect(clippy::integer_division, reason = "a part of a segment at the end is not used")]
fn whole_segments(bytes: u64, segment_bytes: u64) -> u64 {
    bytes / segment_bytes
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceTooSmall { minimum, found } => {
                write!(f, "the device has {found} bytes, at least {minimum} are needed")
            }
            Self::SegmentBytes { minimum, maximum, found } => {
                write!(
                    f,
                    "segments of {found} bytes: want {minimum} to {maximum}, a multiple of {WRITE_UNIT}"
                )
            }
            Self::TooManySegments { found } => {
                write!(f, "{found} segments are more than an index can count")
            }
        }
    }
}

impl std::error::Error for LayoutError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn zones_of_a_small_device() {
        let layout = DeviceLayout::new(64 * MIB, MIB).unwrap();
        assert_eq!(layout.segment_count(), 62);
        assert_eq!(layout.label_offsets(), [0, 64 * MIB - 256 * 1024]);
        let slots: Vec<u64> = (0..4).map(|copy| layout.superblock_offset(copy)).collect();
        let tail = 64 * MIB - 256 * 1024;
        assert_eq!(slots, [65536, 131_072, tail + 65536, tail + 131_072]);
        assert_eq!(layout.segment_offset(SegmentIndex(2)), 3 * MIB);
        assert_eq!(layout.chunk_offset(SegmentIndex(2), RowOffset(5)), 3 * MIB + 5 * 4096);
        assert_eq!(tail_label_offset(64 * MIB + 5), Some(tail));
        assert_eq!(tail_label_offset(100), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let small = DeviceLayout::new(5 * MIB, MIB);
        assert_eq!(small, Err(LayoutError::DeviceTooSmall { minimum: 5 * MIB + 256 * 1024, found: 5 * MIB }));
        assert!(DeviceLayout::new(5 * MIB + 256 * 1024, MIB).is_ok());
        assert!(matches!(DeviceLayout::new(64 * MIB, MIB + 1), Err(LayoutError::SegmentBytes { .. })));
        assert!(matches!(DeviceLayout::new(64 * MIB, 4096), Err(LayoutError::SegmentBytes { .. })));
        assert!(matches!(DeviceLayout::new(u64::MAX, MIB), Err(LayoutError::TooManySegments { .. })));
        assert!(DeviceLayout::new(0, MIB).is_err());
    }

    #[test]
    fn default_segments_leave_at_least_512_where_they_can() {
        assert_eq!(default_segment_bytes(4 << 40, Media::Flash), 128 * MIB);
        assert_eq!(default_segment_bytes(4 << 40, Media::Disk), 256 * MIB);
        assert_eq!(default_segment_bytes(32 << 30, Media::Flash), 32 * MIB);
        assert_eq!(default_segment_bytes(64 * MIB, Media::Disk), MIB);
        assert_eq!(default_segment_bytes(0, Media::Disk), MIB);
    }

    proptest! {
        #[test]
        fn zones_never_overlap_and_stay_inside(device in 6 * MIB..1 << 44, shift in 0u32..9) {
            let segment_bytes = MIB << shift;
            let Ok(layout) = DeviceLayout::new(device, segment_bytes) else { return Ok(()) };
            let last = SegmentIndex(layout.segment_count() - 1);
            prop_assert!(layout.superblock_offset(1) + 65536 <= layout.segment_offset(SegmentIndex(0)));
            prop_assert!(layout.segment_offset(last) + segment_bytes <= layout.label_offsets()[1]);
            prop_assert!(layout.label_offsets()[1] + 4096 <= layout.superblock_offset(2));
            prop_assert!(layout.superblock_offset(3) + 65536 <= device);
        }
    }
}
