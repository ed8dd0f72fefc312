//! Scrubbing one group: reading every chunk, also those that nobody asks for, and writing back what is bad.
//!
//! 1. Each member's segment begins with a header that names it; else it is written again.
//! 2. Of each row up to the tail every chunk that was written is read. It counts when its header names this place and
//!    its payload has the checksum that the header holds ([`good_chunk`]).
//! 3. The newest writing of which there are good chunks is the row. What is missing of it is computed from enough of
//!    them, compared with the checksum that they hold for it, written where it belongs, and read back.
//!
//! Nothing is written over unless the chunk there was just read and found bad, and enough others prove what belongs
//! there. Whoever asks sees to it that the group is not taken back meanwhile.
//!
//! A row that is not whole is left as it is: the power may have gone while it was written, or its place was claimed and the
//! row written elsewhere, and then nothing refers to it. From here that looks like a loss; the index knows
//! (`shard/lost.rs`). The next row is looked for one write unit after the other: headers name their own place.

use super::gaps::Gaps;
use super::mend::{GoodChunk, RowPlace, chunk_of, good_chunk, write_proved};
use super::open::{segment_header, write_header};
use super::read::read_chunk;
use super::walk::{Walk, Writings, end_of};
use crate::buffer::Buffer;
use crate::error::EngineError;
use crate::limits::{SCRUB_BYTES_MAX, SCRUB_PAUSE_FACTOR, SCRUB_PAUSE_MAX};
use crate::number::to_usize;
use crate::pool::{PoolView, ScrubJob};
use crate::runtime::{DeviceError, Monotonic, Runtime};
use ashlar_disk_format::segment::SegmentHeader;
use ashlar_disk_format::units::{DeviceIndex, Height, RowOffset};
use futures_util::future::join_all;
use std::rc::Rc;

/// What scrubbing a group came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scrubbed {
    /// Bytes of chunks that were read.
    pub(crate) bytes: u64,
    /// Chunks and headers of segments that were bad, and are right again.
    pub(crate) mended: u64,
    /// Bad chunks that their device does not keep, or that cannot be computed.
    pub(crate) unmended: u64,
}

/// What came of a group.
#[derive(Debug)]
pub(crate) struct ScrubbedGroup {
    pub(crate) scrubbed: Scrubbed,
    /// Where rows are not whole.
    pub(crate) gaps: Gaps,
    /// Why it was left before its end, if it was.
    pub(crate) result: Result<(), EngineError>,
}

impl Scrubbed {
    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.mended += other.mended;
        self.unmended += other.unmended;
    }
}

/// One row.
struct ScrubbedRow {
    scrubbed: Scrubbed,
    /// Enough of its newest writing is good.
    is_whole: bool,
}

struct Scrubbing<'a, R: Runtime> {
    view: &'a Rc<PoolView<R>>,
    job: &'a ScrubJob,
    /// Members in service when it began.
    in_service: usize,
    /// Requests that have begun so far.
    requests: &'a dyn Fn() -> u64,
}

/// Reads all of a group and writes back what is bad. Gives way to requests, of which so many have begun.
/// It is left before its end with [`EngineError::Device`] when a device fails, [`EngineError::Full`] when the group has
/// lost a member, [`EngineError::Overloaded`], [`EngineError::Closing`]. What was mended stays so.
pub(crate) async fn scrub_group<R: Runtime>(
    view: &Rc<PoolView<R>>,
    job: &ScrubJob,
    requests: &dyn Fn() -> u64,
) -> ScrubbedGroup {
    let in_service = in_service(view, job);
    let (mut scrubbed, mut gaps) = (Scrubbed::default(), Gaps::default());
    let result = Scrubbing { view, job, in_service, requests }.run(&mut scrubbed, &mut gaps).await;
    if let Err(EngineError::Device { device, error }) = &result {
        view.report_failure(*device, *error).await;
    }
    ScrubbedGroup { scrubbed, gaps, result }
}

fn in_service<R: Runtime>(view: &PoolView<R>, job: &ScrubJob) -> usize {
    job.descriptor.members.iter().filter(|member| view.device(member.device).is_some()).count()
}

