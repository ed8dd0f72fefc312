//! Finds a block device's generic NVMe device in sysfs, and says why there is none that could be used.

use std::fs;
use std::path::{Path, PathBuf};

/// Why a device is not driven by NVMe passthrough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassedOver {
    /// Nobody asked for it.
    Off,
    /// A file, or a block device of another kind.
    NotNvme,
    /// A partition: commands would reach past its borders.
    Partition,
    /// Reached by several controllers, of which the kernel chooses for block requests only.
    ManyPaths,
    /// Written by zones.
    Zoned,
    /// The kernel has no `/dev/ngXnY` for it (before Linux 5.13).
    NoGenericDevice,
    /// The generic device cannot be opened.
    Open {
        /// As from the kernel.
        errno: i32,
    },
    /// Block device and generic device do not name the same namespace.
    Mismatch,
    /// It did not say who it is.
    Identify {
        /// As from the kernel, or a status of the controller.
        result: i32,
    },
    /// Blocks carry metadata, or their size does not divide 4096.
    Format {
        /// Bytes of a block.
        block: u32,
        /// Bytes of metadata of a block.
        metadata: u32,
    },
    /// A read that was tried out failed.
    Trial {
        /// As from the kernel, or a status of the controller.
        result: i32,
    },
}

impl std::fmt::Display for PassedOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = |result: &i32| {
            if *result < 0 {
                std::io::Error::from_raw_os_error(result.saturating_neg()).to_string()
            } else {
                format!("NVMe status {result:#x}")
            }
        };
        match self {
            Self::Off => write!(f, "passthrough is off"),
            Self::NotNvme => write!(f, "not an NVMe namespace"),
            Self::Partition => write!(f, "a partition"),
            Self::ManyPaths => write!(f, "multipath, which only the block layer does"),
            Self::Zoned => write!(f, "zoned"),
            Self::NoGenericDevice => write!(f, "no /dev/ng device"),
            Self::Open { errno } => {
                let error = std::io::Error::from_raw_os_error(*errno);
                write!(f, "its /dev/ng device cannot be opened: {error}")
            }
            Self::Mismatch => write!(f, "its /dev/ng device is another namespace"),
            Self::Identify { result } => write!(f, "does not identify itself: {}", said(result)),
            Self::Format { block, metadata } => {
                write!(f, "formatted with blocks of {block} bytes and {metadata} of metadata")
            }
            Self::Trial { result } => write!(f, "a read by passthrough failed: {}", said(result)),
        }
    }
}

/// A namespace as sysfs describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Name of the generic device, as `ng0n1`.
    pub(super) generic: String,
    /// Its major and minor number.
    pub(super) number: (u32, u32),
    /// The controller has queues for polling.
    pub(super) polled: bool,
    /// Most bytes of one command: what controller and kernel take, in pages that lie apart.
    pub(super) transfer_bytes_max: usize,
}

/// Without a page list of the kernel's own, each 4096 bytes of memory count as a segment.
const SEGMENT_BYTES: usize = 4096;

/// Looks for the block device of this number below `sysfs`.
pub(super) fn find(sysfs: &Path, major: u32, minor: u32) -> Result<Found, PassedOver> {
    let block = sysfs.join(format!("dev/block/{major}:{minor}"));
    let block = block.canonicalize().map_err(|_absent| PassedOver::NotNvme)?;
    let name = block.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(rest) = name.strip_prefix("nvme") else { return Err(PassedOver::NotNvme) };
    if block.join("partition").exists() {
        return Err(PassedOver::Partition);
    }
    let generic = format!("ng{rest}");
    if parent(&block).is_some_and(|parent| parent.contains("nvme-subsys")) {
        return Err(PassedOver::ManyPaths);
    }
    let queue = block.join("queue");
    if !matches!(text(&queue.join("zoned")).as_str(), "none" | "") {
        return Err(PassedOver::Zoned);
    }
    let class = sysfs.join("class/nvme-generic").join(&generic);
    let number = text(&class.join("dev"));
    let (major, minor) = number.split_once(':').ok_or(PassedOver::NoGenericDevice)?;
    let number =
        (|| Some((major.parse().ok()?, minor.parse().ok()?)))().ok_or(PassedOver::NoGenericDevice)?;
    let count = |name: &str| text(&queue.join(name)).parse::<usize>().ok();
    let by_controller = count("max_hw_sectors_kb").unwrap_or(4).saturating_mul(1 << 10);
    let by_segments = count("max_segments").unwrap_or(1).saturating_mul(SEGMENT_BYTES);
    let most = by_controller.min(by_segments).max(SEGMENT_BYTES);
    Ok(Found {
        generic,
        number,
        polled: text(&queue.join("io_poll")) == "1",
        transfer_bytes_max: most - most % SEGMENT_BYTES,
    })
}

