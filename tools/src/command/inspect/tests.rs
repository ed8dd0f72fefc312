//! Images made by the encoders, then damaged: what is printed, what is called wrong, and that nothing is written.

use super::{InspectOptions, What, inspect};
use ashlar_disk_format::checkpoint::{Checkpoint, GroupState, GroupStatus, LogPosition};
use ashlar_disk_format::checksum::crc32c;
use ashlar_disk_format::chunk::{ChunkHeader, MemberCrcs, header_bytes};
use ashlar_disk_format::code::CodeShape;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::group::{GroupDescriptor, GroupKind, Member};
use ashlar_disk_format::key::object_key;
use ashlar_disk_format::label::Label;
use ashlar_disk_format::layout::DeviceLayout;
use ashlar_disk_format::record::{Batch, Mutation, Record, encode_record};
use ashlar_disk_format::segment::SegmentHeader;
use ashlar_disk_format::superblock::{DeviceEntry, DeviceState, ScrubProgress, Superblock};
use ashlar_disk_format::units::{
    BucketId, DeviceId, DeviceIndex, Epoch, Generation, GroupId, Height, LogId, PoolId, RowOffset,
    RowSequence, SegmentIndex, VirtualShard,
};
use ashlar_disk_format::version::FeatureFlags;
use serde_json::Value;
use std::path::PathBuf;

const DEVICE_BYTES: u64 = 8 << 20;
const SEGMENT_BYTES: u64 = 1 << 20;
const POOL: PoolId = PoolId([7; 16]);
const LOG_SEGMENT: u32 = 1;
const INDEX_SEGMENT: u32 = 2;

/// A pool of shape 2+1 on three images, removed when dropped.
struct Images {
    folder: PathBuf,
    devices: Vec<Vec<u8>>,
}

