//! One message after the other, without vectors: our own MD5, and the SHA-256 of `sha2`.
//!
//! A step of MD5 waits for the one before it, so what counts is how many instructions lie between the word that the
//! step before made and the next one: five in rounds one and four, four in the others, 4.5 on average. What does not
//! need that word is summed before it is there.

use super::{Block, MD5_K};

/// Takes `blocks` into an MD5 state (RFC 1321).
pub(super) fn md5(state: &mut [u32; 4], blocks: &[Block]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2") {
        // SAFETY: the function is safe where the processor has BMI1 and BMI2, which was just asked.
        unsafe { md5_with_bmi(state, blocks) };
        return;
    }
    for block in blocks {
        *state = md5_block(*state, block);
    }
}

/// The same with `andn` and rotations that keep their source: one instruction less where a word is inverted.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2")]
fn md5_with_bmi(state: &mut [u32; 4], blocks: &[Block]) {
    for block in blocks {
        *state = md5_block(*state, block);
    }
}

/// Takes `blocks` into a SHA-256 state, with the processor's SHA instructions if it has them.
pub(super) fn sha256(state: &mut [u32; 8], blocks: &[Block]) {
    sha2::block_api::compress256(state, blocks);
}

/// The same value, of which the compiler knows nothing: what was summed so far stays one operand of what is summed
/// later.
#[inline]
#[cfg(target_arch = "x86_64")]
fn settled(mut word: u32) -> u32 {
    // SAFETY: there is no instruction in it; the register goes in and comes out.
    unsafe {
        std::arch::asm!("/* {0:e} */", inout(reg) word, options(pure, nomem, nostack, preserves_flags));
    }
    word
}

/// As above.
#[inline]
#[cfg(target_arch = "aarch64")]
fn settled(mut word: u32) -> u32 {
    // SAFETY: there is no instruction in it; the register goes in and comes out.
    unsafe {
        std::arch::asm!("/* {0:w} */", inout(reg) word, options(pure, nomem, nostack, preserves_flags));
    }
    word
}

/// As above, as far as the compiler can be asked without assembler.
#[inline]
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn settled(word: u32) -> u32 {
    std::hint::black_box(word)
}

#[inline]
fn sum(left: u32, right: u32) -> u32 {
    left.wrapping_add(right)
}

/// The state behind one block. In every step `b` is the word that the step before made.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it uses BMI only inside a function that may")]
fn md5_block(state: [u32; 4], block: &Block) -> [u32; 4] {
    let mut w = [0; 16];
    for (word, bytes) in w.iter_mut().zip(block.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let [mut a, mut b, mut c, mut d] = state;
    // The next word, where `$base` is what was summed before `b` was there, and `$mix` what needs it.
    macro_rules! step {
        ($a:ident, $b:ident, $base:expr, $mix:expr, $left:literal) => {
            $a = sum($b, sum(settled($base), $mix).rotate_left($left));
        };
    }
    macro_rules! base {
        ($a:ident, $word:literal, $k:literal) => {
            settled(sum($a, sum(w[$word], MD5_K[$k])))
        };
    }
    // Both halves of the choice share no bit, so they may be added instead of being united.
    macro_rules! f {
        ($a:ident $b:ident $c:ident $d:ident $word:literal $left:literal) => {
            step!($a, $b, sum(base!($a, $word, $word), !$b & $d), $b & $c, $left);
        };
    }
    macro_rules! g {
        ($a:ident $b:ident $c:ident $d:ident $word:literal $k:literal $left:literal) => {
            step!($a, $b, sum(base!($a, $word, $k), !$d & $c), $b & $d, $left);
        };
    }
    macro_rules! h {
        ($a:ident $b:ident $c:ident $d:ident $word:literal $k:literal $left:literal) => {
            step!($a, $b, base!($a, $word, $k), settled($c ^ $d) ^ $b, $left);
        };
    }
    macro_rules! i {
        ($a:ident $b:ident $c:ident $d:ident $word:literal $k:literal $left:literal) => {
            step!($a, $b, base!($a, $word, $k), (settled(!$d) | $b) ^ $c, $left);
        };
    }
    macro_rules! four {
        ($round:ident $lefts:tt $(($($numbers:literal)+))+) => { $( four!(@ $round $lefts $($numbers)+); )+ };
        (@ $round:ident [$l0:literal $l1:literal $l2:literal $l3:literal]
         $w0:literal $w1:literal $w2:literal $w3:literal) => {
            $round!(a b c d $w0 $l0);
            $round!(d a b c $w1 $l1);
            $round!(c d a b $w2 $l2);
            $round!(b c d a $w3 $l3);
        };
        (@ $round:ident [$l0:literal $l1:literal $l2:literal $l3:literal]
         $w0:literal $k0:literal $w1:literal $k1:literal $w2:literal $k2:literal $w3:literal $k3:literal) => {
            $round!(a b c d $w0 $k0 $l0);
            $round!(d a b c $w1 $k1 $l1);
            $round!(c d a b $w2 $k2 $l2);
            $round!(b c d a $w3 $k3 $l3);
        };
    }
    // Words of the message, and behind each the number of its constant where that is another.
    four!(f [7 12 17 22] (0 1 2 3) (4 5 6 7) (8 9 10 11) (12 13 14 15));
    four!(g [5 9 14 20] (1 16 6 17 11 18 0 19) (5 20 10 21 15 22 4 23)
        (9 24 14 25 3 26 8 27) (13 28 2 29 7 30 12 31));
    four!(h [4 11 16 23] (5 32 8 33 11 34 14 35) (1 36 4 37 7 38 10 39)
        (13 40 0 41 3 42 6 43) (9 44 12 45 15 46 2 47));
    four!(i [6 10 15 21] (0 48 7 49 14 50 5 51) (12 52 3 53 10 54 1 55)
        (8 56 15 57 6 58 13 59) (4 60 11 61 2 62 9 63));
    [sum(state[0], a), sum(state[1], b), sum(state[2], c), sum(state[3], d)]
}
