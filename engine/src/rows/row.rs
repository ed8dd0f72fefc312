//! A row in memory: chunk buffers that fill from the front, then parity and headers.

use super::geometry::{Geometry, Place};
use super::sums::ChunkSums;
use crate::buffer::{AllocationError, Arena, Buffer, BufferSlice};
use crate::limits::ENCODE_SLICE_BYTES;
use crate::number::{to_u8, to_u32, to_usize};
use crate::stripe::Codec;
use arrayvec::ArrayVec;
use ashlar_disk_format::checksum::crc32c_append;
use ashlar_disk_format::chunk::{ChunkHeader, MemberCrcs};
use ashlar_disk_format::constants::MEMBERS_MAX;
use ashlar_disk_format::extent::{Crcs, Extent};
use ashlar_disk_format::group::GroupKind;
use ashlar_disk_format::units::{Epoch, Generation, GroupId, LogId, PoolId, RowOffset, RowSequence};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::rc::Rc;

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

/// Where bytes of a row are. A body in a row of the log lies in two chunks at most; one in a row of its own lies in all
/// data chunks, of which there are mostly no more.
pub(crate) type Extents = SmallVec<[Extent; 4]>;

/// Makes rows with the lists of earlier ones.
#[derive(Debug, Clone)]
pub(crate) struct SpareRows(Rc<Spare>);

#[derive(Debug)]
struct Spare {
    lists: RefCell<Vec<Lists>>,
    lists_max: usize,
}

/// What a row has of the heap. Empty in a list of spare ones.
#[derive(Debug, Default)]
struct Lists {
    chunks: Vec<Buffer>,
    sums: Vec<ChunkSums>,
}

impl SpareRows {
    /// Keeps the lists of at most `lists_max` rows that are over.
    pub(crate) fn keeping(lists_max: usize) -> Self {
        Self(Rc::new(Spare { lists: RefCell::default(), lists_max }))
    }

    /// A row over buffers of `arena`, which are waited for.
    ///
    /// # Errors
    /// As [`Arena::take_many`].
    pub(crate) async fn row(&self, arena: &Arena, geometry: Geometry) -> Result<RowBuffer, AllocationError> {
        let mut lists = self.0.lists.borrow_mut().pop().unwrap_or_default();
        let height = to_usize(u64::from(geometry.height.bytes()));
        arena.take_into(&mut lists.chunks, geometry.written(), height).await?;
        Ok(RowBuffer::over(geometry, lists, Some(self.clone())))
    }

    fn keep(&self, mut lists: Lists) {
        lists.chunks.clear();
        lists.sums.clear();
        let mut spare = self.0.lists.borrow_mut();
        // Of a row that was dropped while it was written nothing is left.
        if spare.len() < self.0.lists_max && lists.chunks.capacity() > 0 {
            spare.push(lists);
        }
    }
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
    /// Of the data chunks, as far as they were summed while they filled: the first `summed` bytes of the row.
    sums: Vec<ChunkSums>,
    summed: usize,
    /// CRC32C of each buffer between its header and its end, once the row is encoded.
    crcs: MemberCrcs,
    /// Where its lists go when it is over.
    spare: Option<SpareRows>,
}

impl RowBuffer {
    /// A row over `chunks`: `geometry.data_count` data buffers and m parity buffers, each of at
    /// least the row's height.
    pub(crate) fn new(geometry: Geometry, chunks: Vec<Buffer>) -> Self {
        Self::over(geometry, Lists { chunks, sums: Vec::new() }, None)
    }

