//! Requests to `Authenticated`, or a refusal. The only maker of `Authenticated`.
//!
//! Order: one mechanism → its grammar → scope → coverage → time → payload mode → secret → signature. Nothing that a
//! client sends is believed before the last step; nothing is looked up in the store before it either.

use crate::auth::authorization::{SignatureParts, header_names};
use crate::auth::canonical::{Gathered, write_request};
use crate::auth::credentials::{SecretKey, SecretLookup};
use crate::auth::error::AuthError;
use crate::auth::presigned::{Presigned, is_signed};
use crate::auth::signature::{ScopeText, SigningKey, is_equal};
use crate::http::date::{AMZ_DATE_BYTES, amz_date, parse_amz_date, parse_http_date};
use crate::http::head::RequestHead;
use crate::http::query::Query;
use crate::limits::{ACCESS_KEY_BYTES_MAX, CLOCK_SKEW_S, REGION_BYTES_MAX, SIGNING_KEY_COUNT_MAX};
use arrayvec::ArrayString;
use jiff::Timestamp;

/// What the operator decided.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// Our region.
    pub region: ArrayString<REGION_BYTES_MAX>,
    /// Whether `us-east-1`, `US`, `aws-global` and the empty region are taken for ours too: s3cmd and others sign
    /// with them when nobody told them better.
    pub is_region_lenient: bool,
    /// Allowed distance between a request's date and ours, in seconds.
    pub clock_skew_s: i64,
}

/// What the signature says about the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadMode {
    /// Nothing.
    Unsigned,
    /// Its SHA-256.
    Hashed([u8; 32]),
    /// aws-chunked with a signature in each chunk.
    StreamingSigned {
        /// Whether signed trailers follow.
        trailer: bool,
    },
    /// aws-chunked without signatures, with trailers.
    StreamingUnsignedTrailer,
}

/// The proof that a request's head was signed by who it says. Can only be had from `Authenticator`.
#[derive(Clone, Debug)]
pub struct Authenticated {
    access_key: ArrayString<ACCESS_KEY_BYTES_MAX>,
    key: SigningKey,
    scope: ScopeText,
    date: [u8; AMZ_DATE_BYTES],
    signature: [u8; 32],
    payload: PayloadMode,
}

/// Authenticates requests; remembers signing keys, because deriving one costs four HMACs. One per core.
#[derive(Debug)]
pub struct Authenticator {
    config: AuthConfig,
    keys: Vec<RememberedKey>,
    next_index: usize,
}

#[derive(Debug)]
struct RememberedKey {
    access_key: ArrayString<ACCESS_KEY_BYTES_MAX>,
    secret: SecretKey,
    scope: ScopeText,
    key: SigningKey,
}

impl AuthConfig {
    /// A strict configuration for a region. `None` if its name is longer than 64 bytes.
    #[must_use]
    pub fn new(region: &str) -> Option<Self> {
        let region = ArrayString::from(region).ok()?;
        Some(Self { region, is_region_lenient: false, clock_skew_s: CLOCK_SKEW_S })
    }

    fn accepts_region(&self, region: &str) -> bool {
        region == self.region.as_str()
            || (self.is_region_lenient && ["us-east-1", "US", "aws-global", ""].contains(&region))
    }
}

impl Authenticated {
    /// Who signed.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// What the signature says about the body.
    #[must_use]
    pub const fn payload(&self) -> PayloadMode {
        self.payload
    }

    /// The chain for chunk signatures, which begins with this signature.
    pub(super) fn chunk_chain(&self) -> crate::auth::chunk_signature::ChunkVerifier {
        crate::auth::chunk_signature::ChunkVerifier::new(
            self.key.clone(),
            self.scope.clone(),
            self.date,
            self.signature,
        )
    }
}

/// A signature from either place, with its date.
struct Claim<'a> {
    parts: SignatureParts<'a>,
    time: Timestamp,
    /// The same, as it is signed.
    date: [u8; AMZ_DATE_BYTES],
    /// Life in seconds, if presigned.
    expires_s: Option<u32>,
}

