//! The header of one chunk of a row. Every chunk on every device says who it is and where it belongs: that
//! detects misdirected and stale writes, tells a torn tail from rot, and lets the index be rebuilt from a scan.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `ASHCHUNK` |
//! | 8 | 2 | version, 1 |
//! | 10 | 1 | kind of the group |
//! | 11 | 1 | code family |
//! | 12 | 1 | k |
//! | 13 | 1 | m |
//! | 14 | 1 | member: which chunk of the row this is |
//! | 15 | 1 | data count: data chunks that the row uses |
//! | 16 | 16 | pool |
//! | 32 | 4 | group |
//! | 36 | 4 | row, write units from the start of the segment |
//! | 40 | 8 | generation |
//! | 48 | 4 | mount epoch of the writer |
//! | 52 | 2 | height, write units |
//! | 54 | 2 | log |
//! | 56 | 8 | sequence of the row in its log, from 1; outside a log the writer's own count, for people |
//! | 64 | 4 | header CRC of member 0 of the previous row of the log; 0 outside a log and for its first row |
//! | 68 | 4 | bytes of log records at the end of the row's payload |
//! | 72 | 4 | payload bytes of the row, over all its data chunks |
//! | 76 | 48 | reserved, zero |
//! | 124 | 4 | CRC32C of the header: bytes 0 to 123, then byte 128 to the end of the header |
//! | 128 | 4 (k + m) | CRC32C of the payload area of each member; 0 for data chunks that are not written |
//! | … | | zero up to a multiple of 64 |
//!
//! The payload area begins at `header_bytes` and reaches to the end of the chunk. Bytes of the row run down
//! data chunk 0, then 1, and so on; what is left of the last payload area is zero.

use crate::bytes::{Reader, Writer, checksum, magic, version, within};
use crate::checksum::{crc32c, crc32c_append};
use crate::code::{CodeFamily, CodeShape};
use crate::constants::{CHUNK_HEADER_FIXED_BYTES, CHUNK_MAGIC, HEIGHT_MAX, MEMBERS_MAX};
use crate::error::{DecodeError, Field, Structure};
use crate::group::GroupKind;
use crate::units::{Epoch, Generation, GroupId, Height, LogId, PoolId, RowOffset, RowSequence};
use smallvec::SmallVec;

/// A number for each member of a group. Those of ordinary groups take no memory of their own.
pub type MemberCrcs = SmallVec<[u32; 8]>;

/// What a chunk says about itself and its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkHeader {
    /// The pool.
    pub pool: PoolId,
    /// The group.
    pub group: GroupId,
    /// Which use of the group slot.
    pub generation: Generation,
    /// The mount that wrote the row.
    pub epoch: Epoch,
    /// Kind of the group.
    pub kind: GroupKind,
    /// The log (or the core) that wrote the row.
    pub log: LogId,
    /// Position in the log, from 1; outside a log the writer's own count, for people only.
    pub sequence: RowSequence,
    /// Header CRC of member 0 of the previous row of the log; 0 outside a log.
    pub previous_crc: u32,
    /// Where the row begins in each segment.
    pub row: RowOffset,
    /// Height of the row.
    pub height: Height,
    /// Which chunk this is: below k data, from k parity.
    pub member: u8,
    /// Data chunks of the group.
    pub k: u8,
    /// Parity chunks of the group.
    pub m: u8,
    /// Code of the group.
    pub family: CodeFamily,
    /// Data chunks that the row uses, 1 to k.
    pub data_count: u8,
    /// Bytes of log records at the end of the row's payload, behind the small bodies whose addresses they hold; 0 outside a log.
    pub record_bytes: u32,
    /// Bytes of the row used, over all its data chunks.
    pub payload_bytes: u32,
    /// CRC32C of the whole payload area of each member, by member; 0 for data chunks that are not written.
    pub member_crcs: MemberCrcs,
}

const VERSION: u16 = 1;
const CRC_OFFSET: usize = 124;
const _: () = assert!(CRC_OFFSET + 4 == CHUNK_HEADER_FIXED_BYTES);

