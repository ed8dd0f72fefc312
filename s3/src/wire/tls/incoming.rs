//! Bytes between the socket and the caller: plaintext that was opened and not taken, in front of ciphertext that is not
//! whole yet, in one buffer.
//!
//! ```text
//! 0 ……… plain.start ▒▒▒▒ plain.end ……… cipher.start ████ cipher.end ……… capacity
//! ```
//!
//! Invariant: a record's plaintext is shorter than the record, so it fits between the two wherever the record lay.

use crate::limits::IDLE_BUFFER_BYTES;
use ashlar_engine::buffer::Buffer;
use core::ops::Range;

/// Bytes in front of a record: its type, a version, its length.
const RECORD_HEADER_BYTES: usize = 5;

/// What was received. Without a buffer there is nothing.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    buffer: Option<Buffer>,
    plain: Range<usize>,
    cipher: Range<usize>,
    /// The buffer is kept although nothing is in it.
    is_kept: bool,
}

impl Incoming {
    /// Whether bytes were lost with a buffer that did not come back.
    pub(super) fn is_lost(&self) -> bool {
        self.buffer.is_none() && !(self.plain.is_empty() && self.cipher.is_empty())
    }

    /// Whether nothing was received that was not taken.
    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.cipher.is_empty()
    }

    /// The first byte of the ciphertext.
    pub(super) fn first(&self) -> Option<u8> {
        self.cipher_bytes().first().copied()
    }

    fn cipher_bytes(&self) -> &[u8] {
        let bytes = self.buffer.as_ref().map(Buffer::bytes).unwrap_or_default();
        bytes.get(self.cipher.clone()).unwrap_or_default()
    }

    /// Room for plaintext, and the ciphertext.
    pub(super) fn split(&mut self) -> (&mut [u8], &mut [u8]) {
        let Some(buffer) = &mut self.buffer else { return (&mut [], &mut []) };
        let Some(used) = buffer.bytes_mut().get_mut(..self.cipher.end) else { return (&mut [], &mut []) };
        let (front, cipher) = used.split_at_mut(self.cipher.start);
        (front.get_mut(self.plain.end..).unwrap_or_default(), cipher)
    }

    /// Notes plaintext that was put at the front of the room for it.
    pub(super) fn keep(&mut self, bytes: usize) {
        self.plain.end += bytes;
        assert!(self.plain.end <= self.cipher.start, "plaintext lies in front of ciphertext");
    }

    /// Passes over ciphertext. Where it lay there is room for plaintext until [`Incoming::tidy`].
    pub(super) fn discard(&mut self, bytes: usize) {
        self.cipher.start += bytes;
        assert!(self.cipher.start <= self.cipher.end, "no more is used than was received");
    }

    /// Moves plaintext out; says how much.
    pub(super) fn take(&mut self, target: &mut [u8]) -> usize {
        let bytes = self.buffer.as_ref().map(Buffer::bytes).unwrap_or_default();
        let plain = bytes.get(self.plain.clone()).unwrap_or_default();
        let count = plain.len().min(target.len());
        if let (Some(from), Some(to)) = (plain.get(..count), target.get_mut(..count)) {
            to.copy_from_slice(from);
        }
        self.plain.start += count;
        count
    }

    /// Gives the buffer back if nothing is in it.
    pub(super) fn tidy(&mut self) {
        if self.plain.is_empty() {
            self.plain = 0..0;
            if self.cipher.is_empty() {
                self.cipher = 0..0;
                if !self.is_kept {
                    self.buffer = None;
                }
            }
        }
    }

    /// The capacity that a buffer must have to receive into, if there is none that has it: for the record that has
    /// begun, for `wanted` bytes, and in any case for one byte more. `None` if that is more than `most`.
    pub(super) fn lack(&self, wanted: usize, most: usize) -> Option<Lack> {
        let cipher = self.cipher_bytes();
        let record = match cipher.get(3..RECORD_HEADER_BYTES) {
            Some(&[high, low]) => RECORD_HEADER_BYTES + (usize::from(high) << 8) + usize::from(low),
            Some(_) | None => RECORD_HEADER_BYTES,
        };
        let least = record.max(cipher.len() + 1).max(IDLE_BUFFER_BYTES);
        if least > most {
            return None;
        }
        let needed = least.max(wanted.min(most));
        let capacity = self.buffer.as_ref().map_or(0, Buffer::capacity);
        Some(if capacity < needed { Lack::Bytes(needed) } else { Lack::Nothing })
    }

    /// Moves into a larger buffer.
    pub(super) fn replace(&mut self, mut larger: Buffer) {
        let (plain, cipher) = (self.plain.len(), self.cipher.len());
        assert!(plain + cipher <= larger.capacity(), "the larger buffer is larger");
        let old = self.buffer.as_ref().map(Buffer::bytes).unwrap_or_default();
        for (from, to) in [(self.plain.clone(), 0..plain), (self.cipher.clone(), plain..plain + cipher)] {
            if let (Some(from), Some(to)) = (old.get(from), larger.bytes_mut().get_mut(to)) {
                to.copy_from_slice(from);
            }
        }
        self.buffer = Some(larger);
        (self.plain, self.cipher) = (0..plain, plain..plain + cipher);
    }

    /// Keeps the buffer from now on, or gives it back as soon as it is empty.
    pub(super) fn set_kept(&mut self, is_kept: bool) {
        self.is_kept = is_kept;
        self.tidy();
    }

    /// Gives the buffer away for one receive, with the range that is free. Until it comes back, bytes in it count as
    /// lost.
    pub(super) fn lend(&mut self) -> Option<(Buffer, Range<usize>)> {
        assert!(self.plain.is_empty(), "plaintext is taken before more is received");
        let mut buffer = self.buffer.take()?;
        if self.cipher.start > 0 {
            buffer.bytes_mut().copy_within(self.cipher.clone(), 0);
            self.cipher = 0..self.cipher.len();
        }
        let free = self.cipher.end..buffer.capacity();
        Some((buffer, free))
    }

    /// Takes it back, with so many bytes more in it.
    pub(super) fn settle(&mut self, buffer: Buffer, received: usize) {
        self.cipher.end += received;
        assert!(self.cipher.end <= buffer.capacity(), "what was received lies in the buffer");
        self.buffer = Some(buffer);
    }
}

/// What is missing to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// Nothing.
    Nothing,
    /// A buffer of so many bytes.
    Bytes(usize),
}
