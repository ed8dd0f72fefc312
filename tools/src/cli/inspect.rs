//! The arguments of `ashlar inspect`.

use crate::command::inspect::{InspectOptions, What};
use ashlar_disk_format::units::{RowOffset, SegmentIndex};
use std::fmt;
use std::path::PathBuf;

#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(super) struct Arguments {
    /// Devices or images of them, opened for reading only
    #[arg(required = true, value_name = "DEVICE")]
    devices: Vec<PathBuf>,
    /// Both labels in full
    #[arg(long, group = "what")]
    label: bool,
    /// The superblock copies, and the one they agree on in full
    #[arg(long, group = "what")]
    superblock: bool,
    /// A segment of the first device: its header and its rows
    #[arg(long, group = "what", value_name = "N")]
    segment: Option<u32>,
    /// A row of the first device; its records are read with the help of the other devices
    #[arg(long, group = "what", value_name = "SEGMENT:OFFSET")]
    row: Option<String>,
    /// The checkpoint that the devices together hold
    #[arg(long, group = "what")]
    checkpoint: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// What is wrong with arguments that are each well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArgumentError {
    /// `--row` cannot be read.
    Row,
    /// `--segment` takes one device.
    OneDevice,
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Row => "--row is a segment and an offset in units of 4096 bytes, at least 1, as 3:17",
            Self::OneDevice => "--segment takes one device",
        })
    }
}

impl Arguments {
    /// The options that these arguments mean.
    pub(super) fn check(self) -> Result<InspectOptions, ArgumentError> {
        let what = self.what()?;
        if matches!(what, What::Segment(_)) && self.devices.len() > 1 {
            return Err(ArgumentError::OneDevice);
        }
        Ok(InspectOptions { devices: self.devices, what, json: self.json })
    }

    fn what(&self) -> Result<What, ArgumentError> {
        if let Some(row) = &self.row {
            return parse_row(row).ok_or(ArgumentError::Row);
        }
        if let Some(segment) = self.segment {
            return Ok(What::Segment(SegmentIndex(segment)));
        }
        Ok(match (self.label, self.superblock, self.checkpoint) {
            (true, _, _) => What::Label,
            (_, true, _) => What::Superblock,
            (_, _, true) => What::Checkpoint,
            (false, false, false) => What::Summary,
        })
    }
}

fn parse_row(text: &str) -> Option<What> {
    let (segment, row) = text.split_once(':')?;
    let (segment, row) = (segment.parse().ok()?, row.parse().ok()?);
    // Offset 0 is the segment's header.
    (row > 0).then_some(What::Row(SegmentIndex(segment), RowOffset(row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn check(line: &str) -> Result<InspectOptions, ArgumentError> {
        let words = ["inspect"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().arguments.check()
    }

    #[test]
    fn one_thing_is_asked_for() {
        assert_eq!(check("a b").unwrap().what, What::Summary);
        assert_eq!(check("--label a").unwrap().what, What::Label);
        assert_eq!(check("--segment 7 a").unwrap().what, What::Segment(SegmentIndex(7)));
        assert_eq!(check("--row 3:17 a b").unwrap().what, What::Row(SegmentIndex(3), RowOffset(17)));
        assert!(check("--checkpoint --json a b").unwrap().json);
        assert!(Line::try_parse_from(["inspect", "--label", "--superblock", "a"]).is_err());
        assert!(Line::try_parse_from(["inspect", "--label"]).is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(check("--row 3 a"), Err(ArgumentError::Row));
        assert_eq!(check("--row 3:0 a"), Err(ArgumentError::Row));
        assert_eq!(check("--segment 3 a b"), Err(ArgumentError::OneDevice));
    }
}
