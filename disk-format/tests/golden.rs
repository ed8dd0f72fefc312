//! The bytes of every structure, as this version writes them, are kept in `tests/golden/*.hex`. Every build
//! must write the same bytes and read them back to the same values: a difference is a format change.
//!
//! `ASHLAR_GOLDEN=write cargo test -p ashlar-disk-format --test images golden::` stores images that do not exist
//! yet. It never changes one that does: a new version gets a new file.

#[cfg(test)]
mod tests {
    use crate::fixtures as f;
    use ashlar_disk_format::DecodeError;
    use ashlar_disk_format::checkpoint::Checkpoint;
    use ashlar_disk_format::chunk::{ChunkHeader, header_bytes};
    use ashlar_disk_format::extent::Extent;
    use ashlar_disk_format::extent_page::ExtentPage;
    use ashlar_disk_format::index_page::IndexPageView;
    use ashlar_disk_format::key;
    use ashlar_disk_format::label::{Label, Probe};
    use ashlar_disk_format::part_page;
    use ashlar_disk_format::record::{Record, RecordReader};
    use ashlar_disk_format::run_manifest::RunManifest;
    use ashlar_disk_format::segment::SegmentHeader;
    use ashlar_disk_format::superblock::{DeviceState, ScrubProgress, Superblock};
    use ashlar_disk_format::units::{Epoch, Generation, VirtualShard};
    use ashlar_disk_format::value;
    use std::path::PathBuf;

    #[test]
    fn this_build_writes_the_stored_bytes() {
        let write = std::env::var_os("ASHLAR_GOLDEN").is_some_and(|value| value == "write");
        for (name, bytes) in f::images() {
            if write && !path(name).exists() {
                std::fs::write(path(name), print(&bytes)).unwrap();
            }
            assert_eq!(print(&stored(name)), print(&bytes), "{name}");
        }
    }

    #[test]
    fn roots_read_back() {
        assert_eq!(Label::decode(&stored("label")), Ok(f::label()));
        assert_eq!(Label::probe(&stored("label")), Probe::Ours(Box::new(f::label())));
        assert_eq!(Superblock::decode_copy(&stored("superblock")), Ok((f::superblock(), 2)));
        assert_eq!(SegmentHeader::decode(&stored("segment_header")), Ok(f::segment_header()));
        assert_eq!(Checkpoint::decode(&stored("checkpoint")), Ok(f::checkpoint()));
        assert_eq!(RunManifest::decode(&stored("run_manifest")), Ok(f::run_manifest()));
        assert_eq!(part_page::decode(&stored("part_page")), Ok(f::part_infos()));
        assert_eq!(ExtentPage::decode(&stored("extent_page")), Ok(f::extent_page()));
        assert_eq!(Extent::list_decode(&stored("extent_list")), Ok(vec![f::extent(448), f::long_extent()]));
    }

