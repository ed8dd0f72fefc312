//! The code of one segment group: encodes its rows and rebuilds lost members.

use std::sync::Arc;

use super::matrix::Matrix;
use super::recovery::Recovery;
use super::shape::{CodecError, Family, Shape};
use super::simd::{Factors, Kernel};
use super::wide;

/// An erasure code with `k` data and `m` parity chunks in each row.
///
/// Members of a row are numbered `0..k` for data and `k..k + m` for parity. A
/// row may use fewer than `k` data chunks; the others count as zeros and are
/// not passed in.
///
/// Cloning is cheap, and a codec has no state that a call changes. All chunk
/// bytes are summed position by position, so a long row may be coded by calls
/// on matching slices of its chunks, one after the other; for
/// [`Family::Gf16`] the slices are whole blocks of [`Codec::granule_bytes`].
///
/// # Examples
///
/// ```
/// use ashlar_engine::stripe::{Codec, Family};
///
/// let codec = Codec::new(Family::Gf8, 2, 2)?;
/// let (left, right) = (*b"left", *b"wing");
/// let (mut p, mut q) = ([0; 4], [0; 4]);
/// codec.encode(&[&left, &right], &mut [&mut p, &mut q]);
///
/// let (mut a, mut b) = ([0; 4], [0; 4]);
/// codec.reconstruct(2, &[(2, &p), (3, &q)], &mut [(0, &mut a), (1, &mut b)])?;
/// assert_eq!((a, b), (left, right));
/// # Ok::<(), ashlar_engine::stripe::CodecError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Codec {
    shape: Shape,
    kernel: Kernel,
    /// Parity rows; of [`Family::Gf16`] only rows of one data chunk use them.
    generator: Arc<Matrix>,
}

impl Codec {
    /// The code of this family with `k` data and `m` parity chunks, run with
    /// the best instructions of this processor.
    ///
    /// # Errors
    ///
    /// [`CodecError::UnsupportedShape`] if the family has no such code.
    pub fn new(family: Family, k: usize, m: usize) -> Result<Codec, CodecError> {
        Codec::with_kernel(family, k, m, Kernel::best())
    }

    /// The same, run with a chosen kernel; for tests and benches.
    /// [`Family::Gf16`] chooses for itself and ignores it.
    #[doc(hidden)]
    pub fn with_kernel(family: Family, k: usize, m: usize, kernel: Kernel) -> Result<Codec, CodecError> {
        let shape = Shape::new(family, k, m)?;
        Ok(Codec { shape, kernel, generator: Arc::new(Matrix::generator(shape)) })
    }

    /// The family of this code.
    pub fn family(&self) -> Family {
        self.shape.family
    }

    /// Most data chunks a row can have (`k`).
    pub fn data_count_max(&self) -> usize {
        self.shape.data_count_max
    }

    /// Parity chunks of every row (`m`).
    pub fn parity_count(&self) -> usize {
        self.shape.parity_count
    }

    /// Chunk lengths, in bytes, must be multiples of this.
    pub fn granule_bytes(&self) -> usize {
        match self.shape.family {
            Family::Copies | Family::Xor | Family::Gf8 => 1,
            Family::Gf16 => wide::BLOCK_BYTES,
        }
    }