impl Authenticator {
    /// An authenticator that remembers nothing yet. Allocates once, here.
    #[must_use]
    pub fn new(config: AuthConfig) -> Self {
        Self { config, keys: Vec::with_capacity(SIGNING_KEY_COUNT_MAX), next_index: 0 }
    }

    /// Proves who signed the head of a request. `query` is the head's own query.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn authenticate(
        &mut self,
        head: &RequestHead<'_>,
        query: &Query<'_>,
        secrets: &impl SecretLookup,
        now: Timestamp,
    ) -> Result<Authenticated, AuthError> {
        let claim = read_claim(head, query)?;
        let is_presigned = claim.expires_s.is_some();
        let scope = claim.parts.scope;
        if !self.config.accepts_region(scope.region) {
            return Err(AuthError::Region { expected: self.config.region, presigned: is_presigned });
        }
        check_scope(&claim)?;
        check_coverage(head, claim.parts.signed_headers)?;
        self.check_time(&claim, now)?;
        let (mode, payload_text) = payload_mode(head, query, is_presigned)?;
        if head.header("x-amz-security-token").is_some() || query.has("X-Amz-Security-Token") {
            return Err(AuthError::SessionToken);
        }
        let Ok(access_key) = ArrayString::from(scope.access_key) else {
            return Err(AuthError::UnknownAccessKey);
        };
        let secret = secrets.secret(scope.access_key).ok_or(AuthError::UnknownAccessKey)?;
        let Some(scope) = ScopeText::new(scope.date, scope.region, scope.service) else {
            return Err(AuthError::Mismatch);
        };
        let key = self.signing_key(&access_key, secret, &scope, &claim);
        let mut canonical = Gathered::new();
        let written = write_request(&mut canonical, head, query, claim.parts.signed_headers, payload_text);
        let date = claim.date;
        let ours = key.sign_request(&date, &scope, &canonical.finish());
        if written.is_err() || !is_equal(&ours, &claim.parts.signature) {
            return Err(AuthError::Mismatch);
        }
        Ok(Authenticated { access_key, key, scope, date, signature: ours, payload: mode })
    }

    fn check_time(&self, claim: &Claim<'_>, now: Timestamp) -> Result<(), AuthError> {
        let age_s = now.as_second().saturating_sub(claim.time.as_second());
        match claim.expires_s {
            Some(_) if age_s < -self.config.clock_skew_s => Err(AuthError::NotYetValid),
            Some(life_s) if age_s > i64::from(life_s) => Err(AuthError::Expired),
            None if age_s.abs() > self.config.clock_skew_s => Err(AuthError::Skewed),
            Some(_) | None => Ok(()),
        }
    }

    /// The signing key, remembered or derived. The secret is compared too, so that a changed one counts at once.
    fn signing_key(
        &mut self,
        access_key: &ArrayString<ACCESS_KEY_BYTES_MAX>,
        secret: &SecretKey,
        scope: &ScopeText,
        claim: &Claim<'_>,
    ) -> SigningKey {
        let known = self.keys.iter().find(|known| {
            known.access_key == *access_key && known.scope == *scope && known.secret == *secret
        });
        if let Some(known) = known {
            return known.key.clone();
        }
        let parts = claim.parts.scope;
        let key = SigningKey::derive(secret, parts.date, parts.region, parts.service);
        let remembered = RememberedKey {
            access_key: *access_key,
            secret: secret.clone(),
            scope: scope.clone(),
            key: key.clone(),
        };
        // The oldest place is taken next. Only keys of known access keys come here, so strangers cannot flush it.
        match self.keys.get_mut(self.next_index) {
            Some(place) => *place = remembered,
            None => self.keys.push(remembered),
        }
        self.next_index = (self.next_index + 1) % SIGNING_KEY_COUNT_MAX;
        key
    }
}

