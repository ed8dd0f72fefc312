//! A range of a body as a stream of verified slices, some of them read ahead.

use crate::buffer::BufferSlice;
use crate::error::EngineError;
use crate::limits::READ_AHEAD_EXTENTS;
use crate::number::to_u32;
use crate::pool::PoolView;
use crate::rows::{read_body, read_body_at_once, read_extent};
use crate::runtime::Runtime;
use arrayvec::ArrayVec;
use ashlar_disk_format::error::{DecodeError, Field, Structure};
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::extent_page::ExtentPage;
use ashlar_disk_format::value::{BodyEntry, Entries};
use futures_util::future::LocalBoxFuture;
use std::future::poll_fn;
use std::ops::Range;
use std::rc::Rc;
use std::task::Poll;

/// Bytes that come before those that were asked for last.
enum Ahead {
    /// They are here.
    Here(Result<BufferSlice, EngineError>),
    /// The device was asked. It owns the memory already: what is read ahead never waits for any, because it is
    /// given back only behind the bytes before it, and those may be waiting.
    Asked(LocalBoxFuture<'static, Result<BufferSlice, EngineError>>),
}

/// See the module.
pub(crate) struct ExtentStream<R: Runtime> {
    view: Rc<PoolView<R>>,
    /// What is still to be visited, last first.
    pending: Entries,
    /// Bytes to pass over, then bytes to hand out.
    skip: u64,
    left: u64,
    /// In order.
    ahead: ArrayVec<Ahead, READ_AHEAD_EXTENTS>,
    /// What comes behind them, and could not be read ahead.
    next: Option<(Extent, Range<u32>)>,
}

impl<R: Runtime> std::fmt::Debug for ExtentStream<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExtentStream").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<R: Runtime> ExtentStream<R> {
    /// The bytes `range` of the body that `entries` make up.
    pub(crate) fn new(view: Rc<PoolView<R>>, entries: &[BodyEntry], range: Range<u64>) -> Self {
        let pending = entries.iter().rev().cloned().collect();
        Self {
            view,
            pending,
            skip: range.start,
            left: range.end.saturating_sub(range.start),
            ahead: ArrayVec::new(),
            next: None,
        }
    }

    /// Whether the next bytes come without waiting for memory.
    pub(crate) fn is_reading(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// The next bytes; `None` behind the last.
    ///
    /// # Errors
    /// When bytes cannot be had that pass their checksums.
    pub(crate) async fn next(&mut self) -> Result<Option<BufferSlice>, EngineError> {
        self.read_ahead().await?;
        // Taken off only when the bytes are here: a caller who gives up half way loses none.
        if let Some(Ahead::Asked(reading)) = self.ahead.first_mut() {
            let result = reading.await;
            self.ahead.remove(0);
            return result.map(Some);
        }
        if let Some(Ahead::Here(result)) = self.ahead.pop_at(0) {
            return result.map(Some);
        }
        let Some((extent, range)) = &self.next else { return Ok(None) };
        let slice = read_body(&self.view, extent, range.clone()).await?;
        self.next = None;
        Ok(Some(slice))
    }

    async fn read_ahead(&mut self) -> Result<(), EngineError> {
        while self.ahead.len() < READ_AHEAD_EXTENTS {
            let next = match self.next.take() {
                Some(next) => Some(next),
                None => self.next_extent().await?,
            };
            let Some((extent, range)) = next else { return Ok(()) };
            if let Some(slice) = self.view.blocks.get(&extent, &range) {
                self.ahead.push(Ahead::Here(Ok(slice)));
                continue;
            }
            // The only one needs no place among those read ahead.
            let is_alone = self.ahead.is_empty() && self.left == 0;
            let reading =
                if is_alone { None } else { read_body_at_once(&self.view, extent.clone(), range.clone())? };
            let Some(mut reading) = reading else {
                self.next = Some((extent, range));
                return Ok(());
            };
            let begun = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await;
            self.ahead.push(match begun {
                Poll::Ready(result) => Ahead::Here(result),
                Poll::Pending => Ahead::Asked(reading),
            });
        }
        Ok(())
    }

    /// The record promises more bytes than its extents hold. An end would pass for the whole body: a copy
    /// would be stored short, under the entity tag of all of it.
    fn ends_early(&self) -> EngineError {
        let (structure, field) = (Structure::Extent, Field::Length);
        EngineError::Decode(DecodeError::Mismatch { structure, field, expected: self.left, found: 0 })
    }

    /// The next extent of the range and which of its bytes belong to it. Pages before the range are
    /// passed over unread.
    async fn next_extent(&mut self) -> Result<Option<(Extent, Range<u32>)>, EngineError> {
        while self.left > 0 {
            let Some(entry) = self.pending.pop() else { return Err(self.ends_early()) };
            let length = entry.length();
            if self.skip >= length {
                self.skip -= length;
                continue;
            }
            match entry {
                BodyEntry::Data(extent) => {
                    let start = u64::min(self.skip, length);
                    let end = length.min(start + self.left);
                    self.skip = 0;
                    self.left -= end - start;
                    let range = to_u32(crate::number::to_usize(start))..to_u32(crate::number::to_usize(end));
                    return Ok(Some((extent, range)));
                }
                BodyEntry::Page { page, .. } => {
                    let reserve = self.view.runtime.reserve();
                    let bytes = read_extent(&self.view, reserve, &page, 0..page.length).await?;
                    let entries = ExtentPage::decode(bytes.bytes())?.entries;
                    self.pending.extend(entries.into_iter().rev());
                }
                // Its address was looked up before; here it stands only in what another build wrote.
                BodyEntry::Shared { id, .. } => return Err(EngineError::SharedBodyMissing { id }),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::PoolFacts;
    use crate::runtime::sim::{Sim, SimConfig};
    use ashlar_disk_format::code::CodeShape;
    use ashlar_disk_format::units::{Epoch, PoolId};

    #[test]
    fn a_body_that_ends_early_is_an_error_and_no_end() {
        let facts = PoolFacts {
            pool: PoolId([1; 16]),
            epoch: Epoch(1),
            shape: CodeShape::new(2, 1).unwrap(),
            segment_bytes: 1 << 20,
            missing: 0,
        };
        Sim::new(SimConfig::default())
            .run(|runtime| async move {
                let view = Rc::new(PoolView::new(runtime, facts, Vec::new()));
                let mut short = ExtentStream::new(Rc::clone(&view), &[], 0..10);
                assert!(matches!(short.next().await, Err(EngineError::Decode(_))));
                let mut empty = ExtentStream::new(view, &[], 0..0);
                assert!(matches!(empty.next().await, Ok(None)));
            })
            .assert_finished();
    }
}
