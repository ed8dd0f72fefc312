//! The same load on several servers in turns: A B C, B C A, C A B, and so on, so that whatever changes on the machine
//! meanwhile meets all of them. Everything that is printed is a ratio of figures of one round, or stands beside one.

use crate::record::{Measurement, Recorder};
use crate::spread::{Spread, short};
use ashlar_tools::client::{Credentials, SignStyle};
use ashlar_tools::command::load::{
    KeyOrder, Limit, LoadError, LoadOptions, Mix, Operation, PayloadMode, measure, remove,
};
use ashlar_tools::output::{format_size, parse_size};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Bytes of bodies of one cell, unless it would be less than [`OBJECTS_MIN`] of them or more than [`OBJECTS_MAX`].
const CELL_BYTES: u64 = 128 << 20;
const OBJECTS_MIN: u64 = 32;
const OBJECTS_MAX: u64 = 1000;

/// Keys of the bucket that is listed, usually: a page of 1000 is then one of many.
pub const LISTED_KEYS: u64 = 20_000;

/// A server that is measured.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What it is called in tables and records.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Its process, or its CPU time stays unknown.
    pub pid: Option<u32>,
    /// Its keys.
    pub credentials: Credentials,
    /// Its region.
    pub region: String,
    /// Who vouches for it, if it speaks TLS.
    pub ca: Option<PathBuf>,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// PutObject with the body's SHA-256 signed in the header.
    PutSigned,
    /// PutObject with nothing of the body signed.
    PutUnsigned,
    /// GetObject.
    Get,
    /// ListObjectsV2, a page of 1000 out of [`Pace::listed_keys`].
    List,
    /// Reads, writes, deletes and listings, as 70, 20, 5 and 5.
    Mixed,
}

/// One row of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// What is asked.
    pub case: Case,
    /// Bytes of an object.
    pub bytes: u64,
}

/// How all of them are loaded.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Requests in flight.
    pub connections: usize,
    /// Length of one measurement.
    pub duration: Duration,
    /// How often each is measured.
    pub rounds: u32,
    /// Where signatures go.
    pub sign: SignStyle,
    /// Buckets begin with this.
    pub bucket: String,
    /// Keys of the bucket that is listed.
    pub listed_keys: u64,
}

/// What all rounds of one cell came to: per subject as many measurements as it had good rounds.
#[derive(Debug)]
pub struct Outcome {
    /// In the order of the subjects.
    pub measured: Vec<Vec<Measurement>>,
    /// What went wrong, in words.
    pub faults: Vec<String>,
}

impl Case {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::PutSigned, Self::PutUnsigned, Self::Get, Self::List, Self::Mixed];

    /// What it is called in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PutSigned => "put signed",
            Self::PutUnsigned => "put unsigned",
            Self::Get => "get",
            Self::List => "list",
            Self::Mixed => "mixed",
        }
    }

    fn mix(self) -> Mix {
        match self {
            Self::PutSigned | Self::PutUnsigned => Mix::only(Operation::Put),
            Self::Get => Mix::only(Operation::Get),
            Self::List => Mix::only(Operation::List),
            Self::Mixed => "get=70,put=20,delete=5,list=5".parse().unwrap_or(Mix::only(Operation::Get)),
        }
    }
}

impl Cell {
    /// The rows of a full comparison: each size put and read, then listing and a mix of small objects.
    #[must_use]
    pub fn matrix(sizes: &[u64]) -> Vec<Self> {
        let of_size = |bytes: &u64| {
            [Case::PutSigned, Case::PutUnsigned, Case::Get].map(|case| Self { case, bytes: *bytes })
        };
        let mut cells: Vec<_> = sizes.iter().flat_map(of_size).collect();
        cells.extend([Case::List, Case::Mixed].map(|case| Self { case, bytes: 4 << 10 }));
        cells
    }

