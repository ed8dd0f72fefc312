//! The embedded default: six files in a folder as a 4+2 pool.

use super::ServeOptions;
use super::keys::Keys;
use super::tls::TlsFiles;
use ashlar_disk_format::code::{CodeFamily, CodeShape};
use ashlar_engine::EngineOptions;
use ashlar_engine::runtime::native::{OpenError, Passthrough, create_file_device};
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const DEVICES: usize = 6;
const SHAPE: CodeShape = CodeShape { family: CodeFamily::Gf8, k: 4, m: 2 };
/// Beside the devices, readable by its owner only.
const KEYS_FILE: &str = "credentials.toml";

/// A checked `serve --demo`.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Where the device files are.
    pub folder: PathBuf,
    /// Size of each new device file, bytes.
    pub device_bytes: u64,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Cores, if not all.
    pub cores: Option<usize>,
    /// Memory budget, bytes.
    pub memory: u64,
    /// Keys from the environment.
    pub keys: Option<Keys>,
    /// With which TLS is spoken; without, plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// Why the folder does not serve.
#[derive(Debug)]
pub enum DemoError {
    /// A file or folder.
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A device file could not be made.
    Device {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: OpenError,
    },
    /// The keys cannot be read.
    Keys {
        /// Which file.
        path: PathBuf,
    },
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Device { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Keys { path } => write!(
                f,
                "{}: not readable as keys: delete it to have new ones made, or set ASHLAR_ACCESS_KEY and \
                 ASHLAR_SECRET_KEY",
                path.display()
            ),
        }
    }
}

impl std::error::Error for DemoError {}

/// The device files of a demo folder, present or not.
fn device_paths(folder: &Path) -> Vec<PathBuf> {
    (0..DEVICES).map(|number| folder.join(format!("device-{number}.img"))).collect()
}

/// Makes the folder, its devices and keys if they are not there.
pub(super) fn prepare(options: DemoOptions) -> Result<ServeOptions, DemoError> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |error| DemoError::Io { path, error }
    };
    fs::create_dir_all(&options.folder).map_err(at(&options.folder))?;
    let devices = device_paths(&options.folder);
    let fresh = !devices.iter().any(|path| path.exists());
    if fresh {
        for path in &devices {
            create_file_device(path, options.device_bytes, false)
                .map_err(|error| DemoError::Device { path: path.clone(), error })?;
        }
    }
    let (keys, show_secret) = match options.keys {
        Some(keys) => (keys, false),
        None => (stored_keys(&options.folder)?, true),
    };
    Ok(ServeOptions {
        devices,
        passthrough: Passthrough::Off,
        create: fresh.then_some(SHAPE),
        listen: options.listen,
        cores: options.cores,
        memory: options.memory,
        rebuild_after: None,
        device_patience: None,
        scrub_every: EngineOptions::default().scrub_every,
        keys,
        show_secret,
        region: "us-east-1".to_owned(),
        domains: Vec::new(),
        tls: options.tls,
    })
}

/// The folder's keys, made at the first start.
fn stored_keys(folder: &Path) -> Result<Keys, DemoError> {
    let path = folder.join(KEYS_FILE);
    let io = |error| DemoError::Io { path: path.clone(), error };
    if path.exists() {
        let text = fs::read_to_string(&path).map_err(io)?;
        return toml::from_str(&text).map_err(|_syntax| DemoError::Keys { path: path.clone() });
    }
    let keys = Keys::generate();
    let Ok(text) = toml::to_string(&keys) else { return Err(DemoError::Keys { path }) };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(io)?;
    file.write_all(text.as_bytes()).map_err(io)?;
    file.sync_all().map_err(io)?;
    Ok(keys)
}
