//! The GF(2^16) family: `reed-solomon-simd` cut into windows.
//!
//! The library pairs byte i with byte i + 32 of every 64-byte block and codes
//! each block on its own, so a row may be coded in any windows that are whole
//! blocks, and the bytes do not depend on the windows. Which of its two
//! transforms it uses depends on k and m alone; a test pins the bytes.

use std::ops::Range;

use reed_solomon_simd::{DecoderResult, EncoderResult, Error, ReedSolomonDecoder, ReedSolomonEncoder};

use super::recovery::choose_sources;
use super::shape::{CodecError, Shape};

/// Chunk lengths are multiples of this: 32 field elements, split into a run of
/// low and a run of high bytes.
pub(super) const BLOCK_BYTES: usize = 64;

/// How much of each chunk is coded at a time. The library copies its input to
/// a working area of about two windows for each member; a small window keeps
/// that area in the second-level cache.
const WINDOW_BYTES: usize = 16 * 1024;

/// What the data chunks that a row does not use consist of.
static ZEROS: [u8; WINDOW_BYTES] = [0; WINDOW_BYTES];

/// Writes all parity chunks. Lengths were checked by the caller.
pub(super) fn encode(shape: Shape, data: &[&[u8]], parity: &mut [&mut [u8]]) {
    let length = parity.first().map_or(0, |chunk| chunk.len());
    let mut encoder = None;
    for window in windows(length) {
        let slices = data.iter().map(|chunk| &chunk[window.clone()]);
        let coded = accept(encode_window(&mut encoder, shape, window.len(), slices));
        for (chunk, bytes) in parity.iter_mut().zip(coded.recovery_iter()) {
            chunk[window.clone()].copy_from_slice(bytes);
        }
    }
}

/// Writes the wanted members. Lengths and member numbers were checked by the
/// caller; wanted data chunks that the row does not use were filtered out.
pub(super) fn reconstruct(
    shape: Shape,
    data_count: usize,
    present: &[(usize, &[u8])],
    wanted: &mut [(usize, &mut [u8])],
) -> Result<(), CodecError> {
    let members: Vec<usize> = present.iter().map(|&(member, _)| member).collect();
    let sources: Vec<(usize, &[u8])> =
        choose_sources(shape, data_count, &members)?.into_iter().map(|position| present[position]).collect();
    let length = sources.first().map_or(0, |(_, chunk)| chunk.len());
    let parity_wanted = wanted.iter().any(|(member, _)| *member >= shape.data_count_max);
    let mut decoder = None;
    let mut encoder = None;
    for window in windows(length) {
        let slices = sources.iter().map(|(member, chunk)| (*member, &chunk[window.clone()]));
        let restored = accept(decode_window(&mut decoder, shape, data_count, window.len(), slices.clone()));
        let data: Vec<&[u8]> = (0..data_count)
            .filter_map(|member| {
                let alive = slices.clone().find(|(source, _)| *source == member);
                alive.map(|(_, bytes)| bytes).or_else(|| restored.restored_original(member))
            })
            .collect();
        assert_eq!(data.len(), data_count, "a decoded row is whole");
        let coded = match parity_wanted {
            true => {
                let slices = data.iter().copied();
                Some(accept(encode_window(&mut encoder, shape, window.len(), slices)))
            }
            false => None,
        };
        for (member, target) in wanted.iter_mut() {
            let parity = member.checked_sub(shape.data_count_max);
            let bytes = match (parity, &coded) {
                (Some(parity), Some(coded)) => coded.recovery(parity),
                (Some(_) | None, _) => data.get(*member).copied(),
            };
            if let Some(bytes) = bytes {
                target[window.clone()].copy_from_slice(bytes);
            }
        }
    }
    Ok(())
}

/// Codes one window; the encoder is made by the first and used again.
fn encode_window<'a, 'e>(
    encoder: &'e mut Option<ReedSolomonEncoder>,
    shape: Shape,
    length: usize,
    data: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<EncoderResult<'e>, Error> {
    let (k, m) = (shape.data_count_max, shape.parity_count);
    let encoder = match encoder {
        Some(encoder) => {
            encoder.reset(k, m, length)?;
            encoder
        }
        None => encoder.insert(ReedSolomonEncoder::new(k, m, length)?),
    };
    let unused = k - data.len();
    for chunk in data {
        encoder.add_original_shard(chunk)?;
    }
    for _ in 0..unused {
        encoder.add_original_shard(&ZEROS[..length])?;
    }
    encoder.encode()
}

/// Restores the lost data of one window; the decoder is made by the first and
/// used again.
fn decode_window<'a, 'd>(
    decoder: &'d mut Option<ReedSolomonDecoder>,
    shape: Shape,
    data_count: usize,
    length: usize,
    sources: impl Iterator<Item = (usize, &'a [u8])>,
) -> Result<DecoderResult<'d>, Error> {
    let (k, m) = (shape.data_count_max, shape.parity_count);
    let decoder = match decoder {
        Some(decoder) => {
            decoder.reset(k, m, length)?;
            decoder
        }
        None => decoder.insert(ReedSolomonDecoder::new(k, m, length)?),
    };
    for unused in data_count..k {
        decoder.add_original_shard(unused, &ZEROS[..length])?;
    }
    for (member, bytes) in sources {
        match member.checked_sub(k) {
            Some(parity) => decoder.add_recovery_shard(parity, bytes)?,
            None => decoder.add_original_shard(member, bytes)?,
        }
    }
    decoder.decode()
}

/// The windows of a chunk of `length` bytes.
fn windows(length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length).step_by(WINDOW_BYTES).map(move |start| start..length.min(start + WINDOW_BYTES))
}

/// The library's answer, which is never an error: counts, lengths and member
/// numbers were checked before it was asked.
fn accept<T>(answer: Result<T, Error>) -> T {
    answer.unwrap_or_else(|error| unreachable!("checked chunks were refused: {error}"))
}
