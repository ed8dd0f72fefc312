//! What the operator decided about the S3 front end.

use crate::auth::credentials::SecretKey;
use crate::limits::DOCUMENT_HEAP_BYTES;
use crate::tls::{CurrentTls, Tls};
use core::time::Duration;
use std::collections::BTreeMap;

/// The front end's settings, the same on every core.
///
/// All credentials belong to one account, which owns every bucket.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The region that requests are signed for, and that buckets lie in. At most 64 bytes.
    pub region: String,
    /// Whether `us-east-1`, `US`, `aws-global` and the empty region are taken for ours too.
    pub is_region_lenient: bool,
    /// Domains below which a label names a bucket; without any, only path style is understood.
    pub base_domains: Vec<String>,
    /// Access keys and their secrets.
    pub credentials: BTreeMap<String, SecretKey>,
    /// The account's canonical id, shown as owner.
    pub owner_id: String,
    /// The account's name, shown as owner.
    pub owner_name: String,
    /// Connections that one core has at a time. For one more an idle one is closed; if none is idle, it waits.
    pub connections_max: usize,
    /// Connections of one core that have what it takes to serve them; the others have a socket only, and come in turn.
    pub attended_max: usize,
    /// With which TLS is spoken on every connection; without it, plain HTTP.
    pub tls: Option<CurrentTls>,
    /// Heap that documents of one core may take together, in bytes.
    pub document_bytes: usize,
    /// How long requests in progress may go on when the server is to end.
    pub drain: Duration,
}

impl ServerConfig {
    /// Settings for a region, with usual bounds and without credentials.
    #[must_use]
    pub fn new(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            is_region_lenient: true,
            base_domains: Vec::new(),
            credentials: BTreeMap::new(),
            owner_id: "ashlar".to_owned(),
            owner_name: "ashlar".to_owned(),
            connections_max: 8192,
            attended_max: 2048,
            tls: None,
            document_bytes: DOCUMENT_HEAP_BYTES,
            drain: Duration::from_secs(30),
        }
    }

    /// Speaks TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(CurrentTls::new(tls));
        self
    }

    /// Adds an access key.
    #[must_use]
    pub fn with_key(mut self, access_key: &str, secret: &str) -> Self {
        self.credentials.insert(access_key.to_owned(), SecretKey::new(secret));
        self
    }
}
