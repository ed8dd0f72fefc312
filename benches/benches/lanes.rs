//! MD5 and SHA-256 of several bodies side by side, in bytes per second of one core: what a core hashes of
//! as many PUTs that run at once. `scalar` takes them one after the other.

use std::hint::black_box;

use ashlar_engine::hash::simd::{Kernel, Lane};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};

/// A short body, a piece of a body as it is hashed, a chunk of a large one.
const SIZES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];

/// Bodies at once.
const STREAMS: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// Bodies in one call at most.
const LANES_MAX: usize = 16;

/// The lanes of `states` over `bodies`, in batches of as many as one call takes.
fn batches<'a, S>(states: &'a mut [S], bodies: &'a [Vec<u8>]) -> Vec<Vec<Lane<'a, S>>> {
    let pairs = states.chunks_mut(LANES_MAX).zip(bodies.chunks(LANES_MAX));
    pairs
        .map(|(states, bodies)| {
            let lanes = states.iter_mut().zip(bodies);
            lanes.map(|(state, body)| Lane { state, blocks: body.as_chunks().0 }).collect()
        })
        .collect()
}

fn kernels(criterion: &mut Criterion) {
    for size in SIZES {
        for streams in STREAMS {
            let bodies: Vec<Vec<u8>> =
                (0..streams).map(|stream| (0..=250_u8).cycle().skip(stream).take(size).collect()).collect();
            for kernel in [Kernel::all().next(), Some(Kernel::best())].into_iter().flatten() {
                let name = |hash| format!("lanes/{hash}/{size}/{}", kernel.name());
                let mut group = criterion.benchmark_group(name("md5"));
                group.throughput(Throughput::Bytes((size * streams) as u64));
                group.bench_function(BenchmarkId::from_parameter(streams), |bencher| {
                    let mut states = vec![[0; 4]; streams];
                    bencher.iter(|| {
                        for mut lanes in batches(&mut states, black_box(&bodies)) {
                            kernel.md5(&mut lanes);
                        }
                    });
                });
                group.finish();
                let mut group = criterion.benchmark_group(name("sha256"));
                group.throughput(Throughput::Bytes((size * streams) as u64));
                group.bench_function(BenchmarkId::from_parameter(streams), |bencher| {
                    let mut states = vec![[0; 8]; streams];
                    bencher.iter(|| {
                        for mut lanes in batches(&mut states, black_box(&bodies)) {
                            kernel.sha256(&mut lanes);
                        }
                    });
                });
                group.finish();
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = kernels
}
