//! Erasure maths: from the data chunks of a row to its parity chunks, and from
//! any sufficient set of surviving chunks back to the missing ones.
//!
//! What this module owns: the codes themselves (the numbers in the generator
//! matrix are part of the disk format) and the processor-specific routines
//! that apply them. Everything here is a pure function of bytes: no I/O, no
//! clock, no knowledge of devices, segments or headers.
//!
//! Invariants:
//!
//! - Every kernel gives the same bytes as the scalar reference, so a pool may
//!   move between machines.
//! - A row that holds one data chunk is `1 + m` copies of that chunk, in every
//!   family.
//! - Data chunks that a row does not use count as zeros; they are neither read
//!   nor written and (except in [`Family::Gf16`]) cost nothing.
//!
//! It never checks whether the bytes it is given are the right ones: that is
//! the task of the checksums in the chunk headers, before decoding.

mod codec;

mod recovery;

mod wide;

mod matrix;

mod simd;

mod field;

mod shape;

pub use codec::Codec;
pub use shape::{CodecError, Family};
pub use simd::Kernel;
