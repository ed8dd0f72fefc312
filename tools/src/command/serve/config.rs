//! The configuration file of a real pool: TOML, unknown fields refused.

use super::ServeOptions;
use super::keys::Keys;
use super::tls::TlsFiles;
use crate::output::{parse_duration, parse_size};
use ashlar_engine::EngineOptions;
use ashlar_engine::runtime::native::Passthrough;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Without `memory`, bytes.
pub(crate) const MEMORY_DEFAULT: u64 = 1 << 30;

/// The file as written.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeConfig {
    /// Paths of the pool's devices.
    devices: Vec<PathBuf>,
    /// `auto`, `off` or `required`: whether NVMe namespaces are driven by commands.
    #[serde(default)]
    passthrough: PassthroughWord,
    /// Where to listen.
    #[serde(default = "default_listen")]
    listen: SocketAddr,
    /// Cores, if not all that the CPU affinity allows.
    cores: Option<usize>,
    /// Memory budget, as `4GiB`.
    memory: Option<String>,
    /// Region that signatures name.
    #[serde(default = "default_region")]
    region: String,
    /// Domains under which buckets are hosts.
    #[serde(default)]
    domains: Vec<String>,
    /// Who may sign requests.
    credentials: Keys,
    /// The certificate and its key; without, plain HTTP.
    tls: Option<TlsFiles>,
    /// How long a device may be out of service before what lies on it is rebuilt on others, as `10m`.
    rebuild_after: Option<String>,
    /// How long a device may take for a transfer before it is taken out of service, as `10s`.
    device_patience: Option<String>,
    /// How often everything is read to find what rots, as `14d`, or `never`.
    scrub_every: Option<String>,
}

/// A busy device may well take as long as this for what it is asked.
const DEVICE_PATIENCE_MIN: Duration = Duration::from_secs(1);
/// What is read more often than this is read all the time.
const SCRUB_EVERY_MIN: Duration = Duration::from_secs(1);
/// As `scrub_every`: nothing is read unless it is asked for.
const NEVER: &str = "never";

/// What may stand for [`Passthrough`].
#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum PassthroughWord {
    #[default]
    Auto,
    Off,
    Required,
}

impl From<PassthroughWord> for Passthrough {
    fn from(word: PassthroughWord) -> Self {
        match word {
            PassthroughWord::Auto => Self::Auto,
            PassthroughWord::Off => Self::Off,
            PassthroughWord::Required => Self::Required,
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not what it should be; the parser says where.
    Syntax {
        /// Which file.
        path: PathBuf,
        /// The parser's words.
        error: Box<toml::de::Error>,
    },
    /// `memory` is no size.
    Memory,
    /// `rebuild_after` is no duration.
    RebuildAfter,
    /// `device_patience` is no duration, or too short to tell a busy device from one that hangs.
    DevicePatience,
    /// `scrub_every` is no duration, or too short, or not `never`.
    ScrubEvery,
    /// No devices are named.
    NoDevices,
    /// The secret is too short to be one.
    WeakSecret,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Syntax { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Memory => write!(f, "memory must be a size such as \"4GiB\""),
            Self::RebuildAfter => write!(f, "rebuild_after must be a duration such as \"10m\""),
            Self::DevicePatience => write!(f, "device_patience must be a second or more, such as \"10s\""),
            Self::ScrubEvery => {
                write!(f, "scrub_every must be a second or more, such as \"14d\", or \"{NEVER}\"")
            }
            Self::NoDevices => write!(f, "devices must name the pool's devices"),
            Self::WeakSecret => write!(f, "credentials.secret_key must have at least 16 characters"),
        }
    }
}

impl std::error::Error for ConfigError {}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9000))
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

/// How often everything is read; without a word as often as the engine does by itself.
fn scrub_every(text: Option<&str>) -> Result<Option<Duration>, ConfigError> {
    match text.map(str::trim) {
        None => Ok(EngineOptions::default().scrub_every),
        Some(NEVER) => Ok(None),
        Some(text) => match parse_duration(text) {
            Ok(every) if every >= SCRUB_EVERY_MIN => Ok(Some(every)),
            Ok(_) | Err(_) => Err(ConfigError::ScrubEvery),
        },
    }
}