    fn over(geometry: Geometry, Lists { chunks, sums }: Lists, spare: Option<SpareRows>) -> Self {
        let data_buffers = usize::from(geometry.data_count);
        assert!(chunks.len() == geometry.written(), "one buffer per written chunk");
        let height = to_usize(u64::from(geometry.height.bytes()));
        assert!(chunks.iter().all(|chunk| chunk.capacity() >= height), "buffers hold a chunk");
        Self {
            geometry,
            chunks,
            used: 0,
            data_buffers,
            lent: None,
            sums,
            summed: 0,
            crcs: MemberCrcs::new(),
            spare,
        }
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

    /// Copies `bytes` over what was padded at `position`. Not for rows that are summed while they fill.
    pub(crate) fn fill_at(&mut self, position: usize, bytes: &[u8]) {
        assert!(position + bytes.len() <= self.used, "filled bytes were padded before");
        assert!(self.sums.is_empty(), "no sum is of bytes that change");
        let header = self.geometry.header();
        let mut rest = bytes;
        for place in self.geometry.places(position, bytes.len()) {
            let length = to_usize(u64::from(place.length));
            let (now, later) = rest.split_at(length);
            let start = header + to_usize(u64::from(place.offset));
            self.chunks[usize::from(place.member)].bytes_mut()[start..start + length].copy_from_slice(now);
            rest = later;
        }
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

    /// What was filled in, in order, for others to read where it is. Until they have let go the row is not sealed.
    pub(crate) fn payload(&self) -> impl Iterator<Item = BufferSlice> {
        let header = self.geometry.header();
        self.geometry.places(0, self.used).map(move |place| {
            let start = header + to_usize(u64::from(place.offset));
            let chunk = &self.chunks[usize::from(place.member)];
            BufferSlice::new(chunk.share(), start..start + to_usize(u64::from(place.length)))
        })
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

    /// Sums the first `count` bytes at the place that [`RowBuffer::take_space`] named, which will not change any
    /// more, while they are in the cache. Whoever does not do so for all bytes has them summed later.
    pub(crate) fn sum(&mut self, lent: &Buffer, count: usize) {
        let place = self.geometry.place(self.used);
        let start = self.used - to_usize(u64::from(place.offset));
        let end = self.used + count;
        if self.summed < start || end <= self.summed {
            return;
        }
        if self.summed == start {
            self.sums.push(ChunkSums::default());
        }
        let header = self.geometry.header();
        let Some(sums) = self.sums.last_mut() else { unreachable!("sums of this chunk were begun") };
        sums.append(&lent.bytes()[header + self.summed - start..header + end - start]);
        self.summed = end;
    }

    /// Whether all of the row was summed while it filled.
    fn is_summed(&self) -> bool {
        self.summed == self.used
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
    pub(crate) fn extents(&self, address: RowAddress, position: usize, length: usize) -> Extents {
        self.geometry.places(position, length).map(|place| self.extent(address, place)).collect()
    }

    fn extent(&self, address: RowAddress, place: Place) -> Extent {
        let start = self.geometry.header() + to_usize(u64::from(place.offset));
        let end = start + to_usize(u64::from(place.length));
        let sums = self.sums.get(usize::from(place.member)).filter(|sums| {
            self.is_summed() && place.offset == 0 && to_usize(u64::from(place.length)) == sums.length()
        });
        let crcs = sums.map_or_else(
            || Extent::crcs_of(&self.chunks[usize::from(place.member)].bytes()[start..end]),
            |sums| Crcs::from_slice(sums.blocks()),
        );
        Extent {
            generation: address.generation,
            group: address.group,
            row: address.row,
            height: self.geometry.height,
            member: place.member,
            data_count: self.geometry.data_count,
            payload_offset: place.offset,
            length: place.length,
            crcs,
        }
    }

    /// Zeroes what is left of the data chunks and computes the parity chunks, and what all of them sum to. Once
    /// per row: the payload area does not depend on where the row goes.
    pub(crate) fn encode(&mut self, codec: &Codec) {
        assert!(self.lent.is_none(), "a lent buffer is back before the row is encoded");
        let area = self.geometry.header()..to_usize(u64::from(self.geometry.height.bytes()));
        let capacity = self.geometry.chunk_capacity();
        let is_summed = self.is_summed();
        self.crcs = MemberCrcs::from_elem(0, self.chunks.len());
        for (index, chunk) in self.chunks.iter_mut().take(self.data_buffers).enumerate() {
            let filled = area.start + self.used.saturating_sub(index * capacity).min(capacity);
            let chunk = chunk.bytes_mut();
            chunk[filled..area.end].fill(0);
            if is_summed {
                let filled_crc = self.sums.get(index).map_or(0, ChunkSums::whole);
                self.crcs[index] = crc32c_append(filled_crc, &chunk[filled..area.end]);
            }
        }
        // Of a wide code only whole rows are worth the preparation that each call takes.
        let step = if codec.granule_bytes() == 1 { ENCODE_SLICE_BYTES } else { area.len() };
        for start in area.clone().step_by(step) {
            self.encode_slice(codec, start..area.end.min(start + step), is_summed);
        }
        if let [data_crc, parity_crcs @ ..] = &mut *self.crcs
            && self.data_buffers == 1
        {
            parity_crcs.fill(*data_crc);
        }
    }

    /// The parity of these bytes of each chunk, and the sums of all that were not summed before, while they are
    /// in the cache. The parity of a single chunk are copies, which sum to the same.
    fn encode_slice(&mut self, codec: &Codec, slice: std::ops::Range<usize>, is_data_summed: bool) {
        let (data, parity) = self.chunks.split_at_mut(self.data_buffers);
        let data: ArrayVec<&[u8], MEMBERS_MAX> =
            data.iter().map(|chunk| &chunk.bytes()[slice.clone()]).collect();
        let mut parity: ArrayVec<&mut [u8], MEMBERS_MAX> =
            parity.iter_mut().map(|chunk| &mut chunk.bytes_mut()[slice.clone()]).collect();
        codec.encode(&data, &mut parity);
        let (data_crcs, parity_crcs) = self.crcs.split_at_mut(self.data_buffers);
        if !is_data_summed {
            for (crc, bytes) in data_crcs.iter_mut().zip(&data) {
                *crc = crc32c_append(*crc, bytes);
            }
        }
        if data.len() > 1 {
            for (crc, bytes) in parity_crcs.iter_mut().zip(&parity) {
                *crc = crc32c_append(*crc, bytes);
            }
        }
    }

    /// Writes the headers for `identity`; the CRC of member 0's header, which the next row of the
    /// log repeats. May be called again when the row has to go elsewhere.
    pub(crate) fn seal(&mut self, identity: &RowIdentity) -> u32 {
        let geometry = self.geometry;
        assert!(self.crcs.len() == self.chunks.len(), "a row is encoded before it is sealed");
        let header_bytes = geometry.header();
        let mut crcs = MemberCrcs::from_elem(0, geometry.shape.members());
        for (index, crc) in self.crcs.iter().enumerate() {
            crcs[self.member_of(index)] = *crc;
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

    /// The buffers, to be written. They come back through [`RowBuffer::put_chunks`].
    pub(crate) fn take_chunks(&mut self) -> Vec<Buffer> {
        std::mem::take(&mut self.chunks)
    }

    /// The row is whole again.
    pub(crate) fn put_chunks(&mut self, chunks: Vec<Buffer>) {
        assert!(self.chunks.is_empty() && chunks.len() == self.crcs.len(), "all that were taken come back");
        self.chunks = chunks;
    }
}

impl Drop for RowBuffer {
    fn drop(&mut self) {
        let Some(spare) = self.spare.take() else { return };
        spare.keep(Lists { chunks: std::mem::take(&mut self.chunks), sums: std::mem::take(&mut self.sums) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Arena, Region};
    use crate::stripe::Family;
    use ashlar_disk_format::checksum::crc32c;
    use ashlar_disk_format::chunk::header_bytes;
    use ashlar_disk_format::code::{CodeFamily, CodeShape};
    use futures_util::FutureExt as _;

    fn empty(arena: &Arena, shape: &str, payload: usize) -> RowBuffer {
        let geometry = Geometry::holding(CodeShape::parse(shape).unwrap(), payload);
        let height = to_usize(u64::from(geometry.height.bytes()));
        let take = |_chunk| arena.try_take(height).unwrap();
        let mut chunks: Vec<Buffer> = (0..geometry.written()).map(take).collect();
        // What a row left there before.
        chunks.iter_mut().for_each(|chunk| chunk.bytes_mut().fill(0xee));
        RowBuffer::new(geometry, chunks)
    }

    /// Fills as a socket does: pieces of at most `piece` bytes, of which `summed` are summed as they come.
    fn receive(row: &mut RowBuffer, bytes: &[u8], piece: usize, summed: usize) {
        let mut rest = bytes;
        while let Some((index, range)) = row.take_space().filter(|_| !rest.is_empty()) {
            let count = rest.len().min(range.len()).min(piece);
            let mut buffer = row.lend(index);
            buffer.bytes_mut()[range.start..range.start + count].copy_from_slice(&rest[..count]);
            if row.used() < summed {
                row.sum(&buffer, count);
            }
            row.give_back(buffer);
            row.advance(count);
            rest = &rest[count..];
        }
    }

    /// The extents, and every chunk as it goes to its device.
    fn finished(mut row: RowBuffer) -> (Vec<Extent>, Vec<Vec<u8>>) {
        let shape = row.geometry().shape;
        let family = if shape.family == CodeFamily::Gf16 { Family::Gf16 } else { Family::Gf8 };
        row.shrink();
        row.encode(&Codec::new(family, usize::from(shape.k), usize::from(shape.m)).unwrap());
        let address = RowAddress { group: GroupId(3), generation: Generation(4), row: RowOffset(5) };
        row.seal(&RowIdentity {
            pool: PoolId([7; 16]),
            address,
            epoch: Epoch(1),
            kind: GroupKind::Data,
            log: LogId(0),
            sequence: RowSequence(9),
            previous_crc: 0,
            record_bytes: 0,
        });
        let height = to_usize(u64::from(row.geometry().height.bytes()));
        let chunks = row.chunks.iter().map(|chunk| chunk.bytes()[..height].to_vec()).collect();
        (row.extents(address, 0, row.used()).into_vec(), chunks)
    }

    #[test]
    fn a_row_in_the_lists_of_another_is_as_a_fresh_one() {
        let arena = Arena::new(Region::allocate(8 << 20).unwrap(), 0);
        let body: Vec<u8> = (0..=250_u8).cycle().take(200_000).collect();
        let mut fresh = empty(&arena, "4+2", body.len());
        receive(&mut fresh, &body, 30_000, body.len());
        let (geometry, fresh) = (fresh.geometry(), finished(fresh));
        for length in [0, 1, 70_000, body.len()] {
            let spare = SpareRows::keeping(1);
            let row = || spare.row(&arena, geometry).now_or_never().unwrap().unwrap();
            let mut earlier = row();
            receive(&mut earlier, &body[..length].iter().map(|byte| !byte).collect::<Vec<_>>(), 999, length);
            drop(earlier);
            let place = spare.0.lists.borrow()[0].chunks.as_ptr();
            let mut later = row();
            assert_eq!(later.chunks.as_ptr(), place, "it is in the same place");
            receive(&mut later, &body, 30_000, body.len());
            assert!(finished(later) == fresh, "after {length}");
            drop([row(), row(), row()]);
            assert_eq!(spare.0.lists.borrow().len(), 1, "so many are kept");
        }
        assert_eq!(arena.available(), arena.capacity(), "no buffers are");
    }

    #[test]
    fn a_row_summed_while_it_fills_is_the_one_that_is_summed_later() {
        let arena = Arena::new(Region::allocate(8 << 20).unwrap(), 0);
        for (shape, announced) in [("4+2", 900_000), ("4+2", 200_000), ("1+2", 100_000), ("20+4", 900_000)] {
            let bytes: Vec<u8> = (0..=250_u8).cycle().take(announced).collect();
            for length in [1, 5000, 70_000, announced] {
                let body = &bytes[..length];
                let of = |piece: usize, summed: usize| {
                    let mut row = empty(&arena, shape, announced);
                    receive(&mut row, body, piece, summed);
                    finished(row)
                };
                let expected = of(body.len(), 0);
                assert_eq!(expected.0.iter().map(|extent| extent.length as usize).sum::<usize>(), length);
                for chunk in &expected.1 {
                    let header = ChunkHeader::decode(chunk).unwrap();
                    let payload = &chunk[header_bytes(header.member_crcs.len())..];
                    assert_eq!(header.member_crcs[usize::from(header.member)], crc32c(payload));
                }
                for (piece, summed) in
                    [(body.len(), length), (30_000, length), (999, length), (30_000, 60_000)]
                {
                    assert!(of(piece, summed) == expected, "{shape}: {length} of {announced} by {piece}");
                }
            }
        }
    }
}
