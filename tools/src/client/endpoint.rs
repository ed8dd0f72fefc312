//! Where the server is.

use super::wire::Wire;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A server that does not accept within this time counts as gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server's address and the name that it is called by in the `Host` header.
#[derive(Debug, Clone)]
pub struct Endpoint {
    host: String,
    address: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// Why an endpoint cannot be used.
#[derive(Debug)]
pub enum EndpointError {
    /// Neither `http://` nor `https://`, or no host.
    NotHttp,
    /// `https://`, and nobody was named who vouches for the server.
    NoAuthority,
    /// Who vouches for the server cannot be read from this file.
    Authority {
        /// Which file.
        path: PathBuf,
    },
    /// No certificate can be for such a host.
    Name,
    /// Something follows the host.
    HasPath,
    /// The host has no address.
    Unresolved(std::io::Error),
}

impl fmt::Display for EndpointError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp => {
                formatter.write_str("the endpoint must be http://host[:port] or https://host[:port]")
            }
            Self::NoAuthority => formatter
                .write_str("https needs --ca FILE: the certificate, in PEM, that vouches for the server's"),
            Self::Authority { path } => {
                write!(formatter, "{}: no certificates in PEM that vouch for a server", path.display())
            }
            Self::Name => formatter.write_str("the endpoint's host is no name that a certificate can be for"),
            Self::HasPath => formatter.write_str("the endpoint must not have a path"),
            Self::Unresolved(error) => write!(formatter, "the endpoint's host has no address: {error}"),
        }
    }
}

impl std::error::Error for EndpointError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unresolved(error) => Some(error),
            Self::NotHttp | Self::NoAuthority | Self::Authority { .. } | Self::Name | Self::HasPath => None,
        }
    }
}

impl Endpoint {
    /// Reads `http[s]://host[:port][/]` and looks its address up; the first address is used. A server with TLS must
    /// show a certificate that one in the file `authority` vouches for.
    ///
    /// # Errors
    ///
    /// When the text is no such URL, or the host is unknown.
    pub fn parse(url: &str, authority: Option<&Path>) -> Result<Self, EndpointError> {
        let (rest, port) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (rest, 80),
            (None, Some(rest)) => (rest, 443),
            (None, None) => return Err(EndpointError::NotHttp),
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        if host.contains(['/', '?', '#', '@']) {
            return Err(EndpointError::HasPath);
        }
        if host.is_empty() {
            return Err(EndpointError::NotHttp);
        }
        let tls = if port == 443 {
            let trusted = trust(authority.ok_or(EndpointError::NoAuthority)?)?;
            let name = ServerName::try_from(name(host)).map_err(|_invalid| EndpointError::Name)?;
            Some((trusted, name.to_owned()))
        } else {
            None
        };
        let with_port = if has_port(host) { host.to_owned() } else { format!("{host}:{port}") };
        let mut addresses = with_port.to_socket_addrs().map_err(EndpointError::Unresolved)?;
        let address = addresses.next().ok_or_else(|| {
            EndpointError::Unresolved(std::io::Error::new(std::io::ErrorKind::NotFound, "no address"))
        })?;
        Ok(Self { host: host.to_owned(), address, tls })
    }

    /// What the `Host` header says.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Opens a connection that sends small requests at once.
    ///
    /// # Errors
    ///
    /// When the server does not accept within a few seconds.
    pub fn connect(&self) -> std::io::Result<Wire> {
        let stream = TcpStream::connect_timeout(&self.address, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        let Some((config, name)) = &self.tls else { return Ok(Wire::Plain(stream)) };
        stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        let wire = Wire::shake_hands(stream, Arc::clone(config), name.clone())?;
        wire.socket().set_read_timeout(None)?;
        Ok(wire)
    }
}

/// Settings of a client that trusts the certificates of a file, and nobody else.
fn trust(path: &Path) -> Result<Arc<ClientConfig>, EndpointError> {
    let wrong = || EndpointError::Authority { path: path.to_path_buf() };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|_unreadable| wrong())? {
        roots.add(certificate.map_err(|_broken| wrong())?).map_err(|_useless| wrong())?;
    }
    if roots.is_empty() {
        return Err(wrong());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let Ok(builder) = builder.with_safe_default_protocol_versions() else { return Err(wrong()) };
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// The host without its port, and an IPv6 address without its brackets.
fn name(host: &str) -> &str {
    let without_port =
        if has_port(host) { host.rsplit_once(':').map_or(host, |(name, _)| name) } else { host };
    without_port.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(without_port)
}

fn has_port(authority: &str) -> bool {
    // The colons of an IPv6 address stand inside brackets.
    authority.rsplit(']').next().is_some_and(|rest| rest.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_read() {
        let parse = |url: &str| Endpoint::parse(url, None);
        let endpoint = parse("http://127.0.0.1:9000/").unwrap();
        assert_eq!(endpoint.host(), "127.0.0.1:9000");
        assert_eq!(endpoint.address.port(), 9000);
        assert_eq!(parse("http://127.0.0.1").unwrap().address.port(), 80);
        assert_eq!(parse("http://[::1]").unwrap().address.port(), 80);
        assert_eq!(parse("http://[::1]:9000").unwrap().address.port(), 9000);
        assert_eq!(
            (name("[::1]:9000"), name("[::1]"), name("a.b:1"), name("a.b")),
            ("::1", "::1", "a.b", "a.b")
        );
    }

    #[test]
    fn other_schemes_and_paths_are_refused() {
        let parse = |url: &str| Endpoint::parse(url, None);
        assert!(matches!(parse("https://127.0.0.1"), Err(EndpointError::NoAuthority)));
        assert!(matches!(parse("ftp://127.0.0.1"), Err(EndpointError::NotHttp)));
        assert!(matches!(parse("127.0.0.1:9000"), Err(EndpointError::NotHttp)));
        assert!(matches!(parse("http://"), Err(EndpointError::NotHttp)));
        assert!(matches!(parse("http://127.0.0.1/bucket"), Err(EndpointError::HasPath)));
        let absent = Endpoint::parse("https://127.0.0.1", Some(Path::new("/absent.pem")));
        assert!(matches!(absent, Err(EndpointError::Authority { .. })));
    }
}
