//! The bodies that one core hashes: what has come of each, and what of that was taken.

use super::digests::{BodyDigests, Ends};
use super::simd::Kernel;
use super::stream::{Algorithm, OfMd5, OfSha256, Work, compress};
use crate::buffer::{Buffer, BufferSlice};
use crate::limits::{HASH_COMPANY_BLOCKS, HASH_LANES_MAX, HASH_SLICE_BLOCKS, HASH_WAITERS_MAX};
use arrayvec::ArrayVec;
use std::collections::VecDeque;
use std::ops::Range;
use std::task::Waker;

/// Bytes to be hashed, kept as long as that takes.
#[derive(Debug)]
pub(super) enum Bytes {
    /// In a buffer that goes back to whoever waits.
    Own(Buffer, Range<usize>),
    /// In a buffer that others read, too.
    Shared(BufferSlice),
}

/// Bytes of a body that follow each other in memory.
#[derive(Debug)]
struct Piece {
    /// The batch that it belongs to, counted from one.
    batch: u64,
    /// Absent while they were only promised.
    bytes: Option<Bytes>,
    ends: Ends,
    /// Whether it is the last of its batch.
    is_last: bool,
}

/// A body.
#[derive(Debug, Default)]
struct Place {
    /// Handles; none if the place is free.
    users: usize,
    /// Absent only in a place that is free.
    digests: Option<BodyDigests>,
    pieces: VecDeque<Piece>,
    /// The last buffer that was used up and came as [`Bytes::Own`].
    returned: Option<Buffer>,
    promised: u64,
    /// Batches of which every piece was taken.
    taken: u64,
    /// Whoever waits until so many batches were taken.
    waiters: Waiters,
    /// Somebody waits until so many were taken.
    awaited: u64,
    is_queued: bool,
    /// A batch that was promised never came.
    is_broken: bool,
}

/// Whoever waits in one place, and for which batch.
pub(super) type Waiters = ArrayVec<(u64, Waker), HASH_WAITERS_MAX>;

/// A place holds pieces only of bodies under way, so there are never more than buffers.
#[derive(Debug, Default)]
pub(super) struct Queue {
    places: Vec<Place>,
    free: Vec<usize>,
    /// Places with bytes to be hashed, in the order in which they came.
    waiting: VecDeque<usize>,
    /// Bodies of which more may come.
    open: usize,
}

/// Wakers of one slice.
pub(super) type Wakers = ArrayVec<Waker, { HASH_WAITERS_MAX * HASH_LANES_MAX }>;

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Self::Own(buffer, range) => &buffer.bytes()[range.clone()],
            Self::Shared(slice) => slice.bytes(),
        }
    }
}

impl Place {
    /// The piece that is taken next, if its bytes are there.
    fn front(&self) -> Option<&Bytes> {
        self.pieces.front()?.bytes.as_ref()
    }

    fn is_urgent(&self) -> bool {
        self.taken < self.awaited
    }

    /// Goes on to the next piece if the first was used up. The streams are ready for another then.
    fn settle(&mut self) {
        let Self { digests: Some(digests), pieces, .. } = self else { return };
        let Some(Piece { bytes: Some(bytes), ends, .. }) = pieces.front() else { return };
        let piece = bytes.get();
        let is_done = Work { stream: &mut digests.md5, piece, is_last: ends.body }.is_done()
            && digests
                .sha256
                .as_mut()
                .is_none_or(|stream| Work { stream, piece, is_last: ends.body }.is_done())
            && digests
                .chunk
                .as_mut()
                .is_none_or(|stream| Work { stream, piece, is_last: ends.chunk }.is_done());
        if !is_done {
            return;
        }
        digests.md5.finish_piece();
        for stream in [&mut digests.sha256, &mut digests.chunk].into_iter().flatten() {
            stream.finish_piece();
        }
        let Some(Piece { batch, bytes, is_last, .. }) = self.pieces.pop_front() else { return };
        if is_last {
            self.taken = batch;
        }
        if let Some(Bytes::Own(buffer, _)) = bytes {
            self.returned = Some(buffer);
        }
    }
}

impl Queue {
    /// A place for a body, with one user.
    pub(super) fn open(&mut self, digests: BodyDigests) -> usize {
        let index = self.free.pop().unwrap_or(self.places.len());
        if index == self.places.len() {
            self.places.push(Place::default());
        }
        self.places[index].users = 1;
        self.places[index].digests = Some(digests);
        self.open += 1;
        index
    }

    /// One more handle to a place.
    pub(super) fn share(&mut self, index: usize) {
        self.places[index].users += 1;
    }

