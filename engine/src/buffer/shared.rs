//! A buffer with several readers.

use super::arena::Home;
use super::block::Buffer;
use crate::number::to_u32;
use std::ptr::NonNull;
use std::sync::Arc;

/// A buffer that several may read, here and on other cores. It goes home when the last of them lets go.
///
/// How many there are stands beside the region that the buffer was cut from, so that sharing one takes no memory.
#[derive(Debug)]
pub struct SharedBuffer {
    start: NonNull<u8>,
    /// At most [`super::BUFFER_BYTES_MAX`].
    capacity: u32,
    page: u32,
    home: Arc<Home>,
}

// SAFETY: what is shared is only read, but by `get_mut`, which needs the only handle; `Home` is made of atomics.
unsafe impl Send for SharedBuffer {}
// SAFETY: as above: through a shared reference bytes are only read.
unsafe impl Sync for SharedBuffer {}

impl SharedBuffer {
    /// A handle that has been counted.
    pub(super) fn new(start: NonNull<u8>, capacity: u32, page: u32, home: Arc<Home>) -> Self {
        Self { start, capacity, page, home }
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the block lies inside a region that stays mapped while `home` lives, was zero-filled by the
        // kernel, and belongs to the handles of this buffer; while this one lives no other can be the only one.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.capacity as usize) }
    }

    /// All bytes, writable, if nobody else has the buffer.
    #[must_use]
    pub fn get_mut(&mut self) -> Option<&mut [u8]> {
        if self.is_shared() {
            return None;
        }
        // SAFETY: as in `bytes`; this is the only handle, it is borrowed mutably, and whoever had another one let
        // go of it before (`Home::sharers` acquires what they released).
        Some(unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.capacity as usize) })
    }

    /// Whether there are other handles.
    pub(crate) fn is_shared(&self) -> bool {
        self.home.sharers(self.page) > 1
    }
}

impl From<Buffer> for SharedBuffer {
    fn from(buffer: Buffer) -> Self {
        let (start, capacity, page, home) = buffer.into_block();
        Self::new(start, to_u32(capacity), page, home)
    }
}

impl Clone for SharedBuffer {
    fn clone(&self) -> Self {
        self.home.share(self.page);
        Self::new(self.start, self.capacity, self.page, Arc::clone(&self.home))
    }
}

impl Drop for SharedBuffer {
    fn drop(&mut self) {
        self.home.let_go(self.page);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arena, Region};
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a reader of another thread is what is tested")]
    fn the_last_who_lets_go_gives_it_back() {
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let mut first = SharedBuffer::from(arena.try_take(4096).unwrap());
        first.get_mut().unwrap()[5] = 7;
        let second = first.clone();
        assert!(first.get_mut().is_none() && first.is_shared());
        let read = std::thread::spawn(move || second.bytes()[5]).join().unwrap();
        assert_eq!(read, 7);
        assert!(first.get_mut().is_some());
        assert_eq!(arena.available(), arena.capacity() - 4096);
        drop(first);
        assert_eq!(arena.available(), arena.capacity());
        let mut owned = arena.try_take(4096).unwrap();
        owned.bytes_mut()[6] = 8;
        let reader = owned.share();
        assert!(owned.is_shared());
        drop(owned);
        assert_eq!((reader.bytes()[6], arena.available()), (8, arena.capacity() - 4096));
        drop(reader);
        assert_eq!(arena.available(), arena.capacity());
        let again = SharedBuffer::from(arena.try_take(4096).unwrap());
        assert!(!again.is_shared(), "its count begins anew");
    }

    #[test]
    #[should_panic(expected = "nobody writes where others read")]
    fn an_owner_does_not_write_while_others_read() {
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let mut owned = arena.try_take(4096).unwrap();
        let _reader = owned.share();
        owned.bytes_mut()[0] = 1;
    }
}
