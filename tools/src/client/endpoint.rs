//! Where the server is.

use std::fmt;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// A server that does not accept within this time counts as gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server's address and the name that it is called by in the `Host` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    address: SocketAddr,
}

/// Why an endpoint cannot be used.
#[derive(Debug)]
pub enum EndpointError {
    /// Only `http://host[:port]` is spoken here.
    NotPlainHttp,
    /// Something follows the host.
    HasPath,
    /// The host has no address.
    Unresolved(std::io::Error),
}

impl fmt::Display for EndpointError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPlainHttp => {
                formatter.write_str("the endpoint must be http://host[:port]; TLS is not spoken here")
            }
            Self::HasPath => formatter.write_str("the endpoint must not have a path"),
            Self::Unresolved(error) => write!(formatter, "the endpoint's host has no address: {error}"),
        }
    }
}

impl std::error::Error for EndpointError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unresolved(error) => Some(error),
            Self::NotPlainHttp | Self::HasPath => None,
        }
    }
}

impl Endpoint {
    /// Reads `http://host[:port][/]` and looks its address up; the first address is used.
    ///
    /// # Errors
    ///
    /// When the text is no such URL, or the host is unknown.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let authority = url.strip_prefix("http://").ok_or(EndpointError::NotPlainHttp)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(EndpointError::HasPath);
        }
        if authority.is_empty() {
            return Err(EndpointError::NotPlainHttp);
        }
        let with_port = if has_port(authority) { authority.to_owned() } else { format!("{authority}:80") };
        let mut addresses = with_port.to_socket_addrs().map_err(EndpointError::Unresolved)?;
        let address = addresses.next().ok_or_else(|| {
            EndpointError::Unresolved(std::io::Error::new(std::io::ErrorKind::NotFound, "no address"))
        })?;
        Ok(Self { host: authority.to_owned(), address })
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
    pub fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
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
        let endpoint = Endpoint::parse("http://127.0.0.1:9000/").unwrap();
        assert_eq!(endpoint.host(), "127.0.0.1:9000");
        assert_eq!(endpoint.address.port(), 9000);
        assert_eq!(Endpoint::parse("http://127.0.0.1").unwrap().address.port(), 80);
        assert_eq!(Endpoint::parse("http://[::1]").unwrap().address.port(), 80);
        assert_eq!(Endpoint::parse("http://[::1]:9000").unwrap().address.port(), 9000);
    }

    #[test]
    fn other_schemes_and_paths_are_refused() {
        assert!(matches!(Endpoint::parse("https://127.0.0.1"), Err(EndpointError::NotPlainHttp)));
        assert!(matches!(Endpoint::parse("127.0.0.1:9000"), Err(EndpointError::NotPlainHttp)));
        assert!(matches!(Endpoint::parse("http://"), Err(EndpointError::NotPlainHttp)));
        assert!(matches!(Endpoint::parse("http://127.0.0.1/bucket"), Err(EndpointError::HasPath)));
    }
}
