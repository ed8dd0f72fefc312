//! What every ring makes of the kernel's errors.

use std::io;

/// The number of an error that came from the kernel.
pub(super) fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// A call of `io_uring_enter` may have been interrupted, run out of time, or found the kernel short of memory or the
/// completions not taken yet. Whatever it did not submit is still in the submission ring, so that the next call does.
///
/// # Panics
/// At any other error: a core whose ring is broken cannot serve.
pub(super) fn assert_entered(entered: io::Result<usize>) {
    if let Err(error) = entered {
        let transient = [libc::EINTR, libc::ETIME, libc::EAGAIN, libc::EBUSY];
        let code = errno(&error);
        assert!(transient.contains(&code), "a ring cannot be entered: error {code}");
    }
}
