//! How a payload lies in a row: how tall, over how many data chunks, what is where. Pure.
//!
//! Bytes run down a data chunk before they run over to the next one, so that a small object lies
//! on one device.

use crate::limits::{CHUNK_BYTES_MAX, NARROW_PAYLOAD_BYTES_MAX, ROW_BYTES_MAX, TALL_CHUNK_BYTES_MIN};
use crate::number::{to_u8, to_u32, to_usize};
use ashlar_disk_format::chunk::header_bytes;
use ashlar_disk_format::code::CodeShape;
use ashlar_disk_format::constants::WRITE_UNIT;
use ashlar_disk_format::units::Height;

/// The outline of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Code of the row's group.
    pub(crate) shape: CodeShape,
    /// Height of every chunk.
    pub(crate) height: Height,
    /// Data chunks that are written; the others count as zeros.
    pub(crate) data_count: u8,
}

/// A run of payload inside one data chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Data chunk, from 0.
    pub(crate) member: u8,
    /// First byte, counted from the end of the chunk's header.
    pub(crate) offset: u32,
    /// Bytes.
    pub(crate) length: u32,
}

/// The tallest chunk of a shape, such that a row's buffers stay within [`ROW_BYTES_MAX`]: a power
/// of two, because buffers are. Rows of more than 16 members exceed it, because a chunk must hold a
/// whole page of the index.
pub(crate) fn tallest(shape: CodeShape) -> Height {
    let share = ROW_BYTES_MAX.div_euclid(to_u32(shape.members()));
    let power = if share.is_power_of_two() { share } else { share.next_power_of_two() >> 1 };
    let Some(height) = Height::holding(power.clamp(TALL_CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)) else {
        unreachable!("CHUNK_BYTES_MAX is a legal height")
    };
    height
}

impl Geometry {
    /// A row of all k data chunks of the tallest height: what a body of unknown length fills.
    pub(crate) fn full(shape: CodeShape) -> Self {
        Self { shape, height: tallest(shape), data_count: shape.k }
    }

    /// The row that holds `payload` bytes with the least waste: one data chunk when it is small,
    /// else all k at the lowest sufficient height.
    ///
    /// # Panics
    /// When `payload` exceeds [`Geometry::full`]'s capacity: the caller cuts rows.
    pub(crate) fn holding(shape: CodeShape, payload: usize) -> Self {
        assert!(payload <= Self::full(shape).capacity(), "payload exceeds a row");
        let narrow_max = NARROW_PAYLOAD_BYTES_MAX.min(chunk_capacity(shape, tallest(shape)));
        let data_count = if payload <= narrow_max { 1 } else { shape.k };
        let share = payload.div_ceil(usize::from(data_count));
        let bytes = to_u32(share + header_bytes(shape.members()));
        let Some(height) = Height::holding(bytes) else { unreachable!("a share fits the tallest chunk") };
        let row = Self { shape, height, data_count };
        row.shrunk_to(payload)
    }

    /// The same row when only `payload` bytes came: data chunks that stayed empty are dropped,
    /// and a single chunk is cut to what it holds.
    pub(crate) fn shrunk_to(self, payload: usize) -> Self {
        assert!(payload <= self.capacity(), "a row does not shrink to more than it holds");
        let data_count = to_u8(payload.div_ceil(self.chunk_capacity()).max(1));
        let height = if data_count == 1 {
            let bytes = to_u32(payload + header_bytes(self.shape.members()));
            Height::holding(bytes).map_or(self.height, |height| height.min(self.height))
        } else {
            self.height
        };
        Self { shape: self.shape, height, data_count }
    }

    /// Bytes of the chunk header.
    pub(crate) fn header(&self) -> usize {
        header_bytes(self.shape.members())
    }

    /// Payload bytes per chunk.
    pub(crate) fn chunk_capacity(&self) -> usize {
        chunk_capacity(self.shape, self.height)
    }

    /// Payload bytes of the row.
    pub(crate) fn capacity(&self) -> usize {
        self.chunk_capacity() * usize::from(self.data_count)
    }

    /// Chunks that are written: used data and all parity.
    pub(crate) fn written(&self) -> usize {
        usize::from(self.data_count) + usize::from(self.shape.m)
    }

    /// Where the byte at `position` of the row's payload lies, and how many follow it in its chunk.
    pub(crate) fn place(&self, position: usize) -> Place {
        let capacity = self.chunk_capacity();
        assert!(position < self.capacity(), "position lies inside the row");
        let member = position.div_euclid(capacity);
        let offset = position.rem_euclid(capacity);
        Place { member: to_u8(member), offset: to_u32(offset), length: to_u32(capacity - offset) }
    }

    /// The runs, at most one per chunk, that cover `length` bytes from `position`.
    pub(crate) fn places(self, position: usize, length: usize) -> impl Iterator<Item = Place> {
        let end = position + length;
        assert!(end <= self.capacity(), "run ends inside the row");
        let mut at = position;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let mut place = self.place(at);
            place.length = place.length.min(to_u32(end - at));
            at += to_usize(u64::from(place.length));
            Some(place)
        })
    }
}

fn chunk_capacity(shape: CodeShape, height: Height) -> usize {
    to_usize(u64::from(height.bytes())) - header_bytes(shape.members())
}

const _: () = assert!(CHUNK_BYTES_MAX.is_multiple_of(WRITE_UNIT));

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(text: &str) -> CodeShape {
        CodeShape::parse(text).unwrap()
    }

    #[test]
    fn a_small_payload_is_one_chunk_and_its_copies() {
        let row = Geometry::holding(shape("4+2"), 3000);
        assert_eq!(row.data_count, 1);
        assert_eq!(row.height.bytes(), 4096);
        assert_eq!(row.written(), 3);
    }

    #[test]
    fn a_large_payload_uses_every_data_chunk() {
        let row = Geometry::holding(shape("4+2"), 200_000);
        assert_eq!(row.data_count, 4);
        assert_eq!(row.height.bytes(), 53_248);
    }

    #[test]
    fn wide_rows_stay_within_the_row_budget() {
        for text in ["1+0", "1+1", "2+1", "4+2", "8+3", "12+4", "16+4", "40+8"] {
            let full = Geometry::full(shape(text));
            let bytes = full.height.bytes() * to_u32(full.shape.members());
            let limit = ROW_BYTES_MAX.max(TALL_CHUNK_BYTES_MIN * to_u32(full.shape.members()));
            assert!(bytes <= limit, "{text}: {bytes}");
            assert!(full.chunk_capacity() > 64 << 10, "{text}: a page of the index fits a chunk");
            assert!(full.height.bytes().is_power_of_two());
        }
    }

    proptest! {
        #[test]
        fn places_tile_the_payload(k in 1u8..17, m in 1u8..5, fill in 0.0f64..1.0) {
            let shape = CodeShape::new(k, m).unwrap();
            let full = Geometry::full(shape).capacity();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "test sizes")]
            let payload = (full as f64 * fill) as usize;
            let row = Geometry::holding(shape, payload);
            prop_assert!(row.capacity() >= payload);
            let mut next = (0u8, 0u32);
            let mut total = 0usize;
            for place in row.places(0, payload) {
                prop_assert_eq!((place.member, place.offset), next);
                total += place.length as usize;
                next = (place.member + 1, 0);
            }
            prop_assert_eq!(total, payload);
        }
    }
}
