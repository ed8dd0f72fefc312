//! Whole runs against a server of a few lines that keeps objects in memory.

use super::*;
use crate::client::SignStyle;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};

/// What the server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Every body that it serves has one wrong byte.
    WrongByte,
    /// Every object request is refused.
    SlowDown,
    /// Every answer ends the connection.
    Closes,
    /// The bucket is there before it is made; it can be read.
    HasBucket,
    /// The same, and it is another's.
    AnothersBucket,
}

enum Ask {
    Put(String, Vec<u8>, mpsc::Sender<Option<Vec<u8>>>),
    Get(String, mpsc::Sender<Option<Vec<u8>>>),
    Delete(String),
}

/// Starts the server and returns its URL. It ends with the test's process.
fn serve(flaw: Flaw) -> String {
    format!("http://{}", serve_with(flaw, None))
}

fn serve_with(flaw: Flaw, tls: Option<Arc<rustls::ServerConfig>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel::<Ask>();
    start(move || {
        let mut objects = BTreeMap::new();
        for ask in receiver {
            match ask {
                Ask::Put(path, body, reply) => reply.send(objects.insert(path, body)).unwrap_or(()),
                Ask::Get(path, reply) => reply.send(objects.get(&path).cloned()).unwrap_or(()),
                Ask::Delete(path) => drop(objects.remove(&path)),
            }
        }
    });
    start(move || {
        for stream in listener.incoming() {
            let (sender, stream) = (sender.clone(), stream.unwrap());
            let session = tls.clone().map(|config| rustls::ServerConnection::new(config).unwrap());
            start(move || match session {
                Some(session) => while_connected(rustls::StreamOwned::new(session, stream), &sender, flaw),
                None => while_connected(stream, &sender, flaw),
            });
        }
    });
    address
}

#[expect(clippy::disallowed_methods, reason = "the server stands in for another process")]
fn start(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}

fn while_connected(stream: impl Read + Write, objects: &mpsc::Sender<Ask>, flaw: Flaw) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        let answer = answer(&head, body, objects, flaw);
        let writer = reader.get_mut();
        if writer.write_all(&answer).is_err() || writer.flush().is_err() || flaw == Flaw::Closes {
            return;
        }
    }
}

fn answer(head: &str, body: Vec<u8>, objects: &mpsc::Sender<Ask>, flaw: Flaw) -> Vec<u8> {
    let mut words = head.split([' ', '?']);
    let (method, path) = (words.next().unwrap(), words.next().unwrap().to_owned());
    let signed = head.contains("Authorization: AWS4-HMAC-SHA256") || head.contains("X-Amz-Signature=");
    assert!(signed, "{head}");
    let is_object = path.matches('/').count() > 1;
    let (reply, replied) = mpsc::channel();
    if is_object && flaw == Flaw::SlowDown {
        return respond("503 Slow Down", b"<Error><Code>SlowDown</Code></Error>", method);
    }
    match method {
        "PUT" if !is_object && matches!(flaw, Flaw::HasBucket | Flaw::AnothersBucket) => {
            respond("409 Conflict", b"<Error><Code>BucketAlreadyExists</Code></Error>", method)
        }
        "GET" if !is_object && flaw == Flaw::AnothersBucket => {
            respond("403 Forbidden", b"<Error><Code>AccessDenied</Code></Error>", method)
        }
        "PUT" => {
            objects.send(Ask::Put(path, body, reply)).unwrap();
            replied.recv().unwrap();
            respond("200 OK", b"", method)
        }
        "DELETE" => {
            objects.send(Ask::Delete(path)).unwrap();
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
        }
        _ if !is_object => respond("200 OK", b"<ListBucketResult/>", method),
        _ => {
            objects.send(Ask::Get(path, reply)).unwrap();
            match replied.recv().unwrap() {
                Some(mut body) => {
                    if flaw == Flaw::WrongByte {
                        body[0] ^= 1;
                    }
                    respond("200 OK", &body, method)
                }
                None => respond("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>", method),
            }
        }
    }
}

fn respond(status: &str, body: &[u8], method: &str) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    if method != "HEAD" {
        answer.extend_from_slice(body);
    }
    answer
}

fn options(endpoint: String, mix: &str, requests: u64) -> LoadOptions {
    LoadOptions {
        endpoint,
        ca: None,
        credentials: crate::client::Credentials {
            access_key: "access".to_owned(),
            secret_key: "secret".to_owned(),
        },
        region: "us-east-1".to_owned(),
        bucket: "bucket".to_owned(),
        prefix: "load/".to_owned(),
        mix: mix.parse().unwrap(),
        sizes: vec![0, 5, 300_000],
        objects: 30,
        connections: 5,
        threads: 2,
        limit: Limit::Requests(requests),
        order: KeyOrder::Usual,
        payload: PayloadMode::Signed,
        sign: SignStyle::Header,
        verify: true,
        prepare: true,
        remove: false,
        seed: 1,
        json: None,
        server_pid: None,
    }
}

#[test]
fn every_operation_is_counted_and_every_byte_is_right() {
    let report = measure(options(serve(Flaw::None), "get=4,put=3,head=1,list=1", 400)).unwrap();
    assert_eq!(report.total.count, 400);
    assert_eq!(report.failures, BTreeMap::new());
    assert_eq!(report.operations.keys().count(), 4);
    assert!(report.operations[&Operation::Get].bytes > 300_000);
    let latency = report.total.latency_us;
    assert!(latency.p50 > 0.0);
    assert!(latency.p50 <= latency.p99);
    assert!(latency.p999 <= latency.max);
    report.verdict().unwrap();
    assert!(report.text().contains("p99.9"));
}