    /// A handle lets go; with the last the place is free.
    pub(super) fn let_go(&mut self, index: usize) {
        let place = &mut self.places[index];
        place.users -= 1;
        if place.users > 0 {
            return;
        }
        assert!(!place.is_queued, "a body is closed before its place is free");
        let mut pieces = std::mem::take(&mut self.places[index].pieces);
        pieces.clear();
        self.places[index] = Place { pieces, ..Place::default() };
        self.free.push(index);
    }

    /// Nothing more comes of a body, and nobody wants its digests any more. Whoever waits for one of its batches has to
    /// be woken.
    pub(super) fn close(&mut self, index: usize) -> Waiters {
        self.open -= 1;
        self.end(index)
    }

    /// Nothing more of a body is hashed.
    fn end(&mut self, index: usize) -> Waiters {
        let place = &mut self.places[index];
        place.taken = u64::MAX;
        place.pieces.clear();
        let waiters = std::mem::take(&mut place.waiters);
        if std::mem::take(&mut place.is_queued) {
            self.waiting.retain(|waiting| *waiting != index);
        }
        waiters
    }

    /// Room for a batch behind those that were promised before; its number.
    pub(super) fn promise(&mut self, index: usize) -> u64 {
        let place = &mut self.places[index];
        place.promised += 1;
        let batch = place.promised;
        if place.is_broken {
            return batch;
        }
        place.pieces.push_back(Piece { batch, bytes: None, ends: Ends::default(), is_last: true });
        batch
    }

    /// The bytes of a batch that was promised.
    pub(super) fn keep(&mut self, index: usize, batch: u64, bytes: impl Iterator<Item = Bytes>, ends: Ends) {
        let place = &mut self.places[index];
        let Some(at) = place.pieces.iter().position(|piece| piece.batch == batch) else {
            assert!(self.is_taken(index, batch), "a batch is promised before it is kept");
            return;
        };
        assert!(place.pieces[at].bytes.is_none(), "a batch is kept once, as long as it was not taken");
        let mut end = at;
        for bytes in bytes {
            let piece = Piece { batch, bytes: Some(bytes), ends, is_last: false };
            if end == at {
                place.pieces[at] = piece;
            } else {
                place.pieces.insert(end, piece);
            }
            end += 1;
        }
        assert!(end > at, "a batch is not empty");
        place.pieces[end - 1].is_last = true;
        if !place.is_queued && place.front().is_some() {
            place.is_queued = true;
            self.waiting.push_back(index);
        }
    }

    /// Whether the next bytes of a body are there.
    pub(super) fn is_queued(&self, index: usize) -> bool {
        self.places[index].is_queued
    }

    /// Whether all of a batch was taken.
    pub(super) fn is_taken(&self, index: usize, batch: u64) -> bool {
        self.places[index].taken >= batch
    }

    /// From now on the batch comes before those that nobody waits for.
    pub(super) fn hurry(&mut self, index: usize, batch: u64) {
        let place = &mut self.places[index];
        place.awaited = place.awaited.max(batch);
    }

    /// Has `waker` woken when the batch was taken, or to lead.
    pub(super) fn wake_at(&mut self, index: usize, batch: u64, waker: &Waker) {
        let waiters = &mut self.places[index].waiters;
        match waiters.iter_mut().find(|(awaited, _)| *awaited == batch) {
            Some((_, known)) => known.clone_from(waker),
            None => waiters.push((batch, waker.clone())),
        }
    }

    /// Whoever had a batch has gone. If it was not handed in, none behind it will be hashed: their waiters have to be
    /// woken.
    pub(super) fn forget(&mut self, index: usize, batch: u64) -> Waiters {
        let place = &mut self.places[index];
        place.waiters.retain(|(awaited, _)| *awaited != batch);
        if !place.pieces.iter().any(|piece| piece.batch == batch && piece.bytes.is_none()) {
            return Waiters::new();
        }
        place.is_broken = true;
        self.end(index)
    }

    /// One of those who wait, to lead.
    pub(super) fn next_lead(&mut self) -> Option<Waker> {
        let place = self.waiting.iter().find(|index| !self.places[**index].waiters.is_empty()).copied()?;
        self.places[place].waiters.pop().map(|(_, waker)| waker)
    }

    /// The body's digests and, if its last piece was in a buffer of its own, that.
    pub(super) fn collect(&mut self, index: usize) -> (Option<BodyDigests>, Option<Buffer>) {
        let place = &mut self.places[index];
        assert!(!place.is_broken, "digests are asked for when everything that was promised came");
        assert!(place.pieces.is_empty(), "digests are asked for when everything was taken");
        (place.digests.take(), place.returned.take())
    }

    /// Bodies of which bytes wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether waiting brings no more company: the lanes are full, or everybody is here.
    pub(super) fn has_company(&self) -> bool {
        self.waiting.len() >= HASH_LANES_MAX.min(self.open)
    }

