//! One TLS session without any waiting: ciphertext in, plaintext out, and the other way round.
//!
//! Whatever a peer sends ends in an error here, never in a panic; with the error comes the alert that tells the peer.

use super::incoming::Incoming;
use ashlar_engine::buffer::BufferSlice;
use ashlar_engine::runtime::SendParts;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use std::sync::Arc;

/// Most plaintext in a record (RFC 8446 section 5.1).
const RECORD_PLAIN_MAX: usize = 16 * 1024;
/// Most bytes that a record of a handshake takes: RFC 5246 section 6.2.3, the wider of the two versions.
pub(super) const RECORD_BYTES_MAX: usize = RECORD_PLAIN_MAX + 2048 + 5;
/// What a record takes besides its plaintext, in any version and algorithm.
const RECORD_OVERHEAD_MAX: usize = 64;
/// Room that is left for a change of keys, which may come out in front of a record.
const KEY_UPDATE_BYTES_MAX: usize = 128;
/// A record with less in it than this is not worth its overhead if there is more to come.
const RECORD_PLAIN_MIN: usize = 2048;

/// The session is over; whatever was to be said about it stands in the [`Answer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Keys are being agreed on.
    Handshake,
    /// The answer is full: it must be sent before going on.
    Answering,
    /// Bytes go both ways.
    Open,
    /// The peer sends no more.
    Ended,
}

/// Where messages of the protocol itself are put, to be sent before anything else.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    bytes: &'a mut [u8],
    filled: usize,
}

impl<'a> Answer<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, filled: 0 }
    }

    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }
}

/// Plaintext to be sent, and how much of it is sealed.
#[derive(Debug)]
pub(super) struct Outgoing {
    parts: SendParts,
    part: usize,
    offset: usize,
}

impl Outgoing {
    pub(super) fn new(parts: SendParts) -> Self {
        Self { parts, part: 0, offset: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.part == self.parts.len()
    }

    /// What is left of the part that has its turn.
    fn front(&self) -> &[u8] {
        let part = self.parts.get(self.part).map(BufferSlice::bytes).unwrap_or_default();
        part.get(self.offset..).unwrap_or_default()
    }

    fn is_last_part(&self) -> bool {
        self.part + 1 >= self.parts.len()
    }

    fn advance(&mut self, bytes: usize) {
        self.offset += bytes;
        while self.parts.get(self.part).is_some_and(|part| part.len() <= self.offset) {
            self.offset = 0;
            self.part += 1;
        }
    }

    /// Copies short parts together, so that a head and a small body are one record.
    fn gather(&mut self, target: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < target.len() && !self.is_done() {
            let front = self.front();
            let count = front.len().min(target.len() - filled);
            if let (Some(from), Some(to)) = (front.get(..count), target.get_mut(filled..filled + count)) {
                to.copy_from_slice(from);
            }
            filled += count;
            self.advance(count);
        }
        filled
    }
}

/// A session and the bytes that it has not understood yet.
pub(super) struct Session {
    connection: UnbufferedServerConnection,
    pub(super) incoming: Incoming,
    /// The peer sends no more.
    has_ended: bool,
    /// We send no more.
    has_finished: bool,
    is_broken: bool,
}

impl core::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Session").field("incoming", &self.incoming).finish_non_exhaustive()
    }
}

/// What one call of rustls came to.
enum Turn {
    Again,
    At(Phase),
    Broken,
}

impl Session {
    pub(super) fn new(settings: Arc<rustls::ServerConfig>) -> Result<Self, Broken> {
        let Ok(connection) = UnbufferedServerConnection::new(settings) else { return Err(Broken) };
        Ok(Self {
            connection,
            incoming: Incoming::default(),
            has_ended: false,
            has_finished: false,
            is_broken: false,
        })
    }

    /// Understands what was received, as far as it is whole and `target` has room: plaintext goes to `target`, and
    /// what does not fit there is kept. Says how much was put there and how far the session is.
    pub(super) fn open(
        &mut self,
        target: &mut [u8],
        answer: &mut Answer<'_>,
    ) -> Result<(usize, Phase), Broken> {
        if self.is_broken || self.incoming.is_lost() {
            return Err(Broken);
        }
        let mut placed = self.incoming.take(target);
        let opened = self.understand(target, &mut placed, answer);
        self.incoming.tidy();
        opened.map(|phase| (placed, phase))
    }

