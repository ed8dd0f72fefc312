//! What all connections of one core share.

use crate::auth::error::AuthError;
use crate::auth::verify::{AuthConfig, Authenticated, Authenticator};
use crate::config::ServerConfig;
use crate::error::S3Error;
use crate::http::head::RequestHead;
use crate::http::query::Query;
use crate::http::uri::BaseDomains;
use crate::limits::DOCUMENT_WAIT_MAX;
use crate::wire::crowd::Crowd;
use crate::xml::listing::Owner;
use arrayvec::ArrayString;
use ashlar_engine::Engine;
use ashlar_engine::hash::Lanes;
use ashlar_engine::runtime::Runtime;
use ashlar_engine::sync::{Event, EventWait, Quota, Share};
use core::cell::{Cell, RefCell};
use core::pin::pin;
use futures_util::future::{Either, select};
use jiff::Timestamp;
use std::rc::Rc;

/// One core's front end.
pub(crate) struct Core<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) engine: Engine<R>,
    pub(crate) config: Rc<ServerConfig>,
    pub(crate) domains: BaseDomains,
    /// Heap of XML documents, in bytes: no other body is kept there.
    documents: Quota,
    /// Connections without a proven request.
    pub(crate) crowd: Crowd,
    /// Hashes the bodies that are being received, side by side.
    pub(crate) lanes: Lanes,
    authenticator: RefCell<Authenticator>,
    host_id: ArrayString<32>,
    /// Where the next request's name comes from.
    names: Cell<u64>,
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
        let mut chance = [[0; 8]; 3];
        for eight in &mut chance {
            runtime.fill_random(eight);
        }
        let [first, second, names] = chance.map(u64::from_le_bytes);
        let mut host_id = hex_id(first);
        host_id.push_str(&hex_id::<16>(second));
        Some(Self {
            domains: BaseDomains::new(config.base_domains.iter().map(String::as_str)),
            documents: Quota::new(config.document_bytes.max(1)),
            crowd: Crowd::new(runtime.arena().capacity(), config.attended_max),
            lanes: Lanes::new(),
            authenticator: RefCell::new(Authenticator::new(auth)),
            host_id,
            names: Cell::new(names),
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

    /// Heap for documents, to be taken before the work begins and held until nothing of it is on the heap. Never
    /// more than a quarter of all: it is what a document may take, and few do.
    ///
    /// # Errors
    /// [`S3Error::SlowDown`] when others hold it for too long.
    pub(crate) async fn document_share(&self, bytes: usize) -> Result<Share, S3Error> {
        let bytes = bytes.min(self.documents.total().div_ceil(4));
        match select(pin!(self.documents.take(bytes)), pin!(self.runtime.sleep(DOCUMENT_WAIT_MAX))).await {
            Either::Left((share, _)) => Ok(share),
            Either::Right(((), _)) => Err(S3Error::SlowDown),
        }
    }

    /// The date.
    pub(crate) fn now(&self) -> Timestamp {
        timestamp(self.runtime.wall().0)
    }

    /// Names for a new response.
    pub(crate) fn ids(&self) -> ResponseIds {
        // Names need to be unlike one another, not secret: a step of SplitMix64 costs no system call.
        let name = self.names.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.names.set(name);
        ResponseIds { request: hex_id(mix(name)), host: self.host_id }
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

/// The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014): one to
/// one, so names repeat only after 2^64 of them.
const fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

/// Sixteen upper-case hex digits.
fn hex_id<const N: usize>(number: u64) -> ArrayString<N> {
    let mut text = ArrayString::new();
    for shift in (0..64).step_by(4).rev() {
        let digit = u32::try_from((number >> shift) & 0xF).unwrap_or(0);
        text.push(char::from_digit(digit, 16).map_or('0', |digit| digit.to_ascii_uppercase()));
    }
    text
}

/// The date of so many milliseconds since 1970; the start of time if nobody could have meant it.
pub(crate) fn timestamp(milliseconds: u64) -> Timestamp {
    i64::try_from(milliseconds).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{hex_id, mix};

    #[test]
    fn names_are_sixteen_digits_and_unlike() {
        assert_eq!(hex_id::<16>(0x0123_4567_89AB_CDEF).as_str(), "0123456789ABCDEF");
        let names: std::collections::BTreeSet<u64> = (0..1000).map(mix).collect();
        assert_eq!(names.len(), 1000);
    }
}
