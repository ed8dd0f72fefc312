//! Which registered buffer of a ring some memory lies in.

use super::limits::FIXED_BUFFER_BYTES_MAX;
use crate::buffer::{BUFFER_BYTES_MAX, Buffer, Region};

/// The regions in the order of their arenas' indices, as they were registered.
#[derive(Debug, Default)]
pub(super) struct FixedMemory {
    regions: Vec<FixedRegion>,
}

#[derive(Debug)]
struct FixedRegion {
    /// Kept, so that no other memory comes to the addresses that the kernel has registered.
    memory: Region,
    /// Index of its first piece: the kernel limits one registration to 1 GiB, so a larger region
    /// takes several.
    first: u16,
}

const _: () = assert!(FIXED_BUFFER_BYTES_MAX.is_multiple_of(BUFFER_BYTES_MAX));

impl FixedMemory {
    /// The table, and the pieces to register, for `regions`; `E2BIG` when they are too many.
    pub(super) fn of(regions: &[Region]) -> Result<(Self, Vec<libc::iovec>), i32> {
        let mut fixed = Vec::new();
        let mut pieces = Vec::new();
        for region in regions {
            let first = u16::try_from(pieces.len()).map_err(|_too_many| libc::E2BIG)?;
            let start = region.base().as_ptr();
            fixed.push(FixedRegion { memory: region.clone(), first });
            for offset in (0..region.bytes()).step_by(FIXED_BUFFER_BYTES_MAX) {
                let iov_len = FIXED_BUFFER_BYTES_MAX.min(region.bytes() - offset);
                pieces.push(libc::iovec { iov_base: start.wrapping_add(offset).cast(), iov_len });
            }
        }
        Ok((Self { regions: fixed }, pieces))
    }

    /// The index for `buffer`, when its memory is registered. A buffer never straddles two pieces:
    /// it is aligned to its length, and the largest length divides that of a piece.
    pub(super) fn index_of(&self, buffer: &Buffer) -> Option<u16> {
        let region = self.regions.get(usize::from(buffer.region()))?;
        let offset = buffer.start().as_ptr().addr().checked_sub(region.memory.base().as_ptr().addr())?;
        if offset + buffer.capacity() > region.memory.bytes() {
            return None;
        }
        let piece = u16::try_from(offset >> FIXED_BUFFER_BYTES_MAX.trailing_zeros()).ok()?;
        Some(region.first + piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Arena;

    #[test]
    fn a_large_region_takes_several_pieces() {
        // Only mapped, never touched: costs address space and no memory.
        let regions = [Region::allocate(2 << 20).unwrap(), Region::allocate(3 << 30).unwrap()];
        let (fixed, pieces) = FixedMemory::of(&regions).unwrap();
        assert_eq!(
            pieces.iter().map(|piece| piece.iov_len).collect::<Vec<_>>(),
            [2 << 20, 1 << 30, 1 << 30, 1 << 30]
        );
        let small = Arena::new(regions[0].clone(), 0);
        let large = Arena::new(regions[1].clone(), 1);
        assert_eq!(fixed.index_of(&small.try_take(4096).unwrap()), Some(0));
        let all: Vec<_> = std::iter::from_fn(|| large.try_take(1 << 20)).collect();
        assert_eq!(all.len(), 3 << 10);
        for buffer in &all {
            let index = usize::from(fixed.index_of(buffer).unwrap());
            let piece = pieces[index];
            let start = buffer.start().as_ptr().addr() - piece.iov_base.addr();
            assert!(start + buffer.capacity() <= piece.iov_len);
        }
        let foreign = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        assert_eq!(fixed.index_of(&foreign.try_take(4096).unwrap()), None);
        let unknown = Arena::new(Region::allocate(2 << 20).unwrap(), 7);
        assert_eq!(fixed.index_of(&unknown.try_take(4096).unwrap()), None);
    }
}
