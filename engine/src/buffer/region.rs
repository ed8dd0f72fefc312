//! One contiguous piece of anonymous memory that lives as long as the process.
//!
//! It is never unmapped: a ring may still be writing into it when its owner is gone, and the
//! kernel's registration of the region must stay valid until the process ends.

use super::REGION_ALIGNMENT;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::ptr::NonNull;

/// A 2 MiB-aligned, zero-filled mapping. Copies of this handle name the same memory.
#[derive(Debug, Clone, Copy)]
pub struct Region {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a region is an address and a length; it owns nothing and dereferences nothing. Who may
// touch which bytes is decided by the arena that hands out disjoint buffers.
unsafe impl Send for Region {}

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
    /// Maps `bytes` (rounded up to [`REGION_ALIGNMENT`]) for the life of the process.
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
        Ok(Self { base, bytes })
    }

    /// First byte of the region.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Length in bytes, a multiple of [`REGION_ALIGNMENT`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
