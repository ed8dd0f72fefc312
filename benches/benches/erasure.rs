//! Erasure codes, in bytes of data coded per second.
//!
//! Each shape is measured with the scalar kernel beside the best one, and wide
//! shapes with GF(2^8) beside GF(2^16), which decides the border between the
//! two families. Decoding rebuilds as many data chunks as the shape can lose.
//! The ceiling for chunks of 64 KiB is the second-level cache, for 1 MiB the
//! memory; a plain copy of the data is measured as the yardstick.

use std::hint::black_box;

use crate::ceiling;
use ashlar_engine::stripe::{Codec, Family, Kernel};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};

/// The members of one row; parity is filled by the first encode.
struct Row {
    data: Vec<Vec<u8>>,
    parity: Vec<Vec<u8>>,
}

impl Row {
    fn new(codec: &Codec, chunk_bytes: usize) -> Row {
        let mut state = 1u64;
        let data = (0..codec.data_count_max())
            .map(|_| {
                let next = |_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    state.to_le_bytes()[7]
                };
                (0..chunk_bytes).map(next).collect()
            })
            .collect();
        let parity = vec![vec![0; chunk_bytes]; codec.parity_count()];
        let mut row = Row { data, parity };
        row.encode(codec);
        row
    }

    fn encode(&mut self, codec: &Codec) {
        let data: Vec<&[u8]> = self.data.iter().map(Vec::as_slice).collect();
        let mut parity: Vec<&mut [u8]> = self.parity.iter_mut().map(Vec::as_mut_slice).collect();
        codec.encode(black_box(&data), &mut parity);
    }

    /// Rebuilds the first data chunks from the others and all parity.
    fn decode(&self, codec: &Codec, rebuilt: &mut [Vec<u8>]) {
        let members = self.data.iter().chain(&self.parity).map(Vec::as_slice).enumerate();
        let present: Vec<(usize, &[u8])> = members.skip(rebuilt.len()).collect();
        let mut wanted: Vec<(usize, &mut [u8])> =
            rebuilt.iter_mut().map(Vec::as_mut_slice).enumerate().collect();
        let outcome = codec.reconstruct(self.data.len(), black_box(&present), &mut wanted);
        assert_eq!(outcome, Ok(()));
    }
}

fn shapes(criterion: &mut Criterion) {
    let Some(scalar) = Kernel::all().next() else { return };
    for chunk_bytes in [64 << 10, 1 << 20] {
        for (k, m) in [(2, 1), (4, 2), (8, 3), (16, 4)] {
            for kernel in [scalar, Kernel::best()] {
                let codec = Codec::with_kernel(Family::Gf8, k, m, kernel);
                let Ok(codec) = codec else { continue };
                measure(criterion, &codec, chunk_bytes);
            }
        }
    }
}

fn border(criterion: &mut Criterion) {
    for (k, m) in [(16, 4), (28, 4), (48, 4), (48, 12)] {
        for family in [Family::Gf8, Family::Gf16] {
            let Ok(codec) = Codec::new(family, k, m) else { continue };
            measure(criterion, &codec, 64 << 10);
        }
    }
}

fn measure(criterion: &mut Criterion, codec: &Codec, chunk_bytes: usize) {
    let (k, m) = (codec.data_count_max(), codec.parity_count());
    let mut row = Row::new(codec, chunk_bytes);
    let mut rebuilt = vec![vec![0; chunk_bytes]; m.min(k)];
    // Here and not after the measurements: those may have been left out by name.
    row.decode(codec, &mut rebuilt);
    assert!(rebuilt == row.data[..rebuilt.len()], "decoding gives the data back");
    let shape = format!("{:?}/{k}+{m}/{}KiB", codec.family(), chunk_bytes >> 10);
    let Ok(data_bytes) = u64::try_from(k * chunk_bytes) else { return };

    let mut group = criterion.benchmark_group(shape);
    group.throughput(Throughput::Bytes(data_bytes));
    if codec.kernel_name() == Kernel::best().name() {
        ceiling::copy(&mut group, &row.data);
    }
    group.bench_function(BenchmarkId::new("encode", codec.kernel_name()), |bencher| {
        bencher.iter(|| row.encode(codec));
    });
    group.bench_function(BenchmarkId::new("decode", codec.kernel_name()), |bencher| {
        bencher.iter(|| row.decode(codec, &mut rebuilt));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = shapes, border
}
