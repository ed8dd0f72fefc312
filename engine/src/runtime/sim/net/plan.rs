//! How a connection behaves.

use std::ops::RangeInclusive;

/// Behaviour of one connection, both ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkPlan {
    /// Most bytes that arrive at once; where the pieces end is drawn by lot.
    pub piece_bytes_max: usize,
    /// Nanoseconds a piece is under way.
    pub delay: RangeInclusive<u64>,
    /// Bytes the sender may be ahead of the receiver.
    pub window_bytes: usize,
    /// Resets the connection when so many bytes, both ways together, have arrived.
    pub reset_after: Option<u64>,
    /// Resets the connection at each piece with a chance of one in so many.
    pub reset_one_in: Option<u32>,
    /// Nothing arrives any more once so many bytes, both ways together, have arrived.
    pub silent_after: Option<u64>,
    /// Closing with unread bytes resets the connection, as TCP does, instead of a quiet end.
    pub unread_close_resets: bool,
}

impl Default for LinkPlan {
    fn default() -> Self {
        Self {
            piece_bytes_max: 64 << 10,
            delay: 5_000..=200_000,
            window_bytes: 256 << 10,
            reset_after: None,
            reset_one_in: None,
            silent_after: None,
            unread_close_resets: false,
        }
    }
}
