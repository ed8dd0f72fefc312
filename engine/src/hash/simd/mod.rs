//! MD5 and SHA-256 of many messages at once, one message in each lane of the widest registers there are.
//!
//! Both hashes are chains: a block needs the state that the block before it left, so one message cannot be
//! spread over a register, but several messages can run side by side. A call takes a set of lanes, each with
//! its state and its blocks where they lie, and goes once through as many blocks of each; words are
//! transposed in registers, so no message is copied.
//!
//! What a call costs hardly depends on how many of a register's lanes are in use, which is why there are
//! kernels of one, eight and sixteen lanes. On processors with AVX-512 they rotate and choose in one
//! instruction each, and where that instruction takes one cycle even a lone message is faster in a vector
//! register than in scalar code.
//!
//! The crates `md-5` and `sha2` are the reference: tests compare every kernel with them, and `sha2` serves
//! where no kernel is better (it uses the processor's SHA instructions).

use crate::limits::HASH_LANES_MAX;
#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

/// Compression functions shared by all vector kernels. The including file provides, for its `Register` of
/// `LANES` 32-bit lanes, the functions `splat`, `load`, `store`, `add`, `rotate`, `shift`, `xor3`, `choose`,
/// `fold`, `majority`, `words` and `swap_bytes`, and names the class of its registers as the assembler knows it.
macro_rules! compress_in_lanes {
    ($(#[$attribute:meta])* $class:ident) => {
        /// Takes every block of every lane into the lane's MD5 state (RFC 1321). All lanes have as many
        /// blocks; there are at most `LANES` of them.
        $(#[$attribute])*
        pub(super) fn md5(lanes: &mut [$crate::hash::simd::Lane<'_, [u32; 4]>]) {
            let Some(first) = lanes.first() else { return };
            let count = first.blocks.len();
            let mut blocks = [first.blocks; LANES];
            let mut columns = [[0; LANES]; 4];
            for (index, lane) in lanes.iter().enumerate() {
                blocks[index] = lane.blocks;
                for (column, word) in columns.iter_mut().zip(&*lane.state) {
                    column[index] = *word;
                }
            }
            let mut state = [load(&columns[0]), load(&columns[1]), load(&columns[2]), load(&columns[3])];
            for at in 0..count {
                state = md5_block(state, words(&blocks, at));
            }
            for (column, register) in columns.iter_mut().zip(state) {
                store(column, register);
            }
            for (index, lane) in lanes.iter_mut().enumerate() {
                for (word, column) in lane.state.iter_mut().zip(&columns) {
                    *word = column[index];
                }
            }
        }

        /// Takes every block of every lane into the lane's SHA-256 state (FIPS 180-4). All lanes have as
        /// many blocks; there are at most `LANES` of them.
        $(#[$attribute])*
        pub(super) fn sha256(lanes: &mut [$crate::hash::simd::Lane<'_, [u32; 8]>]) {
            let Some(first) = lanes.first() else { return };
            let count = first.blocks.len();
            let mut blocks = [first.blocks; LANES];
            let mut columns = [[0; LANES]; 8];
            for (index, lane) in lanes.iter().enumerate() {
                blocks[index] = lane.blocks;
                for (column, word) in columns.iter_mut().zip(&*lane.state) {
                    column[index] = *word;
                }
            }
            let mut state = [splat(0); 8];
            for (register, column) in state.iter_mut().zip(&columns) {
                *register = load(column);
            }
            for at in 0..count {
                state = sha256_block(state, words(&blocks, at));
            }
            for (column, register) in columns.iter_mut().zip(state) {
                store(column, register);
            }
            for (index, lane) in lanes.iter_mut().enumerate() {
                for (word, column) in lane.state.iter_mut().zip(&columns) {
                    *word = column[index];
                }
            }
        }

        /// The same value, of which the compiler knows nothing: what was summed so far stays one operand of what is
        /// summed later.
        #[inline]
        $(#[$attribute])*
        fn settled(mut register: Register) -> Register {
            // SAFETY: there is no instruction in it; the register goes in and comes out.
            unsafe {
                std::arch::asm!(
                    "/* {0} */",
                    inout($class) register,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
            register
        }

        #[inline]
        $(#[$attribute])*
        fn md5_block(state: [Register; 4], w: [Register; 16]) -> [Register; 4] {
            const K: &[u32; 64] = &$crate::hash::simd::MD5_K;
            let [mut a, mut b, mut c, mut d] = state;
            // `$mix` of the three words that are not summed, the next word of the message, its constant,
            // and by how much the sum rotates to the left (`$l`, with `$r` the rest of the 32 bits).
            macro_rules! step {
                ($a:ident, $b:ident, $mix:expr, $word:literal, $k:literal, $l:literal, $r:literal) => {
                    // Only `$mix` depends on the step before. Left to itself, the compiler adds constants last,
                    // which makes each step longer by one of five instructions.
                    let base = settled(add($a, add(w[$word], splat(K[$k]))));
                    let sum = add($mix, base);
                    $a = add($b, rotate::<$l, $r>(sum));
                };
            }
            macro_rules! four_f {
                ($w0:literal $w1:literal $w2:literal $w3:literal) => {
                    step!(a, b, choose(b, c, d), $w0, $w0, 7, 25);
                    step!(d, a, choose(a, b, c), $w1, $w1, 12, 20);
                    step!(c, d, choose(d, a, b), $w2, $w2, 17, 15);
                    step!(b, c, choose(c, d, a), $w3, $w3, 22, 10);
                };
            }
            macro_rules! four_g {
                ($w0:literal $k0:literal, $w1:literal $k1:literal,
                 $w2:literal $k2:literal, $w3:literal $k3:literal) => {
                    step!(a, b, choose(d, b, c), $w0, $k0, 5, 27);
                    step!(d, a, choose(c, a, b), $w1, $k1, 9, 23);
                    step!(c, d, choose(b, d, a), $w2, $k2, 14, 18);
                    step!(b, c, choose(a, c, d), $w3, $k3, 20, 12);
                };
            }
            macro_rules! four_h {
                ($w0:literal $k0:literal, $w1:literal $k1:literal,
                 $w2:literal $k2:literal, $w3:literal $k3:literal) => {
                    step!(a, b, xor3(b, c, d), $w0, $k0, 4, 28);
                    step!(d, a, xor3(a, b, c), $w1, $k1, 11, 21);
                    step!(c, d, xor3(d, a, b), $w2, $k2, 16, 16);
                    step!(b, c, xor3(c, d, a), $w3, $k3, 23, 9);
                };
            }
            macro_rules! four_i {
                ($w0:literal $k0:literal, $w1:literal $k1:literal,
                 $w2:literal $k2:literal, $w3:literal $k3:literal) => {
                    step!(a, b, fold(b, c, d), $w0, $k0, 6, 26);
                    step!(d, a, fold(a, b, c), $w1, $k1, 10, 22);
                    step!(c, d, fold(d, a, b), $w2, $k2, 15, 17);
                    step!(b, c, fold(c, d, a), $w3, $k3, 21, 11);
                };
            }
            four_f!(0 1 2 3);
            four_f!(4 5 6 7);
            four_f!(8 9 10 11);
            four_f!(12 13 14 15);
            four_g!(1 16, 6 17, 11 18, 0 19);
            four_g!(5 20, 10 21, 15 22, 4 23);
            four_g!(9 24, 14 25, 3 26, 8 27);
            four_g!(13 28, 2 29, 7 30, 12 31);
            four_h!(5 32, 8 33, 11 34, 14 35);
            four_h!(1 36, 4 37, 7 38, 10 39);
            four_h!(13 40, 0 41, 3 42, 6 43);
            four_h!(9 44, 12 45, 15 46, 2 47);
            four_i!(0 48, 7 49, 14 50, 5 51);
            four_i!(12 52, 3 53, 10 54, 1 55);
            four_i!(8 56, 15 57, 6 58, 13 59);
            four_i!(4 60, 11 61, 2 62, 9 63);
            [add(state[0], a), add(state[1], b), add(state[2], c), add(state[3], d)]
        }

        #[inline]
        $(#[$attribute])*
        fn sha256_block(state: [Register; 8], message: [Register; 16]) -> [Register; 8] {
            let mut w = message;
            for word in &mut w {
                *word = swap_bytes(*word);
            }
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
            macro_rules! round {
                ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $index:literal, $k:ident) => {
                    let big1 = xor3(rotate::<26, 6>($e), rotate::<21, 11>($e), rotate::<7, 25>($e));
                    let base = settled(add($h, add(w[$index], splat($k[$index]))));
                    let first = add(settled(add(base, choose($e, $f, $g))), big1);
                    let big0 = xor3(rotate::<30, 2>($a), rotate::<19, 13>($a), rotate::<10, 22>($a));
                    $d = add($d, first);
                    $h = add(first, add(big0, majority($a, $b, $c)));
                };
            }
            // The word sixteen further on, in the place of the one that is not needed any more.
            macro_rules! extend {
                ($index:literal, $next:literal, $ninth:literal, $last:literal) => {
                    let (next, last) = (w[$next], w[$last]);
                    let small0 = xor3(rotate::<25, 7>(next), rotate::<14, 18>(next), shift::<3>(next));
                    let small1 = xor3(rotate::<15, 17>(last), rotate::<13, 19>(last), shift::<10>(last));
                    w[$index] = add(add(w[$index], small0), add(w[$ninth], small1));
                };
            }
            macro_rules! eight {
                ($k:ident, $i0:literal $i1:literal $i2:literal $i3:literal
                 $i4:literal $i5:literal $i6:literal $i7:literal) => {
                    round!(a b c d e f g h, $i0, $k);
                    round!(h a b c d e f g, $i1, $k);
                    round!(g h a b c d e f, $i2, $k);
                    round!(f g h a b c d e, $i3, $k);
                    round!(e f g h a b c d, $i4, $k);
                    round!(d e f g h a b c, $i5, $k);
                    round!(c d e f g h a b, $i6, $k);
                    round!(b c d e f g h a, $i7, $k);
                };
            }
            let [k, rest @ ..] = &$crate::hash::simd::SHA256_K;
            eight!(k, 0 1 2 3 4 5 6 7);
            eight!(k, 8 9 10 11 12 13 14 15);
            for k in rest {
                extend!(0, 1, 9, 14);
                extend!(1, 2, 10, 15);
                extend!(2, 3, 11, 0);
                extend!(3, 4, 12, 1);
                extend!(4, 5, 13, 2);
                extend!(5, 6, 14, 3);
                extend!(6, 7, 15, 4);
                extend!(7, 8, 0, 5);
                extend!(8, 9, 1, 6);
                extend!(9, 10, 2, 7);
                extend!(10, 11, 3, 8);
                extend!(11, 12, 4, 9);
                extend!(12, 13, 5, 10);
                extend!(13, 14, 6, 11);
                extend!(14, 15, 7, 12);
                extend!(15, 0, 8, 13);
                eight!(k, 0 1 2 3 4 5 6 7);
                eight!(k, 8 9 10 11 12 13 14 15);
            }
            let mut sums = [a, b, c, d, e, f, g, h];
            for (sum, before) in sums.iter_mut().zip(state) {
                *sum = add(*sum, before);
            }
            sums
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx2;

#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(target_arch = "x86_64")]
mod avx512_eight;

#[cfg(target_arch = "x86_64")]
mod avx512_one;

#[cfg(target_arch = "aarch64")]
mod neon;

mod constants;
mod scalar;

use constants::{MD5_K, SHA256_K};

/// Bytes in one block of either hash.
pub(super) const BLOCK_BYTES: usize = 64;

/// A block.
pub(super) type Block = [u8; BLOCK_BYTES];

/// One message's state, and the blocks that it takes next.
#[derive(Debug)]
pub struct Lane<'a, S> {
    /// The state, as of the blocks before.
    pub state: &'a mut S,
    /// Whole blocks.
    pub blocks: &'a [Block],
}

/// A set of instructions for hashing, known to work here.
///
/// INVARIANT: a `Kernel` is made only by `Kernel::if_supported`, so its existence proves that this
/// processor has the instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    kind: Kind,
    has_sha: bool,
    /// Whether a vector rotates in one cycle.
    rotates_at_once: bool,
}

/// Every kernel of every processor, slowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

const KINDS: &[Kind] = &[
    Kind::Scalar,
    #[cfg(target_arch = "x86_64")]
    Kind::Avx2,
    #[cfg(target_arch = "x86_64")]
    Kind::Avx512,
    #[cfg(target_arch = "aarch64")]
    Kind::Neon,
];

/// Lanes of SHA-256 from which sixteen of AVX-512 beat one after the other with SHA instructions: those do
/// about 1.1 GB/s, sixteen full lanes 2.1.
#[cfg(target_arch = "x86_64")]
const SHA256_LANES_BESIDE_SHA: usize = 10;

impl Kernel {
    /// The fastest kernel this processor can run.
    #[must_use]
    pub fn best() -> Self {
        Self::all().last().unwrap_or(Self { kind: Kind::Scalar, has_sha: false, rotates_at_once: false })
    }

    /// Every kernel this processor can run, slowest first.
    #[doc(hidden)]
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().filter_map(|&kind| Self::if_supported(kind))
    }

    /// The same for a processor that rotates so fast.
    #[cfg(test)]
    pub(super) fn rotating_at_once(self, rotates_at_once: bool) -> Self {
        Self { rotates_at_once, ..self }
    }

    /// What diagnostics call this kernel.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.kind {
            Kind::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
        }
    }

    /// Lanes that cost little more than one.
    #[must_use]
    pub(super) fn width(self) -> usize {
        match self.kind {
            Kind::Scalar => 1,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 8,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => 16,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => 4,
        }
    }

    fn if_supported(kind: Kind) -> Option<Self> {
        let supported = match kind {
            Kind::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => std::arch::is_aarch64_feature_detected!("neon"),
        };
        supported.then(|| Self { kind, has_sha: has_sha(), rotates_at_once: rotates_at_once() })
    }

    /// Takes every block of every lane into the lane's MD5 state. All lanes have as many blocks.
    ///
    /// # Panics
    /// There are more lanes than a batch has, or they differ in their number of blocks.
    pub fn md5(self, lanes: &mut [Lane<'_, [u32; 4]>]) {
        check(lanes);
        match (self.kind, lanes.len()) {
            (Kind::Scalar, _) => each(lanes, scalar::md5),
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx2, 0 | 1) => each(lanes, scalar::md5),
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx2, _) => {
                for lanes in lanes.chunks_mut(avx2::LANES) {
                    // SAFETY: the function is safe where the processor has AVX2; this `Kernel` proves
                    // that, by its invariant.
                    unsafe { avx2::md5(lanes) }
                }
            }
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx512, 0 | 1) if !self.rotates_at_once => each(lanes, scalar::md5),
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx512, 0 | 1) => {
                // SAFETY: the function is safe where the processor has AVX-512F and VL; this `Kernel`
                // proves both, by its invariant.
                unsafe { avx512_one::md5(lanes) }
            }
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx512, 2..=8) => {
                // SAFETY: the function is safe where the processor has AVX-512F and VL; this `Kernel`
                // proves both, by its invariant.
                unsafe { avx512_eight::md5(lanes) }
            }
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx512, _) => {
                // SAFETY: the function is safe where the processor has AVX-512F and BW; this `Kernel`
                // proves both, by its invariant.
                unsafe { avx512::md5(lanes) }
            }
            #[cfg(target_arch = "aarch64")]
            (Kind::Neon, 0 | 1) => each(lanes, scalar::md5),
            #[cfg(target_arch = "aarch64")]
            (Kind::Neon, _) => {
                for lanes in lanes.chunks_mut(neon::LANES) {
                    // SAFETY: the function is safe where the processor has NEON; this `Kernel` proves
                    // that, by its invariant.
                    unsafe { neon::md5(lanes) }
                }
            }
        }
    }

    /// Takes every block of every lane into the lane's SHA-256 state. All lanes have as many blocks.
    ///
    /// # Panics
    /// There are more lanes than a batch has, or they differ in their number of blocks.
    pub fn sha256(self, lanes: &mut [Lane<'_, [u32; 8]>]) {
        check(lanes);
        match (self.kind, lanes.len()) {
            (Kind::Scalar, _) => each(lanes, scalar::sha256),
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx512, SHA256_LANES_BESIDE_SHA..) => {
                // SAFETY: the function is safe where the processor has AVX-512F and BW; this `Kernel`
                // proves both, by its invariant.
                unsafe { avx512::sha256(lanes) }
            }
            _ if self.has_sha => each(lanes, scalar::sha256),
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx2, 0 | 1) => each(lanes, scalar::sha256),
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx2, _) => {
                for lanes in lanes.chunks_mut(avx2::LANES) {
                    // SAFETY: the function is safe where the processor has AVX2; this `Kernel` proves
                    // that, by its invariant.
                    unsafe { avx2::sha256(lanes) }
                }
            }
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx512, 0 | 1) => {
                // SAFETY: the function is safe where the processor has AVX-512F and VL; this `Kernel`
                // proves both, by its invariant.
                unsafe { avx512_one::sha256(lanes) }
            }
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx512, 2..=8) => {
                // SAFETY: the function is safe where the processor has AVX-512F and VL; this `Kernel`
                // proves both, by its invariant.
                unsafe { avx512_eight::sha256(lanes) }
            }
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx512, _) => {
                // SAFETY: the function is safe where the processor has AVX-512F and BW; this `Kernel`
                // proves both, by its invariant.
                unsafe { avx512::sha256(lanes) }
            }
            #[cfg(target_arch = "aarch64")]
            (Kind::Neon, 0 | 1) => each(lanes, scalar::sha256),
            #[cfg(target_arch = "aarch64")]
            (Kind::Neon, _) => {
                for lanes in lanes.chunks_mut(neon::LANES) {
                    // SAFETY: the function is safe where the processor has NEON; this `Kernel` proves
                    // that, by its invariant.
                    unsafe { neon::sha256(lanes) }
                }
            }
        }
    }
}