impl Images {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ashlar-inspect-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let size = usize::try_from(DEVICE_BYTES).unwrap();
        let mut images = Self { folder, devices: vec![vec![0; size]; 3] };
        images.format();
        images
    }

    fn format(&mut self) {
        for (group, segment) in [(log_group(), LOG_SEGMENT), (index_group(), INDEX_SEGMENT)] {
            for member in 0..3u8 {
                let (descriptor, epoch) = (group.clone(), Epoch(3));
                let header =
                    SegmentHeader { pool: POOL, descriptor, member, epoch, segment_bytes: SEGMENT_BYTES };
                self.put(member, layout().segment_offset(SegmentIndex(segment)), &header.encode());
            }
        }
        let records = log_records();
        self.write_row(&log_group(), LOG_SEGMENT, 1, &records, records.len());
        let checkpoint = checkpoint().encode();
        let blob = self.write_row(&index_group(), INDEX_SEGMENT, 1, &checkpoint, 0);
        let list = Extent::list_encode(&[blob]);
        let root = self.write_row(&index_group(), INDEX_SEGMENT, 2, &list, 0);
        for member in 0..3u8 {
            let [a, b] = layout().label_offsets();
            self.put(member, a, &label(member).encode());
            self.put(member, b, &label(member).encode());
            let superblock = superblock(member, root.clone(), checkpoint.len() as u64);
            for copy in 0..4 {
                self.put(member, layout().superblock_offset(copy), &superblock.encode(copy));
            }
        }
    }

    /// One row of height 1 with two data chunks when the payload needs them.
    fn write_row(
        &mut self,
        group: &GroupDescriptor,
        segment: u32,
        row: u32,
        payload: &[u8],
        record_bytes: usize,
    ) -> Extent {
        let room = 4096 - header_bytes(3);
        let data_count = u8::try_from(payload.len().div_ceil(room)).unwrap();
        let mut areas = vec![vec![0u8; room]; 3];
        for (area, part) in areas.iter_mut().zip(payload.chunks(room)) {
            area[..part.len()].copy_from_slice(part);
        }
        areas[2] = areas[0].iter().zip(&areas[1]).map(|(a, b)| a ^ b).collect();
        let mut member_crcs: MemberCrcs = areas.iter().map(|area| crc32c(area)).collect();
        if data_count == 1 {
            member_crcs[1] = 0;
        }
        for member in (0..3u8).filter(|member| data_count == 2 || *member != 1) {
            let header = ChunkHeader {
                pool: POOL,
                group: group.group,
                generation: group.generation,
                epoch: Epoch(3),
                kind: group.kind,
                log: LogId(0),
                sequence: RowSequence(1),
                previous_crc: 0,
                row: RowOffset(row),
                height: Height(1),
                member,
                k: 2,
                m: 1,
                family: group.shape.family,
                data_count,
                record_bytes: u32::try_from(record_bytes).unwrap(),
                payload_bytes: u32::try_from(payload.len()).unwrap(),
                member_crcs: member_crcs.clone(),
            };
            let mut chunk = vec![0; 4096];
            chunk[header_bytes(3)..].copy_from_slice(&areas[usize::from(member)]);
            header.encode_into(&mut chunk);
            self.put(member, layout().chunk_offset(SegmentIndex(segment), RowOffset(row)), &chunk);
        }
        let length = payload.len().min(room);
        Extent {
            generation: group.generation,
            group: group.group,
            row: RowOffset(row),
            height: Height(1),
            member: 0,
            data_count,
            payload_offset: 0,
            length: u32::try_from(length).unwrap(),
            crcs: Extent::crcs_of(&payload[..length]),
        }
    }

    fn put(&mut self, device: u8, offset: u64, bytes: &[u8]) {
        let start = usize::try_from(offset).unwrap();
        self.devices[usize::from(device)][start..start + bytes.len()].copy_from_slice(bytes);
    }

    fn flip(&mut self, device: usize, offset: u64) {
        self.devices[device][usize::try_from(offset).unwrap()] ^= 0x10;
    }

    /// Inspects the devices named; afterwards the files must be what they were.
    fn inspect(&self, devices: &[usize], what: What) -> Seen {
        let mut paths = Vec::new();
        for &device in devices {
            let path = self.folder.join(format!("device-{device}"));
            std::fs::write(&path, &self.devices[device]).unwrap();
            paths.push(path);
        }
        let report = inspect(&InspectOptions { devices: paths.clone(), what, json: false }).unwrap();
        for (path, &device) in paths.iter().zip(devices) {
            assert!(std::fs::read(path).unwrap() == self.devices[device], "inspecting writes nothing");
        }
        Seen { text: report.text(), json: report.json(), faults: report.faults().to_vec() }
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

struct Seen {
    text: String,
    json: Value,
    faults: Vec<String>,
}

impl Seen {
    #[track_caller]
    fn assert_faults(&self, wanted: &[&str]) {
        assert_eq!(self.faults.len(), wanted.len(), "{:#?}", self.faults);
        for (fault, wanted) in self.faults.iter().zip(wanted) {
            assert!(fault.contains(wanted), "{fault} does not name {wanted}");
        }
    }
}

fn layout() -> DeviceLayout {
    DeviceLayout::new(DEVICE_BYTES, SEGMENT_BYTES).unwrap()
}

fn label(index: u8) -> Label {
    Label {
        pool: POOL,
        device: DeviceId([index; 16]),
        index: DeviceIndex(u16::from(index)),
        device_bytes: DEVICE_BYTES,
        segment_bytes: SEGMENT_BYTES,
        shape: CodeShape::parse("2+1").unwrap(),
        created_ms: 1_767_323_045_000,
        features: FeatureFlags::default(),
        pool_name: "demo".to_owned(),
    }
}

fn superblock(index: u8, root: Extent, checkpoint_bytes: u64) -> Superblock {
    let entry = |index: u8| DeviceEntry {
        id: DeviceId([index; 16]),
        index: DeviceIndex(u16::from(index)),
        bytes: DEVICE_BYTES,
        state: DeviceState::Present,
    };
    Superblock {
        pool: POOL,
        device: DeviceId([index; 16]),
        sequence: 9,
        epoch: Epoch(3),
        shape: CodeShape::parse("2+1").unwrap(),
        segment_bytes: SEGMENT_BYTES,
        features: FeatureFlags::default(),
        devices: (0..3).map(entry).collect(),
        checkpoint: vec![root],
        checkpoint_bytes,
        checkpoint_groups: vec![index_group()],
        scrub: ScrubProgress::default(),
        cores: 2,
        clean: false,
    }
}

fn group(group: u32, kind: GroupKind, segment: u32) -> GroupDescriptor {
    let member = |device| Member { device: DeviceIndex(device), segment: SegmentIndex(segment) };
    GroupDescriptor {
        group: GroupId(group),
        generation: Generation::new(Epoch(3), group),
        kind,
        shape: CodeShape::parse("2+1").unwrap(),
        log: LogId(0),
        members: (0..3).map(member).collect(),
    }
}

fn log_group() -> GroupDescriptor {
    group(5, GroupKind::Log, LOG_SEGMENT)
}

fn index_group() -> GroupDescriptor {
    group(6, GroupKind::Index, INDEX_SEGMENT)
}

/// Records long enough that the row needs both data chunks.
fn log_records() -> Vec<u8> {
    let delete = |number: u32| Mutation {
        key: object_key(BucketId(1), format!("object {number:0100}").as_bytes()),
        value: None,
    };
    let mut out = Vec::new();
    let batch = Batch { mutations: (0..40).map(delete).collect() };
    encode_record(&Record::Batch(batch), VirtualShard(77), &mut out);
    out
}

fn checkpoint() -> Checkpoint {
    let log = LogPosition {
        log: LogId(0),
        group: GroupId(5),
        generation: log_group().generation,
        row: RowOffset(2),
        next_sequence: RowSequence(2),
        previous_crc: 1,
    };
    let state = GroupState {
        descriptor: log_group(),
        status: GroupStatus::Open,
        tail: RowOffset(2),
        live_bytes: 123,
    };
    Checkpoint {
        pool: POOL,
        epoch: Epoch(3),
        sequence: 4,
        logs: vec![log],
        shards: vec![],
        groups: vec![state],
        prepared: vec![],
        next_run: 8,
        next_generation: 2,
    }
}

fn chunk_at(segment: u32, row: u32) -> u64 {
    layout().chunk_offset(SegmentIndex(segment), RowOffset(row))
}

const LOG_ROW: What = What::Row(SegmentIndex(LOG_SEGMENT), RowOffset(1));

#[test]
fn a_sound_device_has_no_faults() {
    let images = Images::new("sound");
    let seen = images.inspect(&[0], What::Summary);
    seen.assert_faults(&[]);
    let device = &seen.json["devices"][0];
    assert_eq!(device["label_A"]["pool_name"], "demo");
    assert_eq!(device["agreement"], "sequence 9");
    assert_eq!(device["segments_by_kind"]["log"], 1);
    assert_eq!(device["segments_by_kind"]["index"], 1);
    assert_eq!(device["segments_by_kind"]["without_header"], layout().segment_count() - 2);
    assert!(seen.text.contains("pool name: demo"));
}

#[test]
fn a_torn_label_and_copy_are_named_and_the_rest_is_printed() {
    let mut images = Images::new("torn");
    images.flip(0, 200);
    images.flip(0, layout().superblock_offset(2) + 9000);
    images.flip(0, layout().segment_offset(SegmentIndex(LOG_SEGMENT)) + 50);
    let seen = images.inspect(&[0], What::Summary);
    seen.assert_faults(&["label A: Label: checksum", "superblock copy 2", "segment 1: SegmentHeader"]);
    let device = &seen.json["devices"][0];
    assert_eq!(device["label_B"]["index"], 0);
    assert_eq!(device["agreement"], "sequence 9");
    assert_eq!(device["segments_by_kind"]["damaged_header"], 1);
    images.inspect(&[0], What::Label).assert_faults(&["label A"]);
    images.inspect(&[1], What::Label).assert_faults(&[]);
    images.inspect(&[0], What::Superblock).assert_faults(&["copy 2"]);
}

#[test]
fn a_copy_in_the_wrong_slot_is_refused() {
    let mut images = Images::new("misdirected");
    let slot = superblock(0, superblock_root(&images), 1).encode(3);
    images.put(0, layout().superblock_offset(0), &slot);
    images.inspect(&[0], What::Superblock).assert_faults(&["Copy is 3, 0 was looked for"]);
}

fn superblock_root(images: &Images) -> Extent {
    let start = usize::try_from(layout().superblock_offset(1)).unwrap();
    Superblock::decode(&images.devices[0][start..start + 65536]).unwrap().checkpoint[0].clone()
}

#[test]
fn something_else_than_a_device_is_told_without_panic() {
    let images = Images::new("foreign");
    for (name, content) in [("empty", vec![]), ("short", vec![1; 100]), ("zeros", vec![0; 4 << 20])] {
        let path = images.folder.join(name);
        std::fs::write(&path, content).unwrap();
        for what in [
            What::Summary,
            What::Label,
            What::Superblock,
            What::Segment(SegmentIndex(0)),
            LOG_ROW,
            What::Checkpoint,
        ] {
            let devices = vec![path.clone()];
            let report = inspect(&InspectOptions { devices, what, json: true }).unwrap();
            assert!(!report.faults().is_empty(), "{name} {what:?}");
        }
    }
}

#[test]
fn a_segment_lists_its_rows_over_gaps_and_damage() {
    let mut images = Images::new("segment");
    let records = log_records();
    // Row 2 uses one data chunk: member 1 has a gap there.
    images.write_row(&log_group(), LOG_SEGMENT, 2, b"small", 0);
    images.write_row(&log_group(), LOG_SEGMENT, 3, &records, records.len());
    let seen = images.inspect(&[1], What::Segment(SegmentIndex(LOG_SEGMENT)));
    seen.assert_faults(&[]);
    let offsets: Vec<_> =
        seen.json["rows"].as_array().unwrap().iter().map(|row| row["row"].clone()).collect();
    assert_eq!(offsets, [1, 3]);
    // A bad payload is named and the row still listed; a bad header hides only its own row.
    images.flip(1, chunk_at(LOG_SEGMENT, 1) + 2000);
    images.flip(0, chunk_at(LOG_SEGMENT, 1) + 70);
    let seen = images.inspect(&[1], What::Segment(SegmentIndex(LOG_SEGMENT)));
    seen.assert_faults(&["segment 1 row 1: payload of member 1"]);
    assert_eq!(seen.json["rows"].as_array().unwrap().len(), 2);
    let seen = images.inspect(&[0], What::Segment(SegmentIndex(LOG_SEGMENT)));
    seen.assert_faults(&["segment 1 row 1: ChunkHeader: checksum"]);
    assert_eq!(seen.json["rows"].as_array().unwrap().len(), 2);
}

#[test]
fn records_are_read_when_the_devices_suffice() {
    let images = Images::new("row");
    let alone = images.inspect(&[0], LOG_ROW);
    alone.assert_faults(&[]);
    assert_eq!(alone.json["chunk"]["data_count"], 2);
    assert!(alone.json["records"].as_str().unwrap().contains("2 good chunks are needed"));
    for devices in [[0, 1], [1, 2], [2, 0]] {
        let seen = images.inspect(&devices, LOG_ROW);
        seen.assert_faults(&[]);
        let batch = &seen.json["records"][0];
        assert_eq!(batch["virtual_shard"], 77);
        assert_eq!(batch["batch"].as_array().unwrap().len(), 40);
        assert_eq!(batch["batch"][3]["change"], "delete");
        assert!(batch["batch"][3]["key"].as_str().unwrap().starts_with("object 1/object 0"));
        assert_eq!(seen.json.get("computed_from_parity").is_some(), devices.contains(&2));
    }
}

#[test]
fn a_damaged_chunk_is_told_and_computed_from_the_others() {
    let mut images = Images::new("row-damage");
    images.flip(0, chunk_at(LOG_SEGMENT, 1) + 3000);
    let seen = images.inspect(&[0, 1, 2], LOG_ROW);
    seen.assert_faults(&["payload of member 0"]);
    assert_eq!(seen.json["computed_from_parity"], "members 0");
    assert_eq!(seen.json["records"][0]["batch"].as_array().unwrap().len(), 40);
    assert!(seen.text.contains("000000  "));
}

#[test]
fn the_checkpoint_is_followed_through_any_two_devices() {
    let mut images = Images::new("checkpoint");
    for devices in [vec![0, 1, 2], vec![0], vec![2], vec![1, 2]] {
        let seen = images.inspect(&devices, What::Checkpoint);
        seen.assert_faults(&[]);
        assert_eq!(seen.json["checkpoint"]["sequence"], 4);
        assert_eq!(seen.json["logs"][0]["next_sequence"], 2);
        assert_eq!(seen.json["groups"][0]["live_bytes"], 123);
    }
    // The row has one data chunk and one copy: without both nothing is left.
    images.flip(0, chunk_at(INDEX_SEGMENT, 1) + 500);
    images.flip(2, chunk_at(INDEX_SEGMENT, 1) + 500);
    let seen = images.inspect(&[0, 1, 2], What::Checkpoint);
    seen.assert_faults(&["checkpoint extent 0 (group 6 row 1)"]);
    assert_eq!(seen.json["superblock"]["sequence"], 9);
}

#[test]
fn devices_that_do_not_go_together_are_told() {
    let images = Images::new("together");
    let seen = images.inspect(&[0, 0], What::Checkpoint);
    seen.assert_faults(&["is device 0, as is"]);
}
