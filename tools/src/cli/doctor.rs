//! The arguments of `ashlar doctor`.

use crate::command::doctor::DoctorOptions;
use std::path::PathBuf;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Arguments {
    /// Block devices or files to look at; nothing is written to them
    #[arg(value_name = "DEVICE")]
    devices: Vec<PathBuf>,
    /// Look at the devices of this configuration of the server, and hold its memory against the limits
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For programs
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// The options that these arguments mean.
    pub(super) fn check(self) -> DoctorOptions {
        DoctorOptions { config: self.config, devices: self.devices, json: self.json }
    }
}
