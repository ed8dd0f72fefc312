//! One message cut into blocks: what fills whole blocks is hashed where it lies, only the bytes between two
//! pieces and the end of the message are held here.

use super::simd::{BLOCK_BYTES, Block, Kernel, Lane};
use crate::limits::HASH_LANES_MAX;
use arrayvec::ArrayVec;
use std::ops::Range;

/// What the two hashes differ in.
pub(super) trait Algorithm {
    /// Words of 32 bits.
    type State: Copy + std::fmt::Debug;
    /// The value.
    type Digest;
    /// Before the first block.
    const INITIAL: Self::State;
    /// How the length of the message, in bits, stands at its end.
    fn length(bits: u64) -> [u8; 8];
    /// The value that a state stands for.
    fn digest(state: &Self::State) -> Self::Digest;
    /// Takes the blocks of the lanes into their states.
    fn compress(kernel: Kernel, lanes: &mut [Lane<'_, Self::State>]);
}

/// RFC 1321.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfMd5;

/// FIPS 180-4.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfSha256;

impl Algorithm for OfMd5 {
    type State = [u32; 4];
    type Digest = [u8; 16];
    const INITIAL: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

    fn length(bits: u64) -> [u8; 8] {
        bits.to_le_bytes()
    }

    fn digest(state: &[u32; 4]) -> [u8; 16] {
        let mut digest = [0; 16];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
            *bytes = word.to_le_bytes();
        }
        digest
    }

    fn compress(kernel: Kernel, lanes: &mut [Lane<'_, [u32; 4]>]) {
        kernel.md5(lanes);
    }
}

#[expect(clippy::big_endian_bytes, reason = "SHA-256 is defined on words in this order")]
impl Algorithm for OfSha256 {
    type State = [u32; 8];
    type Digest = [u8; 32];
    const INITIAL: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    fn length(bits: u64) -> [u8; 8] {
        bits.to_be_bytes()
    }

    fn digest(state: &[u32; 8]) -> [u8; 32] {
        let mut digest = [0; 32];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
            *bytes = word.to_be_bytes();
        }
        digest
    }

    fn compress(kernel: Kernel, lanes: &mut [Lane<'_, [u32; 8]>]) {
        kernel.sha256(lanes);
    }
}

/// A message under way.
///
/// INVARIANT: while blocks are `ready`, no byte of the piece behind them was taken.
#[derive(Debug, Clone)]
pub(super) struct Stream<A: Algorithm> {
    state: A::State,
    /// The start of a block whose rest has not come, then the blocks that end the message.
    carry: [Block; 2],
    carried: usize,
    /// Blocks of `carry` to be taken before anything else.
    ready: Range<usize>,
    /// Bytes used of the piece under way.
    at: usize,
    /// Bytes of all pieces before it.
    length: u64,
    is_ended: bool,
}

/// A stream with the piece that it takes now.
#[derive(Debug)]
pub(super) struct Work<'a, A: Algorithm> {
    /// The message.
    pub(super) stream: &'a mut Stream<A>,
    /// Its next bytes.
    pub(super) piece: &'a [u8],
    /// Whether they are its last.
    pub(super) is_last: bool,
}

impl<A: Algorithm> Stream<A> {
    /// A message of no bytes yet.
    pub(super) fn new() -> Self {
        Self {
            state: A::INITIAL,
            carry: [[0; BLOCK_BYTES]; 2],
            carried: 0,
            ready: 0..0,
            at: 0,
            length: 0,
            is_ended: false,
        }
    }

    /// Lets the next piece begin; the one before was used up.
    pub(super) fn finish_piece(&mut self) {
        self.length += self.at as u64;
        self.at = 0;
    }

    /// Whether the last piece was taken.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The value, once the message ended.
    pub(super) fn digest(&self) -> A::Digest {
        assert!(self.is_ended, "a digest is asked for when the last piece was taken");
        assert!(self.ready.is_empty(), "a digest is asked for when every block was taken");
        A::digest(&self.state)
    }