/// What the namespace hangs on: its controller, or the subsystem of several.
fn parent(block: &Path) -> Option<String> {
    let device: PathBuf = block.join("device").canonicalize().ok()?;
    Some(device.file_name()?.to_str()?.to_owned())
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A little sysfs, removed at the end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, parent: &str) -> Self {
            let root = std::env::temp_dir().join(format!("ashlar-{}-sysfs-{name}", std::process::id()));
            let _absent = fs::remove_dir_all(&root);
            let block = root.join(format!("devices/{parent}/nvme0n1"));
            fs::create_dir_all(block.join("queue")).unwrap();
            fs::create_dir_all(block.join("nvme0n1p1")).unwrap();
            fs::create_dir_all(root.join("dev/block")).unwrap();
            fs::create_dir_all(root.join("class/nvme-generic/ng0n1")).unwrap();
            symlink("..", block.join("device")).unwrap();
            symlink(&block, root.join("dev/block/259:0")).unwrap();
            symlink(block.join("nvme0n1p1"), root.join("dev/block/259:1")).unwrap();
            fs::write(block.join("nvme0n1p1/partition"), "1\n").unwrap();
            fs::write(root.join("class/nvme-generic/ng0n1/dev"), "241:3\n").unwrap();
            let tree = Self(root);
            for (name, value) in
                [("zoned", "none"), ("io_poll", "1"), ("max_hw_sectors_kb", "512"), ("max_segments", "127")]
            {
                fs::write(block.join("queue").join(name), format!("{value}\n")).unwrap();
            }
            tree
        }

        fn set(&self, name: &str, value: &str) {
            fs::write(self.0.join("dev/block/259:0/queue").join(name), format!("{value}\n")).unwrap();
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_namespace_is_found_with_what_it_can_do() {
        let tree = Tree::new("good", "nvme0");
        let expected = Found {
            generic: "ng0n1".to_owned(),
            number: (241, 3),
            polled: true,
            transfer_bytes_max: 127 * 4096,
        };
        assert_eq!(find(&tree.0, 259, 0), Ok(expected.clone()));
        tree.set("io_poll", "0");
        tree.set("max_hw_sectors_kb", "130");
        let plain = Found { polled: false, transfer_bytes_max: 128 << 10, ..expected };
        assert_eq!(find(&tree.0, 259, 0), Ok(plain));
    }

    #[test]
    fn what_does_not_fit_is_passed_over_with_a_reason() {
        let tree = Tree::new("bad", "nvme0");
        assert_eq!(find(&tree.0, 259, 1), Err(PassedOver::Partition));
        assert_eq!(find(&tree.0, 8, 0), Err(PassedOver::NotNvme));
        tree.set("zoned", "host-managed");
        assert_eq!(find(&tree.0, 259, 0), Err(PassedOver::Zoned));
        tree.set("zoned", "none");
        fs::remove_dir_all(tree.0.join("class/nvme-generic")).unwrap();
        assert_eq!(find(&tree.0, 259, 0), Err(PassedOver::NoGenericDevice));
        let many = Tree::new("many", "nvme-subsys0");
        assert_eq!(find(&many.0, 259, 0), Err(PassedOver::ManyPaths));
    }
}
