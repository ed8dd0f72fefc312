//! The stream in the simulator, against the client of the same library.

use crate::limits::{HANDSHAKE_MAX, IDLE_BUFFER_BYTES};
use crate::tls::{Identity, Tls};
use crate::wire::exchange::linger;
use crate::wire::fault::WireFault;
use crate::wire::link::Link;
use crate::wire::window::Window;
use ashlar_engine::buffer::BufferSlice;
use ashlar_engine::runtime::sim::{LinkPlan, Sim, SimConfig, SimRuntime, SimStream};
use ashlar_engine::runtime::{Listener as _, Monotonic, Runtime as _, SendParts};
use core::cell::RefCell;
use core::future::Future;
use core::time::Duration;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

const NEVER: Monotonic = Monotonic(u64::MAX);
const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

fn address() -> SocketAddr {
    "10.0.0.1:9000".parse().unwrap()
}

/// A server's settings and a client's that trusts it.
fn settings(version: &'static SupportedProtocolVersion) -> (Tls, Arc<ClientConfig>) {
    // Ed25519, because its signatures are all of one length: the same bytes arrive at the same times in every run.
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["s3.test".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap().pem();
    let identity = Identity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Tls::new(identity).unwrap(), Arc::new(client))
}

/// A client's end.
struct Peer {
    stream: SimStream,
    session: ClientConnection,
    received: Vec<u8>,
    /// How the server's bytes ended.
    end: Option<std::io::Result<()>>,
}

impl Peer {
    async fn connect(runtime: &SimRuntime, config: Arc<ClientConfig>, plan: LinkPlan) -> Self {
        let stream = runtime.net().connect_with(address(), plan).await.unwrap();
        let session = ClientConnection::new(config, ServerName::try_from("s3.test").unwrap()).unwrap();
        Self { stream, session, received: Vec::new(), end: None }
    }

    async fn flush(&mut self) {
        let mut bytes = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut bytes).unwrap();
        }
        if !bytes.is_empty() {
            // Who was refused may find the connection closed.
            let _sent = self.stream.send_bytes(&bytes, NEVER).await;
        }
    }

    /// One turn of receiving; false at the end of the stream.
    async fn pump(&mut self) -> Result<bool, rustls::Error> {
        self.flush().await;
        let bytes = self.stream.receive_bytes(64 << 10, NEVER).await.unwrap_or_default();
        let mut rest = bytes.as_slice();
        loop {
            self.session.read_tls(&mut rest).unwrap();
            self.session.process_new_packets()?;
            let mut piece = [0; 4096];
            while self.end.is_none() {
                match self.session.reader().read(&mut piece) {
                    Ok(0) => self.end = Some(Ok(())),
                    Ok(count) => self.received.extend_from_slice(&piece[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => self.end = Some(Err(error)),
                }
            }
            if rest.is_empty() {
                break;
            }
        }
        self.flush().await;
        Ok(!bytes.is_empty())
    }

    async fn shake_hands(&mut self) -> Result<(), rustls::Error> {
        while self.session.is_handshaking() {
            assert!(self.pump().await?, "closed within the handshake");
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(50_000) {
            self.session.writer().write_all(piece).unwrap();
            self.flush().await;
        }
    }

    /// Everything until the server's farewell; an end without one is an error.
    async fn receive_all(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            match self.end.take() {
                Some(Ok(())) => return Ok(core::mem::take(&mut self.received)),
                Some(Err(error)) => return Err(error),
                None => self.pump().await.map_err(std::io::Error::other)?,
            };
        }
    }
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| u8::try_from((index * 7 + (index >> 8)) % 256).unwrap()).collect()
}

