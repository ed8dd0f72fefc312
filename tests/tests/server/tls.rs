//! The whole server behind TLS, in the simulator.
//!
//! Keys and signatures of a handshake come from the system's random numbers, so the bytes on the wire differ from run to
//! run. Their lengths do not: signatures are Ed25519. So what happens when is the same in every run.

use super::client::{Client, NEVER, Payload, call, content};
use super::rig::{REGION, World, address, run_seeded};
use ashlar_engine::runtime::Runtime as _;
use ashlar_engine::runtime::sim::{LinkPlan, SimStream};
use ashlar_s3::server::{Served, ServerConfig};
use ashlar_s3::tls::{Identity, Tls};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::future::Future;
use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

/// A client's TLS.
pub(crate) struct TlsEnd {
    session: ClientConnection,
    /// The server said that it sends no more.
    pub is_told: bool,
}

impl TlsEnd {
    async fn connect(stream: &SimStream, config: Arc<ClientConfig>) -> Self {
        let session = ClientConnection::new(config, ServerName::try_from("s3.test").unwrap()).unwrap();
        let mut end = Self { session, is_told: false };
        while end.session.is_handshaking() {
            end.flush(stream).await.unwrap();
            let said = end.fetch(stream).await;
            assert_eq!(said, Some(Vec::new()), "nothing is said before the keys are agreed on");
        }
        end.flush(stream).await.unwrap();
        end
    }

    async fn flush(&mut self, stream: &SimStream) -> Result<(), ashlar_engine::runtime::NetError> {
        let mut bytes = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut bytes).unwrap();
        }
        if bytes.is_empty() { Ok(()) } else { stream.send_bytes(&bytes, NEVER).await }
    }

    /// Receives once; plaintext that this gave, nothing at the end of the stream.
    async fn fetch(&mut self, stream: &SimStream) -> Option<Vec<u8>> {
        let bytes = stream.receive_bytes(64 << 10, NEVER).await.unwrap_or_default();
        if bytes.is_empty() {
            return None;
        }
        let (mut rest, mut plain) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            self.session.read_tls(&mut rest).unwrap();
            self.is_told |= self.session.process_new_packets().unwrap().peer_has_closed();
            let mut piece = [0; 4096];
            loop {
                match self.session.reader().read(&mut piece) {
                    Ok(0) => break,
                    Ok(count) => plain.extend_from_slice(&piece[..count]),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        break;
                    }
                }
            }
        }
        Some(plain)
    }

    pub(crate) async fn send(
        &mut self,
        stream: &SimStream,
        bytes: &[u8],
    ) -> Result<(), ashlar_engine::runtime::NetError> {
        for piece in bytes.chunks(50_000) {
            self.session.writer().write_all(piece).unwrap();
            self.flush(stream).await?;
        }
        Ok(())
    }

    /// Some plaintext; none at the end of the stream.
    pub(crate) async fn receive(&mut self, stream: &SimStream) -> Vec<u8> {
        loop {
            match self.fetch(stream).await {
                Some(plain) if plain.is_empty() && !self.is_told => {}
                Some(plain) => return plain,
                None => return Vec::new(),
            }
        }
    }
}

struct Trust {
    tls: Tls,
    client: Arc<ClientConfig>,
}

fn trust() -> Trust {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["s3.test".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap().pem();
    let identity = Identity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Trust { tls: Tls::new(identity).unwrap(), client: Arc::new(client) }
}

fn run<F: Future<Output = ()> + 'static>(scenario: impl FnOnce(World, Arc<ClientConfig>) -> F + 'static) {
    let Trust { tls, client } = trust();
    run_seeded(0, ServerConfig::new(REGION).with_tls(tls), |world| scenario(world, client));
}

async fn connect(world: &World, config: &Arc<ClientConfig>, plan: LinkPlan) -> Client {
    let mut client = world.connect_with(plan).await;
    client.tls = Some(TlsEnd::connect(&client.stream, Arc::clone(config)).await);
    client
}

#[test]
fn objects_of_every_size_come_back_over_tls() {
    run(|world, config| async move {
        let mut client = connect(&world, &config, LinkPlan::default()).await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        for bytes in [0, 1, 4096, 16_383, 16_384, 16_385, 70_000, 1_048_576, 3_000_001] {
            for payload in [Payload::Hashed, Payload::Unsigned, Payload::SignedChunks(66_000)] {
                let path = format!("/bucket/{bytes}");
                let put = call("PUT", &path).body(content(bytes)).payload(payload);
                client.send(&put).await.assert_status(200);
                let got = client.send(&call("GET", &path)).await;
                got.assert_status(200);
                assert!(got.body == content(bytes), "{bytes} bytes, {payload:?}");
            }
        }
        let part =
            client.send(&call("GET", "/bucket/3000001").header("range", "bytes=1000000-1999999")).await;
        assert!(part.assert_status(206).body == content(3_000_001)[1_000_000..2_000_000]);
        // Errors, and what comes behind them on the same connection.
        client.send(&call("GET", "/bucket/absent")).await.assert_error(404, "NoSuchKey");
        client.send(&call("DELETE", "/bucket/1")).await.assert_status(204);
    });
}

