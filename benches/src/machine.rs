//! What a figure was measured on. Without it a figure cannot be compared with any other.

use ashlar_engine::runtime::native::cpu_facts;
use serde::Serialize;
use std::fs;

/// The machine, and how busy it was, at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// The processor's model name, or empty when the kernel gives none.
    pub cpu: String,
    /// CPUs this process may run on.
    pub cpus: usize,
    /// Instruction sets that our arithmetic uses and that this machine has.
    pub instruction_sets: Vec<&'static str>,
    /// Release of the kernel.
    pub kernel: String,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Processes that ran or waited for a CPU or a disk, over the last minute. Above the number of
    /// CPUs, others had a share of what was measured.
    pub load_average: f64,
}

impl Machine {
    /// Asks the kernel. What it does not say stays empty or 0.
    #[must_use]
    pub fn read() -> Self {
        let facts = cpu_facts();
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: facts.model,
            cpus: facts.allowed,
            instruction_sets: facts.instruction_sets,
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_bytes: memory_bytes(&text("/proc/meminfo")),
            load_average: load_average(&text("/proc/loadavg")),
        }
    }
}

fn memory_bytes(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0) * 1024
}

fn load_average(loadavg: &str) -> f64 {
    loadavg.split_whitespace().next().and_then(|minute| minute.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_from_the_kernels_text() {
        assert_eq!(memory_bytes("MemTotal:       2048 kB\nMemFree: 7 kB\n"), 2 << 20);
        assert_eq!(load_average("1.25 0.50 0.10 1/100 7\n"), 1.25);
        assert_eq!((memory_bytes("?"), load_average("")), (0, 0.0));
        assert!(Machine::read().memory_bytes > 0);
    }
}
