//! What may be found after a crash: for each key the last acknowledged state, or that of a change then under way.
//!
//! Of two changes that overlap either may be the last: a store may do them in any order between beginning and end.

use std::collections::BTreeMap;

/// What a change would leave at its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// An object of which `T` tells all.
    Present(T),
    /// No object.
    Absent,
}

/// The states that each key may be in.
#[derive(Debug, Clone)]
pub struct Ledger<K, T> {
    keys: BTreeMap<K, Vec<Change<T>>>,
    /// Counts beginnings and ends, which is all the time that matters here.
    moment: u64,
}

#[derive(Debug, Clone)]
struct Change<T> {
    begun: u64,
    /// When it was acknowledged; `None` while nobody knows.
    ended: Option<u64>,
    outcome: Outcome<T>,
}

impl<K: Ord, T: PartialEq> Ledger<K, T> {
    /// Nothing is stored.
    #[must_use]
    pub fn new() -> Self {
        Self { keys: BTreeMap::new(), moment: 0 }
    }

    /// A change begins; returns its number. Until it is acknowledged or refused it may or may not have happened, which
    /// is also what a crash leaves of it.
    pub fn begin(&mut self, key: K, outcome: Outcome<T>) -> u64 {
        self.moment += 1;
        let change = Change { begun: self.moment, ended: None, outcome };
        let absent = || vec![Change { begun: 0, ended: Some(0), outcome: Outcome::Absent }];
        self.keys.entry(key).or_insert_with(absent).push(change);
        self.moment
    }

    /// The change was acknowledged: it certainly happened, before now.
    pub fn acknowledge(&mut self, key: &K, change: u64) {
        self.moment += 1;
        let Some(changes) = self.keys.get_mut(key) else { return };
        changes
            .iter_mut()
            .filter(|entry| entry.begun == change)
            .for_each(|entry| entry.ended = Some(self.moment));
        // What ended before this change began was certainly overwritten by it.
        changes.retain(|entry| entry.ended.is_none_or(|ended| ended >= change));
    }

    /// The change certainly did not happen.
    pub fn refuse(&mut self, key: &K, change: u64) {
        if let Some(changes) = self.keys.get_mut(key) {
            changes.retain(|entry| entry.begun != change);
        }
    }

    /// Whether `found` may be what is stored at `key`.
    pub fn allows(&self, key: &K, found: &Outcome<T>) -> bool {
        match self.keys.get(key) {
            None => *found == Outcome::Absent,
            Some(changes) => changes.iter().any(|entry| entry.outcome == *found),
        }
    }

    /// After a restart, when nothing is under way: what was found is what is stored, and must not change back.
    pub fn observe(&mut self, key: K, found: Outcome<T>) {
        self.moment += 1;
        let change = Change { begun: self.moment, ended: Some(self.moment), outcome: found };
        self.keys.insert(key, vec![change]);
    }

    /// Every key that was ever changed.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.keys.keys()
    }
}

impl<K: Ord, T: PartialEq> Default for Ledger<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P1: Outcome<u8> = Outcome::Present(1);
    const P2: Outcome<u8> = Outcome::Present(2);

    fn allowed(ledger: &Ledger<&str, u8>) -> Vec<Outcome<u8>> {
        [Outcome::Absent, P1, P2].into_iter().filter(|outcome| ledger.allows(&"k", outcome)).collect()
    }

    #[test]
    fn an_acknowledged_change_must_be_there() {
        let mut ledger = Ledger::new();
        assert_eq!(allowed(&ledger), [Outcome::Absent]);
        let one = ledger.begin("k", P1);
        assert_eq!(allowed(&ledger), [Outcome::Absent, P1]);
        ledger.acknowledge(&"k", one);
        assert_eq!(allowed(&ledger), [P1]);
        let gone = ledger.begin("k", Outcome::Absent);
        assert_eq!(allowed(&ledger), [Outcome::Absent, P1]);
        ledger.acknowledge(&"k", gone);
        assert_eq!(allowed(&ledger), [Outcome::Absent]);
    }

    #[test]
    fn an_unanswered_change_may_be_there_until_it_is_looked_at() {
        let mut ledger = Ledger::new();
        let one = ledger.begin("k", P1);
        ledger.acknowledge(&"k", one);
        ledger.begin("k", P2);
        assert_eq!(allowed(&ledger), [P1, P2]);
        ledger.observe("k", P2);
        assert_eq!(allowed(&ledger), [P2]);
    }

    #[test]
    fn a_refused_change_must_not_be_there() {
        let mut ledger = Ledger::new();
        let one = ledger.begin("k", P1);
        ledger.refuse(&"k", one);
        assert_eq!(allowed(&ledger), [Outcome::Absent]);
    }

    #[test]
    fn of_overlapping_changes_either_may_be_last() {
        for (first, second) in [(0, 1), (1, 0)] {
            let mut ledger = Ledger::new();
            let changes = [ledger.begin("k", P1), ledger.begin("k", P2)];
            ledger.acknowledge(&"k", changes[first]);
            assert_eq!(allowed(&ledger), [P1, P2]);
            ledger.acknowledge(&"k", changes[second]);
            assert_eq!(allowed(&ledger), [P1, P2]);
            let gone = ledger.begin("k", Outcome::Absent);
            ledger.acknowledge(&"k", gone);
            assert_eq!(allowed(&ledger), [Outcome::Absent]);
        }
    }

    #[test]
    fn an_unanswered_change_may_come_after_a_later_one() {
        let mut ledger = Ledger::new();
        ledger.begin("k", P1);
        let two = ledger.begin("k", P2);
        ledger.acknowledge(&"k", two);
        assert_eq!(allowed(&ledger), [P1, P2]);
    }
}
