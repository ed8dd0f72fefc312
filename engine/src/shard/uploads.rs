//! Multipart uploads. An upload and its parts live on the shard of the key they will make, so that
//! completion hands the parts' bytes over inside one shard and one log record.

use super::commit::{Change, Planned, PlannedValue};
use super::message::{CompleteCall, PartCall};
use super::objects::{check_condition, held_by, milliseconds, placed, wall_time};
use super::sharing::unref_of;
use super::state::{CounterDelta, Shard};
use crate::body::{BodySpace, build_tree};
use crate::error::EngineError;
use crate::limits::{PARTS_INLINE_MAX, PARTS_MAX, PARTS_PER_PAGE};
use crate::number::{to_i64, to_u32};
use crate::runtime::Runtime;
use crate::types::{NamedPart, Part, PartPage, Published, Upload, UploadId, UploadInit};
use ashlar_disk_format::key::{
    decode_part_key, object_key, part_key, part_prefix, prefix_end, upload_key, virtual_shard,
};
use ashlar_disk_format::part_page;
use ashlar_disk_format::units::BucketId;
use ashlar_disk_format::value::{
    Body, Entries, ObjectRecord, PartInfo, PartRecord, PartTable, UploadRecord, UploadState, decode_part,
    decode_upload, encode_object, encode_part, encode_upload,
};
use std::ops::Bound;
use std::rc::Rc;

/// A stored part with its number and index key.
struct Stored {
    number: u16,
    key: Vec<u8>,
    record: PartRecord,
}

pub(super) fn upload_of(key: Vec<u8>, id: UploadId, record: UploadRecord) -> Upload {
    Upload {
        key,
        id,
        created: wall_time(record.created_ms),
        init: UploadInit {
            metadata: record.metadata,
            checksum_algorithm: record.checksum_algorithm,
            checksum_kind: record.checksum_kind,
            owner: record.owner,
        },
    }
}

impl<R: Runtime> Shard<R> {
    /// Begins an upload. Its identity begins with the time, so that uploads of a key sort by age.
    pub(crate) async fn create_upload(
        self: &Rc<Self>,
        bucket: BucketId,
        key: &[u8],
        init: UploadInit,
    ) -> Result<UploadId, EngineError> {
        let _changing = self.changing.enter();
        if self.is_low() {
            return Err(EngineError::Full);
        }
        self.live_bucket(bucket)?;
        let created = milliseconds(self.view.runtime.wall());
        let mut id = [0; 16];
        self.view.runtime.fill_random(&mut id);
        // Eight bytes of time in an order-keeping form, eight of chance.
        id[..8].copy_from_slice(&ordered(created.unsigned_abs()));
        let record = UploadRecord {
            created_ms: created,
            metadata: init.metadata,
            checksum_algorithm: init.checksum_algorithm,
            checksum_kind: init.checksum_kind,
            owner: init.owner,
            state: UploadState::Open,
        };
        let value = PlannedValue::Ready(encode_upload(&record));
        let put = Planned::Put { key: upload_key(bucket, key, id).into(), value };
        self.submit(Change {
            counters: Some(CounterDelta { bucket, objects: 0, bytes: 0, uploads: 1 }),
            ..Change::new(virtual_shard(bucket, key), vec![put])
        })
        .await?;
        Ok(UploadId(id))
    }

    /// What an upload was begun with.
    pub(crate) async fn upload(
        &self,
        bucket: BucketId,
        key: &[u8],
        id: UploadId,
    ) -> Result<Option<Box<Upload>>, EngineError> {
        let record = self.upload_record(bucket, key, id).await?;
        Ok(record.map(|record| Box::new(upload_of(key.to_vec(), id, record))))
    }

    async fn upload_record(
        &self,
        bucket: BucketId,
        key: &[u8],
        id: UploadId,
    ) -> Result<Option<UploadRecord>, EngineError> {
        let Some(value) = self.index.get(&upload_key(bucket, key, id.0)).await? else { return Ok(None) };
        Ok(Some(decode_upload(&value)?))
    }