/// Runs a client against a server that treats its first connection as `serve` does.
fn run<C, S>(
    tls: &Tls,
    client: impl FnOnce(SimRuntime) -> C + 'static,
    serve: impl FnOnce(SimRuntime, Result<Link<SimRuntime>, Option<Link<SimRuntime>>>) -> S + 'static,
) where
    C: Future<Output = ()> + 'static,
    S: Future<Output = ()> + 'static,
{
    let sim = Sim::new(SimConfig {
        cores: 1,
        arena_bytes: 4 << 20,
        reserve_bytes: 2 << 20,
        ..SimConfig::default()
    });
    sim.client(|runtime| async move {
        while runtime.net().connect(address()).await.is_err() {
            runtime.sleep(Duration::from_millis(1)).await;
        }
        client(runtime).await;
    });
    let job = Rc::new(RefCell::new(Some((serve, tls.clone()))));
    let outcome = sim.run(|runtime| {
        let job = Rc::clone(&job);
        async move {
            let listener = runtime.listen(address()).unwrap();
            let Some((serve, tls)) = job.borrow_mut().take() else { return };
            // The first one only found out that somebody listens.
            drop(listener.accept().await.unwrap());
            let stream = listener.accept().await.unwrap();
            let opened = Link::open(&runtime, stream, tls).await;
            if let Err(Some(refused)) = &opened {
                assert!(matches!(refused, Link::Plain(_)));
                linger(&runtime, refused, Window::default()).await;
            }
            serve(runtime.clone(), opened).await;
            assert_eq!(runtime.arena().available(), runtime.arena().capacity(), "all memory was given back");
        }
    });
    outcome.assert_finished();
    assert_eq!(sim.leaked_bytes(), 0, "every buffer came home");
}

async fn receive_some(
    runtime: &SimRuntime,
    link: &Link<SimRuntime>,
    room: usize,
) -> Result<Vec<u8>, WireFault> {
    let buffer = runtime.arena().take(room).await.unwrap();
    // Not at the front, so that the range is looked at.
    let (received, buffer) = link.receive(buffer, room.div_ceil(8)..room, NEVER).await;
    let start = room.div_ceil(8);
    received.map(|count| buffer.bytes()[start..start + count].to_vec())
}

async fn receive_bytes(runtime: &SimRuntime, link: &Link<SimRuntime>, bytes: usize, room: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < bytes {
        let piece = receive_some(runtime, link, room).await.unwrap();
        assert!(!piece.is_empty(), "ended after {} bytes", all.len());
        all.extend_from_slice(&piece);
    }
    all
}

async fn send_bytes(
    runtime: &SimRuntime,
    link: &Link<SimRuntime>,
    pieces: &[&[u8]],
) -> Result<(), WireFault> {
    let mut parts = SendParts::new();
    for piece in pieces {
        let mut buffer = runtime.arena().take(piece.len()).await.unwrap();
        buffer.bytes_mut()[..piece.len()].copy_from_slice(piece);
        parts.push(BufferSlice::of(buffer, 0..piece.len()));
    }
    link.send(parts, NEVER).await
}

#[test]
fn bytes_go_both_ways_however_they_arrive() {
    for version in BOTH {
        for (piece_bytes_max, room, bytes) in
            [(1, 4096, 3000), (7, 4096, 40_000), (1500, 4096, 300_000), (64 << 10, 128 << 10, 1_000_000)]
        {
            let (tls, config) = settings(version);
            let plan = LinkPlan { piece_bytes_max, ..LinkPlan::default() };
            run(
                &tls,
                move |runtime| async move {
                    let mut peer = Peer::connect(&runtime, config, plan).await;
                    peer.shake_hands().await.unwrap();
                    peer.send(&content(bytes)).await;
                    assert_eq!(peer.receive_all().await.unwrap(), content(bytes));
                },
                move |runtime, opened| async move {
                    let link = opened.unwrap();
                    link.begin(true).await.unwrap();
                    let received = receive_bytes(&runtime, &link, bytes, room).await;
                    assert!(received == content(bytes), "what came is what was sent");
                    let (head, body) = received.split_at(300);
                    let (first, rest) = body.split_at(2000);
                    send_bytes(&runtime, &link, &[head, first]).await.unwrap();
                    for piece in rest.chunks(200_000) {
                        send_bytes(&runtime, &link, &[piece]).await.unwrap();
                    }
                    link.finish().await;
                    drop(link);
                },
            );
        }
    }
}

