//! What scenarios share: the settings, the pool, the results, and how a load is put on.

use crate::compare::{LISTED_KEYS, Pace, Subject};
use crate::pool::{Kind, Pool, Setting};
use crate::process::{ProcessError, Server};
use crate::record::{Measurement, Recorder};
use ashlar_tools::client::{Credentials, SignStyle};
use ashlar_tools::command::load::{
    KeyOrder, Limit, LoadError, LoadOptions, LoadReport, Mix, Operation, PayloadMode, measure,
};
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// What was typed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program under test.
    pub ashlar: PathBuf,
    /// Where the programs of this crate are.
    pub programs: PathBuf,
    /// Where pools are made.
    pub folder: PathBuf,
    /// Loop devices to use; whichever are free, of none.
    pub loops: Vec<PathBuf>,
    /// Whether writes, reads, mixes and listings are measured on files too.
    pub files: bool,
    /// Bytes of each device.
    pub device_bytes: u64,
    /// The first of a few ports.
    pub port: u16,
    /// CPU of the servers.
    pub server_cpu: usize,
    /// Memory budget of the servers.
    pub memory: String,
    /// Length of one measurement.
    pub duration: Duration,
    /// How often each is measured.
    pub rounds: u32,
    /// How long an idle server is watched.
    pub idle: Duration,
    /// Sizes of objects that are written and read.
    pub sizes: Vec<u64>,
}

/// The state of a run of scenarios.
#[derive(Debug)]
pub struct Context {
    /// What was typed.
    pub settings: Settings,
    /// Where figures go.
    pub recorder: Recorder,
    pool: Option<Pool>,
}

/// Requests in flight, where a scenario has no number of its own.
pub(super) const CONNECTIONS: usize = 16;

/// What a server on loop devices is called in tables and records.
pub(super) const ON_LOOPS: &str = "ashlar, loop devices";
/// What one on files is called.
pub(super) const ON_FILES: &str = "ashlar, files";
/// The yardstick.
pub(super) const STATIC: &str = "static responder";

impl Context {
    /// A context without a pool yet.
    #[must_use]
    pub const fn new(settings: Settings, recorder: Recorder) -> Self {
        Self { settings, recorder, pool: None }
    }

    /// The pool on loop devices that most scenarios use, made at a scenario's first call.
    pub(super) fn pool(&mut self) -> Result<&Pool, ProcessError> {
        if self.pool.is_none() {
            let kind = Kind::Loops(self.settings.loops.clone());
            self.pool = Some(self.make_pool(&kind, "loops", self.settings.device_bytes, 0)?);
        }
        self.pool.as_ref().ok_or_else(|| ProcessError::Silent { what: "the pool".to_owned() })
    }

    /// Gives that pool up with what it holds, and its loop devices.
    pub(super) fn drop_pool(&mut self) {
        drop(self.pool.take());
    }

    /// A pool of its own, on the port `port` after the first.
    pub(super) fn make_pool(
        &self,
        kind: &Kind,
        name: &str,
        device_bytes: u64,
        port: u16,
    ) -> Result<Pool, ProcessError> {
        let settings = &self.settings;
        let setting = Setting {
            ashlar: settings.ashlar.clone(),
            cpu: settings.server_cpu,
            port: settings.port + port,
            memory: settings.memory.clone(),
            credentials: credentials(),
        };
        let folder = settings.folder.join(format!("{name}-{}", std::process::id()));
        Pool::make(kind, &folder, device_bytes, setting)
    }

    /// Starts the yardstick.
    pub(super) fn static_responder(&self) -> Result<(Server, Subject), ProcessError> {
        let settings = &self.settings;
        let address = format!("127.0.0.1:{}", settings.port + 9);
        let program = settings.programs.join("static_responder");
        let log = settings.folder.join("static-responder.log");
        let mut server = Server::start(&program, &["--listen", &address], settings.server_cpu, &log)?;
        let url = format!("http://{address}");
        server.wait_until_ready(&url, &credentials())?;
        let subject = subject(STATIC, &url, server.pid());
        Ok((server, subject))
    }

    /// How subjects are loaded in turns.
    pub(super) fn pace(&self) -> Pace {
        Pace {
            connections: CONNECTIONS,
            duration: self.settings.duration,
            rounds: self.settings.rounds,
            sign: SignStyle::Header,
            bucket: "bench".to_owned(),
            listed_keys: LISTED_KEYS,
        }
    }

    /// A load of one operation on `subject`, with the usual numbers.
    pub(super) fn options(&self, subject: &Subject, operation: Operation, bytes: u64) -> LoadOptions {
        LoadOptions {
            endpoint: subject.url.clone(),
            ca: None,
            credentials: subject.credentials.clone(),
            region: subject.region.clone(),
            bucket: format!("bench-{bytes}"),
            prefix: "load/".to_owned(),
            mix: Mix::only(operation),
            sizes: vec![bytes],
            objects: 1000,
            connections: CONNECTIONS,
            threads: 1,
            limit: Limit::Duration(self.settings.duration),
            order: KeyOrder::Usual,
            payload: PayloadMode::Unsigned,
            sign: SignStyle::Header,
            verify: false,
            prepare: false,
            remove: false,
            seed: 1,
            json: None,
            server_pid: subject.pid,
        }
    }

    /// Records figures, and prints the chosen ones after what was measured.
    pub(super) fn tell(
        &mut self,
        measurement: Measurement,
        shown: &[(&str, &str)],
    ) -> Result<Measurement, Box<dyn Error>> {
        let complete = self.recorder.add(measurement)?;
        let figures = shown.iter().map(|(name, unit)| {
            let figure = crate::spread::short(complete.value(name));
            format!("{figure} {unit}")
        });
        println!(
            "| {} | {} | {} |",
            complete.subject,
            complete.case,
            figures.collect::<Vec<_>>().join(" | ")
        );
        Ok(complete)
    }
}

/// The keys of servers that live for one run on the loopback address.
pub(super) fn credentials() -> Credentials {
    Credentials { access_key: "bench".to_owned(), secret_key: "bench-secret-0123456789".to_owned() }
}

/// A server that was started here.
pub(super) fn subject(name: &str, url: &str, pid: u32) -> Subject {
    Subject {
        name: name.to_owned(),
        url: url.to_owned(),
        pid: Some(pid),
        credentials: credentials(),
        region: "us-east-1".to_owned(),
        ca: None,
    }
}

/// Puts a load on, and takes a run without one success for the failure it is. Other failures are counted only.
pub(super) fn load(options: LoadOptions) -> Result<LoadReport, LoadError> {
    let report = measure(options)?;
    report.verdict()?;
    for (what, count) in &report.failures {
        println!("failed: {count} x {what}");
    }
    Ok(report)
}