    /// Which instructions do the work, for diagnostics.
    pub fn kernel_name(&self) -> &'static str {
        match self.shape.family {
            Family::Copies | Family::Xor | Family::Gf8 => self.kernel.name(),
            Family::Gf16 => "reed-solomon-simd",
        }
    }

    /// Fills the `m` parity chunks of a row with these data chunks.
    ///
    /// # Panics
    ///
    /// If there are no data chunks or more than `k`, if there are not `m`
    /// parity chunks, if not all chunks have one length, or if that is no
    /// multiple of [`Codec::granule_bytes`]: all of them programming errors.
    pub fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) {
        self.check_data_count(data.len());
        assert_eq!(parity.len(), self.shape.parity_count, "all parity chunks at once");
        let length = data[0].len();
        self.check_lengths(
            length,
            data.iter().map(|chunk| chunk.len()).chain(parity.iter().map(|chunk| chunk.len())),
        );
        if let [only] = data {
            for chunk in parity {
                chunk.copy_from_slice(only);
            }
            return;
        }
        match self.shape.family {
            Family::Copies | Family::Xor | Family::Gf8 => {
                self.kernel.sum(factors(&self.generator), data, parity);
            }
            Family::Gf16 => wide::encode(self.shape, data, parity),
        }
    }

    /// Rebuilds the `wanted` members, data or parity, of a row of `data_count`
    /// data chunks from those that are `present`.
    ///
    /// Any `data_count` members do, not counting data chunks that the row does
    /// not use; if there are more, data chunks are preferred and the rest is
    /// not read. A wanted data chunk that the row does not use becomes zeros.
    ///
    /// # Errors
    ///
    /// [`CodecError::TooFewMembers`] if too many members are lost,
    /// [`CodecError::RepeatedMember`] if one is given twice. Nothing has been
    /// written then.
    ///
    /// # Panics
    ///
    /// If `data_count` is 0 or more than `k`, if a member number is not below
    /// `k + m`, or on lengths as in [`Codec::encode`].
    pub fn reconstruct(
        &self,
        data_count: usize,
        present: &[(usize, &[u8])],
        wanted: &mut [(usize, &mut [u8])],
    ) -> Result<(), CodecError> {
        self.check_data_count(data_count);
        let member_count = self.shape.member_count();
        assert!(present.iter().all(|(member, _)| *member < member_count), "members of this code");
        assert!(wanted.iter().all(|(member, _)| *member < member_count), "members of this code");
        let lengths = present.iter().map(|(_, chunk)| chunk.len());
        let length = lengths.clone().next().unwrap_or(0);
        if !present.is_empty() {
            self.check_lengths(length, lengths.chain(wanted.iter().map(|(_, chunk)| chunk.len())));
        }

        // Rows of one data chunk are copies, which the all-ones column says for
        // GF(2^8) and which is a rule of its own for GF(2^16).
        match self.shape.family {
            Family::Gf16 if data_count > 1 => {
                wide::reconstruct(self.shape, data_count, present, wanted)?;
            }
            Family::Copies | Family::Xor | Family::Gf8 | Family::Gf16 => {
                self.reconstruct_by_sums(data_count, present, wanted)?;
            }
        }
        for (member, chunk) in wanted {
            if !self.shape.is_used(*member, data_count) {
                chunk.fill(0);
            }
        }
        Ok(())
    }

    fn reconstruct_by_sums(
        &self,
        data_count: usize,
        present: &[(usize, &[u8])],
        wanted: &mut [(usize, &mut [u8])],
    ) -> Result<(), CodecError> {
        let present_members: Vec<usize> = present.iter().map(|&(member, _)| member).collect();
        let wanted_members: Vec<usize> = wanted.iter().map(|(member, _)| *member).collect();
        let recovery =
            Recovery::plan(self.shape, &self.generator, data_count, &present_members, &wanted_members)?;
        let inputs: Vec<&[u8]> = recovery.sources.iter().map(|&position| present[position].1).collect();
        let mut outputs: Vec<&mut [u8]> = wanted.iter_mut().map(|(_, chunk)| &mut **chunk).collect();
        self.kernel.sum(factors(&recovery.factors), &inputs, &mut outputs);
        Ok(())
    }

    fn check_data_count(&self, data_count: usize) {
        assert!(data_count >= 1, "a row has at least one data chunk");
        assert!(data_count <= self.shape.data_count_max, "at most k data chunks");
    }

    fn check_lengths(&self, length: usize, mut all: impl Iterator<Item = usize>) {
        assert!(all.all(|other| other == length), "all chunks of a row have one length");
        assert!(length.is_multiple_of(self.granule_bytes()), "chunks are whole granules");
    }
}

