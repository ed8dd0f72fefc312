//! What a figure was measured on. Without it a figure cannot be compared with any other.

use ashlar_engine::runtime::native::cpu_facts;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The machine, and how busy it was, at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's model name, or empty when the kernel gives none.
    pub cpu: String,
    /// CPUs this process may run on.
    pub cpus: usize,
    /// Instruction sets that our arithmetic uses and that this machine has.
    pub instruction_sets: Vec<String>,
    /// Release of the kernel.
    pub kernel: String,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Processes that ran or waited for a CPU or a disk, over the last minute. Above the number of
    /// CPUs, others had a share of what was measured.
    pub load_average: f64,
}

/// What holds the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// As it was named.
    pub path: PathBuf,
    /// What it is, as `block device, 3221225472 bytes` or `file on ext4 of /dev/vda`.
    pub what: String,
}

impl Machine {
    /// Asks the kernel. What it does not say stays empty or 0. To be called before this process binds itself to one
    /// CPU, or that one is all that is counted.
    #[must_use]
    pub fn read() -> Self {
        let facts = cpu_facts();
        Self {
            cpu: facts.model,
            cpus: facts.allowed,
            instruction_sets: facts.instruction_sets.into_iter().map(str::to_owned).collect(),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_bytes: memory_bytes(&text("/proc/meminfo")),
            load_average: load_average(),
        }
    }
}

impl Storage {
    /// Asks the kernel what lies at `path`.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let real = path.canonicalize().unwrap_or_else(|_absent| path.to_path_buf());
        let name = real.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let block = Path::new("/sys/class/block").join(name);
        let what = if real.starts_with("/dev") && block.exists() {
            let sectors: u64 = text(block.join("size")).trim().parse().unwrap_or(0);
            let backing = text(block.join("loop/backing_file"));
            match backing.trim() {
                "" => format!("block device, {} bytes", sectors * 512),
                file => {
                    let below = mounted(&text("/proc/self/mountinfo"), Path::new(file));
                    format!("loop device, {} bytes, over a file on {below}", sectors * 512)
                }
            }
        } else {
            format!("file on {}", mounted(&text("/proc/self/mountinfo"), &real))
        };
        Self { path: path.to_path_buf(), what }
    }
}

/// The load average of the last minute, or 0.
#[must_use]
pub fn load_average() -> f64 {
    first_number(&text("/proc/loadavg"))
}

/// What `git describe` says of the source that this program was built from, when it is still there.
#[must_use]
pub fn commit() -> String {
    let git = ["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--abbrev=7"];
    let said = Command::new("git").args(git).output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default()
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn memory_bytes(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0) * 1024
}

fn first_number(loadavg: &str) -> f64 {
    loadavg.split_whitespace().next().and_then(|minute| minute.parse().ok()).unwrap_or(0.0)
}

/// File system and device of the longest mount point above `path`, from the text of `/proc/self/mountinfo`.
fn mounted(mountinfo: &str, path: &Path) -> String {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (front, behind) = line.split_once(" - ")?;
        let point = Path::new(front.split_whitespace().nth(4)?);
        let mut behind = behind.split_whitespace();
        let (kind, device) = (behind.next()?, behind.next()?);
        path.starts_with(point).then(|| (point.components().count(), format!("{kind} of {device}")))
    });
    mounts.max_by_key(|(depth, _)| *depth).map(|(_, what)| what).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_from_the_kernels_text() {
        assert_eq!(memory_bytes("MemTotal:       2048 kB\nMemFree: 7 kB\n"), 2 << 20);
        assert_eq!(first_number("1.25 0.50 0.10 1/100 7\n"), 1.25);
        assert_eq!((memory_bytes("?"), first_number("")), (0, 0.0));
        assert!(Machine::read().memory_bytes > 0);
    }

    #[test]
    fn a_file_lies_on_the_deepest_mount_above_it() {
        let mounts = "1 0 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                      2 1 0:5 / /data rw shared:1 - xfs /dev/vdb rw\n\
                      3 1 0:6 / /data2 rw - tmpfs tmpfs rw\n";
        assert_eq!(mounted(mounts, Path::new("/data/a/b")), "xfs of /dev/vdb");
        assert_eq!(mounted(mounts, Path::new("/data2/x")), "tmpfs of tmpfs");
        assert_eq!(mounted(mounts, Path::new("/etc")), "ext4 of /dev/vda");
        assert!(Storage::read(Path::new("/proc")).what.starts_with("file on "));
    }
}
