//! Buffer memory of simulated cores, used again by later simulations of the same thread.
//!
//! A test of many thousand runs must not have the kernel map and clear new memory for each.
//! Whole arenas are kept, not regions: whoever still holds a clone of an arena then shares it, and
//! no byte ever has two owners.

use crate::buffer::{Arena, BUFFER_BYTES_MAX, Region, RegionError};
use std::cell::RefCell;

/// Compared in pieces of this length, which is much faster than byte by byte.
static ZEROS: [u8; 4096] = [0; 4096];

thread_local! {
    static IDLE: RefCell<Vec<Arena>> = const { RefCell::new(Vec::new()) };
}

/// An arena of `bytes`, all zero, none of it in use.
pub(crate) fn take(bytes: usize) -> Result<Arena, RegionError> {
    let bytes = bytes.next_multiple_of(crate::buffer::REGION_ALIGNMENT).max(crate::buffer::REGION_ALIGNMENT);
    let found = IDLE.with(|idle| {
        let mut idle = idle.borrow_mut();
        let usable = |arena: &Arena| arena.capacity() == bytes && arena.available() == bytes;
        idle.iter().position(usable).map(|position| idle.swap_remove(position))
    });
    if let Some(arena) = found {
        clean(&arena);
        return Ok(arena);
    }
    Ok(Arena::new(Region::allocate(bytes)?, 0))
}

/// Hands an arena back for the next run. Returns the bytes still in use, and then forgets it.
pub(crate) fn give(arena: &Arena) -> usize {
    let missing = arena.capacity() - arena.available();
    if missing == 0 {
        // `try_with`: at the end of a thread there is nothing to keep it in.
        IDLE.try_with(|idle| idle.borrow_mut().push(arena.clone())).unwrap_or_default();
    }
    missing
}

/// Zeroes what the last run left, so that a run never depends on the one before.
fn clean(arena: &Arena) {
    let mut held = Vec::new();
    while let Some(mut buffer) = arena.try_take(BUFFER_BYTES_MAX) {
        // Untouched pages stay untouched: reading them costs no memory.
        if buffer.bytes().chunks(ZEROS.len()).any(|piece| piece != ZEROS) {
            buffer.bytes_mut().fill(0);
        }
        held.push(buffer);
    }
}
