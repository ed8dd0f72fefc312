//! Runs `ashlar load` over operations and object sizes against a server that runs already, several
//! times each, and appends one line of JSON per run, with the machine's load beside it. Prints the
//! table of docs/benchmarks.md: of each cell the run that is the median by CPU time.
//!
//! The keys are those of `ashlar load`: `ASHLAR_ACCESS_KEY` and `ASHLAR_SECRET_KEY`.

use ashlar_benches::machine::Machine;
use clap::Parser;
use serde_json::Value;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[derive(Debug, Parser)]
struct Arguments {
    /// The program to load with
    #[arg(long, default_value = "target/release/ashlar")]
    ashlar: PathBuf,
    /// The server's process
    #[arg(long)]
    server_pid: u32,
    /// CPU to pin the load to
    #[arg(long)]
    cpu: Option<usize>,
    /// Where the server is
    #[arg(long, default_value = "http://127.0.0.1:9000")]
    endpoint: String,
    /// What the server stores on: a word for the result
    #[arg(long)]
    storage: String,
    /// Object sizes
    #[arg(long, value_delimiter = ',', default_value = "4KiB,128KiB,4MiB,64MiB")]
    sizes: Vec<String>,
    /// Requests in flight
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// Length of a run
    #[arg(long, default_value = "3s")]
    duration: String,
    /// Runs of each cell
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// File to append to
    #[arg(long)]
    results: PathBuf,
}

/// What is asked, and whether its bodies are signed.
const CASES: [(&str, &str); 3] = [("put", "signed"), ("put", "unsigned"), ("get", "unsigned")];
/// Keys of the bucket that is listed: one full page.
const LISTED_KEYS: &str = "1000";

/// One cell of the table.
#[derive(Debug, Clone, Copy)]
struct Cell<'a> {
    operation: &'a str,
    payload: &'a str,
    size: &'a str,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut results = OpenOptions::new().create(true).append(true).open(&arguments.results)?;
    writeln!(std::io::stdout(), "{}\n{HEADING}", serde_json::to_string(&Machine::read())?)?;
    for size in &arguments.sizes {
        for (operation, payload) in CASES {
            one_cell(&arguments, Cell { operation, payload, size }, &mut results)?;
        }
    }
    one_cell(&arguments, Cell { operation: "list", payload: "unsigned", size: "4KiB" }, &mut results)
}

const HEADING: &str = "\
| operation | size | op/s | MB/s | p50 ms | p99 ms | CPU µs/op | CPU s/GB | load |
|---|---|---|---|---|---|---|---|---|";

fn one_cell(arguments: &Arguments, cell: Cell<'_>, results: &mut File) -> Result<(), Box<dyn Error>> {
    let mut runs = Vec::new();
    for run in 0..arguments.runs {
        let mut line = one_run(arguments, cell, run)?;
        line["storage"] = arguments.storage.clone().into();
        line["size"] = cell.size.into();
        line["machine"] = serde_json::to_value(Machine::read())?;
        writeln!(results, "{line}")?;
        runs.push(line);
    }
    runs.sort_by(|left, right| cpu_us(left).total_cmp(&cpu_us(right)));
    // The middle one; of an even count the dearer of the two.
    let Some(median) = runs.get(runs.len() >> 1) else { return Err("no runs were asked for".into()) };
    Ok(writeln!(std::io::stdout(), "{}", row(cell, median))?)
}

fn one_run(arguments: &Arguments, cell: Cell<'_>, run: u32) -> Result<Value, Box<dyn Error>> {
    let mut command = match arguments.cpu {
        Some(cpu) => {
            let mut pinned = Command::new("taskset");
            pinned.args(["-c", &cpu.to_string()]).arg(&arguments.ashlar);
            pinned
        }
        None => Command::new(&arguments.ashlar),
    };
    command.args(["load", "--json", "-", "--endpoint", &arguments.endpoint]);
    command.args(["--bucket", &format!("bench-{}", cell.size.to_lowercase())]);
    command.args(["--operation", cell.operation, "--payload", cell.payload, "--size", cell.size]);
    command.args(["--connections", &arguments.connections.to_string(), "--duration", &arguments.duration]);
    command.args(["--server-pid", &arguments.server_pid.to_string()]);
    if cell.operation == "list" {
        command.args(["--objects", LISTED_KEYS]);
    }
    if run > 0 {
        // The first run has made what the others read.
        command.arg("--no-prepare");
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{cell:?}: the load ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn number(line: &Value, path: &str) -> f64 {
    line.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn cpu_us(line: &Value) -> f64 {
    number(line, "/server/cpu_us_per_operation")
}

fn row(cell: Cell<'_>, line: &Value) -> String {
    let count = number(line, "/total/count");
    // Also of a listing: the bytes of its answer.
    let gigabytes = number(line, "/total/bytes") / 1e9;
    let cpu_us = cpu_us(line);
    format!(
        "| {} {} | {} | {:.0} | {:.1} | {:.2} | {:.2} | {:.0} | {:.2} | {:.1} |",
        cell.operation,
        cell.payload,
        cell.size,
        number(line, "/total/per_second"),
        number(line, "/total/megabytes_per_second"),
        number(line, "/total/latency_us/p50") / 1e3,
        number(line, "/total/latency_us/p99") / 1e3,
        cpu_us,
        cpu_us * count / 1e6 / gigabytes,
        number(line, "/machine/load_average"),
    )
}
