//! A row in memory: chunk buffers that fill from the front, then parity and headers.

use super::geometry::{Geometry, Place};
use crate::buffer::Buffer;
use crate::number::{to_u8, to_u32, to_usize};
use crate::stripe::Codec;
use ashlar_disk_format::checksum::crc32c;
use ashlar_disk_format::chunk::ChunkHeader;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::group::GroupKind;
use ashlar_disk_format::units::{Epoch, Generation, GroupId, LogId, PoolId, RowOffset, RowSequence};

/// Where a row went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowAddress {
    pub(crate) group: GroupId,
    pub(crate) generation: Generation,
    pub(crate) row: RowOffset,
}

/// What the headers of a row's chunks say besides its geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowIdentity {
    pub(crate) pool: PoolId,
    pub(crate) address: RowAddress,
    pub(crate) epoch: Epoch,
    pub(crate) kind: GroupKind,
    pub(crate) log: LogId,
    pub(crate) sequence: RowSequence,
    pub(crate) previous_crc: u32,
    pub(crate) record_bytes: u32,
}

/// Chunk buffers of one row, header room left free at the front of each.
#[derive(Debug)]
pub(crate) struct RowBuffer {
    geometry: Geometry,
    /// Data chunks, then parity chunks.
    chunks: Vec<Buffer>,
    used: usize,
    data_buffers: usize,
    lent: Option<usize>,
}

impl RowBuffer {
    /// A row over `chunks`: `geometry.data_count` data buffers and m parity buffers, each of at
    /// least the row's height.
    pub(crate) fn new(geometry: Geometry, chunks: Vec<Buffer>) -> Self {
        let data_buffers = usize::from(geometry.data_count);
        assert!(chunks.len() == geometry.written(), "one buffer per written chunk");
        let height = to_usize(u64::from(geometry.height.bytes()));
        assert!(chunks.iter().all(|chunk| chunk.capacity() >= height), "buffers hold a chunk");
        Self { geometry, chunks, used: 0, data_buffers, lent: None }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn room(&self) -> usize {
        self.geometry.capacity() - self.used
    }

    /// Copies `bytes` in at the end of what is there.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "pushed bytes fit the row");
        let header = self.geometry.header();
        let mut rest = bytes;
        for place in self.geometry.places(self.used, bytes.len()) {
            let length = to_usize(u64::from(place.length));
            let (now, later) = rest.split_at(length);
            let start = header + to_usize(u64::from(place.offset));
            self.chunks[usize::from(place.member)].bytes_mut()[start..start + length].copy_from_slice(now);
            rest = later;
        }
        self.used += bytes.len();
    }

    /// Zeroes up to `position`, which lies at or behind the end of what is there.
    pub(crate) fn pad_to(&mut self, position: usize) {
        assert!(position >= self.used, "padding goes forward");
        let header = self.geometry.header();
        for place in self.geometry.places(self.used, position - self.used) {
            let start = header + to_usize(u64::from(place.offset));
            let end = start + to_usize(u64::from(place.length));
            self.chunks[usize::from(place.member)].bytes_mut()[start..end].fill(0);
        }
        self.used = position;
    }

    /// Hands out the payload bytes of `range`, run by run.
    pub(crate) fn copy_out(&self, range: std::ops::Range<usize>, out: &mut dyn FnMut(&[u8])) {
        let header = self.geometry.header();
        for place in self.geometry.places(range.start, range.len()) {
            let start = header + to_usize(u64::from(place.offset));
            let end = start + to_usize(u64::from(place.length));
            out(&self.chunks[usize::from(place.member)].bytes()[start..end]);
        }
    }

    /// Which buffer the next bytes go to, and the range free in it.
    pub(crate) fn take_space(&self) -> Option<(usize, std::ops::Range<usize>)> {
        if self.room() == 0 {
            return None;
        }
        let place = self.geometry.place(self.used);
        let start = self.geometry.header() + to_usize(u64::from(place.offset));
        Some((usize::from(place.member), start..start + to_usize(u64::from(place.length))))
    }

    /// Lends the buffer that [`RowBuffer::take_space`] named, to be filled by a socket. It comes back
    /// through [`RowBuffer::give_back`] before anything else is done with the row.
    pub(crate) fn lend(&mut self, index: usize) -> Buffer {
        assert!(self.lent.is_none(), "one buffer is lent at a time");
        self.lent = Some(index);
        self.chunks.remove(index)
    }

    /// Takes the lent buffer back.
    pub(crate) fn give_back(&mut self, buffer: Buffer) {
        let Some(index) = self.lent.take() else { panic!("no buffer was lent") };
        self.chunks.insert(index, buffer);
    }

