//! The arguments of `ashlar pool`.

use crate::command::pool::{PoolAddOptions, PoolCreateOptions};
use crate::output::parse_size;
use ashlar_disk_format::code::CodeShape;
use std::path::PathBuf;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) action: Action,
}

#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum Action {
    /// Make a pool of devices; what they hold is lost
    Create(CreateArguments),
    /// Take more devices into a pool that no server uses; what they hold is lost
    Add(AddArguments),
    /// Print what devices say of their pool; writes nothing
    Status {
        /// The pool's devices
        #[arg(required = true, value_name = "DEVICE")]
        devices: Vec<PathBuf>,
    },
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct CreateArguments {
    /// A name for people
    name: String,
    /// Data and parity chunks per row, as 4+2
    #[arg(long, value_name = "K+M", value_parser = CodeShape::parse)]
    code: CodeShape,
    /// Block devices or files, at least K+M of them
    #[arg(required = true, value_name = "DEVICE")]
    devices: Vec<PathBuf>,
    /// A device whose contents may be lost
    #[arg(long, value_name = "DEVICE")]
    wipe: Vec<PathBuf>,
    /// Make devices that do not exist as files of this size
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    file_size: Option<u64>,
    /// Bytes of a segment, a power of two
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    segment_size: Option<u64>,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct AddArguments {
    /// The pool's devices
    #[arg(required = true, value_name = "DEVICE")]
    devices: Vec<PathBuf>,
    /// A block device or file that is to be one of them
    #[arg(long, required = true, value_name = "DEVICE")]
    new: Vec<PathBuf>,
    /// A new device whose contents may be lost
    #[arg(long, value_name = "DEVICE")]
    wipe: Vec<PathBuf>,
    /// Make new devices that do not exist as files of this size
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    file_size: Option<u64>,
}

impl AddArguments {
    pub(super) fn check(self) -> PoolAddOptions {
        PoolAddOptions { devices: self.devices, new: self.new, wipe: self.wipe, file_bytes: self.file_size }
    }
}

impl CreateArguments {
    pub(super) fn check(self) -> PoolCreateOptions {
        PoolCreateOptions {
            name: self.name,
            shape: self.code,
            devices: self.devices,
            wipe: self.wipe,
            file_bytes: self.file_size,
            segment_bytes: self.segment_size,
        }
    }
}
