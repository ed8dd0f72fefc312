//! What keeps a launch from being as fast as it could be.

/// What works, but not as well as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchWarning {
    /// A core's ring could not register the buffer memory: device transfers pin their memory each
    /// time, which costs CPU. Raise the limit of locked memory (`ulimit -l`, `LimitMEMLOCK=`).
    BuffersNotRegistered {
        /// Which core.
        core: u16,
        /// As from the kernel.
        errno: i32,
    },
}

impl std::fmt::Display for LaunchWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BuffersNotRegistered { core, errno } => write!(
                f,
                "core {core} could not register its buffer memory (errno {errno}); \
                 raise the limit of locked memory for full speed"
            ),
        }
    }
}