/// Size of the header of a chunk in a group of that many members: a multiple of 64.
///
/// # Panics
/// Above [`MEMBERS_MAX`].
#[must_use]
pub fn header_bytes(members: usize) -> usize {
    assert!(members <= MEMBERS_MAX, "a group has at most {MEMBERS_MAX} members");
    (CHUNK_HEADER_FIXED_BYTES + 4 * members).next_multiple_of(64)
}

/// Payload bytes of one chunk.
///
/// # Panics
/// Above [`MEMBERS_MAX`], or for the height 0.
#[must_use]
pub fn payload_capacity(height: Height, members: usize) -> u32 {
    assert!(height.0 > 0, "a chunk has at least one write unit");
    height.bytes() - crate::bytes::length_u32(header_bytes(members))
}

impl ChunkHeader {
    /// Chunks of the row when it is full.
    #[must_use]
    pub fn members(&self) -> usize {
        usize::from(self.k) + usize::from(self.m)
    }

    /// Code of the group.
    #[must_use]
    pub fn shape(&self) -> CodeShape {
        CodeShape { family: self.family, k: self.k, m: self.m }
    }

    /// Whether the row has a chunk of that member on disk: used data chunks and all parity.
    #[must_use]
    pub fn is_written(&self, member: u8) -> bool {
        member < self.data_count || (member >= self.k && usize::from(member) < self.members())
    }

    /// Writes the header to the front of a chunk and returns its CRC, which the next row of the log links to
    /// (when this is member 0).
    ///
    /// # Panics
    /// When `chunk` is shorter than the header, or a field is outside its limits: both are ours.
    pub fn encode_into(&self, chunk: &mut [u8]) -> u32 {
        assert_eq!(self.check(), Ok(()), "the row's writer keeps the limits");
        let length = header_bytes(self.members());
        let Some(header) = chunk.get_mut(..length) else { unreachable!("a chunk is longer than its header") };
        let mut writer = Writer::new(header);
        writer.u64(CHUNK_MAGIC);
        writer.u16(VERSION);
        for byte in [self.kind.number(), self.family.number(), self.k, self.m, self.member, self.data_count] {
            writer.u8(byte);
        }
        writer.put(&self.pool.0);
        writer.u32(self.group.0);
        writer.u32(self.row.0);
        writer.u64(self.generation.0);
        writer.u32(self.epoch.0);
        writer.u16(self.height.0);
        writer.u16(self.log.0);
        writer.u64(self.sequence.0);
        writer.u32(self.previous_crc);
        writer.u32(self.record_bytes);
        writer.u32(self.payload_bytes);
        writer.zeros(CHUNK_HEADER_FIXED_BYTES - writer.offset());
        for &crc in &self.member_crcs {
            writer.u32(crc);
        }
        writer.zeros(length - writer.offset());
        let crc = header_crc(header);
        Writer::new(header.get_mut(CRC_OFFSET..).unwrap_or_default()).u32(crc);
        crc
    }

    /// Reads the header at the front of a chunk; the payload is not looked at.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong. Space never written gives [`DecodeError::Magic`].
    pub fn decode(chunk: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_with_crc(chunk).map(|(header, _)| header)
    }

    /// Like [`ChunkHeader::decode`], and the header's own CRC, which the next row of the log links to.
    ///
    /// # Errors
    /// As [`ChunkHeader::decode`].
    pub fn decode_with_crc(chunk: &[u8]) -> Result<(Self, u32), DecodeError> {
        let structure = Structure::ChunkHeader;
        let mut reader = Reader::new(structure, chunk);
        magic(structure, CHUNK_MAGIC, reader.u64(Field::Header)?)?;
        version(structure, VERSION, reader.u16(Field::Version)?)?;
        let [kind, family, k, m, member, data_count] = reader.array(Field::Header)?;
        let shape = CodeShape::from_stored(family, k, m)?;
        // The shape bounds the length of the header, so now its checksum can be checked.
        let length = header_bytes(shape.members());
        let header = Reader::new(structure, chunk).take(Field::Header, length)?;
        let crc = Reader::new(structure, header.get(CRC_OFFSET..).unwrap_or_default()).u32(Field::Header)?;
        checksum(structure, crc, header_crc(header))?;
        let found = Self {
            pool: PoolId(reader.array(Field::Pool)?),
            group: GroupId(reader.u32(Field::Group)?),
            row: RowOffset(reader.u32(Field::Row)?),
            generation: Generation(reader.u64(Field::Generation)?),
            epoch: Epoch(reader.u32(Field::Header)?),
            height: Height(reader.u16(Field::Height)?),
            log: LogId(reader.u16(Field::Log)?),
            sequence: RowSequence(reader.u64(Field::Sequence)?),
            previous_crc: reader.u32(Field::PreviousCrc)?,
            record_bytes: reader.u32(Field::RecordBytes)?,
            payload_bytes: reader.u32(Field::PayloadBytes)?,
            member_crcs: MemberCrcs::new(),
            kind: GroupKind::from_stored(structure, kind)?,
            family: shape.family,
            k,
            m,
            member,
            data_count,
        };
        reader.reserved(CRC_OFFSET - reader.offset())?;
        reader.u32(Field::Header)?;
        let found = Self { member_crcs: read_crcs(&mut reader, shape.members())?, ..found };
        reader.reserved(length - reader.offset())?;
        found.check()?;
        Ok((found, crc))
    }

