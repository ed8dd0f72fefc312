//! Loop devices with direct I/O over preallocated files: the block devices of a machine that has no spare disk.

use crate::process::{ProcessError, run};
use std::fs;
use std::path::{Path, PathBuf};

/// One, detached when dropped; its file then goes too.
#[derive(Debug)]
pub struct LoopDevice {
    device: PathBuf,
    file: PathBuf,
}

impl LoopDevice {
    /// Makes `file`, of `bytes`, and puts `named` over it, or whichever device is free.
    ///
    /// # Errors
    ///
    /// When there is no room, no free device, or no right to use one.
    pub fn make(file: &Path, bytes: u64, named: Option<&Path>) -> Result<Self, ProcessError> {
        let path = file.display().to_string();
        run(Path::new("fallocate"), &["--length", &bytes.to_string(), &path])?;
        let device = match named {
            Some(named) => {
                run(Path::new("losetup"), &["--direct-io=on", &named.display().to_string(), &path])?;
                named.to_path_buf()
            }
            None => {
                let said = run(Path::new("losetup"), &["--direct-io=on", "--find", "--show", &path])?;
                PathBuf::from(said.trim())
            }
        };
        Ok(Self { device, file: file.to_path_buf() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.device
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // What cannot be detached is left to the operator, who sees it in `losetup --all`.
        let _failed = run(Path::new("losetup"), &["--detach", &self.device.display().to_string()]);
        let _failed = fs::remove_file(&self.file);
    }
}
