//! What a request costs before anything is stored: reading its head and proving its signature.
//! The request is the PUT that AWS signs as an example ("Signature Calculations for the
//! Authorization Header"), so the signature is theirs. The ceiling of reading is to look once at every byte, that of
//! proving is SHA-256 of as many bytes as must be hashed with a key that is remembered.

use std::collections::BTreeMap;
use std::hint::black_box;

use ashlar_s3::auth::signature::sha256;
use ashlar_s3::auth::{AuthConfig, Authenticator, SecretKey};
use ashlar_s3::http::head;
use ashlar_s3::http::query::Query;
use criterion::{Criterion, Throughput, criterion_group};
use jiff::Timestamp;

const REQUEST: &[u8] = b"PUT /test%24file.text HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n\
    Date: Fri, 24 May 2013 00:00:00 GMT\r\nx-amz-date: 20130524T000000Z\r\n\
    x-amz-storage-class: REDUCED_REDUNDANCY\r\n\
    x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\r\n\
    Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
    SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,\
    Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd\r\n\r\n";
/// 2013-05-24T00:00:00Z
const EXAMPLE_TIME_S: i64 = 1_369_353_600;

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request_head");
    group.throughput(Throughput::Elements(1));
    group.bench_function("ceiling_scan", |bencher| {
        bencher.iter(|| memchr::memchr_iter(b'\n', black_box(REQUEST)).count());
    });
    group.bench_function("parse", |bencher| {
        bencher.iter(|| head::parse(black_box(REQUEST)).map(|head| head.is_some()));
    });
    group.finish();
}

fn signature(criterion: &mut Criterion) {
    let Ok(Some(head)) = head::parse(REQUEST) else { unreachable!("the example is a whole head") };
    let Ok(query) = Query::parse(head.query()) else { unreachable!("the example has no query") };
    let secret = SecretKey::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let secrets = BTreeMap::from([("AKIAIOSFODNN7EXAMPLE".to_owned(), secret)]);
    let Some(config) = AuthConfig::new("us-east-1") else { unreachable!("the region's name is short") };
    let Ok(now) = Timestamp::from_second(EXAMPLE_TIME_S) else { unreachable!("a year that exists") };

    // The canonical request is about as long as the head; what of the text that is signed is not remembered, and the
    // outer end of its HMAC, are three blocks of 64 bytes.
    let hashed = [REQUEST, &[0; 192]].concat();

    let mut group = criterion.benchmark_group("sigv4");
    group.throughput(Throughput::Elements(1));
    group.bench_function("ceiling_hash", |bencher| {
        bencher.iter(|| sha256(black_box(&hashed)));
    });
    let mut remembers = Authenticator::new(config.clone());
    group.bench_function("key_remembered", |bencher| {
        bencher.iter(|| {
            let proof = remembers.authenticate(black_box(&head), &query, &secrets, now);
            assert!(proof.is_ok(), "the example's signature is right");
        });
    });
    group.bench_function("key_derived", |bencher| {
        bencher.iter(|| {
            let mut first = Authenticator::new(config.clone());
            let proof = first.authenticate(black_box(&head), &query, &secrets, now);
            assert!(proof.is_ok(), "the example's signature is right");
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = parse, signature
}