    /// Hashes a slice of those who are awaited and of those who came first; says how many that were.
    pub(super) fn hash_slice(&mut self, kernel: Kernel) -> (u64, Wakers) {
        let chosen = self.choose();
        let mut left = HASH_SLICE_BLOCKS;
        while left > 0 {
            let (taken, is_one_short) = hash_chosen(&mut self.chosen(&chosen), kernel, left);
            left = left.saturating_sub(taken);
            if taken == 0 || (is_one_short && HASH_SLICE_BLOCKS - left >= HASH_COMPANY_BLOCKS) {
                break;
            }
        }
        (chosen.len() as u64, self.settle(&chosen))
    }

    /// As many as fit one slice, in the order of their places.
    fn choose(&mut self) -> ArrayVec<usize, HASH_LANES_MAX> {
        let mut chosen: ArrayVec<usize, HASH_LANES_MAX> = ArrayVec::new();
        for urgent in [true, false] {
            let places = &self.places;
            let fitting = self.waiting.iter().copied().filter(|index| places[*index].is_urgent() == urgent);
            let room = chosen.remaining_capacity();
            chosen.extend(fitting.take(room));
        }
        chosen.sort_unstable();
        chosen
    }

    /// The chosen places, which are in order.
    fn chosen(&mut self, indices: &[usize]) -> ArrayVec<&mut Place, HASH_LANES_MAX> {
        let mut rest = &mut *self.places;
        let mut first = 0;
        let mut chosen = ArrayVec::new();
        for index in indices {
            let (_, from) = std::mem::take(&mut rest).split_at_mut(index - first);
            let Some((place, behind)) = from.split_first_mut() else { unreachable!("chosen places exist") };
            chosen.push(place);
            rest = behind;
            first = index + 1;
        }
        chosen
    }

    /// Ends the round of the chosen ones; gives the wakers of those whose batch was taken.
    fn settle(&mut self, chosen: &[usize]) -> Wakers {
        let mut wakers = Wakers::new();
        for index in chosen {
            let place = &mut self.places[*index];
            place.is_queued = place.front().is_some();
            let taken = place.taken;
            while let Some(at) = place.waiters.iter().position(|(batch, _)| *batch <= taken) {
                wakers.push(place.waiters.swap_remove(at).1);
            }
        }
        let places = &self.places;
        self.waiting.retain(|index| places[*index].is_queued);
        wakers
    }
}

/// Hashes up to `blocks_max` blocks of each place, all of one piece. Says how many, and whether a place has no more.
fn hash_chosen(places: &mut [&mut Place], kernel: Kernel, blocks_max: usize) -> (usize, bool) {
    let taken = hash_pieces(places, kernel, blocks_max);
    let mut is_one_short = false;
    for place in places {
        place.settle();
        is_one_short |= place.front().is_none();
    }
    (taken, is_one_short)
}

/// The most blocks that were taken of any piece.
fn hash_pieces(places: &mut [&mut Place], kernel: Kernel, blocks_max: usize) -> usize {
    let mut md5: ArrayVec<Work<'_, OfMd5>, HASH_LANES_MAX> = ArrayVec::new();
    let mut whole: ArrayVec<Work<'_, OfSha256>, HASH_LANES_MAX> = ArrayVec::new();
    let mut chunks: ArrayVec<Work<'_, OfSha256>, HASH_LANES_MAX> = ArrayVec::new();
    for place in places {
        let Place { digests: Some(digests), pieces, .. } = &mut **place else { continue };
        let Some(Piece { bytes: Some(bytes), ends, .. }) = pieces.front() else { continue };
        let piece = bytes.get();
        md5.push(Work { stream: &mut digests.md5, piece, is_last: ends.body });
        if let Some(stream) = &mut digests.sha256 {
            whole.push(Work { stream, piece, is_last: ends.body });
        }
        if let Some(stream) = &mut digests.chunk {
            chunks.push(Work { stream, piece, is_last: ends.chunk });
        }
    }
    let taken = slice(kernel, &mut md5, blocks_max);
    if whole.len() + chunks.len() <= HASH_LANES_MAX {
        whole.extend(chunks);
        taken.max(slice(kernel, &mut whole, blocks_max))
    } else {
        taken.max(slice(kernel, &mut whole, blocks_max)).max(slice(kernel, &mut chunks, blocks_max))
    }
}

/// Where a kernel takes its lanes one after the other, a slice is shorter, so that the core is not held longer.
fn slice<A: Algorithm>(kernel: Kernel, works: &mut [Work<'_, A>], blocks_max: usize) -> usize {
    let rounds = works.len().div_ceil(kernel.width()).max(1);
    compress(kernel, works, blocks_max.div_ceil(rounds))
}
