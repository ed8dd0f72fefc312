//! The owned buffer and its read-only shared slice.

use super::arena::Home;
use super::shared::SharedBuffer;
use crate::number::to_u32;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

/// Exclusive owner of a power-of-two block of DMA memory, 4 KiB to 1 MiB, aligned to its length.
///
/// May cross cores; when dropped it returns to the arena of the core that made it. Its owner may let others read it
/// ([`Buffer::share`]); nobody writes to it before they have let go.
#[derive(Debug)]
pub struct Buffer {
    start: NonNull<u8>,
    capacity: usize,
    page: u32,
    home: Arc<Home>,
}

// SAFETY: a buffer is the only one who may write its bytes, and does so only while nobody else has a handle; `Home`
// is made of atomics.
unsafe impl Send for Buffer {}
// SAFETY: a shared reference to a buffer only reads bytes that nobody can write meanwhile.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub(super) fn new(start: NonNull<u8>, capacity: usize, page: u32, home: Arc<Home>) -> Self {
        home.share_first(page);
        Self { start, capacity, page, home }
    }

    /// Bytes it holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Which region the memory lies in: the index under which every ring registered it.
    #[must_use]
    pub fn region(&self) -> u16 {
        self.home.region()
    }

    /// Address of the first byte, for the ring.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the block lies inside a region that stays mapped while `home` lives, was zero-filled by the
        // kernel, and is owned by `self`; `&self` keeps writers away.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.capacity) }
    }

    /// Lets somebody else read it. Whoever owns the buffer can drop it and can have it written to a device meanwhile.
    #[must_use]
    pub fn share(&self) -> SharedBuffer {
        self.home.share(self.page);
        SharedBuffer::new(self.start, to_u32(self.capacity), self.page, Arc::clone(&self.home))
    }

    /// Whether it comes home there.
    pub(super) fn is_of(&self, home: &Arc<Home>) -> bool {
        Arc::ptr_eq(&self.home, home)
    }

    /// Whether others may read it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.home.sharers(self.page) > 1
    }

    /// All bytes, writable.
    ///
    /// # Panics
    /// Others may read it.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        assert!(!self.is_shared(), "nobody writes where others read");
        // SAFETY: as in `bytes`; `&mut self` is the only access through this handle, and there is no other: whoever
        // had one let go of it before (`Home::sharers` acquires what they released).
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.capacity) }
    }

    /// Its parts, for another owner of the block.
    pub(super) fn into_block(self) -> (NonNull<u8>, usize, u32, Arc<Home>) {
        let buffer = ManuallyDrop::new(self);
        // SAFETY: the buffer is never dropped nor looked at again, so this is the only owner of its reference.
        let home = unsafe { std::ptr::read(&raw const buffer.home) };
        (buffer.start, buffer.capacity, buffer.page, home)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.let_go(self.page);
    }
}

/// Where a slice's bytes lie.
#[derive(Debug, Clone)]
enum Memory {
    /// DMA memory, which goes home with the last slice.
    Buffer(SharedBuffer),
    /// The heap, on account of whoever put them there.
    Heap(Arc<[u8]>),
}

impl Memory {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Buffer(buffer) => buffer.bytes(),
            Self::Heap(bytes) => bytes,
        }
    }
}

/// A read-only range of fewer than 4 GiB that several readers may hold: of a buffer, or of what a cache keeps on the
/// heap.
#[derive(Debug, Clone)]
pub struct BufferSlice {
    memory: Memory,
    start: u32,
    end: u32,
}

impl BufferSlice {
    fn over(memory: Memory, range: Range<usize>) -> Self {
        assert!(range.start <= range.end, "slice ends before it starts");
        assert!(range.end <= memory.bytes().len(), "slice leaves its memory");
        Self { memory, start: to_u32(range.start), end: to_u32(range.end) }
    }

    /// Shares `range` of a buffer.
    ///
    /// # Panics
    /// When the range does not lie inside the buffer.
    #[must_use]
    pub fn new(buffer: SharedBuffer, range: Range<usize>) -> Self {
        Self::over(Memory::Buffer(buffer), range)
    }

    /// Takes a whole buffer and shares `range` of it.
    ///
    /// # Panics
    /// When the range does not lie inside the buffer.
    #[must_use]
    pub fn of(buffer: Buffer, range: Range<usize>) -> Self {
        Self::new(buffer.into(), range)
    }

    /// Shares `range` of bytes on the heap.
    ///
    /// # Panics
    /// When the range does not lie inside them.
    #[must_use]
    pub fn of_heap(bytes: Arc<[u8]>, range: Range<usize>) -> Self {
        Self::over(Memory::Heap(bytes), range)
    }

    /// A part of this slice; `range` is relative to it.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        assert!(range.end <= self.len(), "part leaves its slice");
        let start = self.start as usize;
        Self::over(self.memory.clone(), start + range.start..start + range.end)
    }

    /// Bytes in the slice.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// True when nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.memory.bytes()[self.start as usize..self.end as usize]
    }

    /// Whether it lies in DMA memory.
    pub(crate) fn is_in_buffer(&self) -> bool {
        matches!(self.memory, Memory::Buffer(_))
    }

    /// Bytes of memory that are taken as long as it lives.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.bytes().len()
    }

    /// Whether others hold slices of the same memory.
    pub(crate) fn is_shared(&self) -> bool {
        match &self.memory {
            Memory::Buffer(buffer) => buffer.is_shared(),
            Memory::Heap(bytes) => Arc::strong_count(bytes) > 1,
        }
    }
}

impl AsRef<[u8]> for BufferSlice {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}
