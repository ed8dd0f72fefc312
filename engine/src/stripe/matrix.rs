//! The generator matrix of the GF(2^8) families, and square systems over the
//! field. The numbers of the generator are part of the disk format.

use super::field::{inverse, multiply};
use super::shape::{Family, Shape};

/// Row-major bytes: row i says how parity chunk i is summed from the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matrix {
    coefficients: Box<[u8]>,
    column_count: usize,
}

impl Matrix {
    /// The parity rows of the code's generator: `parity_count` rows with one
    /// column for each data chunk. The rows for the data themselves are the
    /// identity and are not stored.
    ///
    /// Copies and XOR are all ones. For GF(2^8) the raw Cauchy entry of row i
    /// and column j is `1 / (x_i + y_j)` with `x_i = k + i` and `y_j = j`; all
    /// x and y differ, so every square submatrix is invertible (any k of the
    /// k + m chunks restore the row). Each column is then divided by its entry
    /// in row 0, and each row by its new entry in column 0. Scaling rows and
    /// columns keeps that property and makes row 0 and column 0 all ones: the
    /// first parity chunk is the XOR of the data, and a row of a single data
    /// chunk is a set of copies.
    ///
    /// For GF(2^16) the library owns the matrix; here it stands for rows of a
    /// single data chunk only, which are copies.
    pub(super) fn generator(shape: Shape) -> Matrix {
        let columns = shape.data_count_max;
        let rows = shape.parity_count;
        let mut matrix = Matrix { coefficients: vec![1; rows * columns].into(), column_count: columns };
        match shape.family {
            Family::Copies | Family::Xor | Family::Gf16 => {}
            Family::Gf8 => {
                let raw = |row: usize, column: usize| inverse(point(columns + row) ^ point(column));
                for row in 0..rows {
                    // Entry of column 0 once the columns are divided.
                    let first = multiply(raw(row, 0), inverse(raw(0, 0)));
                    for column in 0..columns {
                        let divided = multiply(raw(row, column), inverse(raw(0, column)));
                        matrix.row_mut(row)[column] = multiply(divided, inverse(first));
                    }
                }
            }
        }
        matrix
    }

    /// A matrix of zeros.
    pub(super) fn zeros(row_count: usize, column_count: usize) -> Matrix {
        Matrix { coefficients: vec![0; row_count * column_count].into(), column_count }
    }

    pub(super) fn row(&self, row: usize) -> &[u8] {
        &self.coefficients[row * self.column_count..][..self.column_count]
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut [u8] {
        &mut self.coefficients[row * self.column_count..][..self.column_count]
    }

    /// All entries, row by row.
    pub(super) fn coefficients(&self) -> &[u8] {
        &self.coefficients
    }

    pub(super) fn column_count(&self) -> usize {
        self.column_count
    }

    /// The inverse of a square matrix, by Gauss and Jordan; `None` if it has
    /// none.
    pub(super) fn inverted(mut self) -> Option<Matrix> {
        let size = self.column_count;
        assert_eq!(self.coefficients.len(), size * size, "only square matrices have inverses");
        let mut inverted = Matrix::zeros(size, size);
        for index in 0..size {
            inverted.row_mut(index)[index] = 1;
        }
        for pivot in 0..size {
            let found = (pivot..size).find(|&row| self.row(row)[pivot] != 0)?;
            self.swap_rows(pivot, found);
            inverted.swap_rows(pivot, found);
            let scale = inverse(self.row(pivot)[pivot]);
            self.scale_row(pivot, scale);
            inverted.scale_row(pivot, scale);
            for row in (0..size).filter(|&row| row != pivot) {
                let factor = self.row(row)[pivot];
                self.add_row(row, pivot, factor);
                inverted.add_row(row, pivot, factor);
            }
        }
        Some(inverted)
    }

    fn swap_rows(&mut self, one: usize, other: usize) {
        for column in 0..self.column_count {
            self.coefficients.swap(one * self.column_count + column, other * self.column_count + column);
        }
    }

    fn scale_row(&mut self, row: usize, factor: u8) {
        for entry in self.row_mut(row) {
            *entry = multiply(*entry, factor);
        }
    }

    /// Adds `factor` times row `source` to row `target`.
    fn add_row(&mut self, target: usize, source: usize, factor: u8) {
        for column in 0..self.column_count {
            let product = multiply(self.row(source)[column], factor);
            self.row_mut(target)[column] ^= product;
        }
    }
}

/// The field element with this number. Shapes have at most 255 members.
fn point(index: usize) -> u8 {
    let Ok(value) = u8::try_from(index) else {
        unreachable!("a checked shape has at most 255 members, index {index} is beyond them")
    };
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generator(k: usize, m: usize) -> Matrix {
        Matrix::generator(Shape::new(Family::Gf8, k, m).unwrap())
    }

    #[test]
    fn first_row_and_first_column_are_ones() {
        for (k, m) in [(1, 1), (2, 2), (4, 2), (8, 3), (16, 4), (200, 55)] {
            let matrix = generator(k, m);
            assert!(matrix.row(0).iter().all(|&entry| entry == 1), "{k}+{m}");
            assert!((0..m).all(|row| matrix.row(row)[0] == 1), "{k}+{m}");
        }
    }

    /// These bytes are on disk: a change here makes old rows unreadable. They
    /// were computed apart from this code, from the definition.
    #[test]
    fn the_matrices_are_the_ones_in_the_format() {
        assert_eq!(generator(4, 2).coefficients(), [1, 1, 1, 1, 1, 217, 92, 172]);
        assert_eq!(generator(8, 3).row(1), [1, 55, 39, 73, 84, 181, 225, 217]);
        assert_eq!(generator(8, 3).row(2), [1, 39, 217, 161, 92, 60, 172, 90]);
    }

    #[test]
    fn a_matrix_times_its_inverse_is_the_identity() {
        let mut square = Matrix::zeros(4, 4);
        for row in 0..4 {
            square.row_mut(row).copy_from_slice(generator(4, 4).row(row));
        }
        let inverted = square.clone().inverted().unwrap();
        for row in 0..4 {
            for column in 0..4 {
                let entry = (0..4).fold(0, |sum, inner| {
                    sum ^ multiply(square.row(row)[inner], inverted.row(inner)[column])
                });
                assert_eq!(entry, u8::from(row == column));
            }
        }
    }

    #[test]
    fn a_singular_matrix_has_no_inverse() {
        let mut square = Matrix::zeros(2, 2);
        square.row_mut(0).copy_from_slice(&[3, 5]);
        square.row_mut(1).copy_from_slice(&[3, 5]);
        assert_eq!(square.inverted(), None);
    }
}
