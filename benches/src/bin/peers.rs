//! The same load on any S3 servers in turns, with the static responder as the yardstick, and ratios round by round.
//!
//! Servers run already and are only named; only CPU time of a named process is counted. Buckets are made and, at the
//! end, taken away again.

use ashlar_benches::compare::{
    Cell, LISTED_KEYS, Pace, Subject, clean_up, heading, measure_cell, rows, size,
};
use ashlar_benches::process::Server;
use ashlar_benches::record::Recorder;
use ashlar_tools::client::{Credentials, SignStyle};
use ashlar_tools::output::parse_duration;
use clap::Parser;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(about = "The same load on several S3 servers in turns")]
struct Arguments {
    /// NAME=URL, and behind it, after commas, what applies of pid=N, access=KEY, secret=KEY, region=R and ca=FILE;
    /// as often as there are servers. Ratios are to the first, which is the static responder unless --no-static is
    /// given
    #[arg(long = "server", required = true, value_name = "SERVER")]
    servers: Vec<Subject>,
    /// Access key of servers that name none
    #[arg(long, env = "ASHLAR_ACCESS_KEY", default_value = "bench")]
    access_key: String,
    /// Secret key of servers that name none
    #[arg(
        long,
        env = "ASHLAR_SECRET_KEY",
        default_value = "bench-secret-0123456789",
        hide_env_values = true
    )]
    secret_key: String,
    /// Without the yardstick
    #[arg(long)]
    no_static: bool,
    /// CPU of the yardstick; the servers are bound by who starts them
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// CPU of the load
    #[arg(long, default_value_t = 1)]
    load_cpu: usize,
    /// Where the yardstick listens
    #[arg(long, default_value = "127.0.0.1:9149")]
    static_address: String,
    /// Object sizes
    #[arg(long, value_delimiter = ',', default_value = "4KiB,128KiB,4MiB", value_parser = size)]
    sizes: Vec<u64>,
    /// Operations [default: all]
    #[arg(long, value_delimiter = ',', value_name = "put signed|put unsigned|get|list|mixed")]
    cases: Vec<String>,
    /// Keys of the bucket that is listed; a server that writes slowly takes long for the usual number
    #[arg(long, default_value_t = LISTED_KEYS)]
    listed_keys: u64,
    /// Requests in flight
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Length of one measurement
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    seconds: Duration,
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Sign in the query, as presigned URLs do, whatever is not signed with its body
    #[arg(long)]
    presigned: bool,
    /// What buckets begin with
    #[arg(long, default_value = "ashlar-peers")]
    bucket: String,
    /// Leave buckets and objects
    #[arg(long)]
    keep: bool,
    /// File to append results to
    #[arg(long)]
    results: Option<PathBuf>,
    /// What a reader must know besides: versions, what the servers store on, what they sync
    #[arg(long, default_value = "")]
    note: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut output = std::io::stdout();
    let mut recorder = Recorder::begin(arguments.results.as_deref(), "peers", &[], &arguments.note)?;
    let mut cpus = CpuSet::new();
    cpus.set(arguments.load_cpu);
    sched_setaffinity(None, &cpus)?;
    let keys = Credentials { access_key: arguments.access_key, secret_key: arguments.secret_key };
    let mut subjects = Vec::new();
    let mut yardstick = None;
    if !arguments.no_static {
        let program = std::env::current_exe()?.with_file_name("static_responder");
        let log = std::env::temp_dir().join("ashlar-static-responder.log");
        let listen = ["--listen", arguments.static_address.as_str()];
        let mut server = Server::start(&program, &listen, arguments.server_cpu, &log)?;
        let mut subject: Subject = format!("static responder=http://{}", arguments.static_address).parse()?;
        server.wait_until_ready(&subject.url, &keys)?;
        subject.pid = Some(server.pid());
        subjects.push(subject.with_default_keys(&keys));
        yardstick = Some(server);
    }
    subjects.extend(arguments.servers.into_iter().map(|subject| subject.with_default_keys(&keys)));
    let pace = Pace {
        connections: arguments.connections,
        duration: arguments.seconds,
        rounds: arguments.rounds,
        sign: if arguments.presigned { SignStyle::Query } else { SignStyle::Header },
        bucket: arguments.bucket,
        listed_keys: arguments.listed_keys,
    };
    let mut cells = Cell::matrix(&arguments.sizes);
    if !arguments.cases.is_empty() {
        cells.retain(|cell| arguments.cases.iter().any(|case| case == cell.case.name()));
    }
    if cells.is_empty() {
        return Err("no such operation".into());
    }
    writeln!(output, "{}", heading(subjects.first().map_or("", |subject| &subject.name)))?;
    for cell in &cells {
        let outcome = measure_cell(*cell, &subjects, &pace, "peers", &mut recorder)?;
        for line in rows(*cell, &subjects, &outcome) {
            writeln!(output, "{line}")?;
        }
        for fault in outcome.faults {
            writeln!(output, "failed: {fault}")?;
        }
    }
    if !arguments.keep {
        for subject in &subjects {
            if let Err(error) = clean_up(&cells, subject, &pace) {
                writeln!(output, "{}: {error}", subject.name)?;
            }
        }
    }
    if let Some(server) = yardstick {
        server.stop();
    }
    Ok(())
}
