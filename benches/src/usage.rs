//! CPU time of a process: the figure that other work on the machine disturbs least.

use std::fs;
use std::time::Duration;

/// Length of a tick in `/proc/PID/stat`: 1/100 s on every machine that Linux has called 64-bit
/// since Alpha and Itanium.
const TICK: Duration = Duration::from_millis(10);

/// User and system time that all threads of this process have used, to 10 ms. `None` when the
/// kernel does not say. The kernel's own workers for its transfers count as its threads.
#[must_use]
pub fn own_cpu() -> Option<Duration> {
    cpu(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// Fields 14 and 15. The second field is the program's name in brackets and may itself hold spaces
/// and brackets, so counting starts after the last one.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * user + TICK * system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 100 1000 10";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu("7 (a) S 1"), None);
        assert!(own_cpu().is_some());
    }
}
