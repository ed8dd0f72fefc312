//! Names a code: its family and how many chunks of each kind it has.

use std::error::Error;
use std::fmt;

/// Which mathematics makes the parity chunks of a segment group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// One data chunk and `m` equal copies of it (`m` may be 0: no redundancy).
    Copies,
    /// `k` data chunks and one parity chunk, the XOR of them all.
    Xor,
    /// Systematic Cauchy code over GF(2^8) with polynomial `0x11D`, for
    /// `k + m` up to 255.
    Gf8,
    /// The FFT code of `reed-solomon-simd` over GF(2^16), for wide rows with
    /// `k + m` up to 64. Chunk lengths must be multiples of 64 bytes.
    Gf16,
}

/// Most members (`k + m`) of a [`Family::Gf8`] row: the x and y values of the
/// Cauchy matrix are distinct bytes, and one value is kept in reserve.
pub(super) const GF8_MEMBER_COUNT_MAX: usize = 255;

/// Most members (`k + m`) of a [`Family::Gf16`] row: a group has no more
/// devices than this.
pub(super) const GF16_MEMBER_COUNT_MAX: usize = 64;

/// A family with its counts, known to fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) family: Family,
    pub(super) data_count_max: usize,
    pub(super) parity_count: usize,
}

impl Shape {
    /// Checks that `family` has a code with `k` data and `m` parity chunks.
    pub(super) fn new(family: Family, k: usize, m: usize) -> Result<Shape, CodecError> {
        let member_count = k.saturating_add(m);
        let exists = match family {
            Family::Copies => k == 1 && member_count <= GF8_MEMBER_COUNT_MAX,
            Family::Xor => k >= 1 && m == 1 && member_count <= GF8_MEMBER_COUNT_MAX,
            Family::Gf8 => k >= 1 && m >= 1 && member_count <= GF8_MEMBER_COUNT_MAX,
            Family::Gf16 => k >= 1 && m >= 1 && member_count <= GF16_MEMBER_COUNT_MAX,
        };
        if !exists {
            return Err(CodecError::UnsupportedShape { family, k, m });
        }
        Ok(Shape { family, data_count_max: k, parity_count: m })
    }

    pub(super) fn member_count(self) -> usize {
        self.data_count_max + self.parity_count
    }

    /// Whether `member` carries anything in a row of `data_count` data chunks:
    /// a parity chunk always does, a data chunk only if the row uses it.
    pub(super) fn is_used(self, member: usize, data_count: usize) -> bool {
        member < data_count || member >= self.data_count_max
    }
}

/// Why a code cannot be built or a row cannot be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodecError {
    /// The family has no code with these counts.
    UnsupportedShape {
        /// Family asked for.
        family: Family,
        /// Data chunks asked for.
        k: usize,
        /// Parity chunks asked for.
        m: usize,
    },
    /// More chunks are lost than the row has parity chunks.
    TooFewMembers {
        /// How many used members are needed: the row's data chunks.
        needed: usize,
        /// How many used members were given.
        found: usize,
    },
    /// The same member was given twice.
    RepeatedMember {
        /// Index of that member.
        member: usize,
    },
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::UnsupportedShape { family, k, m } => {
                write!(f, "no {family:?} code has {k} data and {m} parity chunks")
            }
            CodecError::TooFewMembers { needed, found } => {
                write!(f, "rebuilding this row needs {needed} of its chunks, {found} are left")
            }
            CodecError::RepeatedMember { member } => {
                write!(f, "chunk {member} of the row was given twice")
            }
        }
    }
}

impl Error for CodecError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_outside_a_family_are_refused() {
        for (family, k, m) in [
            (Family::Copies, 2, 1),
            (Family::Copies, 0, 1),
            (Family::Copies, 1, usize::MAX),
            (Family::Xor, 4, 2),
            (Family::Xor, 0, 1),
            (Family::Gf8, 0, 2),
            (Family::Gf8, 4, 0),
            (Family::Gf8, 250, 6),
            (Family::Gf8, usize::MAX, usize::MAX),
            (Family::Gf16, 60, 5),
        ] {
            assert_eq!(Shape::new(family, k, m), Err(CodecError::UnsupportedShape { family, k, m }));
        }
    }

    #[test]
    fn the_widest_shapes_are_accepted() {
        assert!(Shape::new(Family::Copies, 1, 0).is_ok());
        assert!(Shape::new(Family::Xor, 254, 1).is_ok());
        assert!(Shape::new(Family::Gf8, 250, 5).is_ok());
        assert!(Shape::new(Family::Gf16, 60, 4).is_ok());
    }

    #[test]
    fn only_unused_data_chunks_are_unused() {
        let shape = Shape::new(Family::Gf8, 4, 2).unwrap();
        let used: Vec<usize> = (0..shape.member_count()).filter(|&member| shape.is_used(member, 3)).collect();
        assert_eq!(used, [0, 1, 2, 4, 5]);
    }
}
