//! The whole device on one page: labels, superblock copies and their agreement, layout, segments by kind.

use super::device::{Device, ReadError};
use super::report::{Node, Report};
use super::roots::{agreement, copy_rows, labels};
use crate::output::format_size;
use ashlar_disk_format::DecodeError;
use ashlar_disk_format::constants::SEGMENT_HEADER_BYTES;
use ashlar_disk_format::group::GroupKind;
use ashlar_disk_format::segment::SegmentHeader;
use ashlar_disk_format::units::{RowOffset, SegmentIndex};

/// Reports on one device.
pub(super) fn summary(device: &Device, report: &mut Report) {
    report.add("device bytes", Node::number(device.bytes()));
    labels(device, report);
    let copies = copy_rows(device, report);
    report.add("superblock copies", copies);
    let chosen = agreement(std::slice::from_ref(device), report);
    let agreed = chosen.map_or_else(|| "none".to_owned(), |chosen| format!("sequence {}", chosen.sequence));
    report.add("agreement", Node::text(agreed));
    let Some(identity) = device.identity() else {
        report.fault("layout", "not known, because no label and no superblock can be read");
        return;
    };
    let layout = identity.layout;
    report.add(
        "layout",
        Node::Fields(vec![
            ("segments", Node::number(layout.segment_count())),
            ("segment size", Node::text(format_size(layout.segment_bytes()))),
            ("first segment at", Node::number(layout.segment_offset(SegmentIndex(0)))),
            ("label B at", Node::number(layout.label_offsets()[1])),
        ]),
    );
    let counts = count_segments(device, layout.segment_count(), report);
    report.add("segments by kind", counts);
}

/// Looks at the first block of every segment.
fn count_segments(device: &Device, segment_count: u32, report: &mut Report) -> Node {
    let (mut log, mut data, mut index, mut unused, mut damaged) = (0u64, 0u64, 0u64, 0u64, 0u64);
    for segment in (0..segment_count).map(SegmentIndex) {
        match segment_header(device, segment) {
            Ok(header) => match header.descriptor.kind {
                GroupKind::Log => log += 1,
                GroupKind::Data => data += 1,
                GroupKind::Index => index += 1,
            },
            // Space that was never written, or not since it was trimmed, has no magic.
            Err(ReadError::Decode(DecodeError::Magic { .. })) => unused += 1,
            Err(error) => {
                damaged += 1;
                report.fault(format_args!("segment {segment}"), &error);
            }
        }
    }
    Node::Fields(vec![
        ("log", Node::number(log)),
        ("data", Node::number(data)),
        ("index", Node::number(index)),
        ("without header", Node::number(unused)),
        ("damaged header", Node::number(damaged)),
    ])
}

/// The header of a segment.
pub(super) fn segment_header(device: &Device, segment: SegmentIndex) -> Result<SegmentHeader, ReadError> {
    let bytes = device.read_chunk(segment, RowOffset(0), SEGMENT_HEADER_BYTES)?;
    Ok(SegmentHeader::decode(&bytes)?)
}
