//! DMA memory: one region per core, cut by a buddy arena into owned buffers.
//!
//! Invariants: nobody writes to a [`Buffer`] but its owner, and that only while nobody else reads it; it goes back
//! to the arena it came from when the last who uses it lets go, on whichever core that happens; an arena never
//! grows, so exhaustion is waiting (admission control), never `malloc`.

mod arena;
mod block;
mod shared;
mod buddy;
mod region;

pub use arena::{AllocationError, Arena, Relief};
pub use block::{Buffer, BufferSlice};
pub use region::{Region, RegionError};
pub use shared::SharedBuffer;

/// Smallest buffer, bytes: the write unit of the disk format and the page size.
pub const BUFFER_BYTES_MIN: usize = 4096;
/// Largest buffer, bytes: the tallest chunk of the disk format.
pub const BUFFER_BYTES_MAX: usize = 1 << 20;
/// Regions are aligned to this, bytes, so that the kernel can back them with huge pages.
pub const REGION_ALIGNMENT: usize = 2 << 20;

const _: () = assert!(BUFFER_BYTES_MAX.is_multiple_of(BUFFER_BYTES_MIN));
const _: () = assert!(REGION_ALIGNMENT.is_multiple_of(BUFFER_BYTES_MAX));
