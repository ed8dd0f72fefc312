//! SIGTERM and SIGINT as a descriptor that the ring can wait for.

use std::os::fd::{FromRawFd, OwnedFd};

/// Blocks the two signals for this thread and all it starts, as long as it lives.
#[derive(Debug)]
pub(super) struct Signals {
    before: libc::sigset_t,
    fd: OwnedFd,
}

fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: all-zero bytes are a valid, empty signal set on Linux.
    unsafe { std::mem::zeroed() }
}

impl Signals {
    pub(super) fn block() -> Result<Self, i32> {
        let mut set = empty_set();
        for signal in [libc::SIGTERM, libc::SIGINT] {
            // SAFETY: `set` is initialised and ours, and both are signal numbers.
            let added = unsafe { libc::sigaddset(&raw mut set, signal) };
            assert!(added == 0, "both signals exist");
        }
        // SAFETY: `set` is an initialised signal set; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(last_errno());
        }
        // SAFETY: the descriptor was just opened for us and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut before = empty_set();
        // SAFETY: both sets are initialised and outlive the call.
        let blocked = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before) };
        if blocked != 0 {
            return Err(blocked);
        }
        Ok(Self { before, fd })
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // The ring only waited for the descriptor. A signal that was not read stays pending and would
        // end the process the moment it is unblocked, after everything was closed in order.
        let mut pending = [0; size_of::<libc::signalfd_siginfo>()];
        while rustix::io::read(&self.fd, &mut pending).is_ok_and(|read| read > 0) {}
        let set = std::ptr::from_ref(&self.before);
        // SAFETY: `set` is the mask that this thread had; a null pointer asks for no old one.
        let restored = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, set, std::ptr::null_mut()) };
        assert!(restored == 0, "a mask that was in force is a valid mask");
    }
}
