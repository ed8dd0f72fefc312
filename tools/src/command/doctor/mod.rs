//! `ashlar doctor`: what the machine and each device give, what the server would really use of it, and what to do
//! about anything that keeps it from running, makes it unsafe or makes it slow.
//!
//! It looks and tries out, and changes nothing: devices are opened for reading only and without a lock, so it works
//! beside a running server.

mod device;
mod machine;
mod report;

use crate::command::serve::{ConfigError, ServeConfig};
use ashlar_engine::runtime::native::Passthrough;
use report::Report;
use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;

/// A checked `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorOptions {
    /// The server's configuration, which names devices and memory.
    pub config: Option<PathBuf>,
    /// Devices, besides those of the configuration.
    pub devices: Vec<PathBuf>,
    /// As JSON instead of text.
    pub json: bool,
}

/// Why a doctor is not content.
#[derive(Debug)]
pub enum DoctorError {
    /// The configuration cannot be read.
    Config(ConfigError),
    /// The result could not be printed.
    Print(io::Error),
    /// There is something to be done; what, is in the output.
    Problems {
        /// How many things.
        count: usize,
    },
}

impl fmt::Display for DoctorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(formatter, "{error}"),
            Self::Print(error) => write!(formatter, "cannot print: {error}"),
            Self::Problems { count: 1 } => write!(formatter, "1 thing to do"),
            Self::Problems { count } => write!(formatter, "{count} things to do"),
        }
    }
}

impl std::error::Error for DoctorError {}

/// Looks and prints to standard output.
///
/// # Errors
/// [`DoctorError::Problems`] after printing when there is something to be done; the others as they say.
pub fn run(options: &DoctorOptions) -> Result<(), DoctorError> {
    let mut devices = options.devices.clone();
    let mut memory = None;
    let mut passthrough = Passthrough::Auto;
    if let Some(path) = &options.config {
        let serve = ServeConfig::load(path).and_then(ServeConfig::check).map_err(DoctorError::Config)?;
        devices.splice(0..0, serve.devices);
        memory = Some(serve.memory);
        passthrough = serve.passthrough;
    }
    let mut report = Report::new();
    machine::look(memory, &mut report);
    device::look(&devices, passthrough, &mut report);
    let text = if options.json { format!("{:#}\n", report.json()) } else { report.text() };
    io::stdout().lock().write_all(text.as_bytes()).map_err(DoctorError::Print)?;
    match report.problem_count() {
        0 => Ok(()),
        count => Err(DoctorError::Problems { count }),
    }
}
