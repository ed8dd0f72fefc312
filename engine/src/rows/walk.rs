//! Walking the rows of a group by their headers, one behind the other.
//!
//! A row's headers are read from the members that every row is written to: the first data member and parity. They say
//! how tall it is, and so where the next one begins.

use super::mend::{RowPlace, belongs};
use super::read::read_chunk;
use crate::error::EngineError;
use crate::limits::WALK_ROWS;
use crate::number::to_usize;
use crate::pool::PoolView;
use crate::runtime::Runtime;
use ashlar_disk_format::chunk::ChunkHeader;
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::units::{Epoch, Height, RowOffset, RowSequence};
use futures_util::future::join_all;
use std::rc::Rc;

/// Writings of a row whose headers stand at a place, the newest first.
pub(super) type Writings = Vec<RowPlace>;

/// One group.
pub(super) struct Walk<'a, R: Runtime> {
    pub(super) view: &'a Rc<PoolView<R>>,
    pub(super) group: &'a GroupDescriptor,
    /// A member that is not asked.
    pub(super) except: Option<usize>,
}

/// Where the rows end that begin at a place, if the newest writing of each is the one that counts.
pub(super) fn end_of(rows: &[Writings], at: RowOffset) -> RowOffset {
    let last = rows.last().and_then(|writings| writings.first());
    last.map_or(at, |place| place.row.after(place.height))
}

impl<R: Runtime> Walk<'_, R> {
    /// The rows that follow each other from a place on; none when none begins there.
    pub(super) async fn rows_from(&self, at: RowOffset) -> Result<Vec<Writings>, EngineError> {
        let mut rows = Vec::with_capacity(WALK_ROWS);
        let mut next = at;
        while rows.len() < WALK_ROWS {
            let writings = self.look(next).await?;
            let Some(newest) = writings.first() else { break };
            next = newest.row.after(newest.height);
            rows.push(writings);
        }
        Ok(rows)
    }

    async fn look(&self, row: RowOffset) -> Result<Writings, EngineError> {
        let group = self.group;
        let segment_bytes = self.view.facts.segment_bytes;
        if row.after(Height(1)).bytes() > segment_bytes {
            return Ok(Vec::new());
        }
        let parity = usize::from(group.shape.k)..group.shape.members();
        let members: Vec<usize> =
            std::iter::once(0).chain(parity).filter(|member| Some(*member) != self.except).collect();
        let unit = Height(1);
        let buffers =
            self.view.runtime.reserve().take_many(members.len(), to_usize(u64::from(unit.bytes()))).await?;
        let reads = members.iter().zip(buffers).map(async |(&member, buffer)| {
            let (read, chunk) = read_chunk(self.view, group, member, row, unit, buffer).await;
            read.ok()?;
            let header = ChunkHeader::decode(chunk.bytes()).ok()?;
            let fits = row.after(header.height).bytes() <= segment_bytes;
            (fits && belongs(self.view, group, &header, member, row)).then_some((
                (header.epoch, header.sequence),
                header.height,
                header.data_count,
            ))
        });
        let mut found: Vec<((Epoch, RowSequence), Height, u8)> =
            join_all(reads).await.into_iter().flatten().collect();
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.dedup();
        Ok(found.into_iter().map(|(_, height, data_count)| RowPlace { row, height, data_count }).collect())
    }
}