    /// Makes the next blocks ready, if there are any: whole ones of the piece need nothing done.
    fn prepare(&mut self, piece: &[u8], is_last: bool) {
        if !self.ready.is_empty() {
            return;
        }
        assert!(!self.is_ended || self.at == piece.len(), "nothing follows the end of a message");
        let rest = &piece[self.at..];
        if self.carried > 0 || rest.len() < BLOCK_BYTES {
            let room = &mut self.carry[0][self.carried..];
            let count = rest.len().min(room.len());
            room[..count].copy_from_slice(&rest[..count]);
            self.at += count;
            self.carried += count;
        }
        if self.carried == BLOCK_BYTES {
            self.ready = 0..1;
        } else if is_last && !self.is_ended && self.at == piece.len() {
            self.end();
        }
    }

    /// A bit, zeros, and the length in bits: as many blocks as that takes.
    fn end(&mut self) {
        let bits = (self.length + self.at as u64) << 3;
        let count = if self.carried < BLOCK_BYTES - 8 { 1 } else { 2 };
        let tail = self.carry[..count].as_flattened_mut();
        tail[self.carried] = 0x80;
        let length_at = tail.len() - 8;
        tail[self.carried + 1..length_at].fill(0);
        tail[length_at..].copy_from_slice(&A::length(bits));
        self.ready = 0..count;
        self.is_ended = true;
    }

    /// The state, and the blocks that it takes next.
    fn lane<'a>(&'a mut self, piece: &'a [u8]) -> Lane<'a, A::State> {
        let blocks = if !self.ready.is_empty() {
            &self.carry[self.ready.clone()]
        } else if self.carried > 0 {
            &[]
        } else {
            piece[self.at..].as_chunks().0
        };
        Lane { state: &mut self.state, blocks }
    }

    fn advance(&mut self, blocks: usize) {
        if self.ready.is_empty() {
            self.at += blocks * BLOCK_BYTES;
        } else {
            self.ready.start += blocks;
            assert!(self.ready.start <= self.ready.end, "no more was taken than was ready");
            self.carried = 0;
        }
    }
}

impl<A: Algorithm> Work<'_, A> {
    /// Whether the piece is used up.
    pub(super) fn is_done(&mut self) -> bool {
        self.stream.prepare(self.piece, self.is_last);
        self.stream.lane(self.piece).blocks.is_empty()
    }
}

/// Takes up to `blocks_max` blocks of each of at most [`HASH_LANES_MAX`] messages, and says how many. Ends sooner when
/// one of them has no more: a step takes about as long for one lane as for all of them, so the next piece, or another
/// message, had better take its place first.
pub(super) fn compress<A: Algorithm>(kernel: Kernel, works: &mut [Work<'_, A>], blocks_max: usize) -> usize {
    let mut left = blocks_max;
    let mut together = 0;
    while left > 0 {
        let mut count = left;
        let mut lanes: ArrayVec<Lane<'_, A::State>, HASH_LANES_MAX> = ArrayVec::new();
        for work in works.iter_mut() {
            work.stream.prepare(work.piece, work.is_last);
            let lane = work.stream.lane(work.piece);
            if !lane.blocks.is_empty() {
                count = count.min(lane.blocks.len());
                lanes.push(lane);
            }
        }
        if lanes.is_empty() || lanes.len() < together {
            break;
        }
        together = lanes.len();
        for lane in &mut lanes {
            lane.blocks = &lane.blocks[..count];
        }
        A::compress(kernel, &mut lanes);
        drop(lanes);
        for work in works.iter_mut() {
            if !work.stream.lane(work.piece).blocks.is_empty() {
                work.stream.advance(count);
            }
        }
        left -= count;
    }
    blocks_max - left
}

/// Takes a piece at once, without company.
pub(super) fn take_alone<A: Algorithm>(stream: &mut Stream<A>, piece: &[u8], is_last: bool) {
    let mut work = Work { stream, piece, is_last };
    // Most short pieces fill no block.
    if !work.is_done() {
        let _blocks = compress(Kernel::best(), std::slice::from_mut(&mut work), usize::MAX);
    }
    stream.finish_piece();
}