#[test]
fn a_network_of_crumbs_changes_nothing() {
    run(|world, config| async move {
        let plan = LinkPlan { piece_bytes_max: 700, ..LinkPlan::default() };
        let mut client = connect(&world, &config, plan).await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        client.send(&call("PUT", "/bucket/a").body(content(400_000))).await.assert_status(200);
        assert!(client.send(&call("GET", "/bucket/a")).await.assert_status(200).body == content(400_000));
        // Two requests at once: what is opened and not yet asked for is kept.
        let (head, _) = call("GET", "/bucket/a").sign(&world.runtime);
        client.raw(&[head.clone(), head].concat()).await;
        for _ in 0..2 {
            assert!(client.response(false).await.assert_status(200).body == content(400_000));
        }
    });
}

#[test]
fn a_body_that_is_cut_short_is_not_stored() {
    run(|world, config| async move {
        let mut client = connect(&world, &config, LinkPlan::default()).await;
        client.send(&call("PUT", "/bucket")).await.assert_status(200);
        let (head, body) = call("PUT", "/bucket/cut").body(content(300_000)).sign(&world.runtime);
        let mut cut = connect(&world, &config, LinkPlan::default()).await;
        cut.raw(&head).await;
        cut.raw(&body[..200_000]).await;
        // The stream ends; no word of TLS says so.
        cut.stream.finish();
        cut.response(false).await.assert_error(400, "IncompleteBody");
        assert!(cut.is_closed().await);
        client.send(&call("GET", "/bucket/cut")).await.assert_error(404, "NoSuchKey");
    });
}

#[test]
fn the_server_says_when_it_closes() {
    run(|world, config| async move {
        let mut client = connect(&world, &config, LinkPlan::default()).await;
        client.send(&call("PUT", "/bucket").line("Connection: close")).await.assert_status(200);
        assert!(client.is_closed().await);
        assert!(client.tls.unwrap().is_told, "after an answer that says so");
        let mut idle = connect(&world, &config, LinkPlan::default()).await;
        assert!(idle.is_closed().await);
        assert!(idle.tls.unwrap().is_told, "after a long silence");
    });
}

#[test]
fn connections_that_rest_go_on_with_their_keys() {
    let Trust { tls, client } = trust();
    let settings = ServerConfig { attended_max: 1, ..ServerConfig::new(REGION).with_tls(tls) };
    run_seeded(1, settings, |world| async move {
        let mut clients = Vec::new();
        for _ in 0..8 {
            clients.push(connect(&world, &client, LinkPlan::default()).await);
        }
        for _ in 0..3 {
            for client in &mut clients {
                client.send(&call("GET", "/")).await.assert_status(200);
            }
            // Once longer than a connection is kept warm.
            world.runtime.sleep(Duration::from_secs(2)).await;
        }
        let one = &mut clients[0];
        assert!(one.is_closed_within(Duration::from_secs(70)).await, "silence ends it");
        assert!(one.tls.as_ref().is_some_and(|tls| tls.is_told), "it says so");
    });
}

#[test]
fn plain_http_is_told_and_harms_nobody() {
    run(|world, config| async move {
        let mut plain = world.connect().await;
        plain.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = plain.response(false).await;
        assert!(answer.assert_status(400).text().contains("https://"));
        assert!(plain.is_closed().await);
        let mut garbage = world.connect().await;
        garbage.raw(&[0; 4000]).await;
        drop(garbage);
        connect(&world, &config, LinkPlan::default()).await.send(&call("GET", "/")).await.assert_status(200);
    });
}

#[test]
fn a_server_that_ends_waits_for_no_handshake() {
    run(|world, config| async move {
        let silent = world.runtime.net().connect(address()).await.unwrap();
        let mut idle = connect(&world, &config, LinkPlan::default()).await;
        world.runtime.sleep(Duration::from_secs(1)).await;
        let begun = world.runtime.now();
        (world.stop)();
        assert!(idle.is_closed().await);
        assert!(idle.tls.unwrap().is_told);
        while silent.receive_bytes(1, NEVER).await.is_ok_and(|bytes| !bytes.is_empty()) {}
        let waited = world.runtime.now().since(begun);
        assert!(waited < Duration::from_secs(1), "{waited:?}");
        while world.served.borrow().len() < 2 {
            world.runtime.sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(*world.served.borrow(), [Served::Drained, Served::Drained]);
    });
}
