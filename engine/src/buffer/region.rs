//! One contiguous piece of anonymous memory that lives as long as anyone may use it.
//!
//! Every buffer cut from it, every arena over it and every ring that registered it has a handle: a transfer under
//! way holds its buffer, so no device writes to memory that has become somebody else's, and a ring never takes memory
//! that came later to the same address for what it has registered.

use super::REGION_ALIGNMENT;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::ptr::NonNull;
use std::sync::Arc;

/// A 2 MiB-aligned, zero-filled mapping. Clones of this handle name the same memory, which is unmapped with the last.
#[derive(Debug, Clone)]
pub struct Region {
    mapping: Arc<Mapping>,
}

#[derive(Debug)]
struct Mapping {
    /// First byte that is handed out.
    base: NonNull<u8>,
    /// Bytes that are handed out.
    bytes: usize,
    /// Bytes that are mapped before `base`.
    skipped: usize,
}

// SAFETY: a mapping is an address and a length that dereference nothing. Who may touch which bytes is decided by the
// arena that hands out disjoint buffers.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing about it changes.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        let mapped = self.base.as_ptr().wrapping_sub(self.skipped);
        // SAFETY: this is the range that `Region::allocate` mapped. Whoever knows an address in it has a handle, and
        // this was the last.
        let unmapped = unsafe { rustix::mm::munmap(mapped.cast(), self.bytes + REGION_ALIGNMENT) };
        assert!(unmapped.is_ok(), "what was mapped can be unmapped");
    }
}

/// The kernel refused the mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionError {
    /// Bytes that were asked for.
    pub bytes: usize,
    /// The error number of `mmap`.
    pub errno: i32,
}

impl std::fmt::Display for RegionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot map {} bytes of buffer memory (errno {})", self.bytes, self.errno)
    }
}

impl std::error::Error for RegionError {}

impl Region {
    /// Maps `bytes` (rounded up to [`REGION_ALIGNMENT`]) until the last handle is gone.
    ///
    /// # Errors
    /// When the kernel has no address space or memory to give.
    pub fn allocate(bytes: usize) -> Result<Self, RegionError> {
        let bytes = bytes.next_multiple_of(REGION_ALIGNMENT).max(REGION_ALIGNMENT);
        let mapped = bytes + REGION_ALIGNMENT;
        // SAFETY: a fresh private anonymous mapping at an address of the kernel's choice aliases
        // nothing that exists.
        let raw = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                mapped,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        };
        let raw = raw.map_err(|errno| RegionError { bytes, errno: errno.raw_os_error() })?;
        let skip = raw.cast::<u8>().align_offset(REGION_ALIGNMENT);
        assert!(skip <= REGION_ALIGNMENT, "an alignment offset exceeds the alignment");
        // SAFETY: `skip` ≤ REGION_ALIGNMENT and the mapping has `bytes + REGION_ALIGNMENT` bytes,
        // so the result and the `bytes` after it lie inside the mapping.
        let base = unsafe { raw.cast::<u8>().add(skip) };
        // Huge pages are a speed-up only; a kernel without them still serves.
        // SAFETY: the advised range lies inside the mapping just made.
        let _advice = unsafe { rustix::mm::madvise(base.cast(), bytes, Advice::LinuxHugepage) };
        let Some(base) = NonNull::new(base) else {
            return Err(RegionError { bytes, errno: 0 });
        };
        Ok(Self { mapping: Arc::new(Mapping { base, bytes, skipped: skip }) })
    }

    /// First byte of the region.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.mapping.base
    }

    /// Length in bytes, a multiple of [`REGION_ALIGNMENT`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.mapping.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Arena, BufferSlice};

    /// Whether the kernel has mapped something at `address`.
    fn is_mapped(address: usize) -> bool {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut ranges = maps.lines().map(|line| {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            usize::from_str_radix(start, 16).unwrap()..usize::from_str_radix(end, 16).unwrap()
        });
        ranges.any(|range| range.contains(&address))
    }

    #[test]
    fn memory_lives_as_long_as_its_last_reader_and_no_longer() {
        // So large that what other tests map meanwhile does not reach its beginning: the kernel fills holes from above.
        let region = Region::allocate(64 << 30).unwrap();
        let inside = region.base().as_ptr().addr();
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let mut buffer = arena.try_take(4096).unwrap();
        buffer.bytes_mut().fill(7);
        let slice = BufferSlice::of(buffer, 0..4096);
        drop(arena);
        assert_eq!(slice.bytes(), [7; 4096]);
        let copy = region.clone();
        drop(region);
        assert!(is_mapped(inside));
        drop(copy);
        assert!(!is_mapped(inside));
    }
}
