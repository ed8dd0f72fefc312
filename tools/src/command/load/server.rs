//! What the server's process has used, from `/proc`.

use std::fs;
use std::io;
use std::time::Duration;

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerUsage {
    /// User and system time of all threads since the process began.
    pub cpu: Duration,
    /// Memory resident now.
    pub resident_bytes: u64,
    /// The most memory ever resident.
    pub resident_bytes_max: u64,
}

impl ServerUsage {
    /// Reads what `pid` has used.
    ///
    /// # Errors
    ///
    /// When there is no such process, or the kernel says something else than it is known to.
    pub fn read(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let ticks = cpu_ticks(&stat).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
        Ok(Self {
            cpu: Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64),
            resident_bytes: kilobytes(&status, "VmRSS:") * 1024,
            resident_bytes_max: kilobytes(&status, "VmHWM:") * 1024,
        })
    }
}

/// Fields 14 and 15 of `/proc/PID/stat`. The second field is the program's name in brackets and may itself hold
/// spaces and brackets, so counting starts after the last one.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kilobytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added_whatever_the_program_is_called() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 100 1000 10";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
        assert_eq!(kilobytes("Name:\ta\nVmRSS:\t  120 kB\n", "VmRSS:"), 120);
    }

    #[test]
    fn this_process_can_be_read_and_no_process_cannot() {
        assert!(ServerUsage::read(std::process::id()).unwrap().resident_bytes > 0);
        assert!(ServerUsage::read(u32::MAX).is_err());
    }
}
