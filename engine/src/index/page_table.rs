//! Where the pages of a run are, packed.
//!
//! An extent as a struct takes some 80 bytes; but pages are written many to a chunk, so what names
//! the chunk is kept once for neighbours and a page costs 16 bytes.

use ashlar_disk_format::error::{DecodeError, Field, Structure};
use ashlar_disk_format::extent::{Crcs, Extent};
use ashlar_disk_format::units::{Generation, GroupId, Height, RowOffset};

/// The part of an extent that neighbours share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chunk {
    generation: Generation,
    group: GroupId,
    row: RowOffset,
    height: Height,
    member: u8,
    data_count: u8,
}

/// The part that is a page's own.
#[derive(Debug, Clone, Copy)]
struct Place {
    chunk: u32,
    payload_offset: u32,
    length: u32,
    crc: u32,
}

/// The extents of a run's pages, in order.
#[derive(Debug, Default)]
pub(super) struct PageTable {
    chunks: Vec<Chunk>,
    places: Vec<Place>,
}

impl PageTable {
    /// Adds the extent of the next page.
    ///
    /// # Errors
    /// When it is not the extent of a page: those have one checksum.
    pub(super) fn push(&mut self, extent: &Extent) -> Result<(), DecodeError> {
        let &[crc] = extent.crcs.as_slice() else {
            return Err(DecodeError::OutOfRange {
                structure: Structure::RunManifest,
                field: Field::Crcs,
                minimum: 1,
                maximum: 1,
                found: extent.crcs.len() as u64,
            });
        };
        let chunk = Chunk {
            generation: extent.generation,
            group: extent.group,
            row: extent.row,
            height: extent.height,
            member: extent.member,
            data_count: extent.data_count,
        };
        if self.chunks.last() != Some(&chunk) {
            self.chunks.push(chunk);
        }
        let Ok(chunk) = u32::try_from(self.chunks.len() - 1) else {
            unreachable!("a run has fewer than 2^32 pages")
        };
        let (payload_offset, length) = (extent.payload_offset, extent.length);
        self.places.push(Place { chunk, payload_offset, length, crc });
        Ok(())
    }

    /// The extent of page `index`.
    pub(super) fn extent(&self, index: usize) -> Extent {
        let place = self.places[index];
        let chunk = self.chunks[usize::try_from(place.chunk).unwrap_or(usize::MAX)];
        Extent {
            generation: chunk.generation,
            group: chunk.group,
            row: chunk.row,
            height: chunk.height,
            member: chunk.member,
            data_count: chunk.data_count,
            payload_offset: place.payload_offset,
            length: place.length,
            crcs: Crcs::from_slice(&[place.crc]),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Extent> {
        (0..self.len()).map(|index| self.extent(index))
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Gives back the memory that only building needs.
    pub(super) fn finish(&mut self) {
        self.chunks.shrink_to_fit();
        self.places.shrink_to_fit();
    }

    /// Memory taken, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Chunk>() + self.places.capacity() * size_of::<Place>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_put_in() {
        let extents: Vec<Extent> = (0..100_u32)
            .map(|number| Extent {
                generation: Generation(7),
                group: GroupId(3),
                row: RowOffset(number.div_euclid(20)),
                height: Height(9),
                member: 1,
                data_count: 4,
                payload_offset: number * 100,
                length: 99,
                crcs: vec![number].into(),
            })
            .collect();
        let mut table = PageTable::default();
        extents.iter().for_each(|extent| table.push(extent).unwrap());
        table.finish();
        assert_eq!(table.iter().collect::<Vec<_>>(), extents);
        assert_eq!(table.chunks.len(), 5);
        assert_eq!(table.bytes(), 100 * 16 + 5 * 24);
        let two = Extent { crcs: vec![1, 2].into(), ..extents[0].clone() };
        assert!(table.push(&two).is_err());
        assert_eq!(table.len(), 100);
    }
}
