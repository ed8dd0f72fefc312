//! What came of the requests, counted by each thread alone and added up at the end.

use super::mix::Operation;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Latencies above this are counted as this.
const LATENCY_MAX_NS: u64 = 3_600_000_000_000;

/// Latencies are kept to one part in a thousand.
const LATENCY_DIGITS: u8 = 3;

/// Kinds of failure that are told apart; a server that makes up codes must not fill memory.
const FAILURE_KINDS_MAX: usize = 64;

/// Requests of one kind that succeeded.
#[derive(Debug, Clone)]
pub(super) struct OperationTally {
    /// How many.
    pub(super) count: u64,
    /// Body bytes sent or received.
    pub(super) bytes: u64,
    /// Nanoseconds from the first byte sent to the last received.
    pub(super) latency: Histogram<u64>,
}

/// What came of all requests.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// What succeeded.
    pub(super) operations: BTreeMap<Operation, OperationTally>,
    /// Failures by status and code, or by what went wrong with the connection.
    pub(super) failures: BTreeMap<String, u64>,
    /// Reads of keys that the run itself may have deleted; they count as successes too.
    pub(super) absent: u64,
    /// Answers whose body was not what was written; they count as failures too.
    pub(super) wrong_bytes: u64,
    /// When the last answer came.
    pub(super) last: Option<Instant>,
}

impl Tally {
    pub(super) const fn new() -> Self {
        Self { operations: BTreeMap::new(), failures: BTreeMap::new(), absent: 0, wrong_bytes: 0, last: None }
    }

    /// Counts a success.
    pub(super) fn succeed(&mut self, operation: Operation, bytes: u64, took: Duration) {
        let tally = self.operations.entry(operation).or_insert_with(OperationTally::new);
        tally.count += 1;
        tally.bytes += bytes;
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        tally.latency.saturating_record(nanoseconds);
    }

    /// Counts a failure.
    pub(super) fn fail(&mut self, what: String) {
        let known = self.failures.contains_key(&what) || self.failures.len() < FAILURE_KINDS_MAX;
        let what = if known { what } else { "other".to_owned() };
        *self.failures.entry(what).or_insert(0) += 1;
    }

    /// Adds another thread's counts.
    pub(super) fn add(&mut self, other: &Self) {
        for (operation, theirs) in &other.operations {
            let ours = self.operations.entry(*operation).or_insert_with(OperationTally::new);
            ours.add(theirs);
        }
        for (what, count) in &other.failures {
            *self.failures.entry(what.clone()).or_insert(0) += count;
        }
        self.absent += other.absent;
        self.wrong_bytes += other.wrong_bytes;
        self.last = self.last.max(other.last);
    }

    /// Successes of all kinds together.
    pub(super) fn total(&self) -> OperationTally {
        let mut total = OperationTally::new();
        self.operations.values().for_each(|tally| total.add(tally));
        total
    }

    pub(super) fn succeeded(&self) -> u64 {
        self.operations.values().map(|tally| tally.count).sum()
    }

    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.operations.values().map(|tally| tally.bytes).sum()
    }

    /// The failures in one line.
    pub(super) fn answers(&self) -> String {
        let parts = self.failures.iter().map(|(what, count)| format!("{count} x {what}"));
        parts.collect::<Vec<_>>().join(", ")
    }
}

impl OperationTally {
    fn new() -> Self {
        #[expect(clippy::expect_used, reason = "the bounds are constants, and a test makes one")]
        let latency =
            Histogram::new_with_bounds(1, LATENCY_MAX_NS, LATENCY_DIGITS).expect("the bounds are good");
        Self { count: 0, bytes: 0, latency }
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.bytes += other.bytes;
        let added = self.latency.add(&other.latency).is_ok();
        assert!(added, "both have the same bounds, which is all that can go wrong");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up() {
        let (mut one, mut two) = (Tally::new(), Tally::new());
        one.succeed(Operation::Get, 10, Duration::from_micros(5));
        two.succeed(Operation::Get, 20, Duration::from_micros(15));
        two.succeed(Operation::Put, 1, Duration::from_secs(10_000));
        two.fail("503 SlowDown".to_owned());
        one.add(&two);
        assert_eq!((one.succeeded(), one.failed(), one.bytes()), (3, 1, 31));
        assert_eq!(one.operations[&Operation::Get].latency.len(), 2);
        assert_eq!(one.total().latency.len(), 3);
        assert_eq!(one.answers(), "1 x 503 SlowDown");
    }

    #[test]
    fn made_up_failures_do_not_pile_up() {
        let mut tally = Tally::new();
        (0..1000).for_each(|code| tally.fail(format!("400 Made{code}")));
        assert_eq!(tally.failed(), 1000);
        assert_eq!(tally.failures.len(), FAILURE_KINDS_MAX + 1);
    }
}
