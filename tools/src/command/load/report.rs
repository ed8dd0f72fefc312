//! The result of a run, for people and for programs.

use super::LoadError;
use super::mix::Operation;
use super::phase::Outcome;
use super::plan::{PayloadMode, Plan};
use super::server::ServerUsage;
use super::tally::OperationTally;
use crate::client::SignStyle;
use crate::output::{Table, format_duration, format_size};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Latencies in microseconds, from the first byte sent to the last received.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// The mean.
    pub mean: f64,
    /// Half are at most this.
    pub p50: f64,
    /// 99 % are at most this.
    pub p99: f64,
    /// 99.9 % are at most this.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// Successes of one kind, or of all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationReport {
    /// How many.
    pub count: u64,
    /// Body bytes sent or received.
    pub bytes: u64,
    /// Requests per second.
    pub per_second: f64,
    /// Body megabytes (10^6 bytes) per second.
    pub megabytes_per_second: f64,
    /// In microseconds.
    pub latency_us: Latency,
}

/// What the run cost the server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerReport {
    /// User and system time.
    pub cpu_seconds: f64,
    /// The same per success, in microseconds.
    pub cpu_us_per_operation: f64,
    /// Cores that were busy on average.
    pub cores_busy: f64,
    /// Memory resident after the run.
    pub resident_bytes: u64,
    /// The most memory ever resident.
    pub resident_bytes_max: u64,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadReport {
    /// Where the server was.
    pub endpoint: String,
    /// What was sent, as `get=80,put=20`.
    pub mix: String,
    /// Sizes in bytes.
    pub sizes: Vec<u64>,
    /// How many keys.
    pub objects: u64,
    /// Requests in flight.
    pub connections: usize,
    /// Threads that sent them.
    pub threads: usize,
    /// Whether bodies were signed.
    pub payload_signed: bool,
    /// Whether signatures were in the query.
    pub presigned: bool,
    /// Whether bodies were compared.
    pub verified: bool,
    /// What decided keys and bodies.
    pub seed: u64,
    /// From the first request to the last answer.
    pub elapsed_seconds: f64,
    /// Successes by kind.
    pub operations: BTreeMap<Operation, OperationReport>,
    /// All successes.
    pub total: OperationReport,
    /// Failures by status and code.
    pub failures: BTreeMap<String, u64>,
    /// Reads of keys that the run itself had deleted; part of the successes.
    pub absent: u64,
    /// Answers with wrong bytes; part of the failures.
    pub wrong_bytes: u64,
    /// What it cost, if the server's process was named.
    pub server: Option<ServerReport>,
}

impl LoadReport {
    pub(super) fn new(plan: &Plan, outcome: &Outcome, usage: Option<(ServerUsage, ServerUsage)>) -> Self {
        let options = plan.options();
        let elapsed = outcome.elapsed;
        let tally = &outcome.tally;
        let operations =
            tally.operations.iter().map(|(operation, t)| (*operation, summary(t, elapsed))).collect();
        Self {
            endpoint: options.endpoint.clone(),
            mix: options.mix.to_string(),
            sizes: options.sizes.clone(),
            objects: options.objects,
            connections: options.connections,
            threads: options.threads,
            payload_signed: options.payload == PayloadMode::Signed && options.sign == SignStyle::Header,
            presigned: options.sign == SignStyle::Query,
            verified: options.verify,
            seed: options.seed,
            elapsed_seconds: elapsed.as_secs_f64(),
            operations,
            total: summary(&tally.total(), elapsed),
            failures: tally.failures.clone(),
            absent: tally.absent,
            wrong_bytes: tally.wrong_bytes,
            server: usage.map(|(before, after)| server_report(before, after, elapsed, tally.succeeded())),
        }
    }

