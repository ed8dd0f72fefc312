//! What no routine can beat on this core: one pass over the bytes, one copy of them, one step of a chain per cycle.
//! The passes are measured in the group of the routine that they bound; what follows from the clock is computed and
//! printed beside it.

use std::hint::black_box;

use criterion::{BenchmarkGroup, BenchmarkId, measurement::WallTime};

use ashlar_benches::usage::cpu;

/// Steps of the chain by which the clock is found: long enough for a clock of 10 ms.
const STEPS: u32 = 100_000_000;

/// Every byte looked at once, eight at a time and in several sums, which a compiler turns into the widest loads.
fn pass(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)))
}

/// Measures a pass over `bytes` in `group`.
pub(crate) fn read(group: &mut BenchmarkGroup<'_, WallTime>, bytes: &[u8]) {
    group.bench_function(BenchmarkId::new("ceiling_read", bytes.len()), |bencher| {
        bencher.iter(|| pass(black_box(bytes)));
    });
}

/// Measures a copy of `parts` in `group`.
pub(crate) fn copy(group: &mut BenchmarkGroup<'_, WallTime>, parts: &[Vec<u8>]) {
    let mut copies: Vec<Vec<u8>> = parts.to_vec();
    group.bench_function("ceiling_copy", |bencher| {
        bencher.iter(|| {
            for (copy, part) in copies.iter_mut().zip(black_box(parts)) {
                copy.copy_from_slice(part);
            }
            black_box(&mut copies);
        });
    });
}

/// Cycles per second of this core under load. A multiplication takes three cycles and an exclusive or one on every
/// x86-64 and AArch64 core of the last ten years; the shift runs beside the multiplication. Mixed like this no compiler
/// can put several steps together.
pub(crate) fn clock_hz() -> f64 {
    const CYCLES_A_STEP: f64 = 4.0;
    let pid = std::process::id();
    let Ok(before) = cpu(pid) else { return f64::NAN };
    let mut value = black_box(1_u64);
    for _step in 0..STEPS {
        value = value.wrapping_mul(6_364_136_223_846_793_005) ^ (value >> 32);
    }
    black_box(value);
    let Ok(after) = cpu(pid) else { return f64::NAN };
    f64::from(STEPS) * CYCLES_A_STEP / after.saturating_sub(before).as_secs_f64()
}