    fn understand(
        &mut self,
        target: &mut [u8],
        placed: &mut usize,
        answer: &mut Answer<'_>,
    ) -> Result<Phase, Broken> {
        loop {
            if *placed > 0 && *placed == target.len() {
                return Ok(Phase::Open);
            }
            if self.connection.is_handshaking() && answer.room().len() < RECORD_BYTES_MAX {
                return Ok(Phase::Answering);
            }
            let rest = target.get_mut(*placed..).unwrap_or_default();
            match self.turn(rest, placed, answer) {
                Turn::Again => {}
                Turn::At(Phase::Handshake) if self.connection.is_handshaking() => {
                    return Ok(Phase::Handshake);
                }
                Turn::At(_) if self.has_ended => return Ok(Phase::Ended),
                // Also once we have said that we send no more.
                Turn::At(_) => return Ok(Phase::Open),
                Turn::Broken => {
                    self.is_broken = true;
                    self.complain(answer);
                    return Err(Broken);
                }
            }
        }
    }

    fn turn(&mut self, target: &mut [u8], placed: &mut usize, answer: &mut Answer<'_>) -> Turn {
        let (room, cipher) = self.incoming.split();
        let mut kept = 0;
        let UnbufferedStatus { discard, state } = self.connection.process_tls_records(cipher);
        let turn = match state {
            // The record must be discarded first: its plaintext may have to go where it lies.
            Ok(ConnectionState::ReadTraffic(_)) if discard > 0 => Turn::Again,
            Ok(ConnectionState::ReadTraffic(mut traffic)) => match traffic.next_record() {
                Some(Ok(record)) => {
                    let count = record.payload.len().min(target.len());
                    let (now, later) = record.payload.split_at(count);
                    match (target.get_mut(..count), room.get_mut(..later.len())) {
                        (Some(place), Some(room)) => {
                            place.copy_from_slice(now);
                            room.copy_from_slice(later);
                            *placed += count;
                            kept = later.len();
                            Turn::Again
                        }
                        (Some(_) | None, _) => Turn::Broken,
                    }
                }
                Some(Err(_)) | None => Turn::Broken,
            },
            Ok(ConnectionState::EncodeTlsData(mut data)) => match data.encode(answer.room()) {
                Ok(count) => {
                    answer.filled += count;
                    Turn::Again
                }
                Err(_) => Turn::Broken,
            },
            Ok(ConnectionState::TransmitTlsData(data)) => {
                // The caller sends the answer before anything else.
                data.done();
                Turn::Again
            }
            Ok(ConnectionState::BlockedHandshake) => Turn::At(Phase::Handshake),
            Ok(ConnectionState::WriteTraffic(_)) => Turn::At(Phase::Open),
            Ok(ConnectionState::PeerClosed) => {
                self.has_ended = true;
                Turn::Again
            }
            Ok(ConnectionState::Closed) => Turn::At(Phase::Ended),
            // Early data is never offered; and what is not known yet cannot be answered.
            Ok(_) | Err(_) => Turn::Broken,
        };
        self.incoming.discard(discard);
        self.incoming.keep(kept);
        turn
    }

    /// Puts the alert that tells the peer what it did into the answer, as far as there is room.
    fn complain(&mut self, answer: &mut Answer<'_>) {
        // Only as long as something is to be said: the bytes that were wrong must not be looked at again.
        while self.connection.wants_write() {
            let (_, cipher) = self.incoming.split();
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(cipher);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else { return };
            let Ok(count) = data.encode(answer.room()) else { return };
            answer.filled += count;
            self.incoming.discard(discard);
        }
    }

    /// Ends the session where it is, without a word.
    pub(super) fn give_up(&mut self) {
        self.is_broken = true;
    }

    /// Seals as much as `target` holds. Says how much of `target` is filled.
    pub(super) fn seal(&mut self, outgoing: &mut Outgoing, target: &mut [u8]) -> Result<usize, Broken> {
        let mut filled = self.prepare(target)?;
        let (_, cipher) = self.incoming.split();
        let Ok(ConnectionState::WriteTraffic(mut traffic)) =
            self.connection.process_tls_records(cipher).state
        else {
            return Err(Broken);
        };
        while !outgoing.is_done() {
            let free = target.get_mut(filled..).unwrap_or_default();
            let most =
                free.len().saturating_sub(RECORD_OVERHEAD_MAX + KEY_UPDATE_BYTES_MAX).min(RECORD_PLAIN_MAX);
            let front = outgoing.front();
            if most < front.len().min(RECORD_PLAIN_MIN) || most == 0 {
                break;
            }
            let is_gathered =
                front.len() < most && !outgoing.is_last_part() && free.len() >= 2 * RECORD_BYTES_MAX;
            let sealed = if is_gathered {
                let (free, scratch) = free.split_at_mut(free.len() - RECORD_PLAIN_MAX);
                let count = outgoing.gather(scratch);
                traffic.encrypt(scratch.get(..count).unwrap_or_default(), free)
            } else {
                let count = front.len().min(most);
                let sealed = traffic.encrypt(front.get(..count).unwrap_or_default(), free);
                outgoing.advance(count);
                sealed
            };
            let Ok(count) = sealed else {
                self.is_broken = true;
                return Err(Broken);
            };
            filled += count;
        }
        Ok(filled)
    }