fn check<S>(lanes: &[Lane<'_, S>]) {
    assert!(lanes.len() <= HASH_LANES_MAX, "no more lanes than a batch has");
    let count = lanes.first().map_or(0, |lane| lane.blocks.len());
    assert!(lanes.iter().all(|lane| lane.blocks.len() == count), "as many blocks in every lane");
}

fn each<S>(lanes: &mut [Lane<'_, S>], compress: impl Fn(&mut S, &[Block])) {
    for lane in lanes {
        compress(lane.state, lane.blocks);
    }
}

/// Whether the processor has instructions for SHA-256, which `sha2` then uses.
fn has_sha() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1");
    #[cfg(target_arch = "aarch64")]
    let has = std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has = false;
    has
}

/// Whether `vprold` takes one cycle, as on Intel's processors. On AMD's (Zen 4) it takes two, and a step of MD5 in a
/// vector six, while scalar code takes 4.4: 0.59 against 0.80 GB/s at 3.5 GHz.
#[cfg(target_arch = "x86_64")]
fn rotates_at_once() -> bool {
    // Asked once: in a virtual machine every `cpuid` is answered by the host, which takes microseconds.
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let vendor = std::arch::x86_64::__cpuid(0);
        let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
        name.as_flattened() == b"GenuineIntel"
    })
}

/// Of other processors nothing is known.
#[cfg(not(target_arch = "x86_64"))]
fn rotates_at_once() -> bool {
    false
}
