//! What the machine gives to a server before one is started: looked up and tried out, never assumed.

use super::ring::Ring;
use crate::buffer::{REGION_ALIGNMENT, Region};
use io_uring::{IoUring, squeue};
use std::fs;

/// Bit of `CAP_IPC_LOCK`: whoever holds it may lock memory without limit.
const CAP_IPC_LOCK: u32 = 14;
/// Entries of a ring that is only tried out.
const TRIAL_ENTRIES: u32 = 8;

/// Which modes of a ring the kernel grants. The server's rings need the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that a kernel has or has not")]
pub struct RingModes {
    /// `IORING_SETUP_SINGLE_ISSUER`, Linux 6.0.
    pub single_issuer: bool,
    /// `IORING_SETUP_DEFER_TASKRUN`, Linux 6.1.
    pub defer_taskrun: bool,
    /// Memory can be registered as fixed buffers.
    pub fixed_buffers: bool,
    /// A registration can be taken over from another ring, so that memory is locked once, Linux 6.12.
    pub shared_buffers: bool,
}

/// What the machine says and does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineFacts {
    /// Release of the kernel, as `uname -r` gives it.
    pub kernel: String,
    /// Its first two numbers, when they can be read.
    pub kernel_version: Option<(u32, u32)>,
    /// `kernel.io_uring_disabled`; `None` where the kernel has no such switch.
    pub io_uring_disabled: Option<u32>,
    /// The modes of a ring, or the error number with which every ring was refused.
    pub ring: Result<RingModes, i32>,
    /// Limit of locked memory, bytes; `None` without limit.
    pub locked_bytes_max: Option<u64>,
    /// This process may lock more than the limit (`CAP_IPC_LOCK`).
    pub locks_without_limit: bool,
    /// How many open files this process may allow itself; `None` without limit.
    pub files_max: Option<u64>,
    /// The chosen word of `transparent_hugepage/enabled`, or empty.
    pub huge_page_mode: String,
    /// Whether a piece of buffer memory really came as a huge page; `None` when memory could not be had.
    pub huge_pages: Option<bool>,
}

/// Looks, and tries a ring and a piece of buffer memory out. Changes nothing.
#[must_use]
pub fn machine_facts() -> MachineFacts {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let limit = |resource| rustix::process::getrlimit(resource).current;
    let modes = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    MachineFacts {
        kernel_version: version_of(&kernel),
        kernel,
        io_uring_disabled: fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
            .ok()
            .and_then(|text| text.trim().parse().ok()),
        ring: ring_modes(),
        locked_bytes_max: limit(rustix::process::Resource::Memlock),
        locks_without_limit: holds_capability(CAP_IPC_LOCK),
        files_max: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
        huge_page_mode: chosen_word(&modes).to_owned(),
        huge_pages: comes_as_huge_pages(),
    }
}

fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The word in brackets: how sysfs marks the one that is in force.
pub(super) fn chosen_word(text: &str) -> &str {
    text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(word, _)| word)
}

fn holds_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0);
    set >> number & 1 == 1
}

fn ring_modes() -> Result<RingModes, i32> {
    let plain = IoUring::new(TRIAL_ENTRIES).map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))?;
    let single_issuer =
        IoUring::<squeue::Entry>::builder().setup_single_issuer().build(TRIAL_ENTRIES).is_ok();
    let mut modes =
        RingModes { single_issuer, defer_taskrun: false, fixed_buffers: false, shared_buffers: false };
    let Ok(mut ring) = Ring::new() else { return Ok(modes) };
    modes.defer_taskrun = true;
    if let Ok(region) = Region::allocate(REGION_ALIGNMENT) {
        modes.fixed_buffers = ring.register_regions(&[region], None).is_ok();
        modes.shared_buffers = plain.submitter().register_buffers_clone(ring.raw_fd()).is_ok();
    }
    Ok(modes)
}

/// Touches one region and asks the kernel how it is backed.
fn comes_as_huge_pages() -> Option<bool> {
    let region = Region::allocate(REGION_ALIGNMENT).ok()?;
    let base = region.base().as_ptr();
    // SAFETY: the region was just mapped, is writable, and nobody else knows of it.
    unsafe { base.write_volatile(1) };
    let address = base.addr();
    let maps = fs::read_to_string("/proc/self/smaps").ok()?;
    let mut inside = false;
    for line in maps.lines() {
        if let Some(range) = range_of(line) {
            inside = range.contains(&address);
        } else if inside && let Some(text) = line.strip_prefix("AnonHugePages:") {
            let kib: u64 = text.trim().strip_suffix("kB")?.trim().parse().ok()?;
            return Some(kib > 0);
        }
    }
    None
}

/// The addresses of a mapping, when `line` is the first of its entry in `smaps`.
fn range_of(line: &str) -> Option<std::ops::Range<usize>> {
    let (from, to) = line.split_once(' ')?.0.split_once('-')?;
    Some(usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions_are_read() {
        assert_eq!(version_of("6.12.117+deb12-cloud-amd64"), Some((6, 12)));
        assert_eq!(version_of("6.1-rc3"), Some((6, 1)));
        assert_eq!(version_of("nonsense"), None);
    }

    #[test]
    fn the_chosen_word_stands_in_brackets() {
        assert_eq!(chosen_word("always [madvise] never\n"), "madvise");
        assert_eq!(chosen_word("none\n"), "");
    }

    #[test]
    fn a_machine_that_runs_these_tests_gives_the_modes_that_the_server_needs() {
        let facts = machine_facts();
        let modes = facts.ring.unwrap();
        assert!(modes.single_issuer && modes.defer_taskrun && modes.fixed_buffers, "{facts:?}");
        assert!(facts.kernel_version >= Some((6, 1)), "{facts:?}");
    }
}
