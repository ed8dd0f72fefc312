//! What an open device gives, and by which of the back-ends it is used.

use super::super::contract::DeviceInfo;
use super::machine::chosen_word;
use super::nvme::PassedOver;
use super::open::{OpenDevice, queue_folder};
use std::fs;

/// How transfers reach a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Through a filesystem, past its page cache.
    File,
    /// Through the kernel's block layer, past the page cache.
    Block,
    /// As NVMe commands, past the block layer.
    Passthrough {
        /// Completions are polled for instead of announced by interrupts.
        polled: bool,
    },
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File => "file, O_DIRECT",
            Self::Block => "block device, O_DIRECT",
            Self::Passthrough { polled: true } => "NVMe passthrough, polled",
            Self::Passthrough { polled: false } => "NVMe passthrough, by interrupts",
        })
    }
}

/// What an open device is and does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFacts {
    /// What it says of itself.
    pub info: DeviceInfo,
    /// `O_DIRECT` stands among the flags of the descriptor that is used, as `/proc/self/fdinfo` shows them.
    pub direct: bool,
    /// Filesystem that a file device lies on, if it is one we know by name.
    pub filesystem: Option<&'static str>,
    /// The filesystem keeps its files in memory only.
    pub in_memory: bool,
    /// The block layer's scheduler that is in force, for a block device.
    pub scheduler: Option<String>,
    /// How it is used.
    pub backend: Backend,
    /// Why not by NVMe passthrough; `None` when it is.
    pub passed_over: Option<PassedOver>,
}

/// From `linux/magic.h`; the last word is true when nothing survives a restart of the machine.
const FILESYSTEMS: &[(i64, &str, bool)] = &[
    (0xef53, "ext4", false),
    (0x5846_5342, "XFS", false),
    (0x9123_683e, "btrfs", false),
    (0xf2f5_2010, "F2FS", false),
    (0x2fc1_2fc1, "ZFS", false),
    (0x794c_7630, "overlayfs", false),
    (0x6969, "NFS", false),
    (0x6573_5546, "FUSE", false),
    (0x0102_1994, "tmpfs", true),
    (0x8584_58f6, "ramfs", true),
];

impl OpenDevice {
    /// Asks the kernel about this very descriptor.
    #[must_use]
    pub fn facts(&self) -> DeviceFacts {
        let info = self.info().clone();
        let known = info.is_file.then(|| self.filesystem()).flatten();
        DeviceFacts {
            direct: is_direct(self.raw_fd()),
            filesystem: known.map(|(_, name, _)| *name),
            in_memory: known.is_some_and(|(_, _, in_memory)| *in_memory),
            scheduler: self.scheduler(),
            backend: self.backend(),
            passed_over: self.passed_over(),
            info,
        }
    }

    /// How it is used.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match self.namespace() {
            Some(namespace) => Backend::Passthrough { polled: namespace.polled() },
            None if self.info().is_file => Backend::File,
            None => Backend::Block,
        }
    }

    fn filesystem(&self) -> Option<&'static (i64, &'static str, bool)> {
        let told = rustix::fs::fstatfs(self.fd()).ok()?;
        FILESYSTEMS.iter().find(|(magic, _, _)| *magic == told.f_type)
    }

    fn scheduler(&self) -> Option<String> {
        if self.info().is_file {
            return None;
        }
        let device = rustix::fs::fstat(self.fd()).ok()?.st_rdev;
        let text = fs::read_to_string(queue_folder(device).join("scheduler")).ok()?;
        // A device that knows only one has no brackets.
        let chosen = if text.contains('[') { chosen_word(&text) } else { text.trim() };
        Some(chosen.to_owned())
    }
}

fn is_direct(fd: std::os::fd::RawFd) -> bool {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|octal| i32::from_str_radix(octal.trim(), 8).ok());
    flags.is_some_and(|flags| flags & libc::O_DIRECT != 0)
}

#[cfg(test)]
mod tests {
    use super::super::{OpenOptions, create_file_device};
    use super::*;

    #[test]
    fn a_file_device_is_seen_as_it_is() {
        let path = std::env::temp_dir().join(format!("ashlar-{}-facts", std::process::id()));
        create_file_device(&path, 1 << 20, true).unwrap();
        let device = OpenDevice::open(&path, OpenOptions { read_only: true, exclusive: false }).unwrap();
        let facts = device.facts();
        assert!(facts.direct);
        assert_eq!((facts.backend, facts.info.bytes, facts.scheduler), (Backend::File, 1 << 20, None));
        let buffered = fs::File::open(&path).unwrap();
        assert!(!is_direct(std::os::fd::AsRawFd::as_raw_fd(&buffered)), "a plain descriptor is not direct");
        fs::remove_file(&path).unwrap();
    }
}