impl<R: Runtime> Scrubbing<'_, R> {
    async fn run(&self, scrubbed: &mut Scrubbed, gaps: &mut Gaps) -> Result<(), EngineError> {
        let group = &self.job.descriptor;
        let walk = Walk { view: self.view, group, except: None };
        for member in 0..group.members.len() {
            scrubbed.add(self.scrub_header(member).await?);
        }
        let mut at = RowOffset(1);
        while at < self.job.tail {
            self.may_go_on()?;
            let (began, requests) = (self.view.runtime.now(), (self.requests)());
            let mut rows = walk.rows_from(at).await?;
            self.keep_some(&mut rows);
            let checked = join_all(rows.iter().map(|writings| self.scrub_row(writings))).await;
            // What came of one row counts whatever became of those before it.
            let (mut whole, mut failure) = (0, Ok(()));
            for ((number, row), writings) in checked.into_iter().enumerate().zip(&rows) {
                match row {
                    Ok(row) => {
                        scrubbed.add(row.scrubbed);
                        if row.scrubbed.unmended > 0 && row.is_whole {
                            // What lies in a chunk that cannot be computed may be lost, too.
                            gaps.add(at..end_of(std::slice::from_ref(writings), at));
                        }
                        whole += usize::from(row.is_whole && whole == number);
                    }
                    Err(error) => failure = Err(error),
                }
            }
            failure?;
            let mut end = end_of(&rows[..whole], at);
            if whole == 0 {
                // A place that was claimed and not written to its end, or a loss. Behind it others may stand.
                end = at.after(Height(1));
                gaps.add(at..end);
            }
            at = end;
            self.pause(began, requests).await;
        }
        Ok(())
    }

    /// Rows that can be looked at at the same time.
    fn keep_some(&self, rows: &mut Vec<Writings>) {
        // Behind a row of which several writings are found the next one may begin elsewhere.
        let ambiguous = rows.iter().position(|writings| writings.len() > 1);
        rows.truncate(ambiguous.map_or(rows.len(), |first| first.max(1)));
        let tail = self.job.tail;
        let mut bytes = 0;
        let mut count = 0;
        for newest in rows.iter().filter_map(|writings| writings.first()) {
            bytes += to_usize(u64::from(newest.height.bytes())) * self.job.descriptor.members.len();
            if newest.row.after(newest.height) > tail || (count > 0 && bytes > SCRUB_BYTES_MAX) {
                break;
            }
            count += 1;
        }
        rows.truncate(count);
    }

    fn may_go_on(&self) -> Result<(), EngineError> {
        if self.view.room.is_closed() {
            return Err(EngineError::Closing);
        }
        // While it is scrubbed the group is not rebuilt.
        if in_service(self.view, self.job) < self.in_service { Err(EngineError::Full) } else { Ok(()) }
    }

    /// What says whose a member's segment is.
    async fn scrub_header(&self, member: usize) -> Result<Scrubbed, EngineError> {
        let group = &self.job.descriptor;
        let device = group.members[member].device;
        if self.view.device(device).is_none() {
            return Ok(Scrubbed::default());
        }
        let bytes = u64::from(Height(1).bytes());
        if self.has_header(member).await? {
            return Ok(Scrubbed { bytes, ..Scrubbed::default() });
        }
        let buffer = self.view.runtime.reserve().take(to_usize(bytes)).await?;
        // As it was written when the group was opened.
        let header = SegmentHeader {
            epoch: group.generation.epoch(),
            ..segment_header(self.view, group.clone(), member)
        };
        if let Err((device, error)) = write_header(self.view, &header, buffer).await {
            return self.refused(device, error, bytes);
        }
        let mended = u64::from(self.has_header(member).await?);
        Ok(Scrubbed { bytes, mended, unmended: 1 - mended })
    }

    async fn has_header(&self, member: usize) -> Result<bool, EngineError> {
        let group = &self.job.descriptor;
        let unit = Height(1);
        let length = to_usize(u64::from(unit.bytes()));
        let buffer = self.view.runtime.reserve().take(length).await?;
        let (read, buffer) = read_chunk(self.view, group, member, RowOffset(0), unit, buffer).await;
        let header = read.ok().and_then(|()| SegmentHeader::decode(&buffer.bytes()[..length]).ok());
        // Of a group of which a member was rebuilt the others still name the old one.
        Ok(header.is_some_and(|header| {
            let found = &header.descriptor;
            header.pool == self.view.facts.pool
                && (found.group, found.generation) == (group.group, group.generation)
                && usize::from(header.member) == member
                && found.members.get(member) == group.members.get(member)
        }))
    }

    /// The newest writing of a row.
    async fn scrub_row(&self, writings: &Writings) -> Result<ScrubbedRow, EngineError> {
        let Some(&place) = writings.first() else { unreachable!("a row was found by a header") };
        let group = &self.job.descriptor;
        let height = to_usize(u64::from(place.height.bytes()));
        let parity = usize::from(group.shape.k)..group.shape.members();
        let in_service = |member: &usize| self.view.device(group.members[*member].device).is_some();
        let members: Vec<usize> =
            (0..usize::from(place.data_count)).chain(parity).filter(in_service).collect();
        // All at once: two that wait for their last one while holding the others would wait for ever.
        let buffers = self.view.runtime.arena().take_many(members.len(), height).await?;
        let reads = members.into_iter().zip(buffers).map(async |(member, buffer)| {
            (member, good_chunk(self.view, group, member, place, buffer).await)
        });
        let read = join_all(reads).await;
        let bytes = (read.len() * height) as u64;
        let writing = |chunk: &GoodChunk| (chunk.header.epoch, chunk.header.sequence);
        let newest = read.iter().filter_map(|(_, chunk)| chunk.as_ref().ok()).map(writing).max();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (member, chunk) in read {
            match chunk {
                Ok(chunk) if Some(writing(&chunk)) == newest => good.push(chunk),
                Ok(GoodChunk { bytes, .. }) | Err(bytes) => bad.push((member, bytes)),
            }
        }
        let mut scrubbed = Scrubbed { bytes, ..Scrubbed::default() };
        let needed = good.first().map_or(usize::MAX, |chunk| usize::from(chunk.header.data_count));
        if good.len() < needed {
            return Ok(ScrubbedRow { scrubbed, is_whole: false });
        }
        for (member, buffer) in bad {
            scrubbed.add(self.mend(&good, member, place, buffer).await?);
        }
        Ok(ScrubbedRow { scrubbed, is_whole: true })
    }

    /// Puts a chunk where it belongs, from good ones of its row.
    async fn mend(
        &self,
        good: &[GoodChunk],
        member: usize,
        place: RowPlace,
        buffer: Buffer,
    ) -> Result<Scrubbed, EngineError> {
        let group = &self.job.descriptor;
        let Some((header, chunk)) = chunk_of(self.view, group, good, member, place.height, buffer) else {
            return Ok(Scrubbed { unmended: 1, ..Scrubbed::default() });
        };
        match write_proved(self.view, group, &header, place, chunk).await {
            Ok(is_kept) => {
                let mended = u64::from(is_kept);
                Ok(Scrubbed { mended, unmended: 1 - mended, ..Scrubbed::default() })
            }
            Err(EngineError::Device { device, error }) => self.refused(device, error, 0),
            Err(error) => Err(error),
        }
    }

    /// A device did not take what was to be mended. One that went out of service meanwhile is no news.
    fn refused(&self, device: DeviceIndex, error: DeviceError, bytes: u64) -> Result<Scrubbed, EngineError> {
        if error == DeviceError::Fenced || self.view.device(device).is_none() {
            return Ok(Scrubbed { bytes, ..Scrubbed::default() });
        }
        Err(EngineError::Device { device, error })
    }

    /// Beside requests scrubbing takes a small part of the time.
    async fn pause(&self, began: Monotonic, requests: u64) {
        let runtime = &self.view.runtime;
        if (self.requests)() == requests {
            runtime.turn().await;
        } else {
            let took = runtime.now().since(began);
            runtime.sleep(took.saturating_mul(SCRUB_PAUSE_FACTOR).min(SCRUB_PAUSE_MAX)).await;
        }
    }
}