    /// Whether the run shows that the server works at all.
    ///
    /// # Errors
    ///
    /// When any answer held wrong bytes, or no request succeeded.
    pub fn verdict(&self) -> Result<(), LoadError> {
        if self.wrong_bytes > 0 {
            return Err(LoadError::WrongBytes { answers: self.wrong_bytes });
        }
        if self.total.count == 0 {
            let answers: Vec<_> =
                self.failures.iter().map(|(what, count)| format!("{count} x {what}")).collect();
            return Err(LoadError::NothingSucceeded { answers: answers.join(", ") });
        }
        Ok(())
    }

    /// The result for people.
    #[must_use]
    pub fn text(&self) -> String {
        let headings = ["operation", "count", "op/s", "MB/s", "mean", "p50", "p99", "p99.9", "max"];
        let mut table = Table::new(&headings);
        for (operation, report) in &self.operations {
            table.row(row(operation.name(), report));
        }
        if self.operations.len() > 1 {
            table.row(row("all", &self.total));
        }
        let sizes: Vec<_> = self.sizes.iter().map(|size| format_size(*size)).collect();
        let mut text = format!(
            "{} with {} on {} connections for {:.2} s\n{table}",
            self.mix,
            sizes.join(","),
            self.connections,
            self.elapsed_seconds
        );
        if self.absent > 0 {
            text.push_str(&format!("{} reads found a key that the run had deleted\n", self.absent));
        }
        for (what, count) in &self.failures {
            text.push_str(&format!("failed: {count} x {what}\n"));
        }
        if let Some(server) = &self.server {
            text.push_str(&format!(
                "server: {:.2} s CPU ({:.2} cores), {:.1} us per request, {} resident, {} at most\n",
                server.cpu_seconds,
                server.cores_busy,
                server.cpu_us_per_operation,
                format_size(server.resident_bytes),
                format_size(server.resident_bytes_max)
            ));
        }
        text
    }
}

/// Prints `report` for people, unless the JSON goes to the standard output; writes the JSON where `json` says.
pub(super) fn print(report: &LoadReport, json: Option<&Path>) -> std::io::Result<()> {
    let to_output = json.is_some_and(|path| path.as_os_str() == "-");
    if !to_output {
        std::io::stdout().write_all(report.text().as_bytes())?;
    }
    let Some(path) = json else { return Ok(()) };
    let mut line = serde_json::to_string_pretty(report)?;
    line.push('\n');
    if to_output {
        return std::io::stdout().write_all(line.as_bytes());
    }
    std::fs::write(path, line)
}

fn row(name: &str, report: &OperationReport) -> Vec<String> {
    let mut cells = vec![
        name.to_owned(),
        report.count.to_string(),
        format!("{:.0}", report.per_second),
        format!("{:.1}", report.megabytes_per_second),
    ];
    let latency = &report.latency_us;
    let latencies = [latency.mean, latency.p50, latency.p99, latency.p999, latency.max];
    cells.extend(latencies.map(|us| format_duration(Duration::from_secs_f64(us / 1e6))));
    cells
}

fn summary(tally: &OperationTally, elapsed: Duration) -> OperationReport {
    let seconds = elapsed.as_secs_f64().max(1e-9);
    let quantile = |quantile| tally.latency.value_at_quantile(quantile) as f64 / 1e3;
    OperationReport {
        count: tally.count,
        bytes: tally.bytes,
        per_second: tally.count as f64 / seconds,
        megabytes_per_second: tally.bytes as f64 / 1e6 / seconds,
        latency_us: Latency {
            mean: tally.latency.mean() / 1e3,
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: tally.latency.max() as f64 / 1e3,
        },
    }
}

fn server_report(before: ServerUsage, after: ServerUsage, elapsed: Duration, succeeded: u64) -> ServerReport {
    let cpu_seconds = after.cpu.saturating_sub(before.cpu).as_secs_f64();
    ServerReport {
        cpu_seconds,
        cpu_us_per_operation: cpu_seconds * 1e6 / (succeeded.max(1) as f64),
        cores_busy: cpu_seconds / elapsed.as_secs_f64().max(1e-9),
        resident_bytes: after.resident_bytes,
        resident_bytes_max: after.resident_bytes_max,
    }
}
