//! Shows how far a long job is: a bar on a terminal, a plain line now and then elsewhere. All of it on stderr, so
//! that stdout holds results only.

use crate::clock;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often a plain line appears where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// One job's display. It vanishes from a terminal when dropped.
#[derive(Debug)]
pub struct Progress {
    label: &'static str,
    total: u64,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Progress {
    /// A display for `total` steps of work.
    #[must_use]
    pub fn new(label: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template("{prefix:>10} {wide_bar} {percent:>3}% {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(label);
            bar
        });
        Self { label, total, bar, last_line: clock::now() }
    }

    /// Shows that `done` steps are done, and `message` beside them.
    pub fn set(&mut self, done: u64, message: String) {
        if let Some(bar) = &self.bar {
            bar.set_position(done.min(self.total));
            bar.set_message(message);
            return;
        }
        let now = clock::now();
        if now.duration_since(self.last_line) >= LINE_INTERVAL {
            self.last_line = now;
            eprintln!("{}: {:.0}% {message}", self.label, percent(done, self.total));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn percent(done: u64, total: u64) -> f64 {
    if total == 0 {
        return 100.0;
    }
    (done as f64 * 100.0 / total as f64).min(100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_stays_within_bounds() {
        assert_eq!(percent(0, 0), 100.0);
        assert_eq!(percent(1, 4), 25.0);
        assert_eq!(percent(9, 4), 100.0);
    }
}
