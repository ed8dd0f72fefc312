//! Bytes from a device may be anything. Every decoder gets noise, cut-off and flipped images, and images whose
//! checksum was made good again after the damage: it must answer, never panic, and what it accepts must be
//! writable again.

#[cfg(test)]
mod tests {
    use crate::fixtures as f;
    use ashlar_disk_format::checkpoint::Checkpoint;
    use ashlar_disk_format::checksum::{crc32c, crc32c_append};
    use ashlar_disk_format::chunk::ChunkHeader;
    use ashlar_disk_format::extent::Extent;
    use ashlar_disk_format::extent_page::ExtentPage;
    use ashlar_disk_format::index_page::IndexPageView;
    use ashlar_disk_format::key;
    use ashlar_disk_format::label::Label;
    use ashlar_disk_format::part_page;
    use ashlar_disk_format::record::{RecordReader, encode_record};
    use ashlar_disk_format::run_manifest::RunManifest;
    use ashlar_disk_format::segment::SegmentHeader;
    use ashlar_disk_format::superblock::Superblock;
    use ashlar_disk_format::value;
    use proptest::prelude::{ProptestConfig, any, proptest};
    use proptest::{collection, prop_assert_eq};

    /// Gives `bytes` to every decoder, and writes again what each accepts. Returns how many accepted.
    fn decode_all(bytes: &[u8]) -> usize {
        let mut accepted = 0;
        let mut note = |ok: bool| accepted += usize::from(ok);
        note(Label::decode(bytes).map(|label| label.encode()).is_ok());
        note(Superblock::decode_copy(bytes).map(|(superblock, copy)| superblock.encode(copy)).is_ok());
        note(SegmentHeader::decode(bytes).map(|header| header.encode()).is_ok());
        note(ChunkHeader::decode(bytes).map(|header| header.encode_into(&mut [0; 4096])).is_ok());
        let records = RecordReader::new(bytes).map(|record| {
            record.map(|(vshard, record)| encode_record(&record, vshard, &mut Vec::new())).is_ok()
        });
        note(records.fold(!bytes.is_empty(), |all, ok| all && ok));
        note(Extent::list_decode(bytes).map(|list| Extent::list_encode(&list)).is_ok());
        note(ExtentPage::decode(bytes).map(|page| page.encode()).is_ok());
        note(RunManifest::decode(bytes).map(|manifest| manifest.encode()).is_ok());
        note(Checkpoint::decode(bytes).map(|checkpoint| checkpoint.encode()).is_ok());
        note(IndexPageView::validate(bytes).is_ok());
        if let Ok(page) = IndexPageView::trusted(bytes) {
            let found = (0..page.len()).filter(|&index| page.find(page.key(index)).is_ok()).count();
            assert!(found <= page.len());
        }
        note(decode_value(bytes));
        note(key::decode_bucket_key(bytes).map(|name| key::bucket_key(&name)).is_ok());
        note(key::decode_object_key(bytes).map(|(bucket, name)| key::object_key(bucket, &name)).is_ok());
        note(key::decode_upload_key(bytes).map(|(b, name, id)| key::upload_key(b, &name, id)).is_ok());
        note(
            key::decode_part_key(bytes).map(|(b, name, id, part)| key::part_key(b, &name, id, part)).is_ok(),
        );
        note(key::decode_shared_key(bytes).map(key::shared_key).is_ok());
        note(key::decode_shared_ref_key(bytes).map(|(id, token)| key::shared_ref_key(id, token)).is_ok());
        note(
            key::decode_unref_key(bytes).map(|(vshard, id, token)| key::unref_key(vshard, id, token)).is_ok(),
        );
        // Not counted: a part page has no magic, so that many short byte strings are one.
        if let Ok(parts) = part_page::decode(bytes) {
            assert_eq!(part_page::encode(&parts), bytes);
        }
        accepted
    }

