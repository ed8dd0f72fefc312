//! The only place that asks what time it is: checks report how long they took.

use std::time::Instant;

/// The present moment, for measuring how long a step takes.
#[expect(
    clippy::disallowed_methods,
    reason = "no simulated run happens here; durations are only shown to people"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
