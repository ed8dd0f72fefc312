//! TLS as this server speaks it: versions, algorithms and tickets are settled here, once. What differs between
//! servers is the certificate.
//!
//! TLS 1.3 and 1.2, `http/1.1` only, no client certificates, no early data: what comes before the handshake's end can be
//! replayed by anyone, and a PUT must not be.

use core::cell::RefCell;
use core::fmt;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::sync::Arc;

/// The only protocol that is spoken above TLS.
const PROTOCOL: &[u8] = b"http/1.1";

/// A certificate, those that vouch for it, and its key.
#[derive(Clone, Debug)]
pub struct Identity(Arc<CertifiedKey>);

/// Why a certificate and a key are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// No certificate in the first text.
    NoCertificate,
    /// What looks like PEM there is broken.
    BrokenCertificate,
    /// No private key in the second text.
    NoKey,
    /// What looks like PEM there is broken.
    BrokenKey,
    /// The key is of a kind that is not supported.
    UnsupportedKey,
    /// The certificate is for another key.
    KeyMismatch,
    /// The first certificate cannot be read.
    InvalidCertificate,
    /// There is no randomness for the keys of tickets.
    NoRandomness,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoCertificate => "holds no certificate: it must be PEM, with lines BEGIN CERTIFICATE",
            Self::BrokenCertificate => "is broken PEM",
            Self::NoKey => {
                "holds no private key: it must be PEM, with a line BEGIN PRIVATE KEY, and not encrypted"
            }
            Self::BrokenKey => "is broken PEM",
            Self::UnsupportedKey => {
                "holds a key of an unsupported kind: use ECDSA P-256 or P-384, Ed25519 or RSA"
            }
            Self::KeyMismatch => "is not the key of the certificate: give both from the same order",
            Self::InvalidCertificate => "holds a certificate that cannot be read",
            Self::NoRandomness => "cannot be used: the system gives no random numbers",
        })
    }
}

impl core::error::Error for IdentityError {}

impl IdentityError {
    /// Whether it is about the key, and not the certificate.
    #[must_use]
    pub fn is_of_key(self) -> bool {
        match self {
            Self::NoKey | Self::BrokenKey | Self::UnsupportedKey | Self::KeyMismatch => true,
            Self::NoCertificate | Self::BrokenCertificate | Self::InvalidCertificate | Self::NoRandomness => {
                false
            }
        }
    }
}

impl Identity {
    /// Reads PEM: the server's certificate first, then those between it and the authority; and the private key.
    ///
    /// # Errors
    /// [`IdentityError`] says what is wrong with which of the two.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(certificates).collect();
        let chain = chain.map_err(|_broken| IdentityError::BrokenCertificate)?;
        if chain.is_empty() {
            return Err(IdentityError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => IdentityError::NoKey,
            // The list of its errors is open; every other one is of the same kind.
            pem::Error::MissingSectionEnd { .. }
            | pem::Error::IllegalSectionStart { .. }
            | pem::Error::Base64Decode(_)
            | pem::Error::Io(_)
            | pem::Error::SectionTooLarge
            | _ => IdentityError::BrokenKey,
        })?;
        let provider = default_provider();
        let Ok(key) = provider.key_provider.load_private_key(key) else {
            return Err(IdentityError::UnsupportedKey);
        };
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(Self(Arc::new(certified)))
            }
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                Err(IdentityError::KeyMismatch)
            }
            Err(_) => Err(IdentityError::InvalidCertificate),
        }
    }
}

/// The settings of every TLS connection, for all cores.
#[derive(Clone, Debug)]
pub struct Tls(Arc<rustls::ServerConfig>);

impl Tls {
    /// Settings with a certificate. Clones share the keys of tickets, so that a client can come back to any core.
    ///
    /// # Errors
    /// [`IdentityError::NoRandomness`].
    pub fn new(identity: Identity) -> Result<Self, IdentityError> {
        let Identity(certified) = identity;
        let builder = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let Ok(builder) = builder.with_safe_default_protocol_versions() else {
            unreachable!("the provider's algorithms are enough for the versions")
        };
        let resolver = Arc::new(SingleCertAndKey::from(certified));
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Tickets instead of a store: nothing is kept per client, and no core asks another. Their keys are made anew
        // by the process every six hours.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new().map_err(|_no_randomness| IdentityError::NoRandomness)?;
        Ok(Self(Arc::new(config)))
    }

    /// The same with another certificate; tickets stay good.
    #[must_use]
    pub fn renewed(&self, identity: Identity) -> Self {
        let Identity(certified) = identity;
        let mut config = rustls::ServerConfig::clone(&self.0);
        config.cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        Self(Arc::new(config))
    }

    pub(crate) fn settings(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.0)
    }
}

/// What one core speaks TLS with now. Connections keep what they began with.
#[derive(Clone, Debug)]
pub struct CurrentTls(RefCell<Tls>);

impl CurrentTls {
    /// Begins with these settings.
    #[must_use]
    pub fn new(tls: Tls) -> Self {
        Self(RefCell::new(tls))
    }

    /// The settings for the next connection.
    #[must_use]
    pub fn get(&self) -> Tls {
        self.0.borrow().clone()
    }

    /// From now on another certificate.
    pub fn renew(&self, identity: Identity) {
        let renewed = self.0.borrow().renewed(identity);
        *self.0.borrow_mut() = renewed;
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, IdentityError, Tls};

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn judge(certificate: &str, key: &str) -> Result<(), IdentityError> {
        Identity::from_pem(certificate.as_bytes(), key.as_bytes()).map(|_| ())
    }

    #[test]
    fn a_certificate_and_its_key_are_an_identity() {
        let (certificate, key) = pair();
        assert_eq!(judge(&certificate, &key), Ok(()));
        // Both in one file, in either order.
        let both = format!("{key}{certificate}");
        assert_eq!(judge(&both, &both), Ok(()));
        let tls = Tls::new(Identity::from_pem(both.as_bytes(), both.as_bytes()).unwrap()).unwrap();
        assert_eq!(tls.settings().max_early_data_size, 0);
        assert!(tls.settings().ticketer.enabled());
    }

    #[test]
    fn every_mistake_has_its_own_words() {
        let (certificate, key) = pair();
        let (_, other_key) = pair();
        assert_eq!(judge(&certificate, &other_key), Err(IdentityError::KeyMismatch));
        assert_eq!(judge(&key, &key), Err(IdentityError::NoCertificate));
        assert_eq!(judge("", &key), Err(IdentityError::NoCertificate));
        assert_eq!(judge(&certificate, &certificate), Err(IdentityError::NoKey));
        assert_eq!(judge(&certificate, "-----BEGIN PRIVATE KEY-----\n!\n"), Err(IdentityError::BrokenKey));
        let broken = certificate.replace("-----END CERTIFICATE-----", "");
        assert_eq!(judge(&broken, &key), Err(IdentityError::BrokenCertificate));
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(judge(&certificate, no_key), Err(IdentityError::UnsupportedKey));
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(judge(nonsense, &key), Err(IdentityError::InvalidCertificate));
    }
}
