//! MD5 and SHA-256 of several bodies side by side, in bytes per second of one core: what a core hashes of
//! as many PUTs that run at once. `scalar` takes them one after the other.
//!
//! Their ceilings follow from the clock. A step of MD5 needs the one before it: choosing, adding, rotating and adding
//! take four cycles, 64 steps are 64 bytes of each lane. A round of SHA-256 with instructions that rotate and choose at
//! once is 17 operations and a word of the schedule 11, on two ports of the core.

use std::hint::black_box;

use crate::ceiling;
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

/// Lanes of the widest register there is.
const REGISTER_LANES: f64 = 16.0;

fn print_ceilings() {
    let clock = ceiling::clock_hz();
    let md5 = 64.0 / (64.0 * 4.0) * clock;
    let sha256 = 64.0 * REGISTER_LANES / ((64.0 * 17.0 + 48.0 * 11.0) / 2.0) * clock;
    println!("lanes: at {:.2} GHz one chain of MD5 gives at most {:.2} GB/s,", clock / 1e9, md5 / 1e9);
    println!(
        "lanes: {REGISTER_LANES} in one register {:.2} GB/s, SHA-256 {:.2} GB/s",
        md5 * REGISTER_LANES / 1e9,
        sha256 / 1e9
    );
}

fn kernels(criterion: &mut Criterion) {
    print_ceilings();
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