    /// Brings the session to where something can be sealed; what it has to say first goes in front.
    fn prepare(&mut self, target: &mut [u8]) -> Result<usize, Broken> {
        if self.has_finished {
            return Err(Broken);
        }
        let mut answer = Answer::new(target);
        let (_, phase) = self.open(&mut [], &mut answer)?;
        match phase {
            Phase::Open | Phase::Ended => Ok(answer.filled()),
            Phase::Handshake | Phase::Answering => Err(Broken),
        }
    }

    /// Seals the word that no more will be sent. Says how much of `target` is filled.
    pub(super) fn farewell(&mut self, target: &mut [u8]) -> Result<usize, Broken> {
        let filled = self.prepare(target)?;
        let (_, cipher) = self.incoming.split();
        let Ok(ConnectionState::WriteTraffic(mut traffic)) =
            self.connection.process_tls_records(cipher).state
        else {
            return Err(Broken);
        };
        let rest = target.get_mut(filled..).unwrap_or_default();
        let sealed = traffic.queue_close_notify(rest);
        self.has_finished = true;
        sealed.map(|count| filled + count).map_err(|_full| Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Broken, Phase, Session};
    use crate::tls::{Identity, Tls};
    use ashlar_engine::buffer::{Arena, Region};
    use proptest::prelude::*;
    use rustls::crypto::ring::default_provider;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use std::sync::Arc;

    fn settings() -> (Tls, Arc<ClientConfig>) {
        let made = rcgen::generate_simple_self_signed(vec!["s3.test".to_owned()]).unwrap();
        let key = made.signing_key.serialize_pem();
        let identity = Identity::from_pem(made.cert.pem().as_bytes(), key.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (Tls::new(identity).unwrap(), Arc::new(client))
    }

    /// Gives bytes to a session, so many at a time; what it answered.
    fn feed(
        session: &mut Session,
        arena: &Arena,
        bytes: &[u8],
        step: usize,
    ) -> (Result<Phase, Broken>, Vec<u8>) {
        let mut said = Vec::new();
        let mut last = Ok(Phase::Handshake);
        for piece in bytes.chunks(step.max(1)) {
            session.incoming.replace(arena.try_take(64 << 10).unwrap());
            let (mut buffer, range) = session.incoming.lend().unwrap();
            buffer.bytes_mut()[range.start..range.start + piece.len()].copy_from_slice(piece);
            session.incoming.settle(buffer, piece.len());
            let mut room = vec![0; 64 << 10];
            let mut answer = Answer::new(&mut room);
            let mut target = [0; 1000];
            loop {
                let opened = session.open(&mut target, &mut answer);
                last = opened.map(|(_, phase)| phase);
                if !opened.is_ok_and(|(placed, _)| placed == target.len()) {
                    break;
                }
            }
            let filled = answer.filled();
            said.extend_from_slice(&room[..filled]);
            if last.is_err() {
                break;
            }
        }
        (last, said)
    }

    /// The client's next bytes.
    fn next(client: &mut ClientConnection) -> Vec<u8> {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn damage(bytes: &mut Vec<u8>, faults: &[(usize, u8, bool)]) {
        for &(at, value, cuts) in faults {
            let at = at % bytes.len().max(1);
            if cuts {
                bytes.truncate(at);
            } else if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// The first flight, or the one that ends the handshake with a request behind it, damaged and in pieces.
        #[test]
        fn no_bytes_make_a_session_panic(
            faults in proptest::collection::vec((0usize..2000, any::<u8>(), proptest::bool::weighted(0.1)), 0..6),
            step in 1usize..1500,
            is_second in any::<bool>(),
        ) {
            let (tls, config) = settings();
            let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
            let mut session = Session::new(tls.settings()).unwrap();
            let mut client = ClientConnection::new(config, ServerName::try_from("s3.test").unwrap()).unwrap();
            let mut bytes = next(&mut client);
            if is_second {
                let (phase, said) = feed(&mut session, &arena, &bytes, step);
                prop_assert_eq!(phase, Ok(Phase::Handshake));
                client.read_tls(&mut said.as_slice()).unwrap();
                client.process_new_packets().unwrap();
                std::io::Write::write_all(&mut client.writer(), &vec![7; 5000]).unwrap();
                bytes = next(&mut client);
            }
            damage(&mut bytes, &faults);
            let (phase, _) = feed(&mut session, &arena, &bytes, step);
            if faults.is_empty() {
                prop_assert_eq!(phase, Ok(if is_second { Phase::Open } else { Phase::Handshake }));
            }
            if phase.is_err() {
                let mut room = [0; 1000];
                let mut answer = Answer::new(&mut room);
                prop_assert_eq!(session.open(&mut [], &mut answer), Err(Broken));
                prop_assert_eq!(answer.filled(), 0);
            }
        }
    }
}