impl ServeConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or holds a field that is not known.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Io { path: path.to_path_buf(), error })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Syntax { path: path.to_path_buf(), error: Box::new(error) })
    }

    /// What it means.
    ///
    /// # Errors
    /// When a value makes no sense.
    pub fn check(self) -> Result<ServeOptions, ConfigError> {
        if self.devices.is_empty() {
            return Err(ConfigError::NoDevices);
        }
        if self.credentials.secret_key.len() < 16 {
            return Err(ConfigError::WeakSecret);
        }
        let memory = match self.memory {
            Some(text) => parse_size(&text).map_err(|_syntax| ConfigError::Memory)?,
            None => MEMORY_DEFAULT,
        };
        let rebuild_after = self.rebuild_after.as_deref().map(parse_duration).transpose();
        let device_patience = self.device_patience.as_deref().map(parse_duration).transpose();
        let device_patience = device_patience.map_err(|_syntax| ConfigError::DevicePatience)?;
        if device_patience.is_some_and(|patience| patience < DEVICE_PATIENCE_MIN) {
            return Err(ConfigError::DevicePatience);
        }
        Ok(ServeOptions {
            device_patience,
            scrub_every: scrub_every(self.scrub_every.as_deref())?,
            rebuild_after: rebuild_after.map_err(|_syntax| ConfigError::RebuildAfter)?,
            devices: self.devices,
            passthrough: self.passthrough.into(),
            create: None,
            listen: self.listen,
            cores: self.cores,
            memory,
            keys: self.credentials,
            show_secret: false,
            region: self.region,
            domains: self.domains,
            tls: self.tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "devices = [\"/dev/a\", \"/dev/b\"]\nmemory = \"2GiB\"\n\
                        [credentials]\naccess_key = \"A\"\nsecret_key = \"0123456789abcdef\"\n";

    #[test]
    fn a_good_file_is_understood() {
        let config: ServeConfig = toml::from_str(GOOD).unwrap();
        let options = config.check().unwrap();
        assert_eq!((options.memory, options.devices.len(), options.listen.port()), (2 << 30, 2, 9000));
    }

    #[test]
    fn a_certificate_and_a_key_go_together() {
        let tls = "[tls]\ncertificate = \"a.pem\"\nkey = \"b.pem\"\n";
        let config: ServeConfig = toml::from_str(&format!("{GOOD}{tls}")).unwrap();
        let files = config.check().unwrap().tls.unwrap();
        assert_eq!((files.certificate, files.key), (PathBuf::from("a.pem"), PathBuf::from("b.pem")));
        assert!(toml::from_str::<ServeConfig>(&format!("{GOOD}{}", tls.replace("key", "clef"))).is_err());
        assert!(toml::from_str::<ServeConfig>(&format!("{GOOD}[tls]\ncertificate = \"a.pem\"\n")).is_err());
    }

    #[test]
    fn passthrough_is_automatic_unless_said_otherwise() {
        let read = |text: &str| {
            toml::from_str::<ServeConfig>(text).map(|config| config.check().unwrap().passthrough)
        };
        assert_eq!(read(GOOD), Ok(Passthrough::Auto));
        assert_eq!(read(&format!("passthrough = \"off\"\n{GOOD}")), Ok(Passthrough::Off));
        assert_eq!(read(&format!("passthrough = \"required\"\n{GOOD}")), Ok(Passthrough::Required));
        assert!(read(&format!("passthrough = \"on\"\n{GOOD}")).is_err());
    }

    #[test]
    fn how_long_a_device_is_waited_for_can_be_said() {
        let read = |text: &str| toml::from_str::<ServeConfig>(text).unwrap().check().map(|o| o.rebuild_after);
        assert_eq!(read(GOOD).unwrap(), None);
        let hour = read(&format!("rebuild_after = \"1h\"\n{GOOD}")).unwrap();
        assert_eq!(hour, Some(Duration::from_secs(3600)));
        let odd = read(&format!("rebuild_after = \"soon\"\n{GOOD}"));
        assert!(matches!(odd, Err(ConfigError::RebuildAfter)));
    }

    #[test]
    fn how_long_a_transfer_is_waited_for_can_be_said() {
        let read =
            |text: &str| toml::from_str::<ServeConfig>(text).unwrap().check().map(|o| o.device_patience);
        assert_eq!(read(GOOD).unwrap(), None);
        let minute = read(&format!("device_patience = \"1m\"\n{GOOD}")).unwrap();
        assert_eq!(minute, Some(Duration::from_secs(60)));
        for odd in ["soon", "0s", "900ms"] {
            let found = read(&format!("device_patience = \"{odd}\"\n{GOOD}"));
            assert!(matches!(found, Err(ConfigError::DevicePatience)), "{odd}: {found:?}");
        }
    }

    #[test]
    fn how_often_everything_is_read_can_be_said() {
        let read = |text: &str| toml::from_str::<ServeConfig>(text).unwrap().check().map(|o| o.scrub_every);
        assert_eq!(read(GOOD).unwrap(), EngineOptions::default().scrub_every);
        let weeks = read(&format!("scrub_every = \"21d\"\n{GOOD}")).unwrap();
        assert_eq!(weeks, Some(Duration::from_secs(21 * 24 * 3600)));
        assert_eq!(read(&format!("scrub_every = \"never\"\n{GOOD}")).unwrap(), None);
        for odd in ["often", "0s", "999ms", "Never"] {
            let found = read(&format!("scrub_every = \"{odd}\"\n{GOOD}"));
            assert!(matches!(found, Err(ConfigError::ScrubEvery)), "{odd}: {found:?}");
        }
        let line = "scrub_every must be a second or more, such as \"14d\", or \"never\"";
        assert_eq!(ConfigError::ScrubEvery.to_string(), line);
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(toml::from_str::<ServeConfig>(&format!("colour = \"red\"\n{GOOD}")).is_err());
    }

    #[test]
    fn a_weak_secret_is_refused() {
        let config: ServeConfig = toml::from_str(&GOOD.replace("0123456789abcdef", "minioadmin")).unwrap();
        assert!(matches!(config.check(), Err(ConfigError::WeakSecret)));
    }
}