    fn decode_value(bytes: &[u8]) -> bool {
        let held = value::extents(bytes).is_ok();
        let accepted = value::decode_bucket(bytes).map(|record| value::encode_bucket(&record)).is_ok()
            || value::decode_object(bytes).map(|record| value::encode_object(&record)).is_ok()
            || value::decode_upload(bytes).map(|record| value::encode_upload(&record)).is_ok()
            || value::decode_part(bytes).map(|record| value::encode_part(&record)).is_ok()
            || value::decode_shared(bytes).map(|record| value::encode_shared(&record)).is_ok()
            || value::decode_shared_ref(bytes).map(|record| value::encode_shared_ref(&record)).is_ok()
            || value::decode_unref(bytes).map(|record| value::encode_unref(&record)).is_ok();
        assert!(held || !accepted, "the extents of a value that is accepted can be listed");
        accepted
    }

    /// Makes the checksum of a damaged image good, so that the damage reaches what stands behind it.
    fn reseal(name: &str, bytes: &mut [u8]) {
        let (at, crc) = match name {
            "label" | "segment_header" | "superblock" => (bytes.len() - 4, crc32c(&bytes[..bytes.len() - 4])),
            "chunk_data" | "chunk_parity" => (124, crc32c_append(crc32c(&bytes[..124]), &bytes[128..192])),
            "record_batch" | "record_group_open" | "record_next_log_group" => {
                (12, crc32c_append(crc32c(&bytes[..12]), &bytes[16..]))
            }
            "extent_list" | "extent_page" | "index_page" | "run_manifest" | "checkpoint" => {
                (60, crc32c_append(crc32c(&bytes[..60]), &bytes[64..]))
            }
            _ => return,
        };
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Where the checksums of an image end; 0 for images without one (keys, values and part pages are checked by what holds them).
    fn checked_bytes(name: &str, length: usize) -> usize {
        match name {
            "chunk_data" | "chunk_parity" => 192,
            _ if name.starts_with("key_") || name.starts_with("value_") || name == "part_page" => 0,
            _ => length,
        }
    }

    #[test]
    fn every_image_is_accepted_by_one_decoder_only() {
        for (name, bytes) in f::images() {
            assert_eq!(decode_all(&bytes), usize::from(name != "part_page"), "{name}");
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        for (name, mut bytes) in f::images() {
            // A superblock is mostly zeros: its first KiB and its end stand for all.
            let length = bytes.len();
            for at in (0..length).filter(|&at| at < 1024 || at + 64 > length) {
                bytes[at] ^= 0x20;
                let accepted = decode_all(&bytes);
                if at < checked_bytes(name, length) {
                    assert_eq!(accepted, 0, "{name}: byte {at}");
                }
                bytes[at] ^= 0x20;
            }
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        for (name, bytes) in f::images() {
            let checked = checked_bytes(name, bytes.len());
            for length in (0..bytes.len()).filter(|&length| length < 512 || length + 64 > bytes.len()) {
                let accepted = decode_all(&bytes[..length]);
                if length < checked || name.starts_with("key_") {
                    assert_eq!(accepted, 0, "{name}: {length} bytes");
                }
            }
        }
    }

    #[test]
    fn damage_behind_a_good_checksum_never_panics() {
        for (name, image) in f::images() {
            let mut bytes = image.clone();
            for at in (0..image.len()).filter(|&at| at < 1024 || at + 64 > image.len()) {
                for value in [0, 1, 0x7f, 0x80, 0xff, image[at].wrapping_add(1), image[at].wrapping_sub(1)] {
                    bytes[at] = value;
                    reseal(name, &mut bytes);
                    decode_all(&bytes);
                }
                bytes.copy_from_slice(&image);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn noise_is_refused(bytes in collection::vec(any::<u8>(), 1..5000)) {
            // Only values (two bytes and an archive) and keys are short enough to be met by chance.
            if bytes[0] > 7 {
                prop_assert_eq!(decode_all(&bytes), 0);
            }
            decode_all(&bytes);
        }

        #[test]
        fn several_damages_behind_a_good_checksum_never_panic(
            image in 0usize..1 << 16,
            damages in collection::vec((any::<u32>(), any::<u8>()), 1..12),
        ) {
            let images = f::images();
            let (name, mut bytes) = images[image % images.len()].clone();
            for (at, value) in damages {
                let length = bytes.len();
                // Mostly where the content is.
                let at = usize::try_from(at).unwrap() % length.min(768);
                bytes[at] = value;
            }
            reseal(name, &mut bytes);
            decode_all(&bytes);
        }
    }
}