    /// Stores a part, in place of one of the same number.
    pub(crate) async fn put_part(self: &Rc<Self>, call: PartCall) -> Result<Box<Part>, EngineError> {
        let _changing = self.changing.enter();
        if self.is_low() {
            return Err(EngineError::Full);
        }
        let _lock = self.locks.lock(&upload_key(call.bucket, &call.key, call.id.0)).await;
        self.live_bucket(call.bucket)?;
        if self.upload_record(call.bucket, &call.key, call.id).await?.is_none() {
            return Err(EngineError::NoSuchUpload);
        }
        let index_key = part_key(call.bucket, &call.key, call.id.0, call.number);
        let old = match self.index.get(&index_key).await? {
            Some(value) => decode_part(&value)?.body.0,
            None => Entries::new(),
        };
        let modified = self.view.runtime.wall();
        let (body, payload, hold) = placed(call.body, &self.spare_entries);
        let record = PartRecord {
            size: call.size,
            modified_ms: milliseconds(modified),
            sequence: self.next_sequence(),
            md5: call.md5,
            checksum: call.checksum.clone(),
            body,
        };
        let value = match payload {
            Some(_) => PlannedValue::Part(Box::new(record)),
            None => PlannedValue::Ready(encode_part(&record)),
        };
        let put = Planned::Put { key: index_key.into(), value };
        let change = Change::new(virtual_shard(call.bucket, &call.key), vec![put]);
        self.submit(Change { payload, hold, release: old, ..change }).await?;
        Ok(Box::new(Part {
            number: call.number,
            size: call.size,
            modified,
            md5: call.md5,
            checksum: call.checksum,
        }))
    }

    /// A page of an upload's parts.
    pub(crate) async fn list_parts(
        &self,
        bucket: BucketId,
        key: &[u8],
        id: UploadId,
        after: u16,
        max: usize,
    ) -> Result<PartPage, EngineError> {
        if self.upload_record(bucket, key, id).await?.is_none() {
            return Err(EngineError::NoSuchUpload);
        }
        let start = part_key(bucket, key, id.0, after);
        let stored = self.stored_parts(bucket, key, id, Bound::Excluded(&start), max + 1).await?;
        let truncated = stored.len() > max;
        let part = |stored: Stored| Part {
            number: stored.number,
            size: stored.record.size,
            modified: wall_time(stored.record.modified_ms),
            md5: stored.record.md5,
            checksum: stored.record.checksum,
        };
        Ok(PartPage { parts: stored.into_iter().take(max).map(part).collect(), truncated })
    }

    async fn stored_parts(
        &self,
        bucket: BucketId,
        key: &[u8],
        id: UploadId,
        start: Bound<&[u8]>,
        max: usize,
    ) -> Result<Vec<Stored>, EngineError> {
        let end = prefix_end(&part_prefix(bucket, key, id.0));
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut scan = self.index.scan(start, end);
        let mut stored = Vec::new();
        while stored.len() < max {
            let Some(entry) = scan.next().await? else { break };
            let (_, _, _, number) = decode_part_key(&entry.key)?;
            let record = decode_part(&entry.value)?;
            stored.push(Stored { number, key: entry.key.to_vec(), record });
        }
        Ok(stored)
    }

    /// Drops an upload and its parts.
    pub(crate) async fn abort_upload(
        self: &Rc<Self>,
        bucket: BucketId,
        key: &[u8],
        id: UploadId,
    ) -> Result<(), EngineError> {
        let _changing = self.changing.enter();
        let index_key = upload_key(bucket, key, id.0);
        let _lock = self.locks.lock(&index_key).await;
        if self.upload_record(bucket, key, id).await?.is_none() {
            return Err(EngineError::NoSuchUpload);
        }
        let prefix = part_prefix(bucket, key, id.0);
        let stored = self.stored_parts(bucket, key, id, Bound::Included(&prefix), PARTS_MAX).await?;
        let keys = stored.iter().map(|part| part.key.clone()).collect();
        let release = stored.into_iter().flat_map(|part| part.record.body.0).collect();
        let mutations = vec![Planned::Delete { key: index_key }, Planned::DeletePrefix { prefix, keys }];
        self.submit(Change {
            release,
            counters: Some(CounterDelta { bucket, objects: 0, bytes: 0, uploads: -1 }),
            ..Change::new(virtual_shard(bucket, key), mutations)
        })
        .await
    }

