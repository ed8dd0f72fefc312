//! Operations that wait to be submitted: prompt ones, and bulk.
//!
//! The kernel copies what a socket is given while the operation is submitted, on this core. Eight streams with a
//! megabyte each would hold up every small request for as long as all of that takes. So operations that make the
//! kernel copy much are submitted a few at a time while short answers are being sent beside them, and between two such
//! batches the core turns to everything else: reaps, runs what became runnable, and submits what is short. A core that
//! sends nothing short submits all bulk at once: fewer turns take less time.
//!
//! Invariants: nothing overtakes within its class; whenever anything waits a batch takes at least one of it, so bulk
//! is slowed by small requests but never stopped.

use super::limits::{BULK_BYTES_MIN, BULK_BYTES_PER_BATCH, SHORT_SENDS_MEMORY};
use io_uring::squeue::Entry;
use std::collections::VecDeque;

/// See the module. Bounded by the limits under which operations get their places.
#[derive(Default)]
pub(super) struct Outbox {
    prompt: VecDeque<Entry>,
    bulk: VecDeque<(Entry, usize)>,
    /// Batches for which bulk still goes piece by piece.
    held_back: u32,
}

/// What one submission may still take.
pub(super) struct Batch {
    bulk_bytes: usize,
}

impl Outbox {
    /// Queues an operation that makes the kernel copy at most `bytes` when it is submitted.
    pub(super) fn push(&mut self, entry: Entry, bytes: usize) {
        if bytes >= BULK_BYTES_MIN {
            self.bulk.push_back((entry, bytes));
            return;
        }
        if bytes > 0 {
            self.held_back = SHORT_SENDS_MEMORY;
        }
        self.prompt.push_back(entry);
    }

    /// Begins a submission.
    pub(super) fn begin(&mut self) -> Batch {
        let bulk_bytes = if self.held_back > 0 { BULK_BYTES_PER_BATCH } else { usize::MAX };
        self.held_back = self.held_back.saturating_sub(1);
        Batch { bulk_bytes }
    }

    /// What comes next in `batch`; nothing when it is full or nothing waits.
    pub(super) fn next(&mut self, batch: &mut Batch) -> Option<Entry> {
        if let Some(entry) = self.prompt.pop_front() {
            return Some(entry);
        }
        if batch.bulk_bytes == 0 {
            return None;
        }
        let (entry, bytes) = self.bulk.pop_front()?;
        batch.bulk_bytes = batch.bulk_bytes.saturating_sub(bytes);
        Some(entry)
    }

    /// Lets the operation with this user data go with the next batch, if it waits: it is to be cancelled, and the
    /// kernel cancels only what it has.
    pub(super) fn hasten(&mut self, user_data: u64) {
        let place = self.bulk.iter().position(|(entry, _)| entry.get_user_data() == user_data);
        if let Some((entry, _)) = place.and_then(|place| self.bulk.remove(place)) {
            self.prompt.push_front(entry);
        }
    }

    /// Whether something waits that the batch that has just gone had no room for in the ring.
    pub(super) fn is_prompt_waiting(&self) -> bool {
        !self.prompt.is_empty()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.prompt.is_empty() && self.bulk.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use io_uring::opcode;

    fn push(outbox: &mut Outbox, name: u64, bytes: usize) {
        outbox.push(opcode::Nop::new().build().user_data(name), bytes);
    }

    fn batch(outbox: &mut Outbox) -> Vec<u64> {
        let mut batch = outbox.begin();
        std::iter::from_fn(|| outbox.next(&mut batch)).map(|entry| entry.get_user_data()).collect()
    }

    #[test]
    fn short_ones_pass_bulk_and_a_batch_takes_little_of_it() {
        let mut outbox = Outbox::default();
        for name in 0..4 {
            push(&mut outbox, name, BULK_BYTES_PER_BATCH);
        }
        push(&mut outbox, 10, BULK_BYTES_MIN - 1);
        push(&mut outbox, 11, 0);
        assert_eq!(batch(&mut outbox), [10, 11, 0]);
        push(&mut outbox, 12, 0);
        assert_eq!(batch(&mut outbox), [12, 1]);
        assert!(!outbox.is_empty() && !outbox.is_prompt_waiting());
        assert_eq!(batch(&mut outbox), [2]);
        assert_eq!(batch(&mut outbox), [3]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn bulk_shares_a_batch_while_it_is_short_of_the_bound() {
        let mut outbox = Outbox::default();
        push(&mut outbox, 9, 1);
        for name in 0..3 {
            push(&mut outbox, name, BULK_BYTES_PER_BATCH.div_ceil(2));
        }
        assert_eq!(batch(&mut outbox), [9, 0, 1]);
        assert_eq!(batch(&mut outbox), [2]);
    }

    #[test]
    fn bulk_alone_goes_at_once() {
        let mut outbox = Outbox::default();
        push(&mut outbox, 9, 1);
        for _ in 0..SHORT_SENDS_MEMORY {
            push(&mut outbox, 0, BULK_BYTES_PER_BATCH);
            push(&mut outbox, 1, BULK_BYTES_PER_BATCH);
            assert!(!batch(&mut outbox).contains(&1));
            assert_eq!(outbox.bulk.pop_front().map(|(_, bytes)| bytes), Some(BULK_BYTES_PER_BATCH));
        }
        for name in 0..3 {
            push(&mut outbox, name, BULK_BYTES_PER_BATCH);
        }
        assert_eq!(batch(&mut outbox), [0, 1, 2]);
    }

    #[test]
    fn what_is_to_be_cancelled_goes_at_once() {
        let mut outbox = Outbox::default();
        push(&mut outbox, 9, 1);
        for name in 0..3 {
            push(&mut outbox, name, BULK_BYTES_PER_BATCH);
        }
        outbox.hasten(2);
        outbox.hasten(7);
        assert_eq!(batch(&mut outbox), [2, 9, 0]);
        assert_eq!(batch(&mut outbox), [1]);
    }
}
