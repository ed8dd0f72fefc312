//! The checksums of one data chunk while it fills: each byte is summed once, while it is in the cache, and both
//! the extents and the header of the chunk are made from that.

use crate::limits::CHUNK_BYTES_MAX;
use arrayvec::ArrayVec;
use ashlar_disk_format::checksum::{crc32c_append, crc32c_combine};
use ashlar_disk_format::constants::CRC_BLOCK;

const BLOCK: usize = CRC_BLOCK as usize;
const BLOCKS_MAX: usize = CHUNK_BYTES_MAX.div_ceil(CRC_BLOCK) as usize;

/// CRC32C of each [`CRC_BLOCK`] of a chunk's payload, from its first byte; the last may be short.
#[derive(Debug, Clone, Default)]
pub(super) struct ChunkSums {
    blocks: ArrayVec<u32, BLOCKS_MAX>,
    length: usize,
}

impl ChunkSums {
    /// Takes the next bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = usize::rem_euclid(self.length, BLOCK);
            let (now, later) = rest.split_at(rest.len().min(BLOCK - used));
            if used == 0 {
                self.blocks.push(0);
            }
            let Some(last) = self.blocks.last_mut() else { unreachable!("a block was just begun") };
            *last = crc32c_append(*last, now);
            self.length += now.len();
            rest = later;
        }
    }

    /// Bytes taken.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Of each block.
    pub(super) fn blocks(&self) -> &[u32] {
        &self.blocks
    }

    /// Of all bytes taken.
    pub(super) fn whole(&self) -> u32 {
        let mut left = self.length;
        let mut whole = 0;
        for block in &self.blocks {
            let length = left.min(BLOCK);
            whole = crc32c_combine(whole, *block, length as u64);
            left -= length;
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_disk_format::checksum::crc32c;
    use ashlar_disk_format::extent::Extent;

    #[test]
    fn the_sums_are_those_of_the_bytes_however_they_came() {
        let bytes: Vec<u8> = (0..=250_u8).cycle().take(CHUNK_BYTES_MAX as usize - 64).collect();
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, bytes.len()] {
            for piece in [1000, 4096, 40_000, BLOCK, bytes.len()] {
                let mut sums = ChunkSums::default();
                bytes[..length].chunks(piece).for_each(|piece| sums.append(piece));
                assert_eq!(sums.length(), length);
                assert_eq!(sums.blocks(), &*Extent::crcs_of(&bytes[..length]), "{length} in {piece}");
                assert_eq!(sums.whole(), crc32c(&bytes[..length]), "{length} in {piece}");
            }
        }
    }
}
