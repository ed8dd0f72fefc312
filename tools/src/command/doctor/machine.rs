//! Kernel, rings, memory and instructions.

use super::report::{Harm, Report};
use crate::command::serve::MEMORY_DEFAULT;
use crate::output::format_size;
use ashlar_engine::runtime::native::{MachineFacts, affinity_cpus, cpu_facts, machine_facts};
use ashlar_engine::{hash, stripe};

/// The runtime's ring modes came with it.
const KERNEL_MIN: (u32, u32) = (6, 1);
/// Less locked memory than this and the scheduler does not start, bytes.
const LOCKED_BYTES_MIN: u64 = 512 << 10;
/// Fewer files than this and a busy server refuses connections.
const FILES_MIN: u64 = 4096;

type Problem = Option<(Harm, String)>;

/// `memory`: the server's budget, bytes, when a configuration says so.
pub(super) fn look(memory: Option<u64>, report: &mut Report) {
    let facts = machine_facts();
    report.part("machine");
    report.check("kernel", &facts.kernel, kernel(&facts));
    let switch = facts.io_uring_disabled.map_or("no switch".to_owned(), |value| value.to_string());
    report.check("io_uring_disabled", switch, allowed(&facts));
    rings(&facts, report);
    let limit = facts.locked_bytes_max.map_or("unlimited".to_owned(), format_size);
    let freely = if facts.locks_without_limit { ", but this user may exceed it" } else { "" };
    report.check(
        "locked memory",
        format!("{limit}{freely}"),
        locked(&facts, memory.unwrap_or(MEMORY_DEFAULT)),
    );
    report.check("huge pages", huge_pages_text(&facts), huge_pages(&facts));
    let files = facts.files_max.map_or("unlimited".to_owned(), |count| count.to_string());
    report.check("open files", files, files_problem(&facts));
    let cpu = cpu_facts();
    report.fact("processor", format!("{}, {} CPUs allowed", cpu.model, affinity_cpus().len()));
    report.fact("instructions", cpu.instruction_sets.join(" "));
    report.fact("erasure codes", stripe::Kernel::best().name());
    report.fact("hashes", hash::simd::Kernel::best().name());
}

fn kernel(facts: &MachineFacts) -> Problem {
    let old = facts.kernel_version.is_some_and(|version| version < KERNEL_MIN);
    old.then(|| (Harm::Stops, "run Linux 6.1 or newer".to_owned()))
}

fn allowed(facts: &MachineFacts) -> Problem {
    let errno = facts.ring.err()?;
    Some((
        Harm::Stops,
        match facts.io_uring_disabled {
            Some(value) if value > 0 => "allow it: sysctl kernel.io_uring_disabled=0".to_owned(),
            Some(_) | None => format!(
                "every ring was refused ({}): let the container runtime's seccomp profile allow io_uring",
                std::io::Error::from_raw_os_error(errno)
            ),
        },
    ))
}

fn rings(facts: &MachineFacts, report: &mut Report) {
    let Ok(modes) = facts.ring else { return };
    let word = |granted: bool| if granted { "granted" } else { "refused" };
    let needed = |granted: bool| (!granted).then(|| (Harm::Stops, "run Linux 6.1 or newer".to_owned()));
    report.check("SINGLE_ISSUER", word(modes.single_issuer), needed(modes.single_issuer));
    report.check("DEFER_TASKRUN", word(modes.defer_taskrun), needed(modes.defer_taskrun));
    let pinned = (!modes.fixed_buffers).then(|| {
        (Harm::Slow, "raise the limit of locked memory (ulimit -l, LimitMEMLOCK=infinity)".to_owned())
    });
    report.check("fixed buffers", word(modes.fixed_buffers), pinned);
    report.fact("shared by cores", if modes.shared_buffers { "registered once" } else { "once per core" });
}