    #[test]
    fn vacant_devices_and_the_progress_of_scrubbing_read_back() {
        let mut superblock = f::superblock();
        superblock.devices[2].state = DeviceState::Vacant { since: Epoch(3) };
        superblock.scrub = ScrubProgress { began_ms: 0x0102_0304, next: Generation(0x0506_0708_090a) };
        let slot = superblock.encode(2);
        assert_eq!(slot[108..128], [4, 3, 2, 1, 0, 0, 0, 0, 10, 9, 8, 7, 6, 5, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Superblock::decode_copy(&slot), Ok((superblock, 2)));
        // State and epoch of the third device.
        let entry = 128 + 2 * 32;
        assert_eq!(slot[entry + 26..entry + 32], [4, 0, 3, 0, 0, 0]);
    }

    #[test]
    fn a_damaged_label_is_not_called_foreign() {
        let mut bytes = stored("label");
        bytes[100] ^= 1;
        assert!(matches!(Label::probe(&bytes), Probe::Damaged(DecodeError::Checksum { .. })));
        assert_eq!(Label::probe(&[0; 4096]), Probe::NotOurs);
        assert_eq!(Label::probe(&[]), Probe::NotOurs);
        assert!(matches!(Label::probe(&bytes[..100]), Probe::Damaged(DecodeError::Short { .. })));
    }

    #[test]
    fn the_object_is_found_in_either_chunk() {
        for (name, member) in [("chunk_data", 0), ("chunk_parity", 2)] {
            let chunk = stored(name);
            let header = ChunkHeader::decode(&chunk).unwrap();
            assert_eq!(header, f::chunk_header(member));
            let group = f::descriptor();
            assert_eq!(header.expect(group.group, group.generation, header.row, member), Ok(()));
            assert!(header.expect(group.group, group.generation, header.row, 1).is_err());
            let payload = &chunk[header_bytes(3)..];
            assert_eq!(header.verify_payload(member, payload), Ok(()));
            let end = usize::try_from(header.payload_bytes).unwrap();
            let records = &payload[end - usize::try_from(header.record_bytes).unwrap()..end];
            let read: Vec<_> = RecordReader::new(records).collect::<Result<_, _>>().unwrap();
            assert_eq!(read, [(f::vshard(), f::batch(f::payload_offset()))]);
            let Record::Batch(batch) = &read[0].1 else { panic!("a batch was written") };
            let (bucket, key) = key::decode_object_key(&batch.mutations[0].key).unwrap();
            assert_eq!((bucket, key.as_slice()), (f::BUCKET, f::NAME));
            let object = value::decode_object(batch.mutations[0].value.as_ref().unwrap()).unwrap();
            let extent = object.extents().next().unwrap();
            let start = usize::try_from(extent.payload_offset).unwrap();
            let body = &payload[start..start + f::BODY.len()];
            assert_eq!(extent.verify(0, body), Ok(()));
            assert_eq!(body, f::BODY);
        }
    }

    #[test]
    fn records_read_back() {
        let bytes: Vec<u8> = ["record_batch", "record_group_open", "record_next_log_group"]
            .iter()
            .flat_map(|name| stored(name))
            .collect();
        let read: Vec<_> = RecordReader::new(&bytes).map(|record| record.unwrap().1).collect();
        let expected = [
            f::batch(f::payload_offset()),
            Record::GroupOpen(f::descriptor()),
            Record::NextLogGroup(f::descriptor()),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn an_index_page_is_searched_in_place() {
        let bytes = stored("index_page");
        for page in [IndexPageView::validate(&bytes).unwrap(), IndexPageView::trusted(&bytes).unwrap()] {
            assert_eq!((page.run(), page.page_number(), page.len()), (7, 3, 4));
            for (index, (key, value)) in f::index_entries().iter().enumerate() {
                assert_eq!(page.find(key), Ok(index));
                assert_eq!(page.key(index), key.as_slice());
                assert_eq!(page.value(index), value.as_deref());
            }
            assert_eq!(page.find(&key::object_key(f::BUCKET, b"aa")), Err(2));
            assert_eq!(page.find(&[]), Err(0));
            assert_eq!(page.find(&[0xff]), Err(4));
            assert_eq!((page.key(4), page.value(4)), (&[][..], None));
        }
    }

    #[test]
    fn values_read_back() {
        assert_eq!(value::decode_bucket(&stored("value_bucket")), Ok(f::bucket()));
        assert_eq!(value::decode_object(&stored("value_object")), Ok(f::object(f::payload_offset())));
        let multipart = stored("value_object_multipart");
        assert_eq!(value::decode_object(&multipart), Ok(f::multipart_object()));
        assert_eq!(value::access_object(&multipart).unwrap().size.to_native(), f::multipart_object().size);
        assert_eq!(value::decode_upload(&stored("value_upload")), Ok(f::upload()));
        assert_eq!(value::decode_part(&stored("value_part")), Ok(f::part()));
        assert_eq!(value::decode_shared(&stored("value_shared")), Ok(f::shared()));
        assert_eq!(value::decode_shared_ref(&stored("value_shared_ref")), Ok(f::shared_ref()));
        assert_eq!(value::decode_unref(&stored("value_unref")), Ok(f::unref()));
        let wrong = value::decode_part(&multipart);
        assert!(matches!(wrong, Err(DecodeError::Mismatch { expected: 4, found: 2, .. })));
        let group = f::descriptor();
        let held: Vec<_> = value::extents(&multipart).unwrap().collect();
        assert_eq!(held, [(group.group, group.generation, 5)]);
        assert_eq!(value::extents(&stored("value_bucket")).unwrap().count(), 0);
    }

    #[test]
    fn keys_read_back() {
        assert_eq!(key::decode_bucket_key(&stored("key_bucket")).as_deref(), Ok("first"));
        assert_eq!(key::decode_object_key(&stored("key_object")), Ok((f::BUCKET, b"a\0b".to_vec())));
        let upload = key::decode_upload_key(&stored("key_upload"));
        assert_eq!(upload, Ok((f::BUCKET, f::NAME.to_vec(), f::UPLOAD)));
        let part = key::decode_part_key(&stored("key_part"));
        assert_eq!(part, Ok((f::BUCKET, f::NAME.to_vec(), f::UPLOAD, 258)));
        assert_eq!(key::decode_shared_key(&stored("key_shared")), Ok(f::shared_id()));
        assert_eq!(key::decode_shared_ref_key(&stored("key_shared_ref")), Ok((f::shared_id(), 9)));
        assert_eq!(
            key::decode_unref_key(&stored("key_unref")),
            Ok((VirtualShard(0x0456), f::shared_id(), 9))
        );
    }

    /// The stored bytes of an image.
    fn stored(name: &str) -> Vec<u8> {
        parse(&std::fs::read_to_string(path(name)).unwrap())
    }

    fn path(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"))
    }

    /// Length, then a line for each 32 bytes that are not all zero: offset and bytes.
    fn print(bytes: &[u8]) -> String {
        let mut text = format!("length {}\n", bytes.len());
        for (line, part) in bytes.chunks(32).enumerate() {
            if part.iter().any(|&byte| byte != 0) {
                text.push_str(&format!("{:08x} {}\n", line * 32, hex::encode(part)));
            }
        }
        text
    }

    fn parse(text: &str) -> Vec<u8> {
        let mut lines = text.lines();
        let length = lines.next().unwrap().strip_prefix("length ").unwrap();
        let mut bytes = vec![0; length.parse().unwrap()];
        for line in lines {
            let (offset, part) = line.split_once(' ').unwrap();
            let offset = usize::from_str_radix(offset, 16).unwrap();
            let part = hex::decode(part).unwrap();
            bytes[offset..offset + part.len()].copy_from_slice(&part);
        }
        bytes
    }

    #[test]
    fn sizes_that_are_promised_are_kept_and_near() {
        let long = value::ObjectRecord {
            size: f::long_extent().length.into(),
            metadata: (0..20)
                .map(|n| value::Metadata { name: "n".repeat(n), value: vec![0; 3 * n] })
                .collect(),
            body: value::Body(vec![value::BodyEntry::Data(f::long_extent())].into()),
            parts: value::PartTable::Page { count: 3, extents: vec![f::long_extent(), f::extent(0)] },
            ..f::object(0)
        };
        for record in [f::object(0), f::multipart_object(), long] {
            let (most, found) = (record.value_bytes_max(), value::encode_object(&record).len());
            assert!(found <= most, "{found} of {most}");
            // Names of up to eight bytes stand in their fixed part.
            assert!(most <= found + 8 * (record.metadata.len() + 1), "{found} of {most}");
        }
        let part = f::part();
        let (most, found) = (part.value_bytes_max(), value::encode_part(&part).len());
        assert!(found <= most && most <= found + 8, "{found} of {most}");
    }
}