    /// Makes an object of the named parts; the others die. Asked again after it succeeded, it gives
    /// the same answer as long as its object stands.
    pub(crate) async fn complete_upload(
        self: &Rc<Self>,
        call: CompleteCall,
    ) -> Result<Published, EngineError> {
        let _changing = self.changing.enter();
        let CompleteCall { bucket, key, id, .. } = &call;
        let (bucket, id) = (*bucket, *id);
        let upload = upload_key(bucket, key, id.0);
        let object = object_key(bucket, key);
        let _upload_lock = self.locks.lock(&upload).await;
        let _object_lock = self.locks.lock(&object).await;
        self.live_bucket(bucket)?;
        let current = self.lookup(bucket, key).await?;
        if self.upload_record(bucket, key, id).await?.is_none() {
            let made = current.filter(|record| record.upload == Some(id.0));
            let Some(made) = made else { return Err(EngineError::NoSuchUpload) };
            return Ok(Published { modified: wall_time(made.modified_ms), replaced: false });
        }
        check_condition(&call.condition, current.as_ref().map(|record| &record.etag))?;
        let prefix = part_prefix(bucket, key, id.0);
        let stored = self.stored_parts(bucket, key, id, Bound::Included(&prefix), PARTS_MAX).await?;
        let keys: Vec<Vec<u8>> = stored.iter().map(|part| part.key.clone()).collect();
        let (named, unnamed) = pick(stored, &call.parts)?;
        let mut hold = BodySpace::default();
        let record = self.assemble(&call, named, &mut hold).await?;
        let modified = wall_time(record.modified_ms);
        let mut release: Entries = unnamed.into_iter().flat_map(|part| part.record.body.0).collect();
        release.extend(current.as_ref().map(held_by).unwrap_or_default());
        let counters = CounterDelta {
            bucket,
            objects: i64::from(current.is_none()),
            bytes: to_i64(record.size) - current.as_ref().map_or(0, |record| to_i64(record.size)),
            uploads: -1,
        };
        let value = PlannedValue::Ready(encode_object(&record));
        let shard = virtual_shard(bucket, key);
        let mut mutations = vec![
            Planned::Put { key: object.into(), value },
            Planned::Delete { key: upload },
            Planned::DeletePrefix { prefix, keys },
        ];
        mutations.extend(current.as_ref().and_then(|record| unref_of(shard, record)));
        let change = Change::new(shard, mutations);
        self.submit(Change { hold, release, counters: Some(counters), ..change }).await?;
        Ok(Published { modified, replaced: current.is_some() })
    }

    /// The record over the parts' bytes: the parts' space passes to it, only new pages are added.
    async fn assemble(
        &self,
        call: &CompleteCall,
        named: Vec<Stored>,
        hold: &mut BodySpace,
    ) -> Result<ObjectRecord, EngineError> {
        let size = named.iter().map(|part| part.record.size).sum();
        let infos: Vec<PartInfo> = named
            .iter()
            .map(|part| PartInfo {
                number: part.number,
                size: part.record.size,
                checksum: part.record.checksum.as_ref().map_or_else(Vec::new, |sum| sum.value.to_vec()),
            })
            .collect();
        let entries = named.into_iter().flat_map(|part| part.record.body.0).collect();
        let entries = build_tree(&self.body_pages, entries, hold).await?;
        let parts = if infos.len() <= PARTS_INLINE_MAX {
            PartTable::Inline(infos)
        } else {
            let pages: Vec<Vec<u8>> = infos.chunks(PARTS_PER_PAGE).map(part_page::encode).collect();
            let extents = self.body_pages.place(&pages).await?;
            for extent in &extents {
                hold.add(extent);
            }
            PartTable::Page { count: to_u32(infos.len()), extents }
        };
        Ok(ObjectRecord {
            size,
            modified_ms: milliseconds(self.view.runtime.wall()),
            sequence: self.next_sequence(),
            etag: call.meta.etag.clone(),
            checksum: call.meta.checksum.clone(),
            metadata: call.meta.metadata.clone(),
            body: Body(entries.into()),
            parts,
            upload: Some(call.id.0),
        })
    }
}

/// The parts that are named, in the order named, and the rest.
fn pick(stored: Vec<Stored>, names: &[NamedPart]) -> Result<(Vec<Stored>, Vec<Stored>), EngineError> {
    let mut named = Vec::with_capacity(names.len());
    let mut rest = Vec::new();
    let mut names = names.iter().peekable();
    // Both are in order of number.
    for part in stored {
        match names.peek() {
            Some(name) if name.number == part.number => {
                if name.md5 != part.record.md5 {
                    return Err(EngineError::InvalidPart);
                }
                names.next();
                named.push(part);
            }
            Some(name) if name.number < part.number => return Err(EngineError::InvalidPart),
            Some(_) | None => rest.push(part),
        }
    }
    if names.next().is_some() || named.is_empty() {
        return Err(EngineError::InvalidPart);
    }
    Ok((named, rest))
}

/// Eight bytes that sort as the number does.
#[expect(clippy::big_endian_bytes, reason = "only so is the order of the bytes that of the numbers")]
fn ordered(value: u64) -> [u8; 8] {
    value.to_be_bytes()
}