#[test]
fn a_run_may_be_limited_by_time_and_signed_in_the_query() {
    let mut options = options(serve(Flaw::None), "delete=1,get=1", 1);
    options.limit = Limit::Duration(Duration::from_millis(300));
    options.sign = SignStyle::Query;
    options.server_pid = Some(std::process::id());
    let report = measure(options).unwrap();
    assert!(report.elapsed_seconds >= 0.25, "{report:?}");
    assert!(report.total.count > 0);
    assert!(report.server.clone().unwrap().resident_bytes > 0);
    let json = serde_json::to_value(&report).unwrap();
    assert!(json["operations"]["delete"]["per_second"].as_f64().unwrap() > 0.0, "{json}");
}

#[test]
fn wrong_bytes_fail_the_run() {
    let mut options = options(serve(Flaw::WrongByte), "get=1", 50);
    options.sizes = vec![100];
    let report = measure(options).unwrap();
    assert_eq!(report.wrong_bytes, 50);
    assert!(matches!(report.verdict(), Err(LoadError::WrongBytes { answers: 50 })));
}

#[test]
fn a_body_that_is_not_the_one_written_has_the_wrong_length() {
    let url = serve(Flaw::None);
    measure(options(url.clone(), "put=1", 30)).unwrap();
    let mut other = options(url, "get=1", 30);
    other.prepare = false;
    other.verify = false;
    other.sizes = vec![7];
    assert_eq!(measure(other).unwrap().failures["200 WRONG LENGTH"], 30);
}

#[test]
fn what_a_run_wrote_is_taken_away_again() {
    let url = serve(Flaw::None);
    let mut writing = options(url.clone(), "put=1", 30);
    writing.remove = true;
    assert_eq!(measure(writing).unwrap().total.count, 30);
    let mut reading = options(url, "get=1", 30);
    reading.prepare = false;
    assert_eq!(measure(reading.clone()).unwrap().failures["404 NoSuchKey"], 30);
    upload(reading.clone()).unwrap();
    assert_eq!(measure(reading.clone()).unwrap().total.count, 30);
    remove(reading.clone()).unwrap();
    assert_eq!(measure(reading).unwrap().failures["404 NoSuchKey"], 30);
    assert!(matches!(remove(options(serve(Flaw::SlowDown), "put=1", 1)), Err(LoadError::Removal { .. })));
}

#[test]
fn a_bucket_that_exists_is_used_if_it_can_be_read() {
    assert_eq!(measure(options(serve(Flaw::HasBucket), "put=1", 5)).unwrap().total.count, 5);
    let refused = measure(options(serve(Flaw::AnothersBucket), "put=1", 5));
    assert!(matches!(refused, Err(LoadError::BucketRefused { status: 409, .. })), "{refused:?}");
}

#[test]
fn scattered_reads_meet_every_object_once() {
    let mut reading = options(serve(Flaw::None), "get=1", 30);
    reading.order = KeyOrder::Scattered;
    let report = measure(reading).unwrap();
    // Ten objects of each size: what chance alone would hardly give.
    assert_eq!(report.total.bytes, 10 * (5 + 300_000));
    // Whatever the order of reading, all objects are there to be read.
    let mut reading = options(serve(Flaw::None), "get=1", 100);
    reading.order = KeyOrder::Random;
    assert_eq!(measure(reading).unwrap().total.count, 100);
}

#[test]
fn refusals_are_counted_by_code_and_stop_the_preparation() {
    let url = serve(Flaw::SlowDown);
    let report = measure(options(url.clone(), "put=1", 20)).unwrap();
    assert_eq!(report.failures["503 SlowDown"], 20);
    assert!(matches!(report.verdict(), Err(LoadError::NothingSucceeded { .. })));
    assert!(matches!(measure(options(url, "get=1", 20)), Err(LoadError::Preparation { failed: 30, .. })));
}

#[test]
fn a_server_that_closes_connections_is_called_again() {
    let report = measure(options(serve(Flaw::Closes), "put=1", 40)).unwrap();
    assert!(report.total.count > 0, "{report:?}");
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let url = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    assert!(matches!(measure(options(url, "put=1", 1)), Err(LoadError::Bucket(_))));
}

#[test]
fn a_load_over_tls_reads_what_it_wrote_and_trusts_only_whom_it_was_told_to() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let endpoint = format!("https://{}", serve_with(Flaw::None, Some(Arc::new(config))));
    let folder = std::env::temp_dir();
    let file = |name: &str| folder.join(format!("ashlar-load-{name}-{}.pem", std::process::id()));
    let (trusted, other) = (file("trusted"), file("other"));
    std::fs::write(&trusted, made.cert.pem()).unwrap();
    std::fs::write(
        &other,
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap().cert.pem(),
    )
    .unwrap();
    let with = |ca: &std::path::Path| LoadOptions {
        ca: Some(ca.to_path_buf()),
        sizes: vec![1, 4096, 700_000],
        verify: true,
        ..options(endpoint.clone(), "get=50,put=50", 60)
    };
    let report = measure(with(&trusted)).unwrap();
    assert_eq!(report.wrong_bytes, 0);
    assert_eq!(report.total.count, 60);
    assert!(matches!(measure(with(&other)), Err(LoadError::Bucket(_))));
    for path in [trusted, other] {
        std::fs::remove_file(path).unwrap();
    }
}
