//! The arguments of `ashlar serve`.

use crate::command::serve::{DemoOptions, Keys, TlsFiles};
use crate::output::parse_size;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Usable for a first look and for real files; the files are sparse.
const DEVICE_SIZE_DEFAULT: &str = "8GiB";
const DEVICE_BYTES_MIN: u64 = 64 << 20;

#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["demo", "config"]))]
pub(super) struct Arguments {
    /// Serve a 4+2 pool of six files in a folder, made at the first start
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "./ashlar-demo")]
    demo: Option<PathBuf>,
    /// Serve the pool of a configuration file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["demo", "device_size", "listen", "cores", "memory"])]
    config: Option<PathBuf>,
    /// Size of each new device file of the demo
    #[arg(long, value_name = "SIZE", default_value = DEVICE_SIZE_DEFAULT, value_parser = parse_size)]
    device_size: u64,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// How many cores to use [default: all that the CPU affinity allows]
    #[arg(long, value_name = "N")]
    cores: Option<usize>,
    /// Memory budget
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    memory: u64,
    /// Speak TLS with this certificate: PEM, with those that vouch for it behind it
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's key: PEM, readable by the server only
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Access key, instead of the generated one
    #[arg(long, env = "ASHLAR_ACCESS_KEY", value_name = "KEY", hide = true)]
    access_key: Option<String>,
    /// Its secret
    #[arg(long, env = "ASHLAR_SECRET_KEY", value_name = "KEY", hide = true, hide_env_values = true)]
    secret_key: Option<String>,
}

/// What is wrong with arguments that are each well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArgumentError {
    /// One of the two keys alone.
    HalfKeys,
    /// `--cores 0`.
    NoCores,
    /// `--device-size` is too small.
    DeviceSize,
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HalfKeys => write!(f, "set both ASHLAR_ACCESS_KEY and ASHLAR_SECRET_KEY, or neither"),
            Self::NoCores => write!(f, "--cores must be at least 1"),
            Self::DeviceSize => write!(f, "--device-size must be at least 64MiB"),
        }
    }
}

/// What `serve` shall serve.
#[derive(Debug, Clone)]
pub(super) enum Served {
    Demo(DemoOptions),
    Config(PathBuf, Option<TlsFiles>),
}

impl Arguments {
    pub(super) fn check(self) -> Result<Served, ArgumentError> {
        let tls =
            self.tls_certificate.zip(self.tls_key).map(|(certificate, key)| TlsFiles { certificate, key });
        if let Some(config) = self.config {
            return Ok(Served::Config(config, tls));
        }
        let keys = match (self.access_key, self.secret_key) {
            (Some(access_key), Some(secret_key)) => Some(Keys { access_key, secret_key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(ArgumentError::HalfKeys),
        };
        if self.cores == Some(0) {
            return Err(ArgumentError::NoCores);
        }
        if self.device_size < DEVICE_BYTES_MIN {
            return Err(ArgumentError::DeviceSize);
        }
        Ok(Served::Demo(DemoOptions {
            folder: self.demo.unwrap_or_else(|| PathBuf::from("./ashlar-demo")),
            device_bytes: self.device_size,
            listen: self.listen,
            cores: self.cores,
            memory: self.memory,
            keys,
            tls,
        }))
    }
}
