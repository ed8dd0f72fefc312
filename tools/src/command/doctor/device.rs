//! Each device: what it is, and by which back-end it would be used.

use super::report::{Harm, Report};
use crate::output::format_size;
use ashlar_engine::runtime::native::{
    Backend, DeviceFacts, OpenDevice, OpenError, OpenOptions, PassedOver, Passthrough,
};
use std::path::{Path, PathBuf};

type Problem = Option<(Harm, String)>;

/// Opens each for reading, beside whoever uses it.
pub(super) fn look(paths: &[PathBuf], passthrough: Passthrough, report: &mut Report) {
    let mut seen: Vec<PathBuf> = Vec::new();
    for path in paths {
        report.part(path.display().to_string());
        let real = path.canonicalize().unwrap_or_else(|_absent| path.clone());
        if seen.contains(&real) {
            let remedy = "name each device once".to_owned();
            report.check("named", "a second time", Some((Harm::Stops, remedy)));
            continue;
        }
        match OpenDevice::open(path, OpenOptions { read_only: true, exclusive: false }) {
            Ok(mut device) => {
                let chosen = device.choose_passthrough(passthrough);
                device_facts(&device.facts(), &real, report);
                if let Err(error) = chosen {
                    report.check("passthrough", error, Some((Harm::Stops, remedy_of(error))));
                }
            }
            Err(error) => report.check("open", error, Some((Harm::Stops, remedy_of(error)))),
        }
        seen.push(real);
    }
}

fn remedy_of(error: OpenError) -> String {
    match error {
        OpenError::InUse => "end whoever uses it, or unmount it",
        OpenError::WrongType => "name a block device or an ordinary file",
        OpenError::NoDirectIo => "use a block device, or a filesystem with direct I/O such as ext4 or XFS",
        OpenError::BlockSize { .. } => "format the device with logical blocks of 512 or 4096 bytes",
        OpenError::Passthrough(_) => {
            "passthrough = \"auto\" in the configuration takes the block device instead"
        }
        OpenError::Exists => "name another path",
        OpenError::Io { errno } => {
            let kind = std::io::Error::from_raw_os_error(errno).kind();
            if kind == std::io::ErrorKind::PermissionDenied {
                "let this user read and write it: usually the group disk"
            } else if kind == std::io::ErrorKind::NotFound {
                "plug it in, or correct the path"
            } else {
                "see what the kernel says of it (dmesg)"
            }
        }
    }
    .to_owned()
}

fn device_facts(facts: &DeviceFacts, path: &Path, report: &mut Report) {
    let info = &facts.info;
    let kind = if info.is_file { "file" } else { "block device" };
    report.fact("kind", facts.filesystem.map_or(kind.to_owned(), |name| format!("{kind} on {name}")));
    report.fact("size", format!("{} bytes ({})", info.bytes, format_size(info.bytes)));
    report.fact("logical block", info.logical_block);
    report.fact("physical block", info.physical_block);
    report.check(
        "volatile cache",
        if info.volatile_cache { "yes: every durable write is flushed" } else { "no" },
        memory_only(facts),
    );
    if !info.is_file {
        report.fact("rotational", if info.rotational { "yes" } else { "no" });
    }
    report.check("O_DIRECT", if facts.direct { "set" } else { "NOT SET" }, direct(facts));
    if let Some(scheduler_name) = &facts.scheduler {
        report.check("scheduler", scheduler_name, scheduler(facts, path));
    }
    report.fact("back-end", facts.backend);
    match facts.passed_over {
        Some(why) => report.check("no passthrough", why, forbidden(why)),
        None if facts.backend == (Backend::Passthrough { polled: false }) => {
            report.fact("no polling", "the controller has no queues for it: boot with nvme.poll_queues=2");
        }
        None => {}
    }
}

/// Passthrough would work if this user were let.
fn forbidden(why: PassedOver) -> Problem {
    let PassedOver::Open { errno } = why else { return None };
    let kind = std::io::Error::from_raw_os_error(errno).kind();
    (kind == std::io::ErrorKind::PermissionDenied).then(|| {
        let rule = r#"KERNEL=="ng[0-9]*n[0-9]*", GROUP="disk", MODE="0660""#;
        (Harm::Slow, format!("let this user use it: a udev rule {rule}"))
    })
}

fn memory_only(facts: &DeviceFacts) -> Problem {
    facts.in_memory.then(|| {
        (
            Harm::Unsafe,
            "it lies in memory and ends with the machine: use a device or a disk's filesystem".to_owned(),
        )
    })
}

fn direct(facts: &DeviceFacts) -> Problem {
    (!facts.direct).then(|| (Harm::Unsafe, "the page cache lies between: use a block device".to_owned()))
}

fn scheduler(facts: &DeviceFacts, path: &Path) -> Problem {
    let name = facts.scheduler.as_deref().unwrap_or("none");
    let is_passed = matches!(facts.backend, Backend::Passthrough { .. });
    if is_passed || facts.info.rotational || name == "none" || name.is_empty() {
        return None;
    }
    let device = path.file_name().unwrap_or_default().to_string_lossy();
    Some((
        Harm::Slow,
        format!("echo none > /sys/class/block/{device}/queue/scheduler (of a partition: of its disk)"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_engine::runtime::DeviceInfo;

    fn facts() -> DeviceFacts {
        DeviceFacts {
            info: DeviceInfo {
                name: "/dev/sda".to_owned(),
                bytes: 1 << 40,
                logical_block: 512,
                physical_block: 4096,
                volatile_cache: true,
                rotational: false,
                is_file: false,
            },
            direct: true,
            filesystem: None,
            in_memory: false,
            scheduler: Some("none".to_owned()),
            backend: Backend::Block,
            passed_over: Some(PassedOver::NotNvme),
        }
    }

    #[test]
    fn what_is_wrong_with_a_device_is_told() {
        let good = facts();
        let path = Path::new("/dev/sda");
        assert_eq!((direct(&good), memory_only(&good), scheduler(&good, path)), (None, None, None));
        let slow = DeviceFacts { scheduler: Some("bfq".to_owned()), ..facts() };
        let (harm, remedy) = scheduler(&slow, path).unwrap();
        assert_eq!((harm, remedy.contains("/sda/")), (Harm::Slow, true));
        let disk = DeviceInfo { rotational: true, ..facts().info };
        assert_eq!(
            scheduler(&DeviceFacts { info: disk, ..slow }, path),
            None,
            "a spinning disk profits from one"
        );
        let commanded = DeviceFacts {
            scheduler: Some("bfq".to_owned()),
            backend: Backend::Passthrough { polled: true },
            ..facts()
        };
        assert_eq!(scheduler(&commanded, path), None, "commands pass no scheduler");
        assert_eq!(forbidden(PassedOver::Open { errno: 13 }).unwrap().0, Harm::Slow);
        assert_eq!(forbidden(PassedOver::NotNvme), None);
        assert_eq!(direct(&DeviceFacts { direct: false, ..facts() }).unwrap().0, Harm::Unsafe);
        assert_eq!(memory_only(&DeviceFacts { in_memory: true, ..facts() }).unwrap().0, Harm::Unsafe);
    }

    #[test]
    fn absent_and_doubled_devices_are_problems() {
        let mut report = Report::new();
        let absent = PathBuf::from("/nowhere/at/all");
        look(&[absent.clone(), absent], Passthrough::Auto, &mut report);
        assert_eq!(report.problem_count(), 2);
        assert!(report.text().contains("correct the path"), "{}", report.text());
    }
}