    /// `count` bytes were filled in at the place that [`RowBuffer::take_space`] named.
    pub(crate) fn advance(&mut self, count: usize) {
        assert!(count <= self.room(), "filled bytes fit the row");
        self.used += count;
    }

    /// Drops what stayed empty.
    pub(crate) fn shrink(&mut self) {
        let smaller = self.geometry.shrunk_to(self.used);
        let unused = usize::from(smaller.data_count)..self.data_buffers;
        drop(self.chunks.drain(unused));
        self.data_buffers = usize::from(smaller.data_count);
        self.geometry = smaller;
    }

    /// The extents of `length` payload bytes from `position`, checksummed, at `address`.
    pub(crate) fn extents(&self, address: RowAddress, position: usize, length: usize) -> Vec<Extent> {
        self.geometry.places(position, length).map(|place| self.extent(address, place)).collect()
    }

    fn extent(&self, address: RowAddress, place: Place) -> Extent {
        let start = self.geometry.header() + to_usize(u64::from(place.offset));
        let end = start + to_usize(u64::from(place.length));
        let bytes = &self.chunks[usize::from(place.member)].bytes()[start..end];
        Extent {
            generation: address.generation,
            group: address.group,
            row: address.row,
            height: self.geometry.height,
            member: place.member,
            data_count: self.geometry.data_count,
            payload_offset: place.offset,
            length: place.length,
            crcs: Extent::crcs_of(bytes),
        }
    }

    /// Zeroes what is left of the data chunks and computes the parity chunks. Once per row: the
    /// payload area does not depend on where the row goes.
    pub(crate) fn encode(&mut self, codec: &Codec) {
        assert!(self.lent.is_none(), "a lent buffer is back before the row is encoded");
        let header = self.geometry.header();
        let height = to_usize(u64::from(self.geometry.height.bytes()));
        let capacity = self.geometry.chunk_capacity();
        for (index, chunk) in self.chunks.iter_mut().take(self.data_buffers).enumerate() {
            let filled = self.used.saturating_sub(index * capacity).min(capacity);
            chunk.bytes_mut()[header + filled..height].fill(0);
        }
        let (data, parity) = self.chunks.split_at_mut(self.data_buffers);
        let data: Vec<&[u8]> = data.iter().map(|chunk| &chunk.bytes()[header..height]).collect();
        let mut parity: Vec<&mut [u8]> =
            parity.iter_mut().map(|chunk| &mut chunk.bytes_mut()[header..height]).collect();
        codec.encode(&data, &mut parity);
    }

    /// Writes the headers for `identity`; the CRC of member 0's header, which the next row of the
    /// log repeats. May be called again when the row has to go elsewhere.
    pub(crate) fn seal(&mut self, identity: &RowIdentity) -> u32 {
        let geometry = self.geometry;
        let members = geometry.shape.members();
        let header_bytes = geometry.header();
        let height = to_usize(u64::from(geometry.height.bytes()));
        let mut crcs = vec![0; members];
        for index in 0..self.chunks.len() {
            crcs[self.member_of(index)] = crc32c(&self.chunks[index].bytes()[header_bytes..height]);
        }
        let mut header = ChunkHeader {
            pool: identity.pool,
            group: identity.address.group,
            generation: identity.address.generation,
            epoch: identity.epoch,
            kind: identity.kind,
            log: identity.log,
            sequence: identity.sequence,
            previous_crc: identity.previous_crc,
            row: identity.address.row,
            height: geometry.height,
            member: 0,
            k: geometry.shape.k,
            m: geometry.shape.m,
            family: geometry.shape.family,
            data_count: geometry.data_count,
            record_bytes: identity.record_bytes,
            payload_bytes: to_u32(self.used),
            member_crcs: crcs,
        };
        let mut first = 0;
        for index in 0..self.chunks.len() {
            header.member = to_u8(self.member_of(index));
            let chunk = &mut self.chunks[index].bytes_mut()[..header_bytes];
            let crc = header.encode_into(chunk);
            if index == 0 {
                first = crc;
            }
        }
        first
    }

    /// Which member of the group the `index`-th buffer belongs to.
    pub(crate) fn member_of(&self, index: usize) -> usize {
        if index < self.data_buffers {
            index
        } else {
            usize::from(self.geometry.shape.k) + index - self.data_buffers
        }
    }

    pub(crate) fn into_chunks(self) -> (Geometry, usize, Vec<Buffer>) {
        (self.geometry, self.used, self.chunks)
    }

    /// The row back from its buffers after a write.
    pub(crate) fn restored(geometry: Geometry, used: usize, chunks: Vec<Buffer>) -> Self {
        Self { geometry, data_buffers: usize::from(geometry.data_count), chunks, used, lent: None }
    }
}