    /// How many keys there are, of which `listed` where they are listed.
    #[must_use]
    pub fn objects(self, listed: u64) -> u64 {
        match self.case {
            Case::List => listed,
            Case::PutSigned | Case::PutUnsigned | Case::Get | Case::Mixed => {
                CELL_BYTES.div_ceil(self.bytes.max(1)).clamp(OBJECTS_MIN, OBJECTS_MAX)
            }
        }
    }

    fn bucket(self, prefix: &str) -> String {
        let kind = match self.case {
            Case::List => "list",
            Case::Mixed => "mixed",
            Case::PutSigned | Case::PutUnsigned | Case::Get => "size",
        };
        format!("{prefix}-{kind}-{}", self.bytes)
    }

    /// The load of one round. What is read is uploaded in the first.
    #[must_use]
    pub fn options(self, subject: &Subject, pace: &Pace, round: u32) -> LoadOptions {
        let signed = self.case == Case::PutSigned;
        LoadOptions {
            endpoint: subject.url.clone(),
            ca: subject.ca.clone(),
            credentials: subject.credentials.clone(),
            region: subject.region.clone(),
            bucket: self.bucket(&pace.bucket),
            prefix: "load/".to_owned(),
            mix: self.case.mix(),
            sizes: vec![self.bytes],
            objects: self.objects(pace.listed_keys),
            connections: pace.connections,
            threads: 1,
            limit: Limit::Duration(pace.duration),
            order: KeyOrder::Usual,
            payload: if signed { PayloadMode::Signed } else { PayloadMode::Unsigned },
            // In the query nothing of the body is ever signed.
            sign: if signed { SignStyle::Header } else { pace.sign },
            verify: false,
            prepare: round == 0,
            remove: false,
            seed: 1,
            json: None,
            server_pid: subject.pid,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.case.name(), format_size(self.bytes))
    }
}

/// Measures one cell of all subjects in turns. A subject that fails is left out of the rest of the cell.
///
/// # Errors
///
/// When the results cannot be written.
pub fn measure_cell(
    cell: Cell,
    subjects: &[Subject],
    pace: &Pace,
    scenario: &str,
    recorder: &mut Recorder,
) -> io::Result<Outcome> {
    let mut outcome = Outcome { measured: vec![Vec::new(); subjects.len()], faults: Vec::new() };
    let mut failed = vec![false; subjects.len()];
    for round in 0..pace.rounds {
        for place in turn(subjects.len(), round) {
            let (Some(subject), Some(failed), Some(measured)) =
                (subjects.get(place), failed.get_mut(place), outcome.measured.get_mut(place))
            else {
                continue;
            };
            if *failed {
                continue;
            }
            match one_round(cell, subject, pace, round) {
                Ok(report) => {
                    let answers = report.failures.iter().map(|(what, count)| format!("{count} x {what}"));
                    let faults = answers.map(|answer| format!("{cell}, {}: {answer}", subject.name));
                    outcome.faults.extend(faults);
                    let mut measurement = Measurement::new(scenario, &subject.name, cell.case.name());
                    measurement.round = round;
                    measured.push(recorder.add(measurement.with_load(&report))?);
                }
                Err(error) => {
                    *failed = true;
                    outcome.faults.push(format!("{cell}, {}: {error}", subject.name));
                }
            }
        }
    }
    Ok(outcome)
}

fn one_round(
    cell: Cell,
    subject: &Subject,
    pace: &Pace,
    round: u32,
) -> Result<ashlar_tools::command::load::LoadReport, LoadError> {
    let report = measure(cell.options(subject, pace, round))?;
    report.verdict()?;
    Ok(report)
}

/// Who comes when in a round: each round begins one further.
fn turn(subjects: usize, round: u32) -> impl Iterator<Item = usize> {
    let first = usize::try_from(round).ok().and_then(|round| round.checked_rem(subjects)).unwrap_or(0);
    (first..subjects).chain(0..first)
}

