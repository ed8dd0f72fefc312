//! Lines of results: one form for all programs, one JSON object a line, appended and never changed.
//!
//! A run begins with one line that says where, when and of what commit; the measurements that follow name it. So a
//! file may hold many runs, and lines may be moved between files as long as a run's line comes along.
//!
//! ```json
//! {"record":"run","id":"20261122T031500Z-4711","program":"scenarios","date":"…","commit":"bcb6e4c","machine":{…},"storage":[…],"note":""}
//! {"record":"measurement","run":"20261122T031500Z-4711","scenario":"matrix","subject":"ashlar, loop devices","case":"get","bytes":4096,"connections":16,"round":0,"load_average":0.5,"values":{"cpu_us_per_operation":16.1}}
//! ```

use crate::machine::{Machine, Storage, commit, load_average};
use ashlar_tools::clock;
use ashlar_tools::command::load::LoadReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The beginning of a run.
    Run(Run),
    /// A figure of it, or several that were measured together.
    Measurement(Measurement),
}

/// Where, when and of what a run was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its name, unlike any other's.
    pub id: String,
    /// Which program.
    pub program: String,
    /// When it began, as RFC 3339, in UTC.
    pub date: String,
    /// The commit of the source.
    pub commit: String,
    /// The machine.
    pub machine: Machine,
    /// What the server under test stored on, or what was measured itself.
    pub storage: Vec<Storage>,
    /// What else a reader must know, such as that compilers ran beside it.
    pub note: String,
}

/// Figures that were measured together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The run that it belongs to.
    pub run: String,
    /// Which measurement, as `matrix` or `idle`.
    pub scenario: String,
    /// What was measured: a server or a device.
    pub subject: String,
    /// What it did, as `put signed`.
    pub case: String,
    /// Bytes of an object or a transfer, where there is one size.
    pub bytes: Option<u64>,
    /// Requests or transfers in flight.
    pub connections: Option<u64>,
    /// Counts the repetitions of the same from 0.
    pub round: u32,
    /// The machine's at the end.
    pub load_average: f64,
    /// Figures by name; the name says the unit.
    pub values: BTreeMap<String, f64>,
}

impl Measurement {
    /// Nothing yet, of `subject` doing `case`.
    #[must_use]
    pub fn new(scenario: &str, subject: &str, case: &str) -> Self {
        Self {
            scenario: scenario.to_owned(),
            subject: subject.to_owned(),
            case: case.to_owned(),
            ..Self::default()
        }
    }

    /// With one more figure.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.values.insert(name.to_owned(), value);
        self
    }

    /// With the figures of a load.
    #[must_use]
    pub fn with_load(mut self, report: &LoadReport) -> Self {
        let total = &report.total;
        self.bytes = match report.sizes.as_slice() {
            [bytes] => Some(*bytes),
            _ => None,
        };
        self.connections = u64::try_from(report.connections).ok();
        let failures: u64 = report.failures.values().sum();
        let mut values = vec![
            ("count", total.count as f64),
            ("seconds", report.elapsed_seconds),
            ("per_second", total.per_second),
            ("megabytes_per_second", total.megabytes_per_second),
            ("p50_us", total.latency_us.p50),
            ("p99_us", total.latency_us.p99),
            ("failures", failures as f64),
        ];
        if let Some(server) = &report.server {
            values.push(("cpu_us_per_operation", server.cpu_us_per_operation));
            values.push(("cores_busy", server.cores_busy));
            values.push(("resident_bytes", server.resident_bytes as f64));
            values.push(("resident_bytes_max", server.resident_bytes_max as f64));
            if total.bytes > 0 {
                values.push(("cpu_s_per_gigabyte", server.cpu_seconds * 1e9 / total.bytes as f64));
            }
        }
        self.values.extend(values.into_iter().map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// A figure, or NaN where there is none.
    #[must_use]
    pub fn value(&self, name: &str) -> f64 {
        self.values.get(name).copied().unwrap_or(f64::NAN)
    }
}

/// Appends the lines of one run.
#[derive(Debug)]
pub struct Recorder {
    run: String,
    file: Option<File>,
}

impl Recorder {
    /// Writes the run's first line; to nowhere without `path`.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn begin(path: Option<&Path>, program: &str, storage: &[&Path], note: &str) -> io::Result<Self> {
        let now = clock::wall();
        let id = format!("{}-{}", now.strftime("%Y%m%dT%H%M%SZ"), std::process::id());
        let file = path.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
        let mut recorder = Self { run: id.clone(), file };
        recorder.line(&Record::Run(Run {
            id,
            program: program.to_owned(),
            date: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            commit: commit(),
            machine: Machine::read(),
            storage: storage.iter().map(|path| Storage::read(path)).collect(),
            note: note.to_owned(),
        }))?;
        Ok(recorder)
    }

    /// Writes a measurement of this run and gives it back complete.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn add(&mut self, measurement: Measurement) -> io::Result<Measurement> {
        let run = self.run.clone();
        let complete = Measurement { run, load_average: load_average(), ..measurement };
        self.line(&Record::Measurement(complete.clone()))?;
        Ok(complete)
    }

    /// Each line is complete as soon as it is written: a run that is cut short loses none.
    fn line(&mut self, record: &Record) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut line = serde_json::to_string(record)?;
        line.push('\n');
        file.write_all(line.as_bytes())
    }
}

/// Every record of a text, in order. A line that is none is an error that names it.
///
/// # Errors
///
/// The number of the line, and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Record>, String> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines
        .map(|(line, number)| serde_json::from_str(line).map_err(|e| format!("line {number}: {e}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_read_back_with_its_run() {
        let path = std::env::temp_dir().join(format!("ashlar-record-{}.jsonl", std::process::id()));
        for program in ["one", "two"] {
            let mut recorder = Recorder::begin(Some(&path), program, &[Path::new("/proc")], "busy").unwrap();
            let measured = Measurement::new("idle", "a server", "alone").with("cpu_us_per_second", 1.5);
            assert!(!recorder.add(measured).unwrap().run.is_empty());
        }
        let records = parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        let [Record::Run(first), Record::Measurement(measured), Record::Run(second), Record::Measurement(_)] =
            records.as_slice()
        else {
            panic!("{records:?}")
        };
        assert_eq!((first.program.as_str(), second.program.as_str()), ("one", "two"));
        assert_eq!((measured.run.as_str(), measured.value("cpu_us_per_second")), (first.id.as_str(), 1.5));
        assert!(measured.value("absent").is_nan());
        assert!(first.storage[0].what.starts_with("file on "), "{first:?}");
        assert!(first.date.ends_with('Z') && !first.machine.kernel.is_empty(), "{first:?}");
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        let error = parse("\n{\"record\":\"run\"}\n").unwrap_err();
        assert!(error.starts_with("line 2: "), "{error}");
        assert!(parse("{\"record\":\"else\"}").is_err());
        assert_eq!(parse("").unwrap(), []);
    }
}
