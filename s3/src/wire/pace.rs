//! The lowest rate of a body. Only time spent waiting for the peer counts: that our own devices are slow is not
//! the client's fault.

use crate::limits::{BODY_BYTES_PER_SECOND_MIN, BODY_GRACE, SILENCE_MAX};
use ashlar_engine::runtime::Monotonic;
use core::time::Duration;

/// A body's progress.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    bytes: u64,
    waited: Duration,
}

/// Time that so many bytes may take at the lowest rate.
#[must_use]
fn allowance(bytes: u64) -> Duration {
    Duration::from_secs(bytes.div_ceil(BODY_BYTES_PER_SECOND_MIN))
}

impl Pace {
    /// When the peer's next bytes are due, if it is waited for from `now` on.
    #[must_use]
    pub(crate) fn deadline(&self, now: Monotonic) -> Monotonic {
        let left = (BODY_GRACE + allowance(self.bytes)).saturating_sub(self.waited);
        now.after(left.min(SILENCE_MAX))
    }

    /// When the peer must have taken the next `bytes`, if they are sent from `now` on.
    #[must_use]
    pub(crate) fn deadline_to_send(&self, now: Monotonic, bytes: u64) -> Monotonic {
        let left = (BODY_GRACE + allowance(self.bytes.saturating_add(bytes))).saturating_sub(self.waited);
        now.after(left.min(SILENCE_MAX + allowance(bytes)))
    }

    /// Notes `bytes` that came, or were taken, after a wait.
    pub(crate) fn note(&mut self, bytes: u64, waited: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.waited = self.waited.saturating_add(waited);
    }
}

#[cfg(test)]
mod tests {
    use super::{Monotonic, Pace};
    use core::time::Duration;

    #[test]
    fn silence_is_short_and_a_trickle_runs_out_of_time() {
        let now = Monotonic::default();
        let mut pace = Pace::default();
        assert_eq!(pace.deadline(now), now.after(Duration::from_secs(30)));
        pace.note(1, Duration::from_secs(29));
        assert_eq!(pace.deadline(now), now.after(Duration::from_secs(2)));
        pace.note(1, Duration::from_secs(29));
        assert_eq!(pace.deadline(now), now);
    }

    #[test]
    fn who_takes_each_piece_late_runs_out_of_time() {
        let now = Monotonic::default();
        let mut pace = Pace::default();
        assert_eq!(pace.deadline_to_send(now, 64 * 1024), now.after(Duration::from_secs(34)));
        pace.note(64 * 1024, Duration::from_secs(33));
        assert_eq!(pace.deadline_to_send(now, 64 * 1024), now.after(Duration::from_secs(5)));
    }

    #[test]
    fn a_body_at_the_lowest_rate_is_waited_for() {
        let now = Monotonic::default();
        let mut pace = Pace::default();
        for _ in 0..1000 {
            pace.note(16 * 1024, Duration::from_secs(1));
        }
        assert_eq!(pace.deadline(now), now.after(Duration::from_secs(30)));
    }
}
