//! A page of a listing as XML: 1000 keys. Its ceiling is a copy of as many bytes.

use std::hint::black_box;

use crate::ceiling;
use ashlar_s3::value::ETag;
use ashlar_s3::xml::listing::{ListPage, ListV2, ObjectRow, list_objects_v2};
use ashlar_s3::xml::writer::KeyEncoding;
use criterion::{Criterion, Throughput, criterion_group};
use jiff::Timestamp;

const KEYS: u32 = 1000;
/// 2026-11-22T00:00:00Z
const MODIFIED_S: i64 = 1_795_305_600;

fn page(criterion: &mut Criterion) {
    let keys: Vec<String> = (0..KEYS).map(|key| format!("load/{key:010}")).collect();
    let Ok(modified) = Timestamp::from_second(MODIFIED_S) else { unreachable!("a year that exists") };
    let Some(etag) = ETag::parse("d41d8cd98f00b204e9800998ecf8427e") else { unreachable!("32 digits") };
    let head = ListPage {
        bucket: "bucket",
        prefix: "load/",
        delimiter: None,
        max_keys: KEYS,
        encoding: KeyEncoding::Plain,
        is_truncated: true,
    };
    let version = ListV2 { start_after: None, token: None, next_token: Some("dG9rZW4"), key_count: KEYS };
    let write = |target: &mut Vec<u8>| {
        target.clear();
        let rows =
            keys.iter().map(|key| ObjectRow { key, modified, etag, size: 4096, checksum: None, owner: None });
        list_objects_v2(target, black_box(&head), version, rows, std::iter::empty());
    };
    let mut target = Vec::new();
    write(&mut target);
    let mut group = criterion.benchmark_group("list_page");
    group.throughput(Throughput::Bytes(target.len() as u64));
    ceiling::copy(&mut group, &[target.clone()]);
    group.bench_function("xml", |bencher| bencher.iter(|| write(&mut target)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = page
}
