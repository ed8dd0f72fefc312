//! What a run does, fixed before it begins: options, bodies and their hashes, and how each request looks.

use super::LoadError;
use super::content::Content;
use super::mix::{Mix, Operation};
use crate::client::{Credentials, Endpoint, Method, Payload, Request, SignStyle, Signer};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::time::Duration;

/// Keys asked for in one page of a listing; S3 gives no more.
const LIST_PAGE_KEYS: &str = "1000";

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// No request begins after this time.
    Duration(Duration),
    /// So many requests are sent.
    Requests(u64),
}

/// In which order keys are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOrder {
    /// Written and deleted in turn, read at random.
    Usual,
    /// All at random: overwrites then leave holes everywhere, which is the hard case for who reclaims space.
    Random,
    /// Every key once before any comes again, and no two neighbours in a row: reads that no cache has met.
    Scattered,
}

/// What is signed of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadMode {
    /// Its SHA-256, made before the run.
    Signed,
    /// Nothing.
    Unsigned,
}

/// Everything that decides a run.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// `http://host:port`.
    pub endpoint: String,
    /// Certificates, as a PEM file, that vouch for the server's if it speaks TLS.
    pub ca: Option<PathBuf>,
    /// Who signs.
    pub credentials: Credentials,
    /// The region that signatures name.
    pub region: String,
    /// Created if it does not exist.
    pub bucket: String,
    /// Put before the number in each key.
    pub prefix: String,
    /// What is sent.
    pub mix: Mix,
    /// Sizes in bytes, given to objects in turn; at least one.
    pub sizes: Vec<u64>,
    /// How many keys there are; at least one.
    pub objects: u64,
    /// How many requests are in flight; at least one.
    pub connections: usize,
    /// How many threads send them; at least one.
    pub threads: usize,
    /// When to stop.
    pub limit: Limit,
    /// In which order keys are taken.
    pub order: KeyOrder,
    /// What is signed of a body.
    pub payload: PayloadMode,
    /// Where signatures go.
    pub sign: SignStyle,
    /// Whether bodies that are read are compared with what was written.
    pub verify: bool,
    /// Whether objects that are to be read are uploaded first.
    pub prepare: bool,
    /// Whether objects and bucket are deleted afterwards.
    pub remove: bool,
    /// Decides keys and bodies.
    pub seed: u64,
    /// Where the result goes as JSON; `-` is the standard output.
    pub json: Option<PathBuf>,
    /// The server's process, if its CPU time is to be counted.
    pub server_pid: Option<u32>,
}

/// A run, ready to begin. Shared by all threads and never changed.
#[derive(Debug)]
pub(super) struct Plan {
    options: LoadOptions,
    endpoint: Endpoint,
    content: Content,
    /// One per object, if bodies are signed and written.
    hashes: Vec<[u8; 32]>,
}

impl Plan {
    /// Looks the endpoint up and hashes the bodies that will be signed.
    pub(super) fn new(options: LoadOptions) -> Result<Self, LoadError> {
        assert!(!options.sizes.is_empty(), "at least one size");
        assert!(options.objects > 0, "at least one object");
        assert!(options.connections > 0, "at least one connection");
        assert!(options.threads > 0, "at least one thread");
        let endpoint =
            Endpoint::parse(&options.endpoint, options.ca.as_deref()).map_err(LoadError::Endpoint)?;
        let content = Content::new(options.seed);
        let mut plan = Self { options, endpoint, content, hashes: Vec::new() };
        if plan.signs_bodies() {
            plan.hashes = plan.hash_bodies();
        }
        Ok(plan)
    }

    pub(super) const fn options(&self) -> &LoadOptions {
        &self.options
    }

    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) const fn content(&self) -> &Content {
        &self.content
    }

    /// A signer for this run whose signatures are dated `time`.
    pub(super) fn signer(&self, time: Timestamp) -> Signer {
        let options = &self.options;
        Signer::new(options.credentials.clone(), &options.region, self.endpoint.host(), options.sign, time)
    }

    /// Bytes in `object`.
    pub(super) fn size(&self, object: u64) -> u64 {
        let sizes = &self.options.sizes;
        let turn = u64::try_from(sizes.len()).ok().and_then(|count| object.checked_rem(count)).unwrap_or(0);
        usize::try_from(turn).ok().and_then(|turn| sizes.get(turn)).copied().unwrap_or(0)
    }

    /// Bytes that follow the head of a request.
    pub(super) fn body_bytes(&self, operation: Operation, object: u64) -> u64 {
        if operation == Operation::Put { self.size(object) } else { 0 }
    }

    /// The signed head of a request.
    pub(super) fn head(&self, signer: &Signer, operation: Operation, object: u64) -> Vec<u8> {
        let bucket = &self.options.bucket;
        let key = self.key(object);
        let path = format!("/{bucket}/{key}");
        if operation == Operation::List {
            let query = [
                ("list-type", "2"),
                ("max-keys", LIST_PAGE_KEYS),
                ("prefix", self.options.prefix.as_str()),
                ("start-after", key.as_str()),
            ];
            let request = Request {
                method: Method::Get,
                path: &format!("/{bucket}"),
                query: &query,
                content_length: 0,
                payload: Payload::empty(),
            };
            return signer.head(&request);
        }
        let method = match operation {
            Operation::Put => Method::Put,
            Operation::Head => Method::Head,
            Operation::Delete => Method::Delete,
            Operation::Get | Operation::List => Method::Get,
        };
        let payload = if operation == Operation::Put { self.payload(object) } else { Payload::empty() };
        let content_length = self.body_bytes(operation, object);
        signer.head(&Request { method, path: &path, query: &[], content_length, payload })
    }

    fn key(&self, object: u64) -> String {
        format!("{}{object:010}", self.options.prefix)
    }

    fn payload(&self, object: u64) -> Payload {
        let hash = usize::try_from(object).ok().and_then(|index| self.hashes.get(index));
        hash.map_or(Payload::Unsigned, |hash| Payload::Hashed(*hash))
    }

    /// Reading alone also uploads first, and does that as it would be done in a run.
    fn signs_bodies(&self) -> bool {
        let options = &self.options;
        let writes = options.mix.has(Operation::Put) || (options.prepare && options.mix.needs_objects());
        writes && options.payload == PayloadMode::Signed && options.sign == SignStyle::Header
    }

    fn hash_bodies(&self) -> Vec<[u8; 32]> {
        let workers = u64::try_from(self.options.threads).unwrap_or(1);
        let share = self.options.objects.div_ceil(workers);
        std::thread::scope(|scope| {
            let parts: Vec<_> = (0..workers)
                .map(|worker| {
                    let end = (worker * share).saturating_add(share).min(self.options.objects);
                    scope.spawn(move || {
                        (worker * share..end).map(|object| self.hash(object)).collect::<Vec<_>>()
                    })
                })
                .collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
                .collect()
        })
    }

    fn hash(&self, object: u64) -> [u8; 32] {
        let mut hasher = Sha256::new();
        let (mut offset, size) = (0, self.size(object));
        while offset < size {
            let part = self.content.at(object, offset, size - offset);
            hasher.update(part);
            offset += super::content::byte_count(part);
        }
        hasher.finalize().into()
    }
}
