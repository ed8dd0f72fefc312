//! Code families and shapes: how a group computes its m parity chunks from its k data chunks. The
//! mathematics is in `docs/disk-format.md`; here are only names and limits.

use crate::constants::MEMBERS_MAX;
use crate::error::{DecodeError, Field, Structure};
use rkyv::{Archive, Deserialize, Serialize};
use std::fmt;

/// How parity is computed. The numbers are on disk; 0 is reserved so that zeroed space is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub enum CodeFamily {
    /// One data chunk and m copies of it.
    Copies = 1,
    /// k data chunks and their exclusive or.
    Xor = 2,
    /// Systematic Cauchy code over GF(2^8).
    Gf8 = 3,
    /// Systematic code over GF(2^16) (`reed-solomon-simd`), for very wide stripes.
    Gf16 = 4,
}

impl CodeFamily {
    /// The number on disk.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Copies => 1,
            Self::Xor => 2,
            Self::Gf8 => 3,
            Self::Gf16 => 4,
        }
    }
}

/// A code with its width: k data chunks and m parity chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct CodeShape {
    /// How parity is computed.
    pub family: CodeFamily,
    /// Data chunks in a full row, at least 1.
    pub k: u8,
    /// Parity chunks in a row; that many members may be lost.
    pub m: u8,
}

/// Why a shape is impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShapeError {
    /// No data chunks.
    NoData,
    /// More than one data chunk and no parity: a single bad sector would lose data.
    NoParity {
        /// Data chunks asked for.
        k: u8,
    },
    /// More members than a group may have.
    TooWide {
        /// The most members of a group.
        maximum: u8,
        /// k + m asked for.
        found: u16,
    },
    /// Not of the form `k+m`.
    Syntax,
}

/// Widest shape for which the GF(2^8) code is chosen. Above it `reed-solomon-simd` is expected to win;
/// the border is a measurement and may move, because each group names its own family.
const GF8_MEMBERS_MAX: u16 = 32;

impl CodeShape {
    /// The shape with the family that suits it: copies for one data chunk, exclusive or for one parity
    /// chunk, then GF(2^8), and GF(2^16) for very wide stripes.
    ///
    /// # Errors
    /// [`ShapeError`] for shapes without data, without parity (but `1+0` is allowed) or too wide.
    pub fn new(k: u8, m: u8) -> Result<Self, ShapeError> {
        let members = u16::from(k) + u16::from(m);
        if k == 0 {
            return Err(ShapeError::NoData);
        }
        if usize::from(members) > MEMBERS_MAX {
            return Err(ShapeError::TooWide { maximum: crate::bytes::count_u8(MEMBERS_MAX), found: members });
        }
        let family = match (k, m) {
            (1, _) => CodeFamily::Copies,
            (_, 0) => return Err(ShapeError::NoParity { k }),
            (_, 1) => CodeFamily::Xor,
            (_, _) if members <= GF8_MEMBERS_MAX => CodeFamily::Gf8,
            (_, _) => CodeFamily::Gf16,
        };
        Ok(Self { family, k, m })
    }

    /// Reads `k+m`, for example `4+2`.
    ///
    /// # Errors
    /// [`ShapeError::Syntax`] for anything else, and the errors of [`CodeShape::new`].
    pub fn parse(text: &str) -> Result<Self, ShapeError> {
        let Some((k, m)) = text.split_once('+') else { return Err(ShapeError::Syntax) };
        let (Ok(k), Ok(m)) = (k.trim().parse(), m.trim().parse()) else { return Err(ShapeError::Syntax) };
        Self::new(k, m)
    }

    /// Segments in a group, chunks in a full row: k + m.
    #[must_use]
    pub fn members(self) -> usize {
        usize::from(self.k) + usize::from(self.m)
    }

    /// The shape that three stored bytes name. Accepts any sound combination, not only the one that
    /// [`CodeShape::new`] would choose today: the border between the families may move.
    pub(crate) fn from_stored(family: u8, k: u8, m: u8) -> Result<Self, DecodeError> {
        let structure = Structure::CodeShape;
        let family = match family {
            1 => CodeFamily::Copies,
            2 => CodeFamily::Xor,
            3 => CodeFamily::Gf8,
            4 => CodeFamily::Gf16,
            other => {
                return Err(DecodeError::Unknown {
                    structure,
                    field: Field::Family,
                    found: u64::from(other),
                });
            }
        };
        let shape = Self { family, k, m };
        shape.check()?;
        Ok(shape)
    }

    /// Checks that the family can have this width.
    ///
    /// # Errors
    /// [`DecodeError::OutOfRange`] names the width that is allowed.
    pub fn check(self) -> Result<(), DecodeError> {
        let (k, m) = match self.family {
            CodeFamily::Copies => (1..=1, 0..=63),
            CodeFamily::Xor => (2..=63, 1..=1),
            CodeFamily::Gf8 | CodeFamily::Gf16 => (2..=62, 2..=62),
        };
        crate::bytes::within(Structure::CodeShape, Field::DataCount, k, u64::from(self.k))?;
        crate::bytes::within(Structure::CodeShape, Field::Shape, m, u64::from(self.m))?;
        let maximum = MEMBERS_MAX as u64;
        crate::bytes::within(Structure::CodeShape, Field::Members, 1..=maximum, self.members() as u64)
    }
}

impl fmt::Display for CodeShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.k, self.m)
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoData => f.write_str("a shape needs at least one data chunk"),
            Self::NoParity { k } => write!(f, "{k} data chunks without parity would not survive any loss"),
            Self::TooWide { maximum, found } => write!(f, "{found} members are more than {maximum}"),
            Self::Syntax => f.write_str("a shape is written k+m, for example 4+2"),
        }
    }
}

impl std::error::Error for ShapeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_follow_the_width() {
        let family = |text: &str| CodeShape::parse(text).map(|shape| shape.family);
        assert_eq!(family("1+0"), Ok(CodeFamily::Copies));
        assert_eq!(family("1+2"), Ok(CodeFamily::Copies));
        assert_eq!(family("2+1"), Ok(CodeFamily::Xor));
        assert_eq!(family("4+2"), Ok(CodeFamily::Gf8));
        assert_eq!(family("28+4"), Ok(CodeFamily::Gf8));
        assert_eq!(family("29+4"), Ok(CodeFamily::Gf16));
        assert_eq!(family("60+4"), Ok(CodeFamily::Gf16));
        assert_eq!(family("61+4"), Err(ShapeError::TooWide { maximum: 64, found: 65 }));
        assert_eq!(family("0+2"), Err(ShapeError::NoData));
        assert_eq!(family("4+0"), Err(ShapeError::NoParity { k: 4 }));
        assert_eq!(family("4"), Err(ShapeError::Syntax));
        assert_eq!(family("4+x"), Err(ShapeError::Syntax));
        assert_eq!(CodeShape::parse("4+2").unwrap().to_string(), "4+2");
    }

    #[test]
    fn every_chosen_shape_is_readable_and_no_other_family_fits() {
        for k in 0..=64 {
            for m in 0..=64 {
                let Ok(shape) = CodeShape::new(k, m) else { continue };
                assert_eq!(CodeShape::from_stored(shape.family.number(), k, m), Ok(shape));
            }
        }
        assert!(CodeShape::from_stored(0, 1, 1).is_err());
        assert!(CodeShape::from_stored(5, 4, 2).is_err());
        assert!(CodeShape::from_stored(1, 2, 1).is_err());
        assert!(CodeShape::from_stored(3, 60, 60).is_err());
    }
}
