//! How extents that are moved lie in a row: each whole in one chunk, the chunks filled evenly, the row no taller than
//! the fullest of them. Pure: lengths in, places out.

use super::geometry::{Geometry, tallest};
use crate::number::{to_u8, to_u32, to_usize};
use ashlar_disk_format::chunk::header_bytes;
use ashlar_disk_format::code::CodeShape;
use ashlar_disk_format::constants::CRC_BLOCK;
use ashlar_disk_format::units::Height;
use std::ops::Range;

/// Bytes of one source, by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) source: usize,
    pub(super) range: Range<u32>,
}

/// A row, and what goes where in its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) geometry: Geometry,
    /// Each piece with the position of its first byte.
    pub(super) places: Vec<(Piece, usize)>,
    /// Just behind the last byte.
    pub(super) end: usize,
}

/// Cuts sources into pieces that fit one chunk each. What fits stays whole: a page is only read whole. The others are
/// cut where their checksums begin, so that those of the pieces are the same.
pub(super) fn cut(shape: CodeShape, lengths: impl IntoIterator<Item = u32>) -> Vec<Piece> {
    let capacity = to_u32(Geometry::full(shape).chunk_capacity());
    let step = capacity - capacity.rem_euclid(CRC_BLOCK);
    assert!(step > 0, "a chunk holds a block of checksums");
    let pieces = lengths.into_iter().enumerate().flat_map(|(source, length)| {
        let step = if length <= capacity { length.max(1) } else { step };
        let starts = (0..length).step_by(to_usize(u64::from(step)));
        starts.map(move |start| Piece { source, range: start..length.min(start + step) })
    });
    pieces.collect()
}

/// A row of at most `height_left` bytes of height; what it holds is taken out of `pieces`. `None` when nothing fits.
pub(super) fn pack(shape: CodeShape, height_left: u64, pieces: &mut Vec<Piece>) -> Option<Packed> {
    let full = tallest(shape);
    let tall = u64::from(full.bytes()).min(height_left);
    let header = header_bytes(shape.members());
    let capacity = to_usize(tall).checked_sub(header)?;
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    // The longest first, and those of one length in the order of their body, so that they lie side by side.
    order.sort_by_key(|index| std::cmp::Reverse(pieces[*index].range.len()));
    let mut filled = vec![0usize; usize::from(shape.k)];
    let mut chosen: Vec<(usize, usize, usize)> = Vec::new();
    for index in order {
        let length = pieces[index].range.len();
        let Some((chunk, fill)) = filled.iter_mut().enumerate().min_by_key(|(_, fill)| **fill) else { break };
        if *fill + length <= capacity {
            chosen.push((index, chunk, *fill));
            *fill += length;
        }
    }
    let used = filled.iter().filter(|fill| **fill > 0).count();
    let tallest_fill = filled.iter().max().copied().unwrap_or(0);
    if used == 0 {
        return None;
    }
    let height = Height::holding(to_u32(tallest_fill + header))?;
    let geometry = Geometry { shape, height, data_count: to_u8(used) };
    let chunk_bytes = geometry.chunk_capacity();
    let end = (used - 1) * chunk_bytes + filled[used - 1];
    chosen.sort_unstable();
    let places = chosen.iter().map(|(index, chunk, at)| (pieces[*index].clone(), chunk * chunk_bytes + at));
    let places = places.collect();
    for (index, ..) in chosen.iter().rev() {
        pieces.remove(*index);
    }
    Some(Packed { geometry, places, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> CodeShape {
        CodeShape::parse(text).unwrap()
    }

    /// Packs all of it into rows, and says how much of them is payload, in hundredths.
    fn density(text: &str, lengths: &[u32]) -> u64 {
        let mut pieces = cut(shape(text), lengths.iter().copied());
        let mut area = 0;
        let mut seen: Vec<Piece> = Vec::new();
        while let Some(row) = pack(shape(text), u64::MAX, &mut pieces) {
            let chunk = row.geometry.chunk_capacity();
            let mut taken: Vec<Range<usize>> = Vec::new();
            for (piece, at) in &row.places {
                let range = *at..*at + piece.range.len();
                assert_eq!(range.start.div_euclid(chunk), (range.end - 1).div_euclid(chunk), "in one chunk");
                assert!(taken.iter().all(|other| other.end <= range.start || range.end <= other.start));
                assert!(range.end <= row.end && row.end <= row.geometry.capacity());
                taken.push(range);
            }
            seen.extend(row.places.into_iter().map(|(piece, _)| piece));
            area += u64::from(row.geometry.height.bytes()) * u64::from(row.geometry.shape.k);
        }
        assert_eq!(pieces, []);
        seen.sort_by_key(|piece| (piece.source, piece.range.start));
        assert_eq!(seen, cut(shape(text), lengths.iter().copied()), "everything once");
        (lengths.iter().map(|length| u64::from(*length)).sum::<u64>() * 100).div_euclid(area)
    }

    #[test]
    fn rows_are_dense_whatever_comes() {
        assert!(density("4+2", &vec![65_536; 400]) >= 95);
        assert!(density("4+2", &vec![3000; 2000]) >= 95);
        assert!(density("4+2", &[261_900; 40]) >= 99);
        let mixed: Vec<u32> = (1..800).map(|number| number * 317 % 250_000 + 1).collect();
        assert!(density("4+2", &mixed) >= 90);
        assert!(density("1+1", &mixed) >= 90);
        assert!(density("8+3", &mixed) >= 85);
    }

    #[test]
    fn what_exceeds_a_chunk_is_cut_at_its_checksums() {
        // 24 members have chunks of 128 KiB.
        let pieces = cut(shape("20+4"), [250_000, 100_000]);
        let ranges: Vec<Range<u32>> = pieces.iter().map(|piece| piece.range.clone()).collect();
        assert_eq!(ranges, [0..65_536, 65_536..131_072, 131_072..196_608, 196_608..250_000, 0..100_000]);
        assert_eq!(pieces.last().unwrap().source, 1);
    }

    #[test]
    fn the_end_of_a_group_takes_a_lower_row() {
        let mut pieces = cut(shape("2+1"), [50_000; 8]);
        let row = pack(shape("2+1"), 60_000, &mut pieces).unwrap();
        assert!(row.geometry.height.bytes() <= 60_000);
        assert_eq!((row.places.len(), pieces.len()), (2, 6));
        assert_eq!(pack(shape("2+1"), 40_000, &mut pieces), None);
        assert_eq!(pieces.len(), 6);
    }
}