#[test]
fn a_head_and_a_small_body_are_one_record() {
    let (tls, config) = settings(&rustls::version::TLS13);
    run(
        &tls,
        move |runtime| async move {
            let mut peer = Peer::connect(&runtime, config, LinkPlan::default()).await;
            peer.shake_hands().await.unwrap();
            peer.send(b"x").await;
            let mut wire = Vec::new();
            while let Ok(bytes) = peer.stream.receive_bytes(64 << 10, NEVER).await {
                if bytes.is_empty() {
                    break;
                }
                wire.extend_from_slice(&bytes);
            }
            // Two tickets, the answer, the farewell.
            let mut lengths = Vec::new();
            let mut rest = wire.as_slice();
            while let [_, _, _, high, low, ..] = rest {
                let length = (usize::from(*high) << 8) + usize::from(*low);
                lengths.push(length);
                rest = &rest[5 + length..];
            }
            assert!(lengths.contains(&(300 + 4096 + 17)), "{lengths:?}");
        },
        |runtime, opened| async move {
            let link = opened.unwrap();
            receive_bytes(&runtime, &link, 1, 4096).await;
            send_bytes(&runtime, &link, &[&content(300), &content(4096)]).await.unwrap();
            link.finish().await;
        },
    );
}

#[test]
fn an_end_without_a_farewell_is_seen_by_both() {
    let (tls, config) = settings(&rustls::version::TLS13);
    run(
        &tls,
        move |runtime| async move {
            let mut peer = Peer::connect(&runtime, config, LinkPlan::default()).await;
            peer.shake_hands().await.unwrap();
            peer.send(b"some").await;
            peer.stream.finish();
            let error = peer.receive_all().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        },
        |runtime, opened| async move {
            let link = opened.unwrap();
            assert_eq!(receive_bytes(&runtime, &link, 4, 4096).await, b"some");
            assert_eq!(receive_some(&runtime, &link, 4096).await, Ok(Vec::new()));
            drop(link);
        },
    );
}

#[test]
fn after_our_farewell_the_peer_is_still_listened_to() {
    for version in BOTH {
        let (tls, config) = settings(version);
        run(
            &tls,
            move |runtime| async move {
                let mut peer = Peer::connect(&runtime, config, LinkPlan::default()).await;
                peer.shake_hands().await.unwrap();
                peer.send(b"one").await;
                assert_eq!(peer.receive_all().await.unwrap(), b"");
                peer.send(b"two").await;
                peer.session.send_close_notify();
                peer.flush().await;
            },
            |runtime, opened| async move {
                let link = opened.unwrap();
                assert_eq!(receive_bytes(&runtime, &link, 3, 4096).await, b"one");
                link.finish().await;
                link.finish().await;
                assert_eq!(receive_bytes(&runtime, &link, 3, 4096).await, b"two");
                assert_eq!(receive_some(&runtime, &link, 4096).await, Ok(Vec::new()));
                assert_eq!(send_bytes(&runtime, &link, &[b"three"]).await, Err(WireFault::Gone));
            },
        );
    }
}

