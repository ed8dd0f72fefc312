//! One change per key at a time. Waiters are served in order; who goes away meanwhile is passed over. Bounded by the
//! operations that run.

use crate::sync::{AnswerTo, answer};
use ashlar_disk_format::key::LookupKey;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

type Table = BTreeMap<LookupKey, VecDeque<AnswerTo<KeyLock>>>;

/// The locked keys of one shard.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyLocks {
    table: Rc<RefCell<Table>>,
}

/// A locked key.
#[derive(Debug)]
pub(crate) struct KeyLock {
    table: Rc<RefCell<Table>>,
    key: LookupKey,
}

impl KeyLocks {
    /// Waits until nobody else holds `key`.
    pub(crate) async fn lock(&self, key: &[u8]) -> KeyLock {
        let turn = {
            let mut table = self.table.borrow_mut();
            match table.get_mut(key) {
                None => {
                    table.insert(LookupKey::from_slice(key), VecDeque::new());
                    None
                }
                Some(waiting) => {
                    let (to, turn) = answer();
                    waiting.push_back(to);
                    Some(turn)
                }
            }
        };
        let Some(turn) = turn else {
            return KeyLock { table: Rc::clone(&self.table), key: LookupKey::from_slice(key) };
        };
        let Some(lock) = turn.await else { unreachable!("a lock is handed on, never dropped") };
        lock
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        let next = {
            let mut table = self.table.borrow_mut();
            // Not those who have gone, of whom there may be many.
            let next = table
                .get_mut(&self.key)
                .and_then(|waiting| std::iter::from_fn(|| waiting.pop_front()).find(AnswerTo::is_awaited));
            if next.is_none() {
                table.remove(&self.key);
            }
            next
        };
        if let Some(next) = next {
            // Who goes away before taking it drops it: then it comes here again.
            next.send(Self { table: Rc::clone(&self.table), key: std::mem::take(&mut self.key) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn a_key_passes_from_one_to_the_next() {
        let locks = KeyLocks::default();
        let first = locks.lock(b"k").now_or_never().unwrap();
        let mut second = Box::pin(locks.lock(b"k"));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(locks.lock(b"other").now_or_never().is_some());
        drop(first);
        let second = second.as_mut().now_or_never().unwrap();
        drop(second);
        assert!(locks.table.borrow().is_empty());
    }

    #[test]
    fn who_goes_away_is_passed_over_before_and_after_the_turn() {
        let locks = KeyLocks::default();
        let first = locks.lock(b"k").now_or_never().unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(locks.lock(b"k"))).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        let last = waiting.pop().unwrap();
        let third = waiting.pop().unwrap();
        drop(waiting);
        drop(first);
        // It is the third one's turn, which it has not seen yet.
        drop(third);
        let last = last.now_or_never().unwrap();
        drop(last);
        assert!(locks.table.borrow().is_empty());
    }
}
