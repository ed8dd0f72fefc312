//! Opens a block device or a file that stands in for one, past the page cache, for us alone.

use super::super::contract::DeviceInfo;
use super::nvme::{Namespace, PassedOver};
use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every device's logical block divides this, bytes.
const TRANSFER_UNIT: u32 = 4096;
/// Device probing by the system (udev) takes a lock for a moment when a device appears, and the kernel takes
/// a while to close the ring of a server that was killed: three seconds in all.
const LOCK_ATTEMPTS_MAX: u32 = 150;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// `BLKGETSIZE64`: bytes of a block device, as an 8-byte number on every 64-bit machine.
const BLOCK_GET_BYTES: libc::c_ulong = 0x8008_1272;

/// How to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// Refuse all writes.
    pub read_only: bool,
    /// Keep every other process out, and refuse a device that is mounted or otherwise taken.
    pub exclusive: bool,
}

/// Why it cannot serve as a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// Another process uses it, or it is mounted.
    InUse,
    /// Neither a block device nor an ordinary file.
    WrongType,
    /// The filesystem does not do direct I/O.
    NoDirectIo,
    /// The logical block is larger than 4096 bytes or no power of two.
    BlockSize {
        /// Bytes.
        found: u32,
    },
    /// NVMe passthrough is required and does not work.
    Passthrough(PassedOver),
    /// It exists already.
    Exists,
    /// Any other error number.
    Io {
        /// As from the kernel.
        errno: i32,
    },
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse => write!(f, "in use by another process"),
            Self::WrongType => write!(f, "neither a block device nor an ordinary file"),
            Self::NoDirectIo => write!(f, "the filesystem does not support direct I/O"),
            Self::BlockSize { found } => write!(f, "logical blocks of {found} bytes are not supported"),
            Self::Passthrough(why) => {
                write!(f, "cannot be driven by NVMe passthrough, which the configuration requires: {why}")
            }
            Self::Exists => write!(f, "exists already"),
            Self::Io { errno } => write!(f, "cannot open: {}", std::io::Error::from_raw_os_error(*errno)),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        Self::Io { errno: errno.raw_os_error() }
    }
}

/// Whether NVMe passthrough is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Passthrough {
    /// Never.
    Off,
    /// Where it works.
    #[default]
    Auto,
    /// A device with which it does not work is refused.
    Required,
}

/// An open device; the lock on it lasts as long as this.
#[derive(Debug)]
pub struct OpenDevice {
    fd: OwnedFd,
    info: DeviceInfo,
    read_only: bool,
    /// Commands go there, past this descriptor, or why they do not.
    passthrough: Result<Namespace, PassedOver>,
}

