//! The arguments of `ashlar load`.

use crate::client::{Credentials, SignStyle};
use crate::command::load::{KeyOrder, Limit, LoadOptions, Mix, MixError, Operation, PayloadMode};
use crate::output::{parse_duration, parse_size};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Without `--duration` and `--requests`, a run takes this long.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// Without `--objects`, there are as many as fit in this, within the two bounds below.
const OBJECT_BYTES_DEFAULT: u64 = 1 << 30;
const OBJECTS_DEFAULT_MIN: u64 = 16;
const OBJECTS_DEFAULT_MAX: u64 = 1000;

/// More connections than this exhaust the local ports of one address.
const CONNECTIONS_MAX: usize = 16_384;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Arguments {
    /// The server, as http://host:port or https://host:port
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9000")]
    endpoint: String,
    /// With https: certificates, as PEM, that vouch for the server's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Access key
    #[arg(long, env = "ASHLAR_ACCESS_KEY", value_name = "KEY")]
    access_key: String,
    /// Secret key
    #[arg(long, env = "ASHLAR_SECRET_KEY", value_name = "KEY", hide_env_values = true)]
    secret_key: String,
    /// Region that signatures name
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Bucket, created if it does not exist
    #[arg(long, default_value = "ashlar-load")]
    bucket: String,
    /// What each key begins with
    #[arg(long, default_value = "load/")]
    prefix: String,
    /// What to send; `mixed` is 80 % get and 20 % put unless --mix says otherwise
    #[arg(long, value_enum, default_value = "mixed")]
    operation: OperationArgument,
    /// Operations with their weights, as get=80,put=20
    #[arg(long, value_name = "MIX")]
    mix: Option<String>,
    /// Object size, or several that objects take in turn, as 4KiB,64MiB
    #[arg(long, value_name = "SIZE", value_delimiter = ',', default_value = "4KiB", value_parser = parse_size)]
    size: Vec<u64>,
    /// Requests in flight, each on its own connection
    #[arg(long, value_name = "N", default_value_t = 16)]
    connections: usize,
    /// Threads that send them [default: one per 64 connections, at most one per CPU]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// How long to begin requests, as 10s [default: 10s]
    #[arg(long, value_parser = parse_duration, conflicts_with = "requests")]
    duration: Option<Duration>,
    /// How many requests to send
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// How many keys there are [default: 1 GiB of them, from 16 to 1000]
    #[arg(long, value_name = "N")]
    objects: Option<u64>,
    /// Which keys are taken: `usual` writes in turn and reads at random, `random` takes all at random, `scattered`
    /// takes each once before any again and no two neighbours in a row
    #[arg(long, value_enum, default_value = "usual")]
    order: OrderArgument,
    /// What is signed of a body
    #[arg(long, value_enum, default_value = "signed")]
    payload: PayloadArgument,
    /// Where the signature goes; in the query, as in a presigned URL, it never covers the body
    #[arg(long, value_enum, default_value = "header")]
    sign: SignArgument,
    /// Compare every body that is read with what was written
    #[arg(long)]
    verify: bool,
    /// Do not upload first what is to be read: an earlier run with the same seed did
    #[arg(long)]
    no_prepare: bool,
    /// Delete all objects and the bucket afterwards
    #[arg(long)]
    remove: bool,
    /// Decides keys and bodies
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the result as JSON to this file, or to standard output if it is `-`
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Process id of a server on this machine, to count its CPU time
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OperationArgument {
    Put,
    Get,
    Mixed,
    List,
    Head,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OrderArgument {
    Usual,
    Random,
    Scattered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PayloadArgument {
    Signed,
    Unsigned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SignArgument {
    Header,
    Query,
}

/// What is wrong with arguments that are each well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArgumentError {
    /// `--mix` cannot be read.
    Mix(MixError),
    /// `--mix` is given with an operation other than `mixed`.
    MixWithOperation,
    /// This many of something, which is none.
    Zero(&'static str),
    /// More connections than a machine can open.
    TooManyConnections,
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mix(error) => write!(formatter, "--mix: {error}"),
            Self::MixWithOperation => formatter.write_str("--mix goes with --operation mixed only"),
            Self::Zero(name) => write!(formatter, "{name} must be at least 1"),
            Self::TooManyConnections => write!(formatter, "--connections must be at most {CONNECTIONS_MAX}"),
        }
    }
}

impl Arguments {
    /// The options that these arguments mean.
    pub(super) fn check(self) -> Result<LoadOptions, ArgumentError> {
        let mix = self.mix()?;
        let threads = self.threads.unwrap_or_else(|| threads_default(self.connections));
        let objects = self.objects.unwrap_or_else(|| objects_default(&self.size));
        for (name, value) in [("--objects", objects), ("--requests", self.requests.unwrap_or(1))] {
            if value == 0 {
                return Err(ArgumentError::Zero(name));
            }
        }
        for (name, value) in [("--connections", self.connections), ("--threads", threads)] {
            if value == 0 {
                return Err(ArgumentError::Zero(name));
            }
        }
        if self.connections > CONNECTIONS_MAX {
            return Err(ArgumentError::TooManyConnections);
        }
        let limit = match self.requests {
            Some(requests) => Limit::Requests(requests),
            None => Limit::Duration(self.duration.unwrap_or(DURATION_DEFAULT)),
        };
        Ok(LoadOptions {
            endpoint: self.endpoint,
            ca: self.ca,
            credentials: Credentials { access_key: self.access_key, secret_key: self.secret_key },
            region: self.region,
            bucket: self.bucket,
            prefix: self.prefix,
            mix,
            sizes: self.size,
            objects,
            connections: self.connections,
            threads,
            limit,
            order: match self.order {
                OrderArgument::Usual => KeyOrder::Usual,
                OrderArgument::Random => KeyOrder::Random,
                OrderArgument::Scattered => KeyOrder::Scattered,
            },
            payload: match self.payload {
                PayloadArgument::Signed => PayloadMode::Signed,
                PayloadArgument::Unsigned => PayloadMode::Unsigned,
            },
            sign: match self.sign {
                SignArgument::Header => SignStyle::Header,
                SignArgument::Query => SignStyle::Query,
            },
            verify: self.verify,
            prepare: !self.no_prepare,
            remove: self.remove,
            seed: self.seed,
            json: self.json,
            server_pid: self.server_pid,
        })
    }

    fn mix(&self) -> Result<Mix, ArgumentError> {
        if self.mix.is_some() && self.operation != OperationArgument::Mixed {
            return Err(ArgumentError::MixWithOperation);
        }
        Ok(match self.operation {
            OperationArgument::Put => Mix::only(Operation::Put),
            OperationArgument::Get => Mix::only(Operation::Get),
            OperationArgument::List => Mix::only(Operation::List),
            OperationArgument::Head => Mix::only(Operation::Head),
            OperationArgument::Delete => Mix::only(Operation::Delete),
            OperationArgument::Mixed => {
                self.mix.as_deref().unwrap_or("get=80,put=20").parse().map_err(ArgumentError::Mix)?
            }
        })
    }
}

fn threads_default(connections: usize) -> usize {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    connections.div_ceil(64).min(cpus)
}

fn objects_default(sizes: &[u64]) -> u64 {
    let largest = sizes.iter().copied().max().unwrap_or(1).max(1);
    OBJECT_BYTES_DEFAULT.div_ceil(largest).clamp(OBJECTS_DEFAULT_MIN, OBJECTS_DEFAULT_MAX)
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

    fn check(line: &str) -> Result<LoadOptions, ArgumentError> {
        let words =
            ["load", "--access-key", "a", "--secret-key", "s"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().arguments.check()
    }

    #[test]
    fn defaults_make_a_short_mixed_run() {
        let options = check("").unwrap();
        assert_eq!(options.mix.to_string(), "get=80,put=20");
        assert_eq!(options.limit, Limit::Duration(DURATION_DEFAULT));
        assert_eq!((options.sizes, options.objects, options.connections), (vec![4096], 1000, 16));
        assert!(options.prepare);
        assert!(!options.remove);
        assert_eq!(options.order, KeyOrder::Usual);
    }

    #[test]
    fn sizes_and_limits_are_read() {
        let options =
            check("--operation put --size 4KiB,64MiB --requests 7 --sign query --order scattered").unwrap();
        assert_eq!(options.order, KeyOrder::Scattered);
        assert_eq!(options.sizes, [4096, 64 << 20]);
        assert_eq!(options.objects, 16);
        assert_eq!(options.limit, Limit::Requests(7));
        assert_eq!(options.sign, SignStyle::Query);
    }

    #[test]
    fn arguments_that_contradict_each_other_are_refused() {
        assert_eq!(check("--operation get --mix put=1").unwrap_err(), ArgumentError::MixWithOperation);
        assert_eq!(check("--mix put=0").unwrap_err(), ArgumentError::Mix(MixError::Empty));
        assert_eq!(check("--objects 0").unwrap_err(), ArgumentError::Zero("--objects"));
        assert_eq!(check("--connections 99999").unwrap_err(), ArgumentError::TooManyConnections);
    }
}
