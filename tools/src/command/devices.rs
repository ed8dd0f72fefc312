//! Opening devices, and looking at them before they are overwritten.

use ashlar_disk_format::constants::LABEL_MAGIC;
use ashlar_engine::runtime::native::{Contents, OpenDevice, OpenError, OpenOptions, Passthrough, what_is_on};
use std::fmt;
use std::path::{Path, PathBuf};

/// A device and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceProblem {
    /// It cannot be opened.
    Open {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: OpenError,
    },
    /// It holds something.
    NotEmpty {
        /// Its path.
        path: PathBuf,
        /// What was found.
        contents: Contents,
    },
    /// It is named twice.
    Twice {
        /// Its path.
        path: PathBuf,
    },
}

impl fmt::Display for DeviceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, error } => write!(f, "{}: {error}", path.display()),
            Self::NotEmpty { path, contents } => write!(
                f,
                "{0}: holds {contents}; if it may be lost, name it again with --wipe {0}",
                path.display()
            ),
            Self::Twice { path } => write!(f, "{}: named twice", path.display()),
        }
    }
}

impl std::error::Error for DeviceProblem {}

/// Opens what is there, for service: direct I/O, locked against other processes. What cannot be opened
/// is returned beside, because a pool works without some of its devices.
///
/// # Errors
/// When another process uses one of them: two servers on one pool would destroy it. When passthrough is required
/// and does not work with one.
pub(crate) fn open_present(
    paths: &[PathBuf],
    passthrough: Passthrough,
) -> Result<(Vec<OpenDevice>, Vec<DeviceProblem>), DeviceProblem> {
    let mut devices = Vec::new();
    let mut absent = Vec::new();
    for path in paths {
        match OpenDevice::open(path, OpenOptions { read_only: false, exclusive: true }) {
            Ok(mut device) => {
                device
                    .choose_passthrough(passthrough)
                    .map_err(|error| DeviceProblem::Open { path: path.clone(), error })?;
                devices.push(device);
            }
            Err(OpenError::InUse) => {
                return Err(DeviceProblem::Open { path: path.clone(), error: OpenError::InUse });
            }
            Err(error) => absent.push(DeviceProblem::Open { path: path.clone(), error }),
        }
    }
    Ok((devices, absent))
}

/// Opens what is there to look at it; a server may be using it meanwhile.
pub(crate) fn open_to_read(paths: &[PathBuf]) -> (Vec<OpenDevice>, Vec<DeviceProblem>) {
    let mut devices = Vec::new();
    let mut absent = Vec::new();
    for path in paths {
        match OpenDevice::open(path, OpenOptions { read_only: true, exclusive: false }) {
            Ok(device) => devices.push(device),
            Err(error) => absent.push(DeviceProblem::Open { path: path.clone(), error }),
        }
    }
    (devices, absent)
}

/// Refuses a device that holds anything and is not among those to be wiped.
///
/// # Errors
/// [`DeviceProblem`] says how to go on.
pub(crate) fn check_empty(path: &Path, wipe: &[PathBuf]) -> Result<(), DeviceProblem> {
    let contents = what_is_on(path, &LABEL_MAGIC.to_le_bytes())
        .map_err(|error| DeviceProblem::Open { path: path.to_path_buf(), error })?;
    if contents == Contents::Empty || wipe.iter().any(|named| named == path) {
        return Ok(());
    }
    Err(DeviceProblem::NotEmpty { path: path.to_path_buf(), contents })
}
