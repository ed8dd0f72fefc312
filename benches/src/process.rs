//! Servers that a measurement starts, and ends again by their own process id.

use ashlar_tools::client::{Credentials, Endpoint, Method, Payload, Request, SignStyle, Signer, exchange};
use ashlar_tools::clock;
use rustix::process::{Pid, Signal, kill_process};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that does not answer within this has failed to start.
const START_MAX: Duration = Duration::from_secs(60);

/// One that does not end within this after it was told to is killed. The server gives open requests 30 s.
const STOP_MAX: Duration = Duration::from_secs(60);

/// How often is asked whether it has started or ended.
const ASK_INTERVAL: Duration = Duration::from_millis(2);

/// Why there is no server.
#[derive(Debug)]
pub enum ProcessError {
    /// A program could not be run, or a file not be written.
    Io {
        /// Which program or file.
        what: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A program ended without success.
    Failed {
        /// Which.
        what: String,
        /// The end of what it said.
        said: String,
    },
    /// It did not answer in time.
    Silent {
        /// Which.
        what: String,
    },
}

impl fmt::Display for ProcessError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, error } => write!(formatter, "{}: {error}", what.display()),
            Self::Failed { what, said } => write!(formatter, "{what} failed: {said}"),
            Self::Silent { what } => write!(formatter, "{what} does not answer"),
        }
    }
}

impl std::error::Error for ProcessError {}

/// A server, killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    begun: Instant,
    name: String,
}

impl Server {
    /// Starts `program` bound to `cpu`; what it says goes to the file `log`.
    ///
    /// # Errors
    ///
    /// When it cannot be started. `taskset` binds it, so that it finds one CPU from its first instruction on.
    pub fn start(program: &Path, arguments: &[&str], cpu: usize, log: &Path) -> Result<Self, ProcessError> {
        let open = || File::options().create(true).append(true).open(log);
        let (output, errors) =
            open().and_then(|file| Ok((file.try_clone()?, file))).map_err(io_error(log))?;
        let mut command = Command::new("taskset");
        // A measurement that is killed must not leave its servers behind.
        command.args(["-c", &cpu.to_string(), "setpriv", "--pdeathsig", "KILL"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let begun = clock::now();
        let child = command.spawn().map_err(io_error(program))?;
        Ok(Self { child, begun, name: program.display().to_string() })
    }

    /// Its process. `taskset` has become `setpriv` and that the program, so this is the program's.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks until it answers a signed request with 200. Returns how long that took from its start.
    ///
    /// # Errors
    ///
    /// When it ends, or is silent for too long.
    pub fn wait_until_ready(
        &mut self,
        url: &str,
        credentials: &Credentials,
    ) -> Result<Duration, ProcessError> {
        while self.begun.elapsed() < START_MAX {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(ProcessError::Failed { what: self.name.clone(), said: status.to_string() });
            }
            if answers(url, credentials) {
                return Ok(self.begun.elapsed());
            }
            clock::pause(ASK_INTERVAL);
        }
        Err(ProcessError::Silent { what: self.name.clone() })
    }

    /// Ends it in order and waits until it is gone.
    pub fn stop(mut self) {
        self.send(Signal::TERM);
        let asked = clock::now();
        while asked.elapsed() < STOP_MAX {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            clock::pause(ASK_INTERVAL);
        }
    }

    /// Ends it as a crash does, and waits until it is gone.
    pub fn kill(self) {
        drop(self);
    }

    fn send(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // A server that is gone already is what was wanted.
        let _gone = pid.map(|pid| kill_process(pid, signal));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.send(Signal::KILL);
        let _status = self.child.wait();
    }
}

/// Whether a server answers a signed request for the list of buckets with 200.
fn answers(url: &str, credentials: &Credentials) -> bool {
    let Ok(endpoint) = Endpoint::parse(url, None) else { return false };
    let style = SignStyle::Header;
    let signer = Signer::new(credentials.clone(), "us-east-1", endpoint.host(), style, clock::wall());
    let payload = Payload::empty();
    let request = Request { method: Method::Get, path: "/", query: &[], content_length: 0, payload };
    exchange(&endpoint, &signer.head(&request)).is_ok_and(|answer| answer.status == 200)
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
///
/// When it cannot be run or ends without success.
pub fn run(program: &Path, arguments: &[&str]) -> Result<String, ProcessError> {
    let output = Command::new(program).args(arguments).output().map_err(io_error(program))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ProcessError::Failed { what: format!("{} {}", program.display(), arguments.join(" ")), said })
}

/// Names the file or program of an error.
pub(crate) fn io_error(what: &Path) -> impl FnOnce(io::Error) -> ProcessError {
    let what = what.to_path_buf();
    move |error| ProcessError::Io { what, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Credentials {
        Credentials { access_key: "a".to_owned(), secret_key: "s".to_owned() }
    }

    #[test]
    fn a_program_that_fails_says_so() {
        assert_eq!(run(Path::new("printf"), &["a%s", "b"]).unwrap(), "ab");
        let error = run(Path::new("cat"), &["/absent"]).unwrap_err().to_string();
        assert!(error.contains("/absent"), "{error}");
        assert!(run(Path::new("/absent/program"), &[]).is_err());
    }

    #[test]
    fn a_server_that_ends_is_no_server_and_one_that_runs_is_ended() {
        let log = std::env::temp_dir().join(format!("ashlar-process-{}.log", std::process::id()));
        let start =
            |program: &str, argument: &str| Server::start(Path::new(program), &[argument], 0, &log).unwrap();
        let ended = start("false", "now").wait_until_ready("http://127.0.0.1:1", &nobody());
        assert!(matches!(ended, Err(ProcessError::Failed { .. })), "{ended:?}");
        let sleeper = start("sleep", "600");
        let folder = PathBuf::from(format!("/proc/{}", sleeper.pid()));
        assert!(folder.exists());
        sleeper.stop();
        assert!(!folder.exists());
        start("sleep", "600").kill();
        std::fs::remove_file(&log).unwrap();
    }
}
