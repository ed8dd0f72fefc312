//! Kernels and streams, without a scheduler.

use super::{bytes, md5_of, sha256_of};
use crate::hash::simd::{Kernel, Lane};
use crate::hash::stream::{Algorithm, OfMd5, OfSha256, Stream, Work, compress};
use crate::hash::{BodyDigests, Ends, Md5, Sha256, sha256};
use crate::limits::HASH_LANES_MAX;
use proptest::prelude::{any, prop_assert_eq, proptest};

/// The states that the kernel and the reference make of `lanes` messages of `blocks` blocks.
fn both<A: Algorithm>(
    kernel: Kernel,
    lanes: usize,
    blocks: usize,
    reference: impl Fn(&mut A::State, &[[u8; 64]]),
) -> [Vec<A::State>; 2] {
    let messages: Vec<Vec<u8>> = (0..lanes).map(|lane| bytes(lane as u64 + 1, blocks * 64)).collect();
    let mut ours = vec![A::INITIAL; lanes];
    let mut theirs = ours.clone();
    // From states that differ as well: two calls.
    for half in [0, 1] {
        let part = |message: &Vec<u8>| {
            let all = message.as_chunks::<64>().0;
            let middle = all.len() >> 1;
            if half == 0 { all[..middle].to_vec() } else { all[middle..].to_vec() }
        };
        let parts: Vec<Vec<[u8; 64]>> = messages.iter().map(part).collect();
        let mut set: Vec<Lane<'_, A::State>> =
            ours.iter_mut().zip(&parts).map(|(state, blocks)| Lane { state, blocks }).collect();
        A::compress(kernel, &mut set);
        for (state, blocks) in theirs.iter_mut().zip(&parts) {
            reference(state, blocks);
        }
    }
    [ours, theirs]
}

#[test]
fn every_kernel_agrees_with_the_reference_in_every_lane() {
    let kernels = Kernel::all().flat_map(|kernel| [false, true].map(|fast| kernel.rotating_at_once(fast)));
    for kernel in kernels {
        for lanes in 0..=HASH_LANES_MAX {
            for blocks in [1, 2, 7] {
                let [ours, theirs] = both::<OfMd5>(kernel, lanes, blocks, md5::block_api::compress);
                assert_eq!(ours, theirs, "md5, {} with {lanes} lanes", kernel.name());
                let [ours, theirs] = both::<OfSha256>(kernel, lanes, blocks, sha2::block_api::compress256);
                assert_eq!(ours, theirs, "sha256, {} with {lanes} lanes", kernel.name());
            }
        }
    }
}

#[test]
fn published_values() {
    let mut md5 = Md5::new();
    md5.update(b"message ");
    md5.update(b"digest");
    // RFC 1321, appendix A.5.
    assert_eq!(
        md5.finish(),
        [0xf9, 0x6b, 0x69, 0x7d, 0x7c, 0xb7, 0x93, 0x8d, 0x52, 0x5a, 0x2f, 0x31, 0xaa, 0xf1, 0x61, 0xd0]
    );
    // FIPS 180-2, appendix B.1.
    let abc = [
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0,
        0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
    ];
    assert_eq!(sha256(b"abc"), abc);
}

#[test]
fn every_length_around_a_block_ends_right() {
    for length in 0..=200 {
        let message = bytes(3, length);
        let (mut md5, mut sha) = (Md5::new(), Sha256::new());
        let (front, back) = message.split_at(length >> 1);
        for piece in [front, b"", back] {
            md5.update(piece);
            sha.update(piece);
        }
        assert_eq!(md5.finish(), md5_of(&message), "{length} bytes");
        assert_eq!(sha.finish(), sha256_of(&message), "{length} bytes");
        assert_eq!(sha256(&message), sha256_of(&message), "{length} bytes");
    }
}

#[test]
fn chunks_have_hashes_of_their_own() {
    let body = bytes(5, 1000);
    let (first, second) = body.split_at(333);
    let mut digests = BodyDigests::new(true, true);
    digests.take_alone(first, Ends { body: false, chunk: true });
    assert_eq!(digests.next_chunk(), Some(sha256_of(first)));
    digests.take_alone(second, Ends { body: true, chunk: true });
    assert_eq!(digests.next_chunk(), Some(sha256_of(second)));
    assert_eq!(digests.sha256(), Some(sha256_of(&body)));
    assert_eq!(digests.md5(), md5_of(&body));
}

/// A message as pieces, given by cuts that are reduced to its length.
fn pieces<'m>(message: &'m [u8], cuts: &[u16]) -> Vec<&'m [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) % (message.len() + 1)).collect();
    cuts.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for cut in cuts.into_iter().chain([message.len()]) {
        pieces.push(&message[start..cut]);
        start = cut;
    }
    pieces
}

/// Hashes all messages side by side, each by its own cuts, `slice` blocks at a time. Messages that are done
/// leave the others alone.
fn mixed<A: Algorithm>(kernel: Kernel, messages: &[(Vec<u8>, Vec<u16>)], slice: usize) -> Vec<A::Digest> {
    let mut streams: Vec<Stream<A>> = messages.iter().map(|_| Stream::new()).collect();
    let mut left: Vec<Vec<&[u8]>> =
        messages.iter().map(|(message, cuts)| pieces(message, cuts).into_iter().rev().collect()).collect();
    while left.iter().any(|pieces| !pieces.is_empty()) {
        let mut works = Vec::new();
        let mut indices = Vec::new();
        for (index, (stream, pieces)) in streams.iter_mut().zip(&left).enumerate() {
            if let Some(piece) = pieces.last() {
                works.push(Work { stream, piece, is_last: pieces.len() == 1 });
                indices.push(index);
            }
        }
        compress(kernel, &mut works, slice);
        let done: Vec<bool> = works.iter_mut().map(Work::is_done).collect();
        drop(works);
        for (index, _) in indices.into_iter().zip(done).filter(|(_, is_done)| *is_done) {
            streams[index].finish_piece();
            left[index].pop();
        }
    }
    streams.iter().map(Stream::digest).collect()
}

proptest! {
    #[test]
    fn any_mix_of_lengths_and_cuts_gives_the_reference_values(
        shapes in proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u16>(), 0..5)), 1..=16),
        slice in 1..40usize,
    ) {
        let messages: Vec<(Vec<u8>, Vec<u16>)> = shapes
            .into_iter()
            .enumerate()
            .map(|(index, (length, cuts))| (bytes(index as u64, usize::from(length) % 5000), cuts))
            .collect();
        let md5: Vec<[u8; 16]> = messages.iter().map(|(message, _)| md5_of(message)).collect();
        let sha: Vec<[u8; 32]> = messages.iter().map(|(message, _)| sha256_of(message)).collect();
        for kernel in Kernel::all() {
            prop_assert_eq!(&mixed::<OfMd5>(kernel, &messages, slice), &md5, "{}", kernel.name());
            prop_assert_eq!(&mixed::<OfSha256>(kernel, &messages, slice), &sha, "{}", kernel.name());
        }
    }
}
