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
pub use plan::{KeyOrder, Limit, LoadOptions, PayloadMode};
pub use report::{Latency, LoadReport, OperationReport, ServerReport};
pub use server::ServerUsage;

use crate::client::{Answer, EndpointError, ExchangeError, Method, Payload, Request, error_code, exchange};
use crate::{clock, output};
use phase::{Outcome, run_phase};
use plan::Plan;
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
    /// What the run wrote could not all be taken away again.
    Removal {
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
            Self::Removal { answers } => write!(formatter, "cannot remove what was written: {answers}"),
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
            | Self::Removal { .. }
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
    let plan = Plan::new(options)?;
    let told = |upload: &Outcome| {
        let size = output::format_size(upload.tally.bytes());
        let took = output::format_duration(upload.elapsed);
        eprintln!("uploaded {} objects, {size}, in {took}", upload.tally.succeeded());
    };
    let report = measure_plan(&plan, told)?;
    report::print(&report, plan.options().json.as_deref()).map_err(LoadError::Output)?;
    if plan.options().remove {
        remove_plan(&plan)?;
    }
    report.verdict()
}

/// Puts the load on the server.
///
/// # Errors
///
/// When the server cannot be reached, the bucket or the objects cannot be created, or a counter cannot be read.
/// Error answers to measured requests are no error here: the report counts them.
pub fn measure(options: LoadOptions) -> Result<LoadReport, LoadError> {
    let plan = Plan::new(options)?;
    let report = measure_plan(&plan, |_upload| {})?;
    if plan.options().remove {
        remove_plan(&plan)?;
    }
    Ok(report)
}

/// Deletes every key that a run with these options can have written, and the bucket.
///
/// # Errors
///
/// When the server cannot be reached, or still has the bucket afterwards.
pub fn remove(mut options: LoadOptions) -> Result<(), LoadError> {
    // Nothing is written, so no body needs a hash.
    options.payload = PayloadMode::Unsigned;
    remove_plan(&Plan::new(options)?)
}

/// Makes the bucket and uploads every object, as a run that reads would; measures nothing.
///
/// # Errors
///
/// As [`measure`].
pub fn upload(options: LoadOptions) -> Result<(), LoadError> {
    let plan = Plan::new(options)?;
    create_bucket(&plan)?;
    prepare(&plan).map(|_uploaded| ())
}

fn measure_plan(plan: &Plan, prepared: impl FnOnce(&Outcome)) -> Result<LoadReport, LoadError> {
    let server_pid = plan.options().server_pid;
    create_bucket(plan)?;
    if plan.options().prepare && plan.options().mix.needs_objects() {
        prepared(&prepare(plan)?);
    }
    let before = server_pid.map(ServerUsage::read).transpose().map_err(LoadError::ServerProcess)?;
    let outcome = run_phase(plan, "load", &plan.options().mix, plan.options().limit, plan.options().order)?;
    let after = match server_pid {
        Some(pid) => {
            clock::pause(SETTLE);
            Some(ServerUsage::read(pid).map_err(LoadError::ServerProcess)?)
        }
        None => None,
    };
    Ok(LoadReport::new(plan, &outcome, before.zip(after)))
}

/// Uploads every object once.
fn prepare(plan: &Plan) -> Result<Outcome, LoadError> {
    let mix = Mix::only(Operation::Put);
    let outcome = run_phase(plan, "upload", &mix, Limit::Requests(plan.options().objects), KeyOrder::Usual)?;
    if outcome.tally.failed() > 0 {
        return Err(LoadError::Preparation {
            failed: outcome.tally.failed(),
            answers: outcome.tally.answers(),
        });
    }
    Ok(outcome)
}

/// Deletes the keys in turn, whether or not they exist, and then the bucket.
fn remove_plan(plan: &Plan) -> Result<(), LoadError> {
    let mix = Mix::only(Operation::Delete);
    let outcome = run_phase(plan, "delete", &mix, Limit::Requests(plan.options().objects), KeyOrder::Usual)?;
    if outcome.tally.failed() > 0 {
        return Err(LoadError::Removal { answers: outcome.tally.answers() });
    }
    let answer = ask_for_bucket(plan, Method::Delete)?;
    if matches!(answer.status, 200 | 204 | 404) {
        return Ok(());
    }
    let code = error_code(&answer.body).unwrap_or_default();
    Err(LoadError::Removal { answers: format!("{} {code}", answer.status) })
}

fn create_bucket(plan: &Plan) -> Result<(), LoadError> {
    let answer = ask_for_bucket(plan, Method::Put)?;
    let code = error_code(&answer.body).unwrap_or_default();
    if answer.status == 200 || code == "BucketAlreadyOwnedByYou" {
        return Ok(());
    }
    // Some servers say so of one's own bucket too; whose it is shows in whether it can be read.
    if code == "BucketAlreadyExists" && ask_for_bucket(plan, Method::Get)?.status == 200 {
        return Ok(());
    }
    Err(LoadError::BucketRefused { status: answer.status, code: code.to_owned() })
}

fn ask_for_bucket(plan: &Plan, method: Method) -> Result<Answer, LoadError> {
    let path = format!("/{}", plan.options().bucket);
    let request = Request { method, path: &path, query: &[], content_length: 0, payload: Payload::empty() };
    let head = plan.signer(clock::wall()).head(&request);
    exchange(plan.endpoint(), &head).map_err(LoadError::Bucket)
}

#[cfg(test)]
mod tests;
