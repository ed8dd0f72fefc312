//! Which surviving chunks to read and how to sum them up to the wanted ones.
//! Pure: member numbers in, coefficients out; no chunk bytes are seen here.
//!
//! With A the surviving data chunks, E the missing ones and P as many parity
//! chunks as are missing: the parity rows say `p = G[P,A] a + G[P,E] e`, hence
//! `e = M (p + G[P,A] a)` with M the inverse of `G[P,E]` (plus is XOR, so it is
//! minus too). A wanted chunk is a sum `g_A a + g_E e`; put in, its factors are
//! `g_E M` for the parity chunks and `g_A + g_E M G[P,A]` for the data.

use super::field::multiply;
use super::matrix::Matrix;
use super::shape::{CodecError, Shape};

/// How to rebuild the wanted members of one row.
#[derive(Debug)]
pub(super) struct Recovery {
    /// Positions, in the list of present members, of those to read.
    pub(super) sources: Vec<usize>,
    /// One row for each wanted member, one column for each source.
    pub(super) factors: Matrix,
}

impl Recovery {
    /// Chooses `data_count` of the `present` members (every data chunk there
    /// is, then parity chunks in order) and finds the factors that give each
    /// of the `wanted` ones.
    pub(super) fn plan(
        shape: Shape,
        generator: &Matrix,
        data_count: usize,
        present: &[usize],
        wanted: &[usize],
    ) -> Result<Recovery, CodecError> {
        let sources = choose_sources(shape, data_count, present)?;
        let members: Vec<usize> = sources.iter().map(|&position| present[position]).collect();
        let data_first = shape.data_count_max;
        let split = members.partition_point(|&member| member < data_first);
        let (alive, parities) = members.split_at(split);
        let missing: Vec<usize> =
            (0..data_count).filter(|member| alive.binary_search(member).is_err()).collect();
        assert_eq!(missing.len(), parities.len(), "one parity chunk stands in for each lost one");

        let inverted = invert(generator, data_first, parities, &missing);
        let mut factors = Matrix::zeros(wanted.len(), members.len());
        for (row, &member) in wanted.iter().enumerate() {
            let entry = |column: usize| generator_entry(generator, data_first, member, column);
            let (data_factors, parity_factors) = factors.row_mut(row).split_at_mut(split);
            for (position, factor) in parity_factors.iter_mut().enumerate() {
                *factor = missing.iter().enumerate().fold(0, |sum, (index, &column)| {
                    sum ^ multiply(entry(column), inverted.row(index)[position])
                });
            }
            for (factor, &column) in data_factors.iter_mut().zip(alive) {
                *factor = parities.iter().zip(&*parity_factors).fold(
                    entry(column),
                    |sum, (&parity, &parity_factor)| {
                        let row = generator.row(parity - data_first);
                        sum ^ multiply(parity_factor, row[column])
                    },
                );
            }
        }
        Ok(Recovery { sources, factors })
    }
}

/// Positions in `present` of the members to read, in order of member number.
pub(super) fn choose_sources(
    shape: Shape,
    data_count: usize,
    present: &[usize],
) -> Result<Vec<usize>, CodecError> {
    let mut positions: Vec<usize> =
        (0..present.len()).filter(|&position| shape.is_used(present[position], data_count)).collect();
    positions.sort_unstable_by_key(|&position| present[position]);
    for pair in positions.windows(2) {
        if present[pair[0]] == present[pair[1]] {
            return Err(CodecError::RepeatedMember { member: present[pair[0]] });
        }
    }
    if positions.len() < data_count {
        return Err(CodecError::TooFewMembers { needed: data_count, found: positions.len() });
    }
    positions.truncate(data_count);
    Ok(positions)
}

/// Entry of the whole generator: identity for data, parity rows below it.
fn generator_entry(generator: &Matrix, data_first: usize, member: usize, column: usize) -> u8 {
    if member < data_first { u8::from(member == column) } else { generator.row(member - data_first)[column] }
}

/// The inverse of the generator cut to these parity rows and these columns.
fn invert(generator: &Matrix, data_first: usize, parities: &[usize], columns: &[usize]) -> Matrix {
    let mut square = Matrix::zeros(columns.len(), columns.len());
    for (row, &parity) in parities.iter().enumerate() {
        for (entry, &column) in square.row_mut(row).iter_mut().zip(columns) {
            *entry = generator.row(parity - data_first)[column];
        }
    }
    let Some(inverted) = square.inverted() else {
        unreachable!("every square submatrix of the generator is invertible")
    };
    inverted
}

#[cfg(test)]
mod tests {
    use super::super::shape::Family;
    use super::*;

    fn plan(present: &[usize], wanted: &[usize]) -> Result<Recovery, CodecError> {
        let shape = Shape::new(Family::Gf8, 4, 2).unwrap();
        Recovery::plan(shape, &Matrix::generator(shape), 3, present, wanted)
    }

    #[test]
    fn one_lost_data_chunk_is_a_plain_xor() {
        let recovery = plan(&[5, 4, 2, 0], &[1]).unwrap();
        assert_eq!(recovery.sources, [3, 2, 1]);
        assert_eq!(recovery.factors.row(0), [1, 1, 1]);
    }

    #[test]
    fn present_data_needs_no_parity() {
        let recovery = plan(&[0, 1, 2, 4, 5], &[4, 1]).unwrap();
        assert_eq!(recovery.sources, [0, 1, 2]);
        assert_eq!(recovery.factors.row(0), [1, 1, 1]);
        assert_eq!(recovery.factors.row(1), [0, 1, 0]);
    }

    #[test]
    fn an_unused_member_is_no_help() {
        let error = plan(&[0, 3, 4], &[1]).unwrap_err();
        assert_eq!(error, CodecError::TooFewMembers { needed: 3, found: 2 });
    }

    #[test]
    fn a_member_counts_once() {
        let error = plan(&[0, 4, 4], &[1]).unwrap_err();
        assert_eq!(error, CodecError::RepeatedMember { member: 4 });
    }
}