#[test]
fn garbage_is_answered_by_an_alert() {
    const UNEXPECTED_MESSAGE: u8 = 10;
    const DECODE_ERROR: u8 = 50;
    let beginnings: [(&[u8], Option<u8>); 7] = [
        (b"\x16\x03\x01\xff\xff", Some(DECODE_ERROR)),
        (b"\x16\x03\x01\x00\x00", Some(DECODE_ERROR)),
        (b"\x00\x00\x00\x00\x00\x00", Some(DECODE_ERROR)),
        (b"\x80\x2e\x01\x00\x02 an old hello", Some(DECODE_ERROR)),
        (b"\x17\x03\x03\x00\x10aaaaaaaaaaaaaaaa", Some(UNEXPECTED_MESSAGE)),
        // Messages of many megabytes, begun: rustls has no word for them.
        (b"\x16\x03\x01\x00\x05hello", None),
        (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", None),
    ];
    for (beginning, alert) in beginnings {
        let (tls, _) = settings(&rustls::version::TLS13);
        run(
            &tls,
            move |runtime| async move {
                let stream = runtime.net().connect(address()).await.unwrap();
                stream.send_bytes(beginning, NEVER).await.unwrap();
                let answer = stream.receive_all(NEVER).await.unwrap();
                let expected = alert.map_or(Vec::new(), |alert| vec![21, 3, 3, 0, 2, 2, alert]);
                assert_eq!(answer, expected, "to {beginning:?}");
            },
            |_, opened| async move {
                assert!(opened.is_err());
            },
        );
    }
}

#[test]
fn a_hello_that_does_not_end_is_bounded() {
    let (tls, _) = settings(&rustls::version::TLS13);
    run(
        &tls,
        move |runtime| async move {
            let stream = runtime.net().connect(address()).await.unwrap();
            // Of a hello of 60,000 bytes, one byte in each record.
            let mut wire = b"\x16\x03\x01\x00\x04\x01\x00\xea\x60".to_vec();
            for _ in 0..60_000 {
                wire.extend_from_slice(b"\x16\x03\x01\x00\x01a");
            }
            let _cut_short = stream.send_bytes(&wire, NEVER).await;
        },
        |_, opened| async move {
            assert!(opened.is_err());
        },
    );
}

#[test]
fn a_peer_without_tls_reads_what_to_do() {
    let (tls, _) = settings(&rustls::version::TLS13);
    run(
        &tls,
        |runtime| async move {
            let stream = runtime.net().connect(address()).await.unwrap();
            stream.send_bytes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", NEVER).await.unwrap();
            let answer = stream.receive_all(NEVER).await.unwrap();
            let answer = String::from_utf8(answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
            assert!(body.contains("https://"), "{body}");
        },
        |_, opened| async move {
            assert!(opened.is_err());
        },
    );
}

#[test]
fn silence_in_a_handshake_ends_it() {
    for sent in [&b""[..], b"\x16\x03", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let (tls, _) = settings(&rustls::version::TLS13);
        run(
            &tls,
            move |runtime| async move {
                let stream = runtime.net().connect(address()).await.unwrap();
                let begun = runtime.now();
                stream.send_bytes(sent, NEVER).await.unwrap();
                assert_eq!(stream.receive_all(NEVER).await.unwrap(), b"");
                let waited = runtime.now().since(begun);
                assert!(waited >= HANDSHAKE_MAX, "{waited:?}");
                assert!(waited < HANDSHAKE_MAX + Duration::from_secs(1), "{waited:?}");
            },
            |_, opened| async move {
                assert!(matches!(opened, Err(None)));
            },
        );
    }
}

#[test]
fn a_changed_byte_ends_the_connection() {
    for version in BOTH {
        let (tls, config) = settings(version);
        run(
            &tls,
            move |runtime| async move {
                let mut peer = Peer::connect(&runtime, config, LinkPlan::default()).await;
                peer.shake_hands().await.unwrap();
                peer.session.writer().write_all(b"an order").unwrap();
                let mut bytes = Vec::new();
                peer.session.write_tls(&mut bytes).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                peer.stream.send_bytes(&bytes, NEVER).await.unwrap();
                let error = peer.receive_all().await.unwrap_err();
                assert!(error.to_string().contains("BadRecordMac"), "{error}");
            },
            |runtime, opened| async move {
                let link = opened.unwrap();
                assert_eq!(receive_some(&runtime, &link, 4096).await, Err(WireFault::Gone));
                assert_eq!(receive_some(&runtime, &link, 4096).await, Err(WireFault::Gone));
                assert_eq!(send_bytes(&runtime, &link, &[b"answer"]).await, Err(WireFault::Gone));
            },
        );
    }
}

#[test]
fn after_a_send_that_did_not_end_nothing_more_is_said() {
    let (tls, config) = settings(&rustls::version::TLS13);
    run(
        &tls,
        |runtime| async move {
            let plan = LinkPlan { window_bytes: 10_000, ..LinkPlan::default() };
            let mut peer = Peer::connect(&runtime, config, plan).await;
            peer.shake_hands().await.unwrap();
            peer.send(b"x").await;
            runtime.sleep(Duration::from_secs(2)).await;
            let error = peer.receive_all().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            assert!(peer.received.len() < 20_000, "{}", peer.received.len());
        },
        |runtime, opened| async move {
            let link = opened.unwrap();
            receive_bytes(&runtime, &link, 1, 4096).await;
            let mut buffer = runtime.arena().take(40_000).await.unwrap();
            buffer.bytes_mut().fill(7);
            let mut parts = SendParts::new();
            parts.push(BufferSlice::of(buffer, 0..40_000));
            let deadline = runtime.now().after(Duration::from_secs(1));
            assert_eq!(link.send(parts, deadline).await, Err(WireFault::TimedOut));
            assert_eq!(send_bytes(&runtime, &link, &[b"more"]).await, Err(WireFault::Gone));
            link.finish().await;
        },
    );
}

#[test]
fn only_http_1_1_is_agreed_on() {
    let (tls, config) = settings(&rustls::version::TLS13);
    for (offered, agreed) in [("h2 http/1.1", Some("http/1.1")), ("", None), ("h2", None)] {
        let mut config = ClientConfig::clone(&config);
        config.alpn_protocols = offered.split_whitespace().map(|name| name.as_bytes().to_vec()).collect();
        let is_refused = offered == "h2";
        run(
            &tls,
            move |runtime| async move {
                let mut peer = Peer::connect(&runtime, Arc::new(config), LinkPlan::default()).await;
                let shaken = peer.shake_hands().await;
                assert_eq!(shaken.is_err(), is_refused);
                assert_eq!(peer.session.alpn_protocol(), agreed.map(str::as_bytes));
            },
            move |_, opened| async move {
                assert_eq!(opened.is_err(), is_refused);
            },
        );
    }
}

#[test]
fn an_exchange_waits_for_no_memory_once_it_has_begun() {
    let (tls, config) = settings(&rustls::version::TLS13);
    let bytes = 300_000;
    run(
        &tls,
        move |runtime| async move {
            let mut peer = Peer::connect(&runtime, config, LinkPlan::default()).await;
            peer.shake_hands().await.unwrap();
            peer.send(&content(bytes)).await;
            assert_eq!(peer.receive_all().await.unwrap(), content(200_000));
        },
        move |runtime, opened| async move {
            let link = opened.unwrap();
            let mut body = runtime.arena().take(512 << 10).await.unwrap();
            body.bytes_mut()[..200_000].copy_from_slice(&content(200_000));
            let mut own = runtime.arena().take(4096).await.unwrap();
            link.begin(true).await.unwrap();
            let mut others = Vec::new();
            while let Some(buffer) = runtime.arena().try_take(4096) {
                others.push(buffer);
            }
            let mut left = bytes;
            while left > 0 {
                let (received, back) = link.receive(own, 0..3000, NEVER).await;
                (left, own) = (left - received.unwrap(), back);
            }
            let mut parts = SendParts::new();
            parts.push(BufferSlice::of(body, 0..200_000));
            link.send(parts, NEVER).await.unwrap();
            drop((others, own));
            link.finish().await;
        },
    );
}

#[test]
fn an_idle_connection_holds_the_smallest_buffer() {
    let (tls, config) = settings(&rustls::version::TLS13);
    run(
        &tls,
        |runtime| async move {
            let mut peer = Peer::connect(&runtime, config, LinkPlan::default()).await;
            peer.shake_hands().await.unwrap();
            peer.send(&content(40_000)).await;
            runtime.sleep(Duration::from_secs(2)).await;
        },
        |runtime, opened| async move {
            let link = opened.unwrap();
            link.begin(true).await.unwrap();
            receive_bytes(&runtime, &link, 40_000, 4096).await;
            send_bytes(&runtime, &link, &[b"answer"]).await.unwrap();
            link.rest();
            assert_eq!(runtime.arena().available(), runtime.arena().capacity());
            let mut waiting = Box::pin(receive_some(&runtime, &link, 4096));
            let asleep = core::pin::pin!(runtime.sleep(Duration::from_secs(1)));
            let still = futures_util::future::select(&mut waiting, asleep).await;
            assert!(matches!(still, futures_util::future::Either::Right(_)));
            let held = runtime.arena().capacity() - runtime.arena().available();
            assert_eq!(held, 4096 + IDLE_BUFFER_BYTES, "the caller's buffer and one more");
        },
    );
}
