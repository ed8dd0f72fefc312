//! One row: the chunk on the first device with its first bytes, and the log records of the row when the devices that
//! were given hold enough of it. Records stand at the end of the row's payload.

use super::device::Device;
use super::entry::{key_text, value_text};
use super::payload::{RowPayload, read_row};
use super::report::{Node, Report};
use super::roots::members;
use super::segment::payload_verdict;
use super::summary::segment_header;
use ashlar_disk_format::chunk::{ChunkHeader, header_bytes};
use ashlar_disk_format::constants::MEMBERS_MAX;
use ashlar_disk_format::record::{Mutation, Record, RecordReader};
use ashlar_disk_format::units::{RowOffset, SegmentIndex};
use std::fmt::Write;

/// Payload bytes that are shown.
const DUMP_BYTES: usize = 256;
/// Bytes in one line of a dump.
const DUMP_LINE_BYTES: usize = 16;

/// Reports on the row at `row` of the first device's `segment`.
pub(super) fn row(devices: &[Device], segment: SegmentIndex, row: RowOffset, report: &mut Report) {
    let Some(device) = devices.first() else { return };
    let place = format!("segment {segment} row {row}");
    match device.read_chunk(segment, row, header_bytes(MEMBERS_MAX)) {
        Ok(front) => match ChunkHeader::decode(&front) {
            Ok(chunk) => show_chunk(device, segment, &chunk, report),
            Err(error) => {
                report.fault(&place, error);
                report.add("chunk", Node::text("damaged"));
                report.add("first bytes", Node::Text(dump(&front)));
            }
        },
        Err(error) => return report.fault(&place, error),
    }
    match segment_header(device, segment) {
        Ok(header) => match read_row(devices, &header.descriptor, row, None) {
            Ok(payload) => {
                report.add("row members", Node::text(members(&header.descriptor)));
                show_records(&payload, &place, report);
            }
            Err(error) => report.add("records", Node::text(error)),
        },
        Err(error) => report.fault(format_args!("segment {segment}"), error),
    }
}

fn show_chunk(device: &Device, segment: SegmentIndex, chunk: &ChunkHeader, report: &mut Report) {
    let verdict = payload_verdict(device, segment, chunk);
    if verdict != "good" {
        report.fault(format_args!("segment {segment} row {}", chunk.row), &verdict);
    }
    let crcs: Vec<String> = chunk.member_crcs.iter().map(|crc| format!("{crc:08x}")).collect();
    report.add(
        "chunk",
        Node::Fields(vec![
            ("pool", Node::text(chunk.pool)),
            ("group", Node::number(chunk.group.0)),
            ("generation", Node::text(format_args!("{:#x}", chunk.generation.0))),
            ("epoch", Node::number(chunk.epoch.0)),
            ("kind", Node::text(format!("{:?}", chunk.kind).to_lowercase())),
            ("shape", Node::text(chunk.shape())),
            ("row", Node::number(chunk.row.0)),
            ("height", Node::number(chunk.height.0)),
            ("member", Node::number(chunk.member)),
            ("data count", Node::number(chunk.data_count)),
            ("log", Node::number(chunk.log.0)),
            ("sequence", Node::number(chunk.sequence.0)),
            ("previous crc", Node::text(format_args!("{:08x}", chunk.previous_crc))),
            ("record bytes", Node::number(chunk.record_bytes)),
            ("payload bytes", Node::number(chunk.payload_bytes)),
            ("member crcs", Node::text(crcs.join(" "))),
            ("payload", Node::text(verdict)),
        ]),
    );
    let bytes = device.read_chunk(segment, chunk.row, chunk.height.bytes() as usize).unwrap_or_default();
    let payload = bytes.get(header_bytes(chunk.members())..).unwrap_or_default();
    report.add("first payload bytes", Node::Text(dump(payload)));
}

fn show_records(payload: &RowPayload, place: &str, report: &mut Report) {
    if !payload.rebuilt.is_empty() {
        let members: Vec<String> = payload.rebuilt.iter().map(u8::to_string).collect();
        report.add("computed from parity", Node::text(format!("members {}", members.join(" "))));
    }
    let record_bytes = payload.header.record_bytes as usize;
    let start = payload.bytes.len().saturating_sub(record_bytes);
    let mut records = Vec::new();
    for record in RecordReader::new(payload.bytes.get(start..).unwrap_or_default()) {
        match record {
            Ok((vshard, record)) => records.push(record_node(vshard.0, &record)),
            Err(error) => report.fault(format_args!("{place} record {}", records.len()), error),
        }
    }
    report.add("records", Node::List(records));
}

fn record_node(vshard: u16, record: &Record) -> Node {
    let content = match record {
        Record::Batch(batch) => {
            let rows = batch.mutations.iter().map(mutation_cells).collect();
            ("batch", Node::Rows { headings: vec!["change", "key", "value"], rows })
        }
        Record::GroupOpen(group) => ("group open", super::roots::groups_node(std::slice::from_ref(group))),
        Record::NextLogGroup(group) => {
            ("next log group", super::roots::groups_node(std::slice::from_ref(group)))
        }
    };
    Node::Fields(vec![("virtual shard", Node::number(vshard)), content])
}

fn mutation_cells(mutation: &Mutation) -> Vec<Node> {
    let change = if mutation.value.is_some() { "put" } else { "delete" };
    let value = mutation.value.as_deref().map(value_text).unwrap_or_default();
    vec![Node::text(change), Node::Text(key_text(&mutation.key)), Node::Text(value)]
}

/// The first bytes as hexadecimal and as ASCII.
fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (line, bytes) in bytes.chunks(DUMP_LINE_BYTES).take(DUMP_BYTES.div_ceil(DUMP_LINE_BYTES)).enumerate()
    {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let ascii: String = bytes
            .iter()
            .map(|&byte| if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '.' })
            .collect();
        let offset = line * DUMP_LINE_BYTES;
        // Writing to a string cannot fail.
        let _written = writeln!(out, "{offset:06x}  {:<47}  {ascii}", hex.join(" "));
    }
    out
}
