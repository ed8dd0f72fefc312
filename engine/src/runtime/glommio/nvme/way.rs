//! One core's way to one namespace: transfers as commands, cut to what the controller takes.

use super::super::super::contract::{DeviceError, Durability};
use super::super::held::Held;
use super::super::limits::PIECES_IN_FLIGHT_MAX;
use super::command::{Command, Piece, encode, pieces, range};
use super::namespace::Namespace;
use super::ring::NvmeRing;
use super::status::outcome;
use super::transfer::Transfer;
use crate::buffer::Buffer;
use crate::sync::Limit;
use arrayvec::ArrayVec;
use futures_util::FutureExt as _;
use std::rc::Rc;

/// In which direction bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Direction {
    Read,
    Write,
}

/// See the module's head.
pub(in super::super) struct Way {
    ring: Rc<NvmeRing>,
    /// Place in the ring's table of registered files.
    file: u32,
    number: u32,
    block_shift: u32,
    transfer_bytes_max: usize,
    deallocates: bool,
}

/// A transfer's pieces that are under way, oldest first, and the outcome of those that are not any more.
struct UnderWay {
    pieces: ArrayVec<(Transfer, u64, usize), PIECES_IN_FLIGHT_MAX>,
    result: Result<(), DeviceError>,
}

impl UnderWay {
    /// Takes the outcome of the oldest.
    async fn settle(&mut self) {
        let (transfer, offset, bytes) = self.pieces.remove(0);
        let (result, held) = transfer.await;
        drop(held);
        self.result = self.result.and(outcome(result, offset, bytes));
    }
}

impl Way {
    pub(super) fn new(ring: &Rc<NvmeRing>, file: u32, namespace: &Namespace) -> Self {
        Self {
            ring: Rc::clone(ring),
            file,
            number: namespace.number,
            block_shift: namespace.block_shift,
            transfer_bytes_max: namespace.transfer_bytes_max,
            deallocates: namespace.deallocates,
        }
    }

    /// Moves the first `length` bytes of `buffer` from or to `offset`, with as many commands as it takes.
    pub(in super::super) async fn transfer(
        &self,
        limit: &Limit,
        direction: Direction,
        offset: u64,
        buffer: Buffer,
        length: usize,
    ) -> (Result<(), DeviceError>, Buffer) {
        if length == 0 {
            return (Ok(()), buffer);
        }
        if length > self.transfer_bytes_max {
            // In a box of its own: every future that waits for a device would carry the room for it.
            return Box::pin(self.in_pieces(limit, direction, offset, buffer, length)).await;
        }
        let place = limit.enter().await;
        let entry = self.entry(direction, offset, &buffer, Piece { start: 0, bytes: length });
        let transfer = Transfer::start(&self.ring, entry, Held::Buffer(buffer), Some(place)).await;
        let (result, held) = transfer.await;
        let Held::Buffer(buffer) = held else { unreachable!("a command returns what it was given") };
        (outcome(result, offset, length), buffer)
    }

    /// Several commands share the buffer; each owns a part in it until its completion.
    ///
    /// Who waits for a place under a limit holds none here: a finished piece keeps its place until it is
    /// looked at, so transfers that wait while they hold some would wait for each other.
    async fn in_pieces(
        &self,
        limit: &Limit,
        direction: Direction,
        offset: u64,
        buffer: Buffer,
        length: usize,
    ) -> (Result<(), DeviceError>, Buffer) {
        let buffer = Rc::new(buffer);
        let mut under_way = UnderWay { pieces: ArrayVec::new(), result: Ok(()) };
        for piece in pieces(length, self.transfer_bytes_max) {
            if under_way.pieces.is_full() {
                under_way.settle().await;
            }
            let begun = self.begin(limit, direction, offset, &buffer, piece).now_or_never();
            let begun = match begun {
                Some(begun) => begun,
                None => {
                    while !under_way.pieces.is_empty() {
                        under_way.settle().await;
                    }
                    self.begin(limit, direction, offset, &buffer, piece).await
                }
            };
            under_way.pieces.push(begun);
            if under_way.result.is_err() {
                break;
            }
        }
        while !under_way.pieces.is_empty() {
            under_way.settle().await;
        }
        let Ok(buffer) = Rc::try_unwrap(buffer) else { unreachable!("every piece has let go") };
        (under_way.result, buffer)
    }