    /// Checks that this is the chunk that was looked for: finds misdirected and stale writes.
    ///
    /// # Errors
    /// [`DecodeError::Mismatch`] with the first field that differs.
    pub fn expect(
        &self,
        group: GroupId,
        generation: Generation,
        row: RowOffset,
        member: u8,
    ) -> Result<(), DecodeError> {
        let structure = Structure::ChunkHeader;
        let fields = [
            (Field::Group, u64::from(group.0), u64::from(self.group.0)),
            (Field::Generation, generation.0, self.generation.0),
            (Field::Row, u64::from(row.0), u64::from(self.row.0)),
            (Field::Member, u64::from(member), u64::from(self.member)),
        ];
        for (field, expected, found) in fields {
            if expected != found {
                return Err(DecodeError::Mismatch { structure, field, expected, found });
            }
        }
        Ok(())
    }

    /// Checks the payload area of this row's `member` against the checksum that the header holds.
    ///
    /// # Errors
    /// [`DecodeError::Checksum`] if the bytes are others, [`DecodeError::OutOfRange`] for no such member.
    pub fn verify_payload(&self, member: u8, payload: &[u8]) -> Result<(), DecodeError> {
        let structure = Structure::ChunkHeader;
        let Some(&crc) = self.member_crcs.get(usize::from(member)) else {
            let maximum = self.member_crcs.len() as u64;
            let found = u64::from(member);
            return Err(DecodeError::OutOfRange {
                structure,
                field: Field::Member,
                minimum: 0,
                maximum,
                found,
            });
        };
        checksum(structure, crc, crc32c(payload))
    }

    /// Checks the limits, in the order of the fields.
    ///
    /// # Errors
    /// [`DecodeError`] by field.
    pub fn check(&self) -> Result<(), DecodeError> {
        let structure = Structure::ChunkHeader;
        self.shape().check()?;
        let members = self.members();
        within(structure, Field::Member, 0..=members as u64 - 1, u64::from(self.member))?;
        within(structure, Field::DataCount, 1..=u64::from(self.k), u64::from(self.data_count))?;
        if !self.is_written(self.member) {
            let (expected, found) = (u64::from(self.data_count), u64::from(self.member));
            return Err(DecodeError::Mismatch { structure, field: Field::Member, expected, found });
        }
        within(
            structure,
            Field::Row,
            1..=u64::from(u32::MAX - u32::from(HEIGHT_MAX)),
            u64::from(self.row.0),
        )?;
        within(structure, Field::Height, 1..=u64::from(HEIGHT_MAX), u64::from(self.height.0))?;
        let in_log = self.kind == GroupKind::Log;
        let sequences = if in_log { 1..=u64::MAX } else { 0..=u64::MAX };
        within(structure, Field::Sequence, sequences, self.sequence.0)?;
        let links = if in_log { 0..=u64::from(u32::MAX) } else { 0..=0 };
        within(structure, Field::PreviousCrc, links, u64::from(self.previous_crc))?;
        let room = u64::from(payload_capacity(self.height, members)) * u64::from(self.data_count);
        within(structure, Field::PayloadBytes, 0..=room, u64::from(self.payload_bytes))?;
        let records = if in_log { u64::from(self.payload_bytes) } else { 0 };
        within(structure, Field::RecordBytes, 0..=records, u64::from(self.record_bytes))?;
        within(structure, Field::Crcs, members as u64..=members as u64, self.member_crcs.len() as u64)?;
        for (member, &crc) in (0u8..).zip(&self.member_crcs) {
            if !self.is_written(member) {
                within(structure, Field::Crcs, 0..=0, u64::from(crc))?;
            }
        }
        Ok(())
    }
}

