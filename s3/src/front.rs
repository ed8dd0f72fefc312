//! What all connections of one core share.

use crate::auth::error::AuthError;
use crate::auth::verify::{AuthConfig, Authenticated, Authenticator};
use crate::config::ServerConfig;
use crate::http::head::RequestHead;
use crate::http::query::Query;
use crate::http::uri::BaseDomains;
use crate::limits::DOCUMENT_COUNT_MAX;
use crate::xml::listing::Owner;
use arrayvec::ArrayString;
use ashlar_engine::Engine;
use ashlar_engine::hash::Lanes;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::sync::{Event, EventWait, Limit};
use core::cell::{Cell, RefCell};
use core::fmt::Write as _;
use jiff::Timestamp;
use std::rc::Rc;

/// One core's front end.
pub(crate) struct Core<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) engine: Engine<R>,
    pub(crate) config: Rc<ServerConfig>,
    pub(crate) domains: BaseDomains,
    /// XML bodies being received: they are the only ones that are kept on the heap.
    pub(crate) documents: Limit,
    /// Hashes the bodies that are being received, side by side.
    pub(crate) lanes: Lanes,
    authenticator: RefCell<Authenticator>,
    host_id: ArrayString<32>,
    is_stopping: Cell<bool>,
    stop: Event,
}

/// The names that a response and an error document share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseIds {
    /// `x-amz-request-id`
    pub(crate) request: ArrayString<16>,
    /// `x-amz-id-2`
    pub(crate) host: ArrayString<32>,
}

impl<R: Runtime> Core<R> {
    /// `None` if the region's name is too long.
    pub(crate) fn new(runtime: R, engine: Engine<R>, config: Rc<ServerConfig>) -> Option<Self> {
        let mut auth = AuthConfig::new(&config.region)?;
        auth.is_region_lenient = config.is_region_lenient;
        let host_id = hex_id(&runtime);
        Some(Self {
            domains: BaseDomains::new(config.base_domains.iter().map(String::as_str)),
            documents: Limit::new(DOCUMENT_COUNT_MAX),
            lanes: Lanes::new(),
            authenticator: RefCell::new(Authenticator::new(auth)),
            host_id,
            is_stopping: Cell::new(false),
            stop: Event::new(),
            runtime,
            engine,
            config,
        })
    }

    /// Proves who signed a request.
    pub(crate) fn authenticate(
        &self,
        head: &RequestHead<'_>,
        query: &Query<'_>,
    ) -> Result<Authenticated, AuthError> {
        let now = self.now();
        self.authenticator.borrow_mut().authenticate(head, query, &self.config.credentials, now)
    }

    /// The date.
    pub(crate) fn now(&self) -> Timestamp {
        timestamp(self.runtime.wall().0)
    }

    /// Names for a new response.
    pub(crate) fn ids(&self) -> ResponseIds {
        ResponseIds { request: hex_id(&self.runtime), host: self.host_id }
    }

    /// The account.
    pub(crate) fn owner(&self) -> Owner<'_> {
        Owner { id: &self.config.owner_id, display_name: &self.config.owner_name }
    }

    /// Lets no connection take another request.
    pub(crate) fn stop(&self) {
        self.is_stopping.set(true);
        self.stop.fire();
    }

    /// Whether that was said.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    /// Resolves when that is said; look at [`Core::is_stopping`] after making the waiter.
    pub(crate) fn stopped(&self) -> EventWait {
        self.stop.wait()
    }
}

/// Upper-case hex digits of chance, two per byte.
fn hex_id<R: Runtime, const N: usize>(runtime: &R) -> ArrayString<N> {
    let mut text = ArrayString::new();
    while !text.is_full() {
        let mut byte = [0];
        runtime.fill_random(&mut byte);
        let [byte] = byte;
        let written = write!(text, "{byte:02X}");
        assert!(written.is_ok(), "an id has room for whole bytes");
    }
    text
}

/// The date of so many milliseconds since 1970; the start of time if nobody could have meant it.
pub(crate) fn timestamp(milliseconds: u64) -> Timestamp {
    i64::try_from(milliseconds).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default()
}