impl OpenDevice {
    /// Opens `path` for direct I/O.
    ///
    /// # Errors
    /// When it is in use, no device, or not usable as one.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self, OpenError> {
        let named = rustix::fs::stat(path)?;
        let is_file = match FileType::from_raw_mode(named.st_mode) {
            FileType::RegularFile => true,
            FileType::BlockDevice => false,
            FileType::Directory
            | FileType::Symlink
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::Unknown => return Err(OpenError::WrongType),
        };
        let mut flags = OFlags::DIRECT | OFlags::CLOEXEC | OFlags::NOCTTY;
        flags |= if options.read_only { OFlags::RDONLY } else { OFlags::RDWR };
        if options.exclusive && !is_file {
            // On a block device: refuse when a filesystem or another claim holds it.
            flags |= OFlags::EXCL;
        }
        let fd = open_free(path, flags)?;
        let opened = rustix::fs::fstat(&fd)?;
        if (opened.st_mode, opened.st_rdev, opened.st_ino) != (named.st_mode, named.st_rdev, named.st_ino) {
            // Somebody exchanged the name in between.
            return Err(OpenError::WrongType);
        }
        assert_direct(&fd)?;
        if options.exclusive {
            lock(&fd)?;
        }
        let name = path.display().to_string();
        let info = if is_file { file_info(name, &fd, &opened) } else { block_info(name, &fd, &opened)? };
        if info.logical_block > TRANSFER_UNIT || !info.logical_block.is_power_of_two() {
            return Err(OpenError::BlockSize { found: info.logical_block });
        }
        Ok(Self { fd, info, read_only: options.read_only, passthrough: Err(PassedOver::Off) })
    }

    /// Finds out whether NVMe passthrough works with this device, by trying, and uses it from then on if it does.
    ///
    /// # Errors
    /// When it is required and does not work.
    pub fn choose_passthrough(&mut self, choice: Passthrough) -> Result<(), OpenError> {
        self.passthrough = match choice {
            Passthrough::Off => Err(PassedOver::Off),
            Passthrough::Auto | Passthrough::Required => {
                Namespace::open(&self.fd, &self.info, self.read_only)
            }
        };
        match &self.passthrough {
            Err(why) if choice == Passthrough::Required => Err(OpenError::Passthrough(*why)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Why NVMe passthrough is not used; `None` when it is.
    #[must_use]
    pub fn passed_over(&self) -> Option<PassedOver> {
        self.passthrough.as_ref().err().copied()
    }

    pub(super) fn namespace(&self) -> Option<&Namespace> {
        self.passthrough.as_ref().ok()
    }

    /// What it is.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// True when the filesystem says that the whole range of a file holds written blocks, so that
    /// writing there changes no block map. Asks the extent map only; no data is read.
    pub(super) fn is_written(&self, offset: u64, length: u64) -> bool {
        // The first hole at or after the start: blocks allocated but never written count as holes.
        // The descriptor's position moves, which nobody uses.
        match rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::Hole(offset)) {
            Ok(hole) => hole >= offset + length,
            Err(_unknown) => false,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "runs before any core exists, on the starting thread")]
fn pause() {
    std::thread::sleep(LOCK_PAUSE);
}

/// Opens, waiting a while for whoever holds a block device to let go.
fn open_free(path: &Path, flags: OFlags) -> Result<OwnedFd, OpenError> {
    for _attempt in 1..LOCK_ATTEMPTS_MAX {
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => return Ok(fd),
            Err(Errno::BUSY) => pause(),
            Err(Errno::INVAL) => return Err(OpenError::NoDirectIo),
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(OpenError::InUse)
}

fn lock(fd: impl AsFd) -> Result<(), OpenError> {
    let fd = fd.as_fd();
    for _attempt in 1..LOCK_ATTEMPTS_MAX {
        match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK | Errno::INTR) => pause(),
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(OpenError::InUse)
}

/// One write unit of memory with the alignment that direct I/O wants.
#[repr(C, align(4096))]
struct Unit([u8; TRANSFER_UNIT as usize]);

/// Reads the flag back, and the first unit of the device: some filesystems take the flag and then refuse the
/// transfers. A device too short for a unit gives fewer bytes, which is no refusal.
fn assert_direct(fd: &OwnedFd) -> Result<(), OpenError> {
    if !rustix::fs::fcntl_getfl(fd)?.contains(OFlags::DIRECT) {
        return Err(OpenError::NoDirectIo);
    }
    let mut unit = Box::new(Unit([0; TRANSFER_UNIT as usize]));
    match rustix::io::pread(fd, &mut unit.0, 0) {
        // What else can go wrong with a read is the business of who needs these bytes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Err(OpenError::NoDirectIo),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// What direct transfers of a file must be aligned to, when the filesystem tells (Linux 6.1).
fn file_block(fd: &OwnedFd) -> Option<u32> {
    let asked = rustix::fs::StatxFlags::DIOALIGN;
    let told = rustix::fs::statx(fd, c"", rustix::fs::AtFlags::EMPTY_PATH, asked).ok()?;
    let has = told.stx_mask & asked.bits() != 0 && told.stx_dio_offset_align != 0;
    has.then_some(told.stx_dio_offset_align)
}

fn file_info(name: String, fd: &OwnedFd, stat: &rustix::fs::Stat) -> DeviceInfo {
    let bytes = u64::try_from(stat.st_size).unwrap_or(0);
    DeviceInfo {
        name,
        bytes: bytes - bytes % u64::from(TRANSFER_UNIT),
        // Smaller ones are no use to us; larger ones are refused.
        logical_block: file_block(fd).unwrap_or(TRANSFER_UNIT).max(TRANSFER_UNIT),
        physical_block: TRANSFER_UNIT,
        // What lies under a filesystem is not ours to know, so nothing is assumed to be safe.
        volatile_cache: true,
        rotational: false,
        is_file: true,
    }
}

fn block_info(name: String, fd: &OwnedFd, stat: &rustix::fs::Stat) -> Result<DeviceInfo, OpenError> {
    let mut bytes = 0_u64;
    // SAFETY: this request writes one 8-byte number to the given address, which is `bytes`.
    let asked = unsafe { libc::ioctl(fd.as_raw_fd(), BLOCK_GET_BYTES, &raw mut bytes) };
    if asked != 0 {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        return Err(OpenError::Io { errno });
    }
    let queue = queue_folder(stat.st_rdev);
    let says = |name: &str| fs::read_to_string(queue.join(name)).unwrap_or_default();
    Ok(DeviceInfo {
        name,
        bytes: bytes - bytes % u64::from(TRANSFER_UNIT),
        logical_block: rustix::fs::ioctl_blksszget(fd)?,
        physical_block: rustix::fs::ioctl_blkpbszget(fd)?,
        // Anything but a clear "write through" counts as a cache that loses writes.
        volatile_cache: says("write_cache").trim() != "write through",
        rotational: says("rotational").trim() == "1",
        is_file: false,
    })
}

/// The queue's folder in sysfs; a partition's queue is that of the disk around it.
pub(super) fn queue_folder(device: u64) -> PathBuf {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let own = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    let queue = own.join("queue");
    if queue.is_dir() { queue } else { own.join("../queue") }
}

/// Makes a file of `bytes` (rounded down to 4096) to stand in for a device. Blocks are allocated
/// as they are prepared. `replace` empties a file that is there and that nobody uses.
///
/// # Errors
/// When it exists and `replace` is not set, is in use, or cannot be made.
pub fn create_file_device(path: &Path, bytes: u64, replace: bool) -> Result<(), OpenError> {
    let mut flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    if !replace {
        flags |= OFlags::EXCL;
    }
    let fd = match rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(fd) => fd,
        Err(Errno::EXIST) => return Err(OpenError::Exists),
        Err(errno) => return Err(errno.into()),
    };
    let opened = rustix::fs::fstat(&fd)?;
    if FileType::from_raw_mode(opened.st_mode) != FileType::RegularFile {
        return Err(OpenError::WrongType);
    }
    // Before the first change: the old content may be somebody's pool.
    lock(&fd)?;
    rustix::fs::ftruncate(&fd, 0)?;
    rustix::fs::ftruncate(&fd, bytes - bytes % u64::from(TRANSFER_UNIT))?;
    rustix::fs::fsync(&fd)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder =
        rustix::fs::open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::fs::fsync(&folder)?;
    Ok(())
}
