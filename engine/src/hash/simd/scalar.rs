//! The reference, and what serves a lane where no vector kernel is faster.

use super::Block;

/// Takes `blocks` into an MD5 state.
pub(super) fn md5(state: &mut [u32; 4], blocks: &[Block]) {
    md5::block_api::compress(state, blocks);
}

/// Takes `blocks` into a SHA-256 state, with the processor's SHA instructions if it has them.
pub(super) fn sha256(state: &mut [u32; 8], blocks: &[Block]) {
    sha2::block_api::compress256(state, blocks);
}
