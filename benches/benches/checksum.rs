//! Checksums of bodies, in bytes per second of one core. Every byte of a PUT goes through CRC32C
//! (extents) and MD5 (the ETag), and through SHA-256 when the client signed the body. The ceiling of the two CRCs is
//! one pass over the bytes; hashes are bound by their own arithmetic, as `lanes` computes.

use std::hint::black_box;

use crate::ceiling;
use ashlar_disk_format::checksum::crc32c;
use ashlar_s3::auth::signature::sha256;
use ashlar_s3::checksum::hasher::ChecksumHasher;
use ashlar_s3::checksum::md5::Md5Hasher;
use ashlar_s3::value::checksum::ChecksumAlgorithm;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};

/// A short body, one block of an extent, one buffer.
const SIZES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];

fn checksums(criterion: &mut Criterion) {
    for size in SIZES {
        let bytes: Vec<u8> = (0..=250_u8).cycle().take(size).collect();
        let mut group = criterion.benchmark_group("checksum");
        group.throughput(Throughput::Bytes(size as u64));
        ceiling::read(&mut group, &bytes);
        group.bench_function(BenchmarkId::new("crc32c", size), |bencher| {
            bencher.iter(|| crc32c(black_box(&bytes)));
        });
        group.bench_function(BenchmarkId::new("md5", size), |bencher| {
            bencher.iter(|| {
                let mut hasher = Md5Hasher::new();
                hasher.update(black_box(&bytes));
                hasher.finish()
            });
        });
        group.bench_function(BenchmarkId::new("sha256", size), |bencher| {
            bencher.iter(|| sha256(black_box(&bytes)));
        });
        group.bench_function(BenchmarkId::new("crc64nvme", size), |bencher| {
            bencher.iter(|| {
                let mut hasher = ChecksumHasher::new(ChecksumAlgorithm::Crc64Nvme);
                hasher.update(black_box(&bytes));
                hasher.finish()
            });
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = checksums
}
