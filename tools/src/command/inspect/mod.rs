//! `ashlar inspect`: prints any structure on a device, or on an image of one.
//!
//! Three rules. It never writes: devices are opened for reading only, through plain files, so it works beside a
//! running server and on copies. It prints as much as it can of what is damaged and names the field that is wrong. Its
//! verdict is that of the thing asked for: success only when all of it could be read and proved itself.

mod checkpoint;
mod device;
mod entry;
mod payload;
mod report;
mod roots;
mod row;
mod segment;
mod summary;

use ashlar_disk_format::units::{RowOffset, SegmentIndex};
use device::{Device, check_together};
use report::Report;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

/// What to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Labels, superblock copies, layout and segments by kind, of each device.
    Summary,
    /// Both labels of each device.
    Label,
    /// The superblock copies of each device.
    Superblock,
    /// A segment's header and rows, of the first device.
    Segment(SegmentIndex),
    /// A row of a segment of the first device; the other devices help to read its records.
    Row(SegmentIndex, RowOffset),
    /// The checkpoint that all devices together hold.
    Checkpoint,
}

/// What to inspect, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectOptions {
    /// Devices or images, at least one.
    pub devices: Vec<PathBuf>,
    /// What to print.
    pub what: What,
    /// As JSON instead of text.
    pub json: bool,
}

/// Why an inspection failed.
#[derive(Debug)]
pub enum InspectError {
    /// A device cannot be opened.
    Open {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The result could not be printed.
    Print(io::Error),
    /// Something of what was asked for is damaged; what, is in the output.
    Damaged {
        /// How many faults were found.
        faults: usize,
    },
}

impl fmt::Display for InspectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, error } => write!(formatter, "{}: {error}", path.display()),
            Self::Print(error) => write!(formatter, "cannot print: {error}"),
            Self::Damaged { faults } => write!(formatter, "{faults} faults"),
        }
    }
}

impl std::error::Error for InspectError {}

/// Inspects and prints to standard output.
///
/// # Errors
/// [`InspectError::Damaged`] after printing when anything asked for is damaged; the others as they say.
pub fn run(options: &InspectOptions) -> Result<(), InspectError> {
    let report = inspect(options)?;
    let text = if options.json { format!("{:#}\n", report.json()) } else { report.text() };
    io::stdout().lock().write_all(text.as_bytes()).map_err(InspectError::Print)?;
    match report.faults().len() {
        0 => Ok(()),
        faults => Err(InspectError::Damaged { faults }),
    }
}

fn inspect(options: &InspectOptions) -> Result<Report, InspectError> {
    let open =
        |path: &PathBuf| Device::open(path).map_err(|error| InspectError::Open { path: path.clone(), error });
    let devices = options.devices.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut report = Report::new();
    match options.what {
        What::Summary => each(&devices, &mut report, summary::summary),
        What::Label => each(&devices, &mut report, roots::labels),
        What::Superblock => each(&devices, &mut report, roots::superblocks),
        What::Segment(segment) => {
            check_together(devices.get(..1).unwrap_or_default(), &mut report);
            if let Some(device) = devices.first() {
                segment::segment(device, segment, &mut report);
            }
        }
        What::Row(segment, row) => {
            check_together(&devices, &mut report);
            row::row(&devices, segment, row, &mut report);
        }
        What::Checkpoint => {
            check_together(&devices, &mut report);
            checkpoint::checkpoint(&devices, &mut report);
        }
    }
    Ok(report)
}

fn each(devices: &[Device], report: &mut Report, one: fn(&Device, &mut Report)) {
    for device in devices {
        report.device(device.path(), |report| one(device, report));
    }
}

#[cfg(test)]
mod tests;