/// Everything in the header but the checksum itself.
fn header_crc(header: &[u8]) -> u32 {
    let front = header.get(..CRC_OFFSET).unwrap_or_default();
    let back = header.get(CHUNK_HEADER_FIXED_BYTES..).unwrap_or_default();
    crc32c_append(crc32c(front), back)
}

fn read_crcs(reader: &mut Reader<'_>, members: usize) -> Result<MemberCrcs, DecodeError> {
    (0..members).map(|_| reader.u32(Field::Crcs)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use smallvec::smallvec;

    #[test]
    fn headers_grow_with_the_group() {
        assert_eq!(header_bytes(1), 192);
        assert_eq!(header_bytes(6), 192);
        assert_eq!(header_bytes(16), 192);
        assert_eq!(header_bytes(17), 256);
        assert_eq!(header_bytes(64), 384);
        assert_eq!(payload_capacity(Height(1), 6), 4096 - 192);
        assert_eq!(payload_capacity(Height(256), 64), (1 << 20) - 384);
    }

    #[test]
    fn only_used_data_and_parity_are_written() {
        let header = header();
        let written: Vec<bool> = (0..7).map(|member| header.is_written(member)).collect();
        assert_eq!(written, [true, true, false, false, true, true, false]);
        let unwritten = ChunkHeader { member: 2, ..header.clone() };
        assert!(matches!(unwritten.check(), Err(DecodeError::Mismatch { field: Field::Member, .. })));
        let mut claimed = header;
        claimed.member_crcs[3] = 1;
        assert!(matches!(claimed.check(), Err(DecodeError::OutOfRange { field: Field::Crcs, .. })));
    }

    #[test]
    fn each_limit_is_named() {
        let good = header();
        assert_eq!(good.check(), Ok(()));
        let bad = [
            (Field::DataCount, ChunkHeader { data_count: 0, ..good.clone() }),
            (Field::DataCount, ChunkHeader { data_count: 5, ..good.clone() }),
            (Field::Member, ChunkHeader { member: 6, ..good.clone() }),
            (Field::Row, ChunkHeader { row: RowOffset(0), ..good.clone() }),
            (Field::Height, ChunkHeader { height: Height(0), ..good.clone() }),
            (Field::Height, ChunkHeader { height: Height(257), ..good.clone() }),
            (Field::PreviousCrc, ChunkHeader { previous_crc: 1, ..good.clone() }),
            (Field::PayloadBytes, ChunkHeader { payload_bytes: 2 * 8000 + 1, ..good.clone() }),
            (Field::RecordBytes, ChunkHeader { record_bytes: 1, ..good.clone() }),
            (Field::Sequence, ChunkHeader { kind: GroupKind::Log, sequence: RowSequence(0), ..good }),
        ];
        for (expected, header) in bad {
            match header.check() {
                Err(DecodeError::OutOfRange { field, .. }) => assert_eq!(field, expected),
                other => panic!("{expected:?}: {other:?}"),
            }
        }
    }

    fn header() -> ChunkHeader {
        ChunkHeader {
            pool: PoolId([1; 16]),
            group: GroupId(2),
            generation: Generation(3),
            epoch: Epoch(4),
            kind: GroupKind::Data,
            log: LogId(0),
            sequence: RowSequence(5),
            previous_crc: 0,
            row: RowOffset(1),
            height: Height(2),
            member: 4,
            k: 4,
            m: 2,
            family: CodeFamily::Gf8,
            data_count: 2,
            record_bytes: 0,
            payload_bytes: 2 * 8000,
            member_crcs: smallvec![7, 8, 0, 0, 9, 10],
        }
    }
}
