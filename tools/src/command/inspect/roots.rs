//! Labels and superblocks: what a device says about itself, and what its copies agree on.

use super::device::{Device, ReadError};
use super::report::{Node, Report};
use crate::output::format_size;
use ashlar_disk_format::DecodeError;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::group::GroupDescriptor;
use ashlar_disk_format::label::Label;
use ashlar_disk_format::superblock::{DeviceState, Superblock};
use ashlar_disk_format::superblock_quorum::{QuorumError, choose};
use ashlar_disk_format::units::DeviceIndex;

/// Both labels in full.
pub(super) fn labels(device: &Device, report: &mut Report) {
    let mut good: Vec<Label> = Vec::new();
    for (which, name) in LABEL_NAMES.into_iter().enumerate() {
        match device.label(which) {
            Ok(label) => {
                report.add(name, label_node(&label));
                good.push(label);
            }
            Err(error) => {
                report.fault(name, &error);
                report.add(name, Node::text("damaged"));
            }
        }
    }
    if let [a, b] = good.as_slice()
        && a != b
    {
        report.fault("labels", "A and B differ");
    }
    if let Some(label) = good.first()
        && label.device_bytes > device.bytes()
    {
        let (expected, found) = (label.device_bytes, device.bytes());
        report.fault("labels", format!("the device had {expected} bytes when it joined, now {found}"));
    }
}

/// All four copies, and the chosen one in full.
pub(super) fn superblocks(device: &Device, report: &mut Report) {
    let rows = copy_rows(device, report);
    report.add("copies", rows);
    if let Some(chosen) = agreement(std::slice::from_ref(device), report) {
        report.add("superblock", superblock_node(&chosen));
    }
}

/// One line per copy.
pub(super) fn copy_rows(device: &Device, report: &mut Report) -> Node {
    let mut rows = Vec::new();
    for (copy, superblock) in device.superblocks() {
        let mut row = vec![Node::number(copy)];
        match superblock {
            Ok(found) => row.extend([
                Node::text("good"),
                Node::number(found.sequence),
                Node::number(found.epoch.0),
                Node::text(if found.clean { "yes" } else { "no" }),
                Node::number(found.checkpoint_bytes),
            ]),
            Err(error) => {
                report.fault(format_args!("superblock copy {copy}"), &error);
                row.push(Node::text("damaged"));
            }
        }
        rows.push(row);
    }
    Node::Rows { headings: vec!["copy", "state", "sequence", "epoch", "clean", "checkpoint bytes"], rows }
}

/// The superblock that the copies of all `devices` agree on.
pub(super) fn agreement(devices: &[Device], report: &mut Report) -> Option<Superblock> {
    match quorum(devices) {
        Ok(chosen) => Some(chosen),
        Err(error) => {
            report.fault("superblocks", error);
            None
        }
    }
}

fn quorum(devices: &[Device]) -> Result<Superblock, QuorumError> {
    let mut copies: Vec<(DeviceIndex, u8, Result<Superblock, DecodeError>)> = Vec::new();
    for (position, device) in (0u16..).zip(devices) {
        let index = device.identity().map_or(DeviceIndex(position), |identity| identity.index);
        for (copy, superblock) in device.superblocks() {
            match superblock {
                Ok(superblock) => copies.push((index, copy, Ok(superblock))),
                Err(ReadError::Decode(error)) => copies.push((index, copy, Err(error))),
                // Not even bytes: no copy at all.
                Err(ReadError::Io(_) | ReadError::Outside { .. }) => {}
            }
        }
    }
    choose(&copies)
}

const LABEL_NAMES: [&str; 2] = ["label A", "label B"];

pub(super) fn label_node(label: &Label) -> Node {
    Node::Fields(vec![
        ("pool", Node::text(label.pool)),
        ("pool name", Node::text(&label.pool_name)),
        ("device", Node::text(label.device)),
        ("index", Node::number(label.index.0)),
        ("device bytes", Node::number(label.device_bytes)),
        ("segment bytes", Node::number(label.segment_bytes)),
        ("shape", Node::text(label.shape)),
        ("created", Node::text(moment(label.created_ms))),
        ("features compat", Node::number(label.features.compat)),
        ("features read-only compat", Node::number(label.features.read_only_compat)),
        ("features incompat", Node::number(label.features.incompat)),
    ])
}

pub(super) fn superblock_node(superblock: &Superblock) -> Node {
    let devices = superblock.devices.iter().map(|entry| {
        let state = match entry.state {
            DeviceState::Present => "present".to_owned(),
            DeviceState::Absent { since } => format!("absent since epoch {since}"),
            DeviceState::Failed { since } => format!("failed in epoch {since}"),
            DeviceState::Vacant { since } => format!("vacant since epoch {since}"),
        };
        let index = Node::number(entry.index.0);
        vec![index, Node::text(entry.id), Node::text(format_size(entry.bytes)), Node::text(state)]
    });
    Node::Fields(vec![
        ("pool", Node::text(superblock.pool)),
        ("sequence", Node::number(superblock.sequence)),
        ("epoch", Node::number(superblock.epoch.0)),
        ("shape", Node::text(superblock.shape)),
        ("segment bytes", Node::number(superblock.segment_bytes)),
        ("cores", Node::number(superblock.cores)),
        ("clean", Node::text(if superblock.clean { "yes" } else { "no" })),
        ("devices", Node::Rows { headings: vec!["index", "id", "size", "state"], rows: devices.collect() }),
        ("checkpoint bytes", Node::number(superblock.checkpoint_bytes)),
        ("checkpoint list extents", extents_node(&superblock.checkpoint)),
        ("checkpoint groups", groups_node(&superblock.checkpoint_groups)),
        ("scrub began, ms", Node::number(superblock.scrub.began_ms)),
        ("scrub next", Node::text(format_args!("{:#x}", superblock.scrub.next.0))),
    ])
}

pub(super) fn extents_node(extents: &[Extent]) -> Node {
    let rows = extents.iter().map(|extent| {
        vec![
            Node::number(extent.group.0),
            Node::text(format_args!("{:#x}", extent.generation.0)),
            Node::number(extent.row.0),
            Node::number(extent.height.0),
            Node::number(extent.member),
            Node::number(extent.data_count),
            Node::number(extent.payload_offset),
            Node::number(extent.length),
        ]
    });
    let headings =
        vec!["group", "generation", "row", "height", "member", "data count", "payload offset", "length"];
    Node::Rows { headings, rows: rows.collect() }
}

pub(super) fn groups_node(groups: &[GroupDescriptor]) -> Node {
    let rows = groups.iter().map(|group| {
        vec![
            Node::number(group.group.0),
            Node::text(format_args!("{:#x}", group.generation.0)),
            Node::text(format!("{:?}", group.kind).to_lowercase()),
            Node::text(group.shape),
            Node::number(group.log.0),
            Node::text(members(group)),
        ]
    });
    let headings = vec!["group", "generation", "kind", "shape", "log", "members (device:segment)"];
    Node::Rows { headings, rows: rows.collect() }
}

/// `0:4 1:9 2:2`: each member's device and segment.
pub(super) fn members(group: &GroupDescriptor) -> String {
    let members = group.members.iter().map(|member| format!("{}:{}", member.device, member.segment));
    members.collect::<Vec<_>>().join(" ")
}

fn moment(milliseconds: u64) -> String {
    let moment = i64::try_from(milliseconds).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(|| format!("{milliseconds} ms"), |moment| moment.to_string())
}