    /// Queues one piece, waiting for places. When this is dropped before it is ready, nothing was queued.
    async fn begin(
        &self,
        limit: &Limit,
        direction: Direction,
        offset: u64,
        buffer: &Rc<Buffer>,
        piece: Piece,
    ) -> (Transfer, u64, usize) {
        let place = limit.enter().await;
        let entry = self.entry(direction, offset, buffer, piece);
        let transfer = Transfer::start(&self.ring, entry, Held::Shared(Rc::clone(buffer)), Some(place)).await;
        (transfer, offset + piece.start as u64, piece.bytes)
    }

    fn entry(
        &self,
        direction: Direction,
        offset: u64,
        buffer: &Buffer,
        piece: Piece,
    ) -> io_uring::squeue::Entry128 {
        assert!(piece.start + piece.bytes <= buffer.capacity(), "a transfer lies inside its buffer");
        let first = (offset + piece.start as u64) >> self.block_shift;
        let length = u32::try_from(piece.bytes).unwrap_or(u32::MAX);
        let blocks = length >> self.block_shift;
        let command = match direction {
            Direction::Read => Command::Read { first, blocks },
            Direction::Write => Command::Write { first, blocks },
        };
        let address = buffer.start().as_ptr().wrapping_add(piece.start).expose_provenance() as u64;
        self.ring.entry(self.file, encode(self.number, command, address, length), Some(buffer))
    }

    /// A write, and when it shall be durable and the cache is volatile, a flush behind it. The bit that asks for
    /// durability of one write alone (FUA) is not relied on: see decision 11.
    pub(in super::super) async fn write(
        &self,
        limit: &Limit,
        offset: u64,
        buffer: Buffer,
        length: usize,
        durability: (Durability, bool),
    ) -> (Result<(), DeviceError>, Buffer) {
        let (written, buffer) = self.transfer(limit, Direction::Write, offset, buffer, length).await;
        let result = match (written, durability) {
            (Ok(()), (Durability::Durable, true)) => self.flush(limit).await,
            (written, _) => written,
        };
        (result, buffer)
    }

    /// Makes every write that has completed durable.
    pub(in super::super) async fn flush(&self, limit: &Limit) -> Result<(), DeviceError> {
        let place = limit.enter().await;
        let entry = self.ring.entry(self.file, encode(self.number, Command::Flush, 0, 0), None);
        let transfer = Transfer::start(&self.ring, entry, Held::Nothing, Some(place)).await;
        let (result, _nothing) = transfer.await;
        outcome(result, 0, 0)
    }

    /// Tells the controller that a range holds nothing of value, if it understands that.
    pub(in super::super) async fn discard(&self, limit: &Limit, offset: u64, length: u64) {
        let Ok(blocks) = u32::try_from(length >> self.block_shift) else { return };
        if !self.deallocates {
            return;
        }
        let place = limit.enter().await;
        let described = Box::new(range(offset >> self.block_shift, blocks));
        let address = described.as_ptr().expose_provenance() as u64;
        let length = u32::try_from(described.len()).unwrap_or(0);
        let entry =
            self.ring.entry(self.file, encode(self.number, Command::Deallocate, address, length), None);
        let transfer = Transfer::start(&self.ring, entry, Held::Range(described), Some(place)).await;
        // Advice: a controller that does not take it keeps the bytes, which harms nothing.
        let (_result, _held) = transfer.await;
    }
}
