//! The newest checkpoint of a pool: chosen by quorum over the given devices, followed from the superblock to the list
//! of its extents, to its bytes, to what it says.

use super::device::Device;
use super::payload::read_extent;
use super::report::{Node, Report};
use super::roots::{agreement, members, superblock_node};
use ashlar_disk_format::checkpoint::{Checkpoint, GroupStatus};
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::superblock::Superblock;

/// Reports on the checkpoint that the devices hold.
pub(super) fn checkpoint(devices: &[Device], report: &mut Report) {
    let Some(superblock) = agreement(devices, report) else { return };
    report.add("superblock", superblock_node(&superblock));
    if superblock.checkpoint.is_empty() {
        report.add("checkpoint", Node::text("none yet"));
        return;
    }
    let Some(list) = read_all(devices, &superblock, &superblock.checkpoint, "checkpoint list", report) else {
        return;
    };
    let extents = match Extent::list_decode(&list) {
        Ok(extents) => extents,
        Err(error) => return report.fault("checkpoint list", error),
    };
    let Some(bytes) = read_all(devices, &superblock, &extents, "checkpoint", report) else { return };
    if bytes.len() as u64 != superblock.checkpoint_bytes {
        let expected = superblock.checkpoint_bytes;
        report.fault("checkpoint", format!("has {} bytes, the superblock says {expected}", bytes.len()));
    }
    match Checkpoint::decode(&bytes) {
        Ok(checkpoint) => show(&checkpoint, report),
        Err(error) => report.fault("checkpoint", error),
    }
}

/// The bytes of all extents, or none when one of them cannot be read; all that cannot are named.
fn read_all(
    devices: &[Device],
    superblock: &Superblock,
    extents: &[Extent],
    name: &str,
    report: &mut Report,
) -> Option<Vec<u8>> {
    let mut bytes = Some(Vec::new());
    for (position, extent) in extents.iter().enumerate() {
        match read_extent(devices, &superblock.checkpoint_groups, extent) {
            Ok(piece) => {
                if let Some(bytes) = &mut bytes {
                    bytes.extend_from_slice(&piece);
                }
            }
            Err(error) => {
                let place = format!("{name} extent {position} (group {} row {})", extent.group, extent.row);
                report.fault(place, error);
                bytes = None;
            }
        }
    }
    bytes
}

fn show(checkpoint: &Checkpoint, report: &mut Report) {
    report.add(
        "checkpoint",
        Node::Fields(vec![
            ("pool", Node::text(checkpoint.pool)),
            ("epoch", Node::number(checkpoint.epoch.0)),
            ("sequence", Node::number(checkpoint.sequence)),
            ("next run", Node::number(checkpoint.next_run)),
            ("next generation", Node::number(checkpoint.next_generation)),
        ]),
    );
    let logs = checkpoint.logs.iter().map(|log| {
        vec![
            Node::number(log.log.0),
            Node::number(log.group.0),
            Node::text(format_args!("{:#x}", log.generation.0)),
            Node::number(log.row.0),
            Node::number(log.next_sequence.0),
            Node::text(format_args!("{:08x}", log.previous_crc)),
        ]
    });
    let headings = vec!["log", "group", "generation", "row", "next sequence", "previous crc"];
    report.add("logs", Node::Rows { headings, rows: logs.collect() });
    show_shards(checkpoint, report);
    show_groups(checkpoint, report);
}

fn show_shards(checkpoint: &Checkpoint, report: &mut Report) {
    let mut runs = Vec::new();
    let mut counters = Vec::new();
    let mut shards = Vec::new();
    for shard in &checkpoint.shards {
        let core = Node::number(shard.core);
        shards.push(vec![
            core.clone(),
            Node::text(format_args!("{} to {}", shard.first_vshard, shard.last_vshard)),
            Node::number(shard.runs.len() as u64),
        ]);
        for run in &shard.runs {
            let extents = Node::number(run.extents.len() as u64);
            runs.push(vec![core.clone(), Node::number(run.run), Node::number(run.bytes), extents]);
        }
        for counter in &shard.counters {
            counters.push(vec![
                core.clone(),
                Node::number(counter.bucket.0),
                Node::text(counter.objects),
                Node::text(counter.bytes),
                Node::text(counter.uploads),
            ]);
        }
    }
    report.add("shards", Node::Rows { headings: vec!["core", "virtual shards", "runs"], rows: shards });
    report.add("runs", Node::Rows { headings: vec!["core", "run", "manifest bytes", "extents"], rows: runs });
    let headings = vec!["core", "bucket", "objects", "bytes", "uploads"];
    report.add("counters", Node::Rows { headings, rows: counters });
}

fn show_groups(checkpoint: &Checkpoint, report: &mut Report) {
    let rows = checkpoint.groups.iter().map(|state| {
        let group = &state.descriptor;
        let status = match state.status {
            GroupStatus::Open => "open",
            GroupStatus::Sealed => "sealed",
        };
        vec![
            Node::number(group.group.0),
            Node::text(format_args!("{:#x}", group.generation.0)),
            Node::text(format!("{:?}", group.kind).to_lowercase()),
            Node::text(group.shape),
            Node::text(status),
            Node::number(state.tail.0),
            Node::number(state.live_bytes),
            Node::text(members(group)),
        ]
    });
    let headings = vec![
        "group",
        "generation",
        "kind",
        "shape",
        "status",
        "tail",
        "live bytes",
        "members (device:segment)",
    ];
    report.add("groups", Node::Rows { headings, rows: rows.collect() });
}
