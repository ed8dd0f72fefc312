//! Taking buffers from a core's arena and giving them back, as every transfer does. The ceiling is a list of free
//! buffers of one size, without anything that splits or joins them.

use std::hint::black_box;

use ashlar_engine::buffer::{Arena, BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, Region};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};

const ARENA_BYTES: usize = 64 << 20;
/// Buffers held at once in the crowded case.
const HELD: usize = 32;

fn take_and_give(criterion: &mut Criterion) {
    let Ok(region) = Region::allocate(ARENA_BYTES) else { unreachable!("64 MiB of memory can be had") };
    let arena = Arena::new(region, 0);
    let mut group = criterion.benchmark_group("buffer_pool");
    for bytes in [BUFFER_BYTES_MIN, 64 << 10, BUFFER_BYTES_MAX] {
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("one", bytes), |bencher| {
            bencher.iter(|| assert!(black_box(arena.try_take(bytes)).is_some(), "the arena is empty"));
        });
        group.throughput(Throughput::Elements(HELD as u64));
        group.bench_function(BenchmarkId::new("many_held", bytes), |bencher| {
            bencher.iter(|| {
                let held: [_; HELD] = std::array::from_fn(|_index| arena.try_take(bytes));
                assert!(held.iter().all(Option::is_some), "the arena is large enough");
                black_box(held)
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    let mut free: Vec<Box<u8>> = (0..HELD).map(|_buffer| Box::new(0)).collect();
    group.bench_function("ceiling_free_list", |bencher| {
        bencher.iter(|| {
            let taken = black_box(free.pop());
            free.extend(taken);
        });
    });
    group.finish();
    assert_eq!(arena.available(), arena.capacity(), "every buffer came back");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = take_and_give
}
