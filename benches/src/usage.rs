//! What a process has used, finer than a load needs it: CPU time in nanoseconds, bytes read and written. And what a
//! block device has been written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a sector in the kernel's counters, whatever the device's own are.
const SECTOR_BYTES: u64 = 512;

/// CPU time that all threads of `pid` which live now have used, to the nanosecond.
///
/// # Errors
///
/// When there is no such process.
pub fn cpu(pid: u32) -> io::Result<Duration> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the two reads.
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        total += nth(&text, 0);
    }
    Ok(Duration::from_nanos(total))
}

/// Bytes that a process moved from and to storage, past the page cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Read.
    pub read_bytes: u64,
    /// Written.
    pub written_bytes: u64,
    /// Writes; 0 when only a process was asked, which does not count them.
    pub writes: u64,
}

impl Moved {
    /// Of the process `pid` since it began.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub fn by_process(pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
        };
        Ok(Self { read_bytes: field("read_bytes:"), written_bytes: field("write_bytes:"), writes: 0 })
    }

    /// By these block devices together, since they came to be.
    ///
    /// # Errors
    ///
    /// When one of them is no block device.
    pub fn by_devices(devices: &[PathBuf]) -> io::Result<Self> {
        let mut sum = Self::default();
        for device in devices {
            let stat = fs::read_to_string(stat_of(device))?;
            sum.read_bytes += nth(&stat, 2) * SECTOR_BYTES;
            sum.writes += nth(&stat, 4);
            sum.written_bytes += nth(&stat, 6) * SECTOR_BYTES;
        }
        Ok(sum)
    }

    /// What came in between.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            read_bytes: self.read_bytes.saturating_sub(before.read_bytes),
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
            writes: self.writes.saturating_sub(before.writes),
        }
    }
}

/// Where the kernel keeps a block device's counters, in the order of its Documentation/block/stat.rst.
fn stat_of(device: &Path) -> PathBuf {
    Path::new("/sys/class/block").join(device.file_name().unwrap_or_default()).join("stat")
}

fn nth(text: &str, index: usize) -> u64 {
    text.split_whitespace().nth(index).and_then(|field| field.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_busy_process_uses_time_and_one_that_is_not_there_is_an_error() {
        // Of this process threads end meanwhile, those of other tests, and what they used ends with them.
        let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let uses_time = (0..10_000_000).any(|_| cpu(busy.id()).unwrap() > Duration::ZERO);
        let before = cpu(busy.id()).unwrap();
        let uses_more = (0..10_000_000).any(|_| cpu(busy.id()).unwrap() > before);
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(uses_time && uses_more);
        assert!(cpu(u32::MAX).is_err());
        assert!(Moved::by_process(u32::MAX).is_err());
    }

    #[test]
    fn counters_are_taken_from_their_fields() {
        let stat = "  9 0 16 0  5 0 24 7 0 0 0\n";
        assert_eq!((nth(stat, 2), nth(stat, 4), nth(stat, 6), nth(stat, 99)), (16, 5, 24, 0));
        assert_eq!(stat_of(Path::new("/dev/loop7")), Path::new("/sys/class/block/loop7/stat"));
        let (before, after) =
            (Moved { writes: 2, ..Moved::default() }, Moved { writes: 5, ..Moved::default() });
        assert_eq!((after.since(before).writes, before.since(after).writes), (3, 0));
    }
}