/// Takes away again what [`measure_cell`] has left on a server.
///
/// # Errors
///
/// When the server does not let it go.
pub fn clean_up(cells: &[Cell], subject: &Subject, pace: &Pace) -> Result<(), LoadError> {
    let mut buckets: Vec<String> = Vec::new();
    for cell in cells {
        let bucket = cell.bucket(&pace.bucket);
        if !buckets.contains(&bucket) {
            // Listings have the most keys of the buckets of their size, and all others as many as each other.
            remove(cell.options(subject, pace, 1))?;
            buckets.push(bucket);
        }
    }
    Ok(())
}

/// The head of the table whose lines [`rows`] makes.
#[must_use]
pub fn heading(baseline: &str) -> String {
    format!(
        "| operation | size | server | op/s | MB/s | p50 ms | p99 ms | CPU µs/op | CPU s/GB | CPU ÷ {baseline} | op/s ÷ {baseline} |\n\
         |---|---|---|---|---|---|---|---|---|---|---|"
    )
}

/// A line for each subject: the median of its rounds, for CPU time with the range, and the ratios to the first
/// subject of the same round.
#[must_use]
pub fn rows(cell: Cell, subjects: &[Subject], outcome: &Outcome) -> Vec<String> {
    let Some(baseline) = outcome.measured.first() else { return Vec::new() };
    let figures = |measured: &[Measurement], name: &str| -> Vec<f64> {
        measured.iter().map(|measurement| measurement.value(name)).collect()
    };
    let cpu_name = "cpu_us_per_operation";
    let lines = subjects.iter().zip(&outcome.measured).filter(|(_, measured)| !measured.is_empty());
    lines
        .map(|(subject, measured)| {
            let median = |name: &str, scale: f64| {
                let spread = Spread::of(figures(measured, name));
                spread.map_or_else(|| "-".to_owned(), |spread| short(spread.median * scale))
            };
            let ratio = |name: &str| {
                let spread = Spread::of_ratios(&figures(measured, name), &figures(baseline, name));
                spread.map_or_else(|| "-".to_owned(), |spread| spread.to_string())
            };
            let cpu = Spread::of(figures(measured, cpu_name));
            format!(
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                cell.case.name(),
                format_size(cell.bytes),
                subject.name,
                median("per_second", 1.0),
                median("megabytes_per_second", 1.0),
                median("p50_us", 1e-3),
                median("p99_us", 1e-3),
                cpu.map_or_else(|| "-".to_owned(), |spread| spread.to_string()),
                median("cpu_s_per_gigabyte", 1.0),
                ratio(cpu_name),
                ratio("per_second"),
            )
        })
        .collect()
}

/// What is wrong with the text of a [`Subject`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectError(String);

impl fmt::Display for SubjectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: write NAME=URL[,pid=N][,access=KEY,secret=KEY][,region=R][,ca=FILE]", self.0)
    }
}

impl std::error::Error for SubjectError {}

/// Reads `NAME=URL,pid=N,access=KEY,secret=KEY,region=R,ca=FILE`, of which only name and URL must be there. Without
/// keys those of `ASHLAR_ACCESS_KEY` and `ASHLAR_SECRET_KEY` count, which [`Subject::with_default_keys`] fills in.
impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let wrong = |what: &str| SubjectError(what.to_owned());
        let mut parts = text.split(',');
        let (name, url) = parts.next().and_then(|part| part.split_once('=')).ok_or_else(|| wrong(text))?;
        let mut subject = Self {
            name: name.to_owned(),
            url: url.to_owned(),
            pid: None,
            credentials: Credentials { access_key: String::new(), secret_key: String::new() },
            region: "us-east-1".to_owned(),
            ca: None,
        };
        for part in parts {
            let (field, value) = part.split_once('=').ok_or_else(|| wrong(part))?;
            match field {
                "pid" => subject.pid = Some(value.parse().map_err(|_no_number| wrong(part))?),
                "access" => value.clone_into(&mut subject.credentials.access_key),
                "secret" => value.clone_into(&mut subject.credentials.secret_key),
                "region" => value.clone_into(&mut subject.region),
                "ca" => subject.ca = Some(PathBuf::from(value)),
                _ => return Err(wrong(part)),
            }
        }
        Ok(subject)
    }
}

