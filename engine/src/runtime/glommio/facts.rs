//! What the machine says of itself, and its random numbers.

use rustix::thread::CpuSet;

/// The CPUs the calling thread may run on, in order; empty when the kernel does not say.
#[must_use]
pub fn affinity_cpus() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

/// Facts worth a line in a log or a benchmark report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuFacts {
    /// The model's name, or empty when the kernel gives none.
    pub model: String,
    /// CPUs this thread may run on.
    pub allowed: usize,
    /// Instruction sets that our arithmetic uses and that this machine has.
    pub instruction_sets: Vec<&'static str>,
}

/// Asks the machine.
#[must_use]
pub fn cpu_facts() -> CpuFacts {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()))
        .unwrap_or_default();
    CpuFacts { model: model.to_owned(), allowed: affinity_cpus().len(), instruction_sets: instruction_sets() }
}

#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> Vec<&'static str> {
    [
        ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
        ("pclmulqdq", std::arch::is_x86_feature_detected!("pclmulqdq")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("vpclmulqdq", std::arch::is_x86_feature_detected!("vpclmulqdq")),
        ("gfni", std::arch::is_x86_feature_detected!("gfni")),
        ("sha", std::arch::is_x86_feature_detected!("sha")),
    ]
    .into_iter()
    .filter_map(|(name, present)| present.then_some(name))
    .collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction_sets() -> Vec<&'static str> {
    Vec::new()
}

/// Fills `bytes` from the kernel's generator.
///
/// # Panics
/// When the kernel has no generator: nothing may go on with guessable identifiers.
pub(super) fn fill_random(bytes: &mut [u8]) {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..)
        && !rest.is_empty()
    {
        // SAFETY: the address and the length describe `rest`, which is ours and writable.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(count) {
            Ok(count) => filled += count,
            Err(_negative) => {
                let error = std::io::Error::last_os_error();
                assert!(
                    error.kind() == std::io::ErrorKind::Interrupted,
                    "the kernel gives no random numbers: {error}"
                );
            }
        }
    }
}