fn factors(matrix: &Matrix) -> Factors<'_> {
    Factors::new(matrix.coefficients(), matrix.column_count())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use proptest::prop_assert_eq;
    use proptest::test_runner::Config;

    use super::*;

    /// A row with known bytes: the data it uses, zeros for the data it does
    /// not, then parity.
    fn encoded_row(codec: &Codec, data_count: usize, length: usize, seed: u64) -> Vec<Vec<u8>> {
        let mut state = seed | 1;
        let mut members: Vec<Vec<u8>> = (0..codec.shape.member_count())
            .map(|member| {
                if member >= data_count {
                    return vec![0; length];
                }
                let next = |_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                    state.to_le_bytes()[7]
                };
                (0..length).map(next).collect()
            })
            .collect();
        let (data, parity) = members.split_at_mut(codec.data_count_max());
        let data: Vec<&[u8]> = data[..data_count].iter().map(Vec::as_slice).collect();
        let mut parity: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
        codec.encode(&data, &mut parity);
        members
    }

    /// Rebuilds the `lost` members from all others and compares.
    fn check_loss(codec: &Codec, data_count: usize, row: &[Vec<u8>], lost: &[usize]) {
        let present: Vec<(usize, &[u8])> = (0..row.len())
            .filter(|member| !lost.contains(member))
            .map(|member| (member, row[member].as_slice()))
            .collect();
        let mut rebuilt = vec![vec![0xEE; row[0].len()]; lost.len()];
        let mut wanted: Vec<(usize, &mut [u8])> =
            lost.iter().copied().zip(rebuilt.iter_mut().map(Vec::as_mut_slice)).collect();
        codec.reconstruct(data_count, &present, &mut wanted).unwrap();
        for (&member, bytes) in lost.iter().zip(&rebuilt) {
            let shape = (codec.family(), codec.data_count_max(), codec.parity_count());
            assert!(
                *bytes == row[member],
                "member {member} of {shape:?} with {data_count} data chunks, lost {lost:?}"
            );
        }
    }

    /// Every set of at most `m` members, numbered as bits.
    fn losses(member_count: usize, m: usize) -> impl Iterator<Item = Vec<usize>> {
        (0u32..1 << member_count)
            .filter(move |set| set.count_ones() as usize <= m)
            .map(move |set| (0..member_count).filter(|member| set >> member & 1 == 1).collect())
    }

    #[test]
    fn every_loss_of_the_small_shapes_is_mended() {
        for (family, k, m, length) in [
            (Family::Copies, 1, 0, 5),
            (Family::Copies, 1, 1, 5),
            (Family::Copies, 1, 2, 5),
            (Family::Xor, 2, 1, 77),
            (Family::Xor, 5, 1, 77),
            (Family::Gf8, 2, 1, 77),
            (Family::Gf8, 2, 2, 77),
            (Family::Gf8, 4, 2, 77),
            (Family::Gf8, 6, 3, 77),
            (Family::Gf8, 8, 3, 77),
            (Family::Gf16, 4, 2, 64),
            (Family::Gf16, 3, 3, 192),
        ] {
            let codec = Codec::new(family, k, m).unwrap();
            for data_count in 1..=k {
                let row = encoded_row(&codec, data_count, length, 7);
                for lost in losses(k + m, m) {
                    check_loss(&codec, data_count, &row, &lost);
                }
            }
        }
    }

    #[test]
    fn one_loss_too_many_is_an_error_and_writes_nothing() {
        for family in [Family::Gf8, Family::Gf16] {
            let codec = Codec::new(family, 4, 2).unwrap();
            let row = encoded_row(&codec, 3, 64, 7);
            let present = [(0, row[0].as_slice()), (3, &row[3]), (4, &row[4])];
            let mut target = vec![0xEE; 64];
            let error = codec.reconstruct(3, &present, &mut [(1, &mut target)]).unwrap_err();
            assert_eq!(error, CodecError::TooFewMembers { needed: 3, found: 2 });
            assert_eq!(target, [0xEE; 64]);

            let twice = [(0, row[0].as_slice()), (4, &row[4]), (4, &row[4])];
            let error = codec.reconstruct(3, &twice, &mut [(1, &mut target)]).unwrap_err();
            assert_eq!(error, CodecError::RepeatedMember { member: 4 });
            let error = codec.reconstruct(3, &[], &mut [(1, &mut target)]).unwrap_err();
            assert_eq!(error, CodecError::TooFewMembers { needed: 3, found: 0 });
        }
    }

    #[test]
    fn a_row_of_one_data_chunk_is_a_set_of_copies_in_every_family() {
        for (family, k, m) in
            [(Family::Copies, 1, 2), (Family::Xor, 4, 1), (Family::Gf8, 4, 2), (Family::Gf16, 20, 3)]
        {
            let codec = Codec::new(family, k, m).unwrap();
            let row = encoded_row(&codec, 1, 128, 3);
            for parity in &row[k..] {
                assert_eq!(parity, &row[0]);
            }
        }
    }

    #[test]
    fn the_first_parity_chunk_is_the_xor_of_the_data() {
        let codec = Codec::new(Family::Gf8, 6, 3).unwrap();
        let row = encoded_row(&codec, 6, 100, 3);
        let mut sum = vec![0; 100];
        for chunk in &row[..6] {
            sum.iter_mut().zip(chunk).for_each(|(sum, byte)| *sum ^= byte);
        }
        assert_eq!(row[6], sum);
    }

    #[test]
    fn a_row_may_be_coded_in_slices() {
        for (family, cuts) in [(Family::Gf8, [0, 1, 700, 40_000]), (Family::Gf16, [0, 64, 704, 40_000])] {
            let codec = Codec::new(family, 5, 3).unwrap();
            let row = encoded_row(&codec, 5, 40_000, 11);
            let mut parity = vec![vec![0; 40_000]; 3];
            for cut in cuts.windows(2) {
                let range = cut[0]..cut[1];
                let data: Vec<&[u8]> = row[..5].iter().map(|chunk| &chunk[range.clone()]).collect();
                let mut slices: Vec<&mut [u8]> =
                    parity.iter_mut().map(|chunk| &mut chunk[range.clone()]).collect();
                codec.encode(&data, &mut slices);
            }
            assert!(parity == row[5..], "{family:?}");
            check_loss(&codec, 5, &row, &[0, 3, 6]);
        }
    }

    #[test]
    #[should_panic(expected = "whole granules")]
    fn a_wide_code_refuses_odd_lengths() {
        let codec = Codec::new(Family::Gf16, 20, 4).unwrap();
        let _row = encoded_row(&codec, 2, 65, 1);
    }

    #[test]
    #[should_panic(expected = "one length")]
    fn chunks_of_different_lengths_are_refused() {
        let codec = Codec::new(Family::Xor, 2, 1).unwrap();
        codec.encode(&[&[1, 2], &[3]], &mut [&mut [0, 0]]);
    }

    /// Parity is on disk: a library that answers otherwise makes old rows
    /// unreadable. The sum is FNV-1a of all parity bytes.
    #[test]
    fn the_parity_bytes_are_the_ones_in_the_format() {
        for (family, k, m, expected) in [
            (Family::Gf8, 12, 4, 0x9E10_A0BB_4EFA_E30Au64),
            (Family::Gf16, 20, 4, 0x3334_BFC0_2287_2FEB),
            (Family::Gf16, 4, 20, 0xB9CF_D092_AE7A_0602),
        ] {
            let codec = Codec::new(family, k, m).unwrap();
            let row = encoded_row(&codec, k - 1, 1024, 5);
            let found = row[k..].iter().flatten().fold(0xCBF2_9CE4_8422_2325, |sum: u64, &byte| {
                (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
            });
            assert_eq!(found, expected, "{family:?} {k}+{m}: {found:#X}");
        }
    }

    proptest! {
        #![proptest_config(Config { cases: 200, failure_persistence: None, ..Config::default() })]

        #[test]
        fn random_losses_of_the_wide_shapes_are_mended(
            which in 0usize..5,
            data_count in any::<usize>(),
            order in any::<u64>(),
            blocks in 1usize..5,
        ) {
            let (family, k, m) = [
                (Family::Gf8, 12, 4),
                (Family::Gf8, 16, 4),
                (Family::Gf8, 40, 9),
                (Family::Gf16, 20, 4),
                (Family::Gf16, 48, 12),
            ][which];
            let codec = Codec::new(family, k, m).unwrap();
            let data_count = data_count % k + 1;
            let row = encoded_row(&codec, data_count, blocks * 64, order);
            // A shuffle by a random key for each member; the first m are lost.
            let mut members: Vec<usize> = (0..k + m).collect();
            members.sort_by_key(|&member| {
                (order ^ member as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
                    .wrapping_mul(0xD6E8_FEB8_6659_FD93)
            });
            check_loss(&codec, data_count, &row, &members[..m]);
        }

        #[test]
        fn every_kernel_makes_the_same_codec(
            length in 0usize..600,
            data_count in 1usize..=6,
            seed in any::<u64>(),
        ) {
            let codec = Codec::new(Family::Gf8, 6, 5).unwrap();
            let expected = encoded_row(&codec, data_count, length, seed);
            for kernel in Kernel::all() {
                let codec = Codec::with_kernel(Family::Gf8, 6, 5, kernel).unwrap();
                prop_assert_eq!(codec.kernel_name(), kernel.name());
                let found = encoded_row(&codec, data_count, length, seed);
                prop_assert_eq!(&found, &expected, "{}", kernel.name());
                check_loss(&codec, data_count, &found, &[0, 2, 3, 6, 9]);
            }
        }
    }
}