fn read_claim<'a>(head: &RequestHead<'a>, query: &'a Query<'_>) -> Result<Claim<'a>, AuthError> {
    let mut headers = head.values("authorization");
    match (headers.next(), is_signed(query)) {
        (None, false) => Err(AuthError::Anonymous),
        (Some(_), true) => Err(AuthError::SeveralMechanisms),
        (Some(header), false) => {
            if headers.next().is_some() {
                return Err(AuthError::SeveralMechanisms);
            }
            let parts = SignatureParts::parse(header)?;
            let time = header_time(head)?;
            Ok(Claim { parts, time, date: amz_date(time), expires_s: None })
        }
        (None, true) => {
            let presigned = Presigned::parse(query)?;
            let time = parse_amz_date(presigned.date.as_bytes()).ok_or(AuthError::QueryMalformed(
                "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
            ))?;
            let date = amz_date(time);
            Ok(Claim { parts: presigned.parts, time, date, expires_s: Some(presigned.expires_s) })
        }
    }
}

/// `x-amz-date`, or else `Date`.
fn header_time(head: &RequestHead<'_>) -> Result<Timestamp, AuthError> {
    let refused = AuthError::HeaderMalformed("AWS authentication requires a valid Date or x-amz-date header");
    let mut dates = head.values("x-amz-date");
    match (dates.next(), dates.next()) {
        (Some(date), None) => parse_amz_date(date).ok_or(refused),
        (Some(_), Some(_)) => Err(refused),
        (None, _) => {
            let date = head.header("date").ok_or(AuthError::MissingHeader("x-amz-date"))?;
            parse_amz_date(date).or_else(|| parse_http_date(date)).ok_or(refused)
        }
    }
}

fn check_scope(claim: &Claim<'_>) -> Result<(), AuthError> {
    let malformed = |message| {
        if claim.expires_s.is_some() {
            AuthError::QueryMalformed(message)
        } else {
            AuthError::HeaderMalformed(message)
        }
    };
    let scope = claim.parts.scope;
    if scope.service != "s3" {
        return Err(malformed("Incorrect service in the credential scope. This endpoint belongs to \"s3\"."));
    }
    if claim.date.get(..8) != Some(scope.date.as_bytes()) {
        return Err(malformed("The date in the credential scope does not match the date of the request."));
    }
    Ok(())
}

/// `host` and every `x-amz-*` header must be signed: any of them can change what a request does.
fn check_coverage(head: &RequestHead<'_>, signed: &str) -> Result<(), AuthError> {
    let is_signed =
        |name: &str| header_names(signed).any(|listed| listed.eq_ignore_ascii_case(name.as_bytes()));
    if !is_signed("host") {
        return Err(AuthError::UnsignedHeader);
    }
    let is_amz = |name: &str| name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
    match head.headers().any(|(name, _)| is_amz(name) && !is_signed(name)) {
        true => Err(AuthError::UnsignedHeader),
        false => Ok(()),
    }
}

fn payload_mode<'a>(
    head: &RequestHead<'a>,
    query: &'a Query<'_>,
    is_presigned: bool,
) -> Result<(PayloadMode, &'a [u8]), AuthError> {
    let mut texts = head.values("x-amz-content-sha256");
    let text = match (texts.next(), texts.next()) {
        (Some(_), Some(_)) => return Err(AuthError::ContentSha256),
        (Some(text), None) => text,
        (None, _) if is_presigned => {
            query.get("X-Amz-Content-Sha256").map_or(&b"UNSIGNED-PAYLOAD"[..], str::as_bytes)
        }
        (None, _) => return Err(AuthError::MissingHeader("x-amz-content-sha256")),
    };
    let mode = match text {
        b"UNSIGNED-PAYLOAD" => PayloadMode::Unsigned,
        b"STREAMING-UNSIGNED-PAYLOAD-TRAILER" => PayloadMode::StreamingUnsignedTrailer,
        b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => PayloadMode::StreamingSigned { trailer: false },
        b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => PayloadMode::StreamingSigned { trailer: true },
        _ if text.starts_with(b"STREAMING-AWS4-ECDSA-P256-SHA256-") => {
            return Err(AuthError::UnsupportedMechanism);
        }
        digits => {
            let mut hash = [0; 32];
            hex::decode_to_slice(digits, &mut hash).ok().ok_or(AuthError::ContentSha256)?;
            PayloadMode::Hashed(hash)
        }
    };
    Ok((mode, text))
}
