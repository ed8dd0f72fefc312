//! The certificate and its key, as files: read at the start, and again when they change.

use ashlar_engine::runtime::{CoreId, Runtime};
use ashlar_s3::server::ServerConfig;
use ashlar_s3::tls::{Identity, IdentityError, Tls};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Between two looks at the files. Whoever renews a certificate does so days before the old one ends.
const LOOK_PAUSE: Duration = Duration::from_secs(10);

/// Larger files are none of ours, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Bits of a file's mode that let others than its owner read it; its group may, as where certificates are shared.
const OTHERS_READ: u32 = 0o004;

/// Where the certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// PEM: the server's certificate, then those that vouch for it.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

/// Why there is no TLS.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be read.
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is too large to be one.
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// What a file holds is wrong.
    Identity {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        error: IdentityError,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "tls: {}: {error}", path.display()),
            Self::TooLarge { path } => {
                write!(f, "tls: {}: larger than 1 MiB: give a PEM file", path.display())
            }
            Self::Identity { path, error } => write!(f, "tls: {} {error}", path.display()),
        }
    }
}

impl std::error::Error for TlsError {}

/// What tells one state of a file from another.
type Stamp = (u64, u64, i64, i64, u64);

/// The files, what they held at the start, and their state then.
#[derive(Debug, Clone)]
pub(super) struct Certificates {
    files: TlsFiles,
    stamps: Option<[Stamp; 2]>,
    pub(super) tls: Tls,
}

/// Reads the files, and warns of a key that everybody can read.
pub(super) fn open(files: TlsFiles) -> Result<Certificates, TlsError> {
    let stamps = stamps(&files);
    let tls = Tls::new(load(&files)?)
        .map_err(|error| TlsError::Identity { path: files.certificate.clone(), error })?;
    if fs::metadata(&files.key).is_ok_and(|about| about.mode() & OTHERS_READ != 0) {
        let key = files.key.display();
        eprintln!(
            "ashlar: WARNING: tls: {key} can be read by every user of this machine: run chmod o-r {key}"
        );
    }
    Ok(Certificates { files, stamps, tls })
}

fn load(files: &TlsFiles) -> Result<Identity, TlsError> {
    let (certificate, key) = (read(&files.certificate)?, read(&files.key)?);
    Identity::from_pem(&certificate, &key).map_err(|error| {
        let path = if error.is_of_key() { &files.key } else { &files.certificate };
        TlsError::Identity { path: path.clone(), error }
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let io = |error| TlsError::Io { path: path.to_path_buf(), error };
    if fs::metadata(path).map_err(io)?.len() > FILE_BYTES_MAX {
        return Err(TlsError::TooLarge { path: path.to_path_buf() });
    }
    fs::read(path).map_err(io)
}

fn stamp(path: &Path) -> Option<Stamp> {
    let about = fs::metadata(path).ok()?;
    Some((about.dev(), about.ino(), about.mtime(), about.mtime_nsec(), about.size()))
}

fn stamps(files: &TlsFiles) -> Option<[Stamp; 2]> {
    Some([stamp(&files.certificate)?, stamp(&files.key)?])
}

/// Takes up a new certificate, for the life of the server. Every core looks for itself, so that none has to ask
/// another; the first one tells. What cannot be used is told once and changes nothing.
pub(super) async fn renew<R: Runtime>(runtime: R, certificates: Certificates, config: Rc<ServerConfig>) {
    let mut known = certificates.stamps;
    let tells = runtime.core() == CoreId(0);
    loop {
        runtime.sleep(LOOK_PAUSE).await;
        let now = stamps(&certificates.files);
        // Files that are not there are about to be, or the next start will say so.
        if now.is_none() || now == known {
            continue;
        }
        known = now;
        match (load(&certificates.files), &config.tls) {
            (Ok(identity), Some(current)) => {
                current.renew(identity);
                if tells {
                    println!("tls: took up the certificate {}", certificates.files.certificate.display());
                }
            }
            (Err(error), _) if tells => {
                eprintln!("ashlar: WARNING: {error}; the certificate that was read before stays in use");
            }
            (Ok(_) | Err(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ashlar-tls-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn files(&self, certificate: &str, key: &str) -> TlsFiles {
            let files = TlsFiles { certificate: self.0.join("cert.pem"), key: self.0.join("key.pem") };
            fs::write(&files.certificate, certificate).unwrap();
            fs::write(&files.key, key).unwrap();
            fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
            files
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn every_mistake_is_one_line_that_names_the_file() {
        let folder = Folder::new("mistakes");
        let (certificate, key) = pair();
        let (_, other) = pair();
        let words = |certificate: &str, key: &str| {
            let error = open(folder.files(certificate, key)).unwrap_err().to_string();
            assert!(!error.contains('\n'), "{error}");
            error.replace(&format!("{}/", folder.0.display()), "")
        };
        assert_eq!(
            words(&certificate, &other),
            "tls: key.pem is not the key of the certificate: give both from the same order"
        );
        assert!(words(&key, &key).starts_with("tls: cert.pem holds no certificate"));
        assert!(words(&certificate, "").starts_with("tls: key.pem holds no private key"));
        let mut files = folder.files(&certificate, &key);
        assert!(open(files.clone()).is_ok());
        files.key = folder.0.join("absent.pem");
        assert!(
            open(files)
                .unwrap_err()
                .to_string()
                .ends_with("absent.pem: No such file or directory (os error 2)")
        );
    }

    #[test]
    fn a_file_that_was_replaced_has_another_stamp() {
        let folder = Folder::new("stamps");
        let (certificate, key) = pair();
        let files = folder.files(&certificate, &key);
        let before = stamps(&files);
        assert_eq!(stamps(&files), before);
        let fresh = folder.0.join("fresh.pem");
        fs::write(&fresh, &certificate).unwrap();
        fs::rename(&fresh, &files.certificate).unwrap();
        assert_ne!(stamps(&files), before);
    }
}
