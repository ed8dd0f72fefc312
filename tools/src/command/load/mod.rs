//! `ashlar load`: puts a known load on an S3 server and says what it cost.
//!
//! The story: derive every body from a seed, create the bucket, upload what the operations need, then keep a fixed
//! number of connections busy and count. A run with the same options sends the same keys and bodies. The generator
//! must be cheap beside the server, so it signs each request once and replays it, never copies a body, and compares
//! what it reads with what it would have written instead of hashing it.
//!
//! Charged to the server is its CPU time from before the first request to a little after the last answer.

mod content;
mod lane;
mod mix;
mod phase;
mod plan;
mod report;
mod server;
mod tally;
mod worker;

pub use mix::{Mix, MixError, Operation};
pub use plan::{Limit, LoadOptions, PayloadMode};
pub use report::{Latency, LoadReport, OperationReport, ServerReport};

use crate::client::{EndpointError, ExchangeError, Method, Payload, Request, error_code, exchange};
use crate::{clock, output};
use phase::run_phase;
use plan::Plan;
use server::ServerUsage;
use std::fmt;
use std::time::Duration;

/// A server may still work on a request after its answer is out; its CPU time is read this much later.
const SETTLE: Duration = Duration::from_millis(300);

/// Why a load could not be put on the server, or why its result is no good.
#[derive(Debug)]
pub enum LoadError {
    /// The endpoint cannot be used.
    Endpoint(EndpointError),
    /// The bucket could not be asked for.
    Bucket(ExchangeError),
    /// The bucket could not be created.
    BucketRefused {
        /// The status of the answer.
        status: u16,
        /// Its S3 error code, or nothing.
        code: String,
    },
    /// The server process's counters cannot be read.
    ServerProcess(std::io::Error),
    /// The server could not be reached, or not any more.
    Connection(std::io::Error),
    /// The objects to be read could not all be uploaded.
    Preparation {
        /// How many failed.
        failed: u64,
        /// How each kind of failure was answered, and how often.
        answers: String,
    },
    /// Nothing at all succeeded.
    NothingSucceeded {
        /// How each kind of failure was answered, and how often.
        answers: String,
    },
    /// Bodies were served that differ from what was written.
    WrongBytes {
        /// How many answers.
        answers: u64,
    },
    /// The result could not be written.
    Output(std::io::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(error) => write!(formatter, "{error}"),
            Self::Bucket(error) => write!(formatter, "cannot create the bucket: {error}"),
            Self::BucketRefused { status, code } => {
                write!(formatter, "cannot create the bucket: {status} {code}")
            }
            Self::ServerProcess(error) => write!(formatter, "cannot read the server's counters: {error}"),
            Self::Connection(error) => write!(formatter, "cannot reach the server: {error}"),
            Self::Preparation { failed, answers } => write!(formatter, "{failed} uploads failed: {answers}"),
            Self::NothingSucceeded { answers } => write!(formatter, "no request succeeded: {answers}"),
            Self::WrongBytes { answers } => write!(formatter, "{answers} answers held WRONG BYTES"),
            Self::Output(error) => write!(formatter, "cannot write the result: {error}"),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Endpoint(error) => Some(error),
            Self::Bucket(error) => Some(error),
            Self::ServerProcess(error) | Self::Connection(error) | Self::Output(error) => Some(error),
            Self::BucketRefused { .. }
            | Self::Preparation { .. }
            | Self::NothingSucceeded { .. }
            | Self::WrongBytes { .. } => None,
        }
    }
}

/// Puts the load on the server and prints the result; see [`measure`].
///
/// # Errors
///
/// As [`measure`]; also when the result was printed but is a failure, such as wrong bytes.
pub fn run(options: LoadOptions) -> Result<(), LoadError> {
    let json = options.json.clone();
    let report = measure(options)?;
    report::print(&report, json.as_deref()).map_err(LoadError::Output)?;
    report.verdict()
}

/// Puts the load on the server.
///
/// # Errors
///
/// When the server cannot be reached, the bucket or the objects cannot be created, or a counter cannot be read.
/// Error answers to measured requests are no error here: the report counts them.
pub fn measure(options: LoadOptions) -> Result<LoadReport, LoadError> {
    let server_pid = options.server_pid;
    let plan = Plan::new(options)?;
    create_bucket(&plan)?;
    if plan.options().prepare && plan.options().mix.needs_objects() {
        prepare(&plan)?;
    }
    let before = server_pid.map(ServerUsage::read).transpose().map_err(LoadError::ServerProcess)?;
    let outcome = run_phase(&plan, "load", &plan.options().mix, plan.options().limit)?;
    let after = match server_pid {
        Some(pid) => {
            clock::pause(SETTLE);
            Some(ServerUsage::read(pid).map_err(LoadError::ServerProcess)?)
        }
        None => None,
    };
    Ok(LoadReport::new(&plan, &outcome, before.zip(after)))
}

/// Uploads every object once.
fn prepare(plan: &Plan) -> Result<(), LoadError> {
    let mix = Mix::only(Operation::Put);
    let outcome = run_phase(plan, "upload", &mix, Limit::Requests(plan.options().objects))?;
    if outcome.tally.failed() > 0 {
        return Err(LoadError::Preparation {
            failed: outcome.tally.failed(),
            answers: outcome.tally.answers(),
        });
    }
    let size = output::format_size(outcome.tally.bytes());
    let took = output::format_duration(outcome.elapsed);
    eprintln!("uploaded {} objects, {size}, in {took}", outcome.tally.succeeded());
    Ok(())
}

fn create_bucket(plan: &Plan) -> Result<(), LoadError> {
    let path = format!("/{}", plan.options().bucket);
    let request = Request {
        method: Method::Put,
        path: &path,
        query: &[],
        content_length: 0,
        payload: Payload::empty(),
    };
    let head = plan.signer(clock::wall()).head(&request);
    let answer = exchange(plan.endpoint(), &head).map_err(LoadError::Bucket)?;
    let code = error_code(&answer.body).unwrap_or_default();
    if answer.status == 200 || code == "BucketAlreadyOwnedByYou" {
        return Ok(());
    }
    Err(LoadError::BucketRefused { status: answer.status, code: code.to_owned() })
}

#[cfg(test)]
mod tests;