impl Subject {
    /// With these keys, unless it has its own.
    #[must_use]
    pub fn with_default_keys(mut self, credentials: &Credentials) -> Self {
        if self.credentials.access_key.is_empty() {
            self.credentials = credentials.clone();
        }
        self
    }
}

/// Reads sizes as clap gives them, one at a time.
///
/// # Errors
///
/// What is wrong, in words.
pub fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(text: &str) -> Subject {
        text.parse().unwrap()
    }

    fn pace() -> Pace {
        Pace {
            connections: 16,
            duration: Duration::from_secs(1),
            rounds: 3,
            sign: SignStyle::Query,
            bucket: "bench".to_owned(),
            listed_keys: LISTED_KEYS,
        }
    }

    #[test]
    fn servers_are_read_with_what_they_need() {
        let garage = subject("garage=http://h:1,pid=7,access=a,secret=b=c,region=garage,ca=/x.pem");
        assert_eq!(
            (garage.name.as_str(), garage.url.as_str(), garage.pid),
            ("garage", "http://h:1", Some(7))
        );
        assert_eq!((garage.credentials.secret_key.as_str(), garage.region.as_str()), ("b=c", "garage"));
        let keys = Credentials { access_key: "k".to_owned(), secret_key: "s".to_owned() };
        assert_eq!(garage.with_default_keys(&keys).credentials.access_key, "a");
        assert_eq!(subject("a=http://h").with_default_keys(&keys).credentials.access_key, "k");
        for wrong in ["http://h", "a=http://h,pid=x", "a=http://h,what=1", "a=http://h,pid"] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn everyone_comes_first_in_turn() {
        let order: Vec<Vec<usize>> = (0..4).map(|round| turn(3, round).collect()).collect();
        assert_eq!(order, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
        assert_eq!(turn(0, 5).count(), 0);
    }

    #[test]
    fn a_matrix_puts_and_reads_each_size_in_one_bucket() {
        let cells = Cell::matrix(&[4096, 4 << 20]);
        assert_eq!(cells.len(), 8);
        let subject = subject("a=http://h");
        let options: Vec<_> = cells.iter().map(|cell| cell.options(&subject, &pace(), 0)).collect();
        assert_eq!(options[0].bucket, options[2].bucket);
        assert_ne!(options[0].bucket, options[3].bucket);
        assert_eq!((options[0].objects, options[3].objects, options[6].objects), (1000, 32, LISTED_KEYS));
        // A body is signed only in a header, whatever else is.
        assert_eq!((options[0].sign, options[1].sign), (SignStyle::Header, SignStyle::Query));
        assert!(options[0].prepare && !cells[0].options(&subject, &pace(), 1).prepare);
        assert!(options[7].mix.has(Operation::Delete) && options[7].mix.has(Operation::List));
        assert_eq!(cells[3].to_string(), "put signed 4MiB");
    }

    #[test]
    fn ratios_are_of_one_round_and_a_failed_server_has_no_row() {
        let measured = |figures: &[f64]| -> Vec<Measurement> {
            figures
                .iter()
                .map(|cpu| Measurement::new("m", "s", "get").with("cpu_us_per_operation", *cpu))
                .collect()
        };
        let outcome = Outcome {
            measured: vec![measured(&[10.0, 20.0, 40.0]), measured(&[]), measured(&[30.0, 20.0, 160.0])],
            faults: Vec::new(),
        };
        let subjects = ["static", "gone", "ours"].map(|name| subject(&format!("{name}=http://h")));
        let lines = rows(Cell { case: Case::Get, bytes: 4096 }, &subjects, &outcome);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains("| 30.0 (20.0–160) |"), "{lines:?}");
        assert!(lines[1].contains("| 3.00 (1.00–4.00) | - |"), "{lines:?}");
        assert_eq!(
            heading("static").lines().map(|line| line.matches('|').count()).collect::<Vec<_>>(),
            [12, 12]
        );
        assert_eq!(lines[0].matches('|').count(), 12);
    }
}
