//! Puts a row together from the devices that are given: chunks that prove themselves, and the missing ones computed
//! from parity. Bytes that no checksum vouches for are never handed out.

use super::device::Device;
use ashlar_disk_format::chunk::{ChunkHeader, header_bytes};
use ashlar_disk_format::code::{CodeFamily, CodeShape};
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::units::{Height, RowOffset};
use ashlar_engine::stripe::{Codec, Family};
use std::fmt;

/// The payload of a row, and how it came about.
#[derive(Debug)]
pub(super) struct RowPayload {
    /// Header of a good chunk.
    pub(super) header: ChunkHeader,
    /// The data chunks' payload areas one after the other, cut to the row's payload bytes.
    pub(super) bytes: Vec<u8>,
    /// Data members that were computed.
    pub(super) rebuilt: Vec<u8>,
}

/// Why a row cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowError {
    /// Too few good chunks on the devices that were given.
    TooFew {
        /// Good chunks.
        found: usize,
        /// Chunks needed; 0 when not even a header could be read.
        needed: usize,
    },
    /// A computed chunk does not match the checksum in the headers.
    Rebuilt(ashlar_disk_format::DecodeError),
    /// The group is not among those that the superblock or the checkpoint describe.
    UnknownGroup {
        /// Its number.
        group: u32,
    },
    /// The extent's bytes are not those that were written.
    Extent(ashlar_disk_format::DecodeError),
}

struct GoodChunk {
    member: usize,
    header: ChunkHeader,
    payload: Vec<u8>,
}

/// The row at `row` of `group`; `height` is known when something points at the row.
pub(super) fn read_row(
    devices: &[Device],
    group: &GroupDescriptor,
    row: RowOffset,
    height: Option<Height>,
) -> Result<RowPayload, RowError> {
    let mut good: Vec<GoodChunk> = Vec::new();
    for (member, place) in (0u8..).zip(&group.members) {
        let holder = devices
            .iter()
            .find(|device| device.identity().is_some_and(|identity| identity.index == place.device));
        good.extend(holder.and_then(|device| good_chunk(device, group, member, row, height)));
    }
    // Chunks of one write only: a stale one belongs to an older epoch or sequence.
    let newest = good.iter().map(|chunk| (chunk.header.epoch, chunk.header.sequence)).max();
    good.retain(|chunk| Some((chunk.header.epoch, chunk.header.sequence)) == newest);
    let Some(header) = good.first().map(|chunk| chunk.header.clone()) else {
        return Err(RowError::TooFew { found: 0, needed: 0 });
    };
    join(&good, header)
}

/// The bytes of an extent, from its own chunk or from the rest of the row.
pub(super) fn read_extent(
    devices: &[Device],
    groups: &[GroupDescriptor],
    extent: &Extent,
) -> Result<Vec<u8>, RowError> {
    let group = groups
        .iter()
        .find(|group| group.group == extent.group && group.generation == extent.generation)
        .ok_or(RowError::UnknownGroup { group: extent.group.0 })?;
    let row = read_row(devices, group, extent.row, Some(extent.height))?;
    let capacity = extent.height.bytes() as usize - header_bytes(group.shape.members());
    let start = usize::from(extent.member) * capacity + extent.payload_offset as usize;
    let bytes = row.bytes.get(start..start + extent.length as usize).unwrap_or_default().to_vec();
    for block in 0..extent.crcs.len() {
        let range = extent.block_range(block);
        let block_bytes = bytes.get(range.start as usize..range.end as usize).unwrap_or_default();
        extent.verify(block, block_bytes).map_err(RowError::Extent)?;
    }
    Ok(bytes)
}

fn good_chunk(
    device: &Device,
    group: &GroupDescriptor,
    member: u8,
    row: RowOffset,
    height: Option<Height>,
) -> Option<GoodChunk> {
    let place = group.members.get(usize::from(member))?;
    let start = header_bytes(group.shape.members());
    let front = device.read_chunk(place.segment, row, start).ok()?;
    let header = ChunkHeader::decode(&front).ok()?;
    header.expect(group.group, group.generation, row, member).ok()?;
    if height.is_some_and(|height| height != header.height) || header.shape() != group.shape {
        return None;
    }
    let mut payload = device.read_chunk(place.segment, row, header.height.bytes() as usize).ok()?;
    payload.drain(..start);
    header.verify_payload(member, &payload).ok()?;
    Some(GoodChunk { member: usize::from(member), header, payload })
}

fn join(good: &[GoodChunk], header: ChunkHeader) -> Result<RowPayload, RowError> {
    let needed = usize::from(header.data_count);
    if good.len() < needed {
        return Err(RowError::TooFew { found: good.len(), needed });
    }
    let mut bytes = Vec::new();
    let mut rebuilt = Vec::new();
    for member in 0..header.data_count {
        if let Some(chunk) = good.iter().find(|chunk| chunk.member == usize::from(member)) {
            bytes.extend_from_slice(&chunk.payload);
            continue;
        }
        let chunk = compute(good, &header, member)?;
        header.verify_payload(member, &chunk).map_err(RowError::Rebuilt)?;
        bytes.extend_from_slice(&chunk);
        rebuilt.push(member);
    }
    // Extents may reach behind the payload bytes of no row, so cutting loses nothing.
    bytes.truncate(header.payload_bytes as usize);
    Ok(RowPayload { header, bytes, rebuilt })
}

fn compute(good: &[GoodChunk], header: &ChunkHeader, member: u8) -> Result<Vec<u8>, RowError> {
    let too_few = RowError::TooFew { found: good.len(), needed: usize::from(header.data_count) };
    let Some(codec) = codec(header.shape()) else { return Err(too_few) };
    let length = good.first().map_or(0, |chunk| chunk.payload.len());
    let present: Vec<(usize, &[u8])> =
        good.iter().map(|chunk| (chunk.member, chunk.payload.as_slice())).collect();
    let mut chunk = vec![0; length];
    let wanted = &mut [(usize::from(member), chunk.as_mut_slice())];
    match codec.reconstruct(usize::from(header.data_count), &present, wanted) {
        Ok(()) => Ok(chunk),
        Err(_) => Err(too_few),
    }
}

fn codec(shape: CodeShape) -> Option<Codec> {
    let family = match shape.family {
        CodeFamily::Copies => Family::Copies,
        CodeFamily::Xor => Family::Xor,
        CodeFamily::Gf8 => Family::Gf8,
        CodeFamily::Gf16 => Family::Gf16,
    };
    Codec::new(family, usize::from(shape.k), usize::from(shape.m)).ok()
}

impl fmt::Display for RowError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { needed: 0, .. } => {
                formatter.write_str("no good chunk of this row is on the devices that were given")
            }
            Self::TooFew { found, needed } => {
                write!(formatter, "{needed} good chunks are needed, the devices that were given have {found}")
            }
            Self::Rebuilt(error) => write!(formatter, "a chunk computed from parity is wrong: {error}"),
            Self::UnknownGroup { group } => write!(formatter, "group {group} is not described anywhere"),
            Self::Extent(error) => error.fmt(formatter),
        }
    }
}
