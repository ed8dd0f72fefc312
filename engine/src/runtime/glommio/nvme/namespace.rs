//! A namespace that is open for commands: checked against its block device, and tried out.

use super::super::super::contract::DeviceInfo;
use super::command::{Command, URING_COMMAND, encode};
use super::find::{PassedOver, find};
use super::identify::{identify, number};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::fs::{FileType, Mode, OFlags};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::path::Path;

/// Transfers are multiples of this, bytes.
const UNIT: u32 = 4096;
const UNIT_BYTES: usize = 4096;
/// Entries of the ring that a namespace is tried out with.
const TRIAL_ENTRIES: u32 = 4;

/// Everything that commands to a namespace need. The lock on it is that of its block device, which stays open.
#[derive(Debug)]
pub(in super::super) struct Namespace {
    fd: OwnedFd,
    /// What commands call it.
    pub(super) number: u32,
    /// Logarithm of its blocks' bytes.
    pub(super) block_shift: u32,
    /// Most bytes of one command.
    pub(super) transfer_bytes_max: usize,
    /// Completions are polled for.
    pub(super) polled: bool,
    /// Dataset Management is understood.
    pub(super) deallocates: bool,
}

impl Namespace {
    /// Opens the generic device of `block`, makes sure that it is the same namespace in a format we can use, and
    /// reads from it the way the server would.
    pub(in super::super) fn open(
        block: &OwnedFd,
        info: &DeviceInfo,
        read_only: bool,
    ) -> Result<Self, PassedOver> {
        if info.is_file {
            return Err(PassedOver::NotNvme);
        }
        let open_error = |errno: rustix::io::Errno| PassedOver::Open { errno: errno.raw_os_error() };
        let device = rustix::fs::fstat(block).map_err(open_error)?.st_rdev;
        let found = find(Path::new("/sys"), rustix::fs::major(device), rustix::fs::minor(device))?;
        let access = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
        let node = format!("/dev/{}", found.generic);
        let fd = rustix::fs::open(node, access | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
            .map_err(open_error)?;
        let opened = rustix::fs::fstat(&fd).map_err(open_error)?;
        let opened_number = (rustix::fs::major(opened.st_rdev), rustix::fs::minor(opened.st_rdev));
        let is_device = FileType::from_raw_mode(opened.st_mode) == FileType::CharacterDevice;
        let Some(number) = number(&fd) else { return Err(PassedOver::Mismatch) };
        if !is_device || opened_number != found.number || super::identify::number(block) != Some(number) {
            return Err(PassedOver::Mismatch);
        }
        let identity = identify(&fd, number)?;
        let (block_bytes, metadata) = (identity.block_bytes, identity.metadata_bytes);
        if block_bytes == 0 || !UNIT.is_multiple_of(block_bytes) || metadata != 0 {
            return Err(PassedOver::Format { block: block_bytes, metadata });
        }
        let bytes = identity.blocks.saturating_mul(u64::from(block_bytes));
        if block_bytes != info.logical_block || bytes - bytes % u64::from(UNIT) != info.bytes {
            return Err(PassedOver::Mismatch);
        }
        let namespace = Self {
            fd,
            number,
            block_shift: block_bytes.trailing_zeros(),
            transfer_bytes_max: found.transfer_bytes_max,
            polled: found.polled,
            deallocates: identity.deallocates,
        };
        namespace.try_out()?;
        Ok(namespace)
    }

    /// Whether the controller has queues for polling, and we use them.
    pub(in super::super) fn polled(&self) -> bool {
        self.polled
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Something that takes commands and is no namespace.
    #[cfg(test)]
    pub(super) fn stand_in(fd: OwnedFd, transfer_bytes_max: usize) -> Self {
        Self { fd, number: 1, block_shift: 9, transfer_bytes_max, polled: false, deallocates: true }
    }

    /// Reads the first unit through a ring of the kind that the server makes.
    fn try_out(&self) -> Result<(), PassedOver> {
        let failed = |error: &std::io::Error| PassedOver::Trial {
            result: error.raw_os_error().unwrap_or(libc::EIO).saturating_neg(),
        };
        let mut ring = build(TRIAL_ENTRIES, TRIAL_ENTRIES, self.polled).map_err(|error| failed(&error))?;
        let mut unit = Box::new(Unit([0; UNIT_BYTES]));
        let address = (&raw mut *unit).expose_provenance() as u64;
        let read = Command::Read { first: 0, blocks: UNIT >> self.block_shift };
        let entry = opcode::UringCmd80::new(types::Fd(self.raw_fd()), URING_COMMAND)
            .cmd(encode(self.number, read, address, UNIT))
            .build();
        {
            let mut submission = ring.submission();
            // SAFETY: the entry points at `unit`, which is freed only after the completion was taken, and
            // leaked where none came.
            let pushed = unsafe { submission.push(&entry) };
            assert!(pushed.is_ok(), "a fresh ring has room");
        }
        loop {
            let waited = ring.submit_and_wait(1);
            if let Some(completion) = ring.completion().next() {
                return match completion.result() {
                    0 => Ok(()),
                    result => Err(PassedOver::Trial { result }),
                };
            }
            if let Err(error) = waited
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                // Nobody can say whether the controller still writes there.
                Box::leak(unit);
                return Err(failed(&error));
            }
        }
    }
}

#[repr(C, align(4096))]
struct Unit([u8; UNIT_BYTES]);

/// A ring that takes commands and gives whole completions.
pub(super) type CommandRing = IoUring<squeue::Entry128, cqueue::Entry32>;

/// A ring of the calling thread.
pub(super) fn build(entries: u32, completions: u32, polled: bool) -> std::io::Result<CommandRing> {
    let mut builder = CommandRing::builder();
    builder
        .setup_cqsize(completions)
        .setup_submit_all()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .dontfork();
    if polled {
        builder.setup_iopoll();
    }
    builder.build(entries)
}