fn locked(facts: &MachineFacts, memory: u64) -> Problem {
    let limit = facts.locked_bytes_max?;
    if limit < LOCKED_BYTES_MIN {
        return Some((
            Harm::Stops,
            "raise it to 512 KiB at least: ulimit -l, LimitMEMLOCK=infinity".to_owned(),
        ));
    }
    (limit < memory && !facts.locks_without_limit).then(|| {
        let budget = format_size(memory);
        (
            Harm::Slow,
            format!("raise it to the budget of {budget}: ulimit -l unlimited, LimitMEMLOCK=infinity"),
        )
    })
}

fn huge_pages_text(facts: &MachineFacts) -> String {
    let mode = if facts.huge_page_mode.is_empty() { "not in this kernel" } else { &facts.huge_page_mode };
    let tried = match facts.huge_pages {
        Some(true) => "buffers come as huge pages",
        Some(false) => "buffers come as small pages",
        None => "not tried",
    };
    format!("{mode}; {tried}")
}

fn huge_pages(facts: &MachineFacts) -> Problem {
    if facts.huge_pages == Some(true) {
        return None;
    }
    let remedy = match facts.huge_page_mode.as_str() {
        "always" | "madvise" => {
            "memory is in small pieces: give the server more free memory, or restart the machine"
        }
        _ => "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
    };
    Some((Harm::Slow, remedy.to_owned()))
}

fn files_problem(facts: &MachineFacts) -> Problem {
    let few = facts.files_max.is_some_and(|count| count < FILES_MIN);
    few.then(|| {
        (Harm::Slow, "raise it, one is needed per connection: ulimit -n, LimitNOFILE=1048576".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_engine::runtime::native::RingModes;

    fn good() -> MachineFacts {
        let modes =
            RingModes { single_issuer: true, defer_taskrun: true, fixed_buffers: true, shared_buffers: true };
        MachineFacts {
            kernel: "6.12.1".to_owned(),
            kernel_version: Some((6, 12)),
            io_uring_disabled: Some(0),
            ring: Ok(modes),
            locked_bytes_max: Some(8 << 20),
            locks_without_limit: true,
            files_max: None,
            huge_page_mode: "madvise".to_owned(),
            huge_pages: Some(true),
        }
    }

    fn harm(problem: Problem) -> Option<Harm> {
        problem.map(|(harm, _)| harm)
    }

    #[test]
    fn a_good_machine_has_nothing_to_be_done() {
        let facts = good();
        let found = [
            kernel(&facts),
            allowed(&facts),
            locked(&facts, 1 << 30),
            huge_pages(&facts),
            files_problem(&facts),
        ];
        assert!(found.iter().all(Option::is_none), "{found:?}");
    }

    #[test]
    fn each_lack_is_told_with_its_remedy() {
        assert_eq!(
            harm(kernel(&MachineFacts { kernel_version: Some((5, 19)), ..good() })),
            Some(Harm::Stops)
        );
        let (harm_found, remedy) =
            allowed(&MachineFacts { ring: Err(1), io_uring_disabled: Some(2), ..good() }).unwrap();
        assert_eq!(harm_found, Harm::Stops);
        assert!(remedy.contains("sysctl"), "{remedy}");
        let (_, remedy) = allowed(&MachineFacts { ring: Err(1), ..good() }).unwrap();
        assert!(remedy.contains("seccomp"), "{remedy}");
        let bound = MachineFacts { locks_without_limit: false, ..good() };
        assert_eq!(harm(locked(&bound, 1 << 30)), Some(Harm::Slow));
        assert_eq!(harm(locked(&bound, 4 << 20)), None);
        let tiny = MachineFacts { locked_bytes_max: Some(64 << 10), ..good() };
        assert_eq!(
            harm(locked(&tiny, 1 << 30)),
            Some(Harm::Stops),
            "the scheduler asks for the limit, not the right"
        );
        let never = MachineFacts { huge_page_mode: "never".to_owned(), huge_pages: Some(false), ..good() };
        assert_eq!(harm(huge_pages(&never)), Some(Harm::Slow));
        assert_eq!(harm(files_problem(&MachineFacts { files_max: Some(1024), ..good() })), Some(Harm::Slow));
    }
}
