//! One segment of one device: its header, and every row that has a chunk here.
//!
//! A row that does not use this member leaves its place unwritten, so the walk goes on by single write units where no
//! header of this group stands and calls that a gap. Chunks of an earlier use of the segment are part of a gap too.

use super::device::{Device, ReadError};
use super::report::{Node, Report};
use super::roots::{groups_node, members};
use super::summary::segment_header;
use ashlar_disk_format::DecodeError;
use ashlar_disk_format::chunk::{ChunkHeader, header_bytes};
use ashlar_disk_format::constants::MEMBERS_MAX;
use ashlar_disk_format::segment::SegmentHeader;
use ashlar_disk_format::units::{RowOffset, SegmentIndex};

/// Reports on a segment.
pub(super) fn segment(device: &Device, segment: SegmentIndex, report: &mut Report) {
    let header = segment_header(device, segment);
    match &header {
        Ok(header) => report.add("header", header_node(header)),
        Err(ReadError::Decode(error @ DecodeError::Magic { .. })) => {
            report.add("header", Node::text("none: the segment is not in use"));
            report.fault(format_args!("segment {segment}"), error);
        }
        Err(error) => {
            report.add("header", Node::text("damaged"));
            report.fault(format_args!("segment {segment}"), error);
        }
    }
    let rows = rows(device, segment, header.ok().as_ref(), report);
    report.add("rows", rows);
}

fn header_node(header: &SegmentHeader) -> Node {
    Node::Fields(vec![
        ("pool", Node::text(header.pool)),
        ("epoch", Node::number(header.epoch.0)),
        ("member", Node::number(header.member)),
        ("segment bytes", Node::number(header.segment_bytes)),
        ("group", groups_node(std::slice::from_ref(&header.descriptor))),
        ("members", Node::text(members(&header.descriptor))),
    ])
}

fn rows(device: &Device, segment: SegmentIndex, header: Option<&SegmentHeader>, report: &mut Report) -> Node {
    let mut rows = Vec::new();
    let mut row = RowOffset(1);
    while let Ok(front) = device.read_chunk(segment, row, header_bytes(MEMBERS_MAX)) {
        let found = ChunkHeader::decode(&front);
        match found {
            Ok(chunk) if belongs(&chunk, row, header) => {
                let verdict = payload_verdict(device, segment, &chunk);
                if verdict != "good" {
                    report.fault(format_args!("segment {segment} row {row}"), &verdict);
                }
                rows.push(row_cells(&chunk, &verdict));
                row = row.after(chunk.height);
                continue;
            }
            // Another use of the segment, or a chunk that was copied here as payload.
            Ok(_) | Err(DecodeError::Magic { .. }) => {}
            Err(error) => report.fault(format_args!("segment {segment} row {row}"), error),
        }
        row = RowOffset(row.0.saturating_add(1));
    }
    let headings = vec![
        "row",
        "kind",
        "height",
        "member",
        "data count",
        "epoch",
        "log",
        "sequence",
        "record bytes",
        "payload bytes",
        "payload",
    ];
    Node::Rows { headings, rows }
}

/// Whether the chunk was written at this place, by this use of the segment when that is known.
fn belongs(chunk: &ChunkHeader, row: RowOffset, header: Option<&SegmentHeader>) -> bool {
    chunk.row == row
        && header.is_none_or(|header| {
            let group = &header.descriptor;
            chunk.expect(group.group, group.generation, row, header.member).is_ok()
        })
}

fn row_cells(chunk: &ChunkHeader, verdict: &str) -> Vec<Node> {
    vec![
        Node::number(chunk.row.0),
        Node::text(format!("{:?}", chunk.kind).to_lowercase()),
        Node::number(chunk.height.0),
        Node::number(chunk.member),
        Node::number(chunk.data_count),
        Node::number(chunk.epoch.0),
        Node::number(chunk.log.0),
        Node::number(chunk.sequence.0),
        Node::number(chunk.record_bytes),
        Node::number(chunk.payload_bytes),
        Node::text(verdict),
    ]
}

/// `good`, or what is wrong with the payload area of this member.
pub(super) fn payload_verdict(device: &Device, segment: SegmentIndex, chunk: &ChunkHeader) -> String {
    let bytes = match device.read_chunk(segment, chunk.row, chunk.height.bytes() as usize) {
        Ok(bytes) => bytes,
        Err(error) => return error.to_string(),
    };
    let payload = bytes.get(header_bytes(chunk.members())..).unwrap_or_default();
    match chunk.verify_payload(chunk.member, payload) {
        Ok(()) => "good".to_owned(),
        Err(error) => format!("payload of member {}: {error}", chunk.member),
    }
}
