//! Asks the engine what the model is asked, and says the answers in the model's words.
//!
//! A `Driver` outlives the lives of the process, as a client does: it remembers which identity the store gave
//! to which upload.

use crate::model::{
    self, Content, Listing, Operation, Page, Refusal, Reply, Row, Tag, TagMatch, UploadName, View,
};
use crate::rig::SimEngine;
use ashlar_engine::error::EngineError;
use ashlar_engine::hash::{BodyDigests, BodyHasher, Ends, Lanes, Md5};
use ashlar_engine::types::{
    Bucket, Condition, Etag, EtagMatch, ListEntry, ListQuery, Metadata, NamedPart, ObjectMeta, UploadId,
    UploadInit, UploadQuery,
};
use ashlar_engine::{Body, Object};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// A client of the engine that speaks the model's language.
#[derive(Debug, Clone, Default)]
pub struct Driver {
    uploads: BTreeMap<UploadName, Place>,
    /// An upload that was asked for and not answered: if it exists, it is the one with an unknown identity.
    unanswered: Option<UploadName>,
}

#[derive(Debug, Clone)]
struct Place {
    bucket: String,
    key: Vec<u8>,
    id: Option<UploadId>,
}

/// A request did not get an answer that the model knows: the engine failed.
pub type Driven = Result<Reply, EngineError>;

/// The buckets that generated histories use.
pub const BUCKETS: [&str; 3] = ["one", "two", "three"];

impl Driver {
    /// Does `operation` through `engine`; a refusal is an answer, any other error is not.
    ///
    /// # Errors
    /// What the engine says, when it is no refusal that the model knows.
    pub async fn apply(&mut self, engine: &SimEngine, operation: &Operation) -> Driven {
        let answer = self.ask(engine, operation).await;
        match answer {
            Err(error) => refusal(&error).map_or(Err(error), |reason| Ok(Reply::Refused(vec![reason]))),
            Ok(reply) => Ok(reply),
        }
    }

    async fn ask(&mut self, engine: &SimEngine, operation: &Operation) -> Driven {
        match operation {
            Operation::CreateBucket { bucket } => {
                engine.create_bucket(bucket, "owner", "").await.map(|_| Reply::Done)
            }
            Operation::DeleteBucket { bucket } => engine.delete_bucket(bucket).await.map(|()| Reply::Done),
            Operation::Put { bucket, key, content, metadata, condition } => {
                let bucket = found(engine, bucket)?;
                let body = send(engine, *content).await?;
                let meta = meta(Tag::of(*content), *metadata);
                let done = engine.publish(&bucket, key, body, meta, asked(*condition)).await?;
                Ok(Reply::Published(Some(done.replaced)))
            }
            Operation::Get { bucket, key, range } => {
                let bucket = found(engine, bucket)?;
                let object = engine.lookup(&bucket, key).await?.ok_or(EngineError::NoSuchKey)?;
                view(engine, &object, range.clone()).await.map(Reply::Object)
            }
            Operation::Delete { bucket, key, condition } => {
                let bucket = found(engine, bucket)?;
                let existed = engine.delete(&bucket, key, asked(*condition)).await?;
                Ok(Reply::Deleted { existed })
            }
            Operation::Copy { source, bucket, key, condition } => {
                let from = found(engine, &source.0)?;
                let to = found(engine, bucket)?;
                let source = engine.lookup(&from, &source.1).await?.ok_or(EngineError::NoSuchKey)?;
                let meta = ObjectMeta {
                    etag: source.etag().clone(),
                    checksum: None,
                    metadata: source.metadata().to_vec(),
                };
                let done = engine.copy(&source, &to, key, meta, asked(*condition)).await?;
                Ok(Reply::Published(Some(done.replaced)))
            }
            Operation::List { bucket, query } => {
                list(engine, &*found(engine, bucket)?, query).await.map(Reply::Page)
            }
            Operation::CreateUpload { .. }
            | Operation::PutPart { .. }
            | Operation::ListParts { .. }
            | Operation::ListUploads { .. }
            | Operation::Complete { .. }
            | Operation::Abort { .. } => self.ask_upload(engine, operation).await,
        }
    }

    async fn ask_upload(&mut self, engine: &SimEngine, operation: &Operation) -> Driven {
        match operation {
            Operation::CreateUpload { bucket, key, upload, metadata } => {
                let place = Place { bucket: bucket.clone(), key: key.clone(), id: None };
                let bucket = found(engine, bucket)?;
                self.uploads.insert(*upload, place);
                self.unanswered = Some(*upload);
                let init = UploadInit { metadata: stored(*metadata), ..UploadInit::default() };
                let id = engine.create_upload(&bucket, key, init).await;
                self.unanswered = None;
                self.learn(*upload, id?);
                Ok(Reply::Done)
            }
            Operation::PutPart { upload, number, content } => {
                let (bucket, key, id) = self.place(engine, *upload)?;
                let body = send(engine, *content).await?;
                engine.put_part(&bucket, &key, id, *number, body, content.md5(), None).await?;
                Ok(Reply::Done)
            }
            Operation::ListParts { upload, page } => {
                let (bucket, key, id) = self.place(engine, *upload)?;
                let parts = parts(engine, &bucket, &key, id, *page).await?;
                Ok(Reply::Parts(parts))
            }
            Operation::ListUploads { bucket, prefix, page } => {
                let bucket = found(engine, bucket)?;
                self.list_uploads(engine, &bucket, prefix, *page).await.map(Reply::Uploads)
            }
            Operation::Complete { upload, parts, wrong_part, condition } => {
                self.complete(engine, *upload, parts, *wrong_part, asked(*condition)).await
            }
            Operation::Abort { upload } => {
                let (bucket, key, id) = self.place(engine, *upload)?;
                engine.abort_upload(&bucket, &key, id).await.map(|()| Reply::Done)
            }
            Operation::CreateBucket { .. }
            | Operation::DeleteBucket { .. }
            | Operation::Put { .. }
            | Operation::Get { .. }
            | Operation::Delete { .. }
            | Operation::Copy { .. }
            | Operation::List { .. } => unreachable!("asked before"),
        }
    }

    fn learn(&mut self, upload: UploadName, id: UploadId) {
        if let Some(place) = self.uploads.get_mut(&upload) {
            place.id = Some(id);
        }
    }

    fn place(
        &self,
        engine: &SimEngine,
        upload: UploadName,
    ) -> Result<(Rc<Bucket>, Vec<u8>, UploadId), EngineError> {
        let place = self.uploads.get(&upload).ok_or(EngineError::NoSuchUpload)?;
        let id = place.id.ok_or(EngineError::NoSuchUpload)?;
        Ok((found(engine, &place.bucket)?, place.key.clone(), id))
    }

    async fn complete(
        &self,
        engine: &SimEngine,
        upload: UploadName,
        numbers: &[u16],
        wrong_part: bool,
        condition: Condition,
    ) -> Driven {
        let (bucket, key, id) = self.place(engine, upload)?;
        let stored = match parts(engine, &bucket, &key, id, 1000).await {
            Err(EngineError::NoSuchUpload) => Vec::new(),
            other => other?,
        };
        let md5 = |number: u16| stored.iter().find(|(found, ..)| *found == number).map(|(.., md5)| *md5);
        let mut named: Vec<NamedPart> = numbers
            .iter()
            .map(|&number| NamedPart { number, md5: md5(number).unwrap_or([0xEE; 16]) })
            .collect();
        if wrong_part {
            match named.last_mut() {
                Some(last) => last.md5 = [0xEE; 16],
                None => named.push(NamedPart { number: 1, md5: [0xEE; 16] }),
            }
        }
        let tags: Vec<[u8; 16]> = named.iter().map(|part| part.md5).collect();
        let metadata = engine.upload(&bucket, &key, id).await?.map(|upload| upload.init.metadata);
        let meta = ObjectMeta {
            etag: etag(Tag::of_parts(&tags)),
            checksum: None,
            metadata: metadata.unwrap_or_default(),
        };
        let done = engine.complete_upload(&bucket, &key, id, named, meta, condition).await?;
        Ok(Reply::Published(Some(done.replaced)))
    }

    async fn list_uploads(
        &mut self,
        engine: &SimEngine,
        bucket: &Bucket,
        prefix: &[u8],
        max: usize,
    ) -> Result<Vec<(Vec<u8>, UploadName)>, EngineError> {
        let mut rows = Vec::new();
        let mut query = UploadQuery { prefix: prefix.to_vec(), max, ..UploadQuery::default() };
        loop {
            let page = engine.list_uploads(bucket, query.clone()).await?;
            for upload in page.uploads {
                rows.push((upload.key, self.name(upload.id)));
            }
            let Some((key, id)) = page.next.filter(|_| page.truncated) else { break };
            (query.key_marker, query.upload_marker) = (Some(key), id);
        }
        assert!(rows.is_sorted_by(|left, right| left.0 <= right.0), "uploads come in order of their keys");
        rows.sort();
        Ok(rows)
    }

    fn name(&mut self, id: UploadId) -> UploadName {
        let known = self.uploads.iter().find(|(_, place)| place.id == Some(id)).map(|(name, _)| *name);
        let name = known.or_else(|| self.unanswered.take());
        let Some(name) = name else { panic!("nobody asked for the upload {id:?}") };
        self.learn(name, id);
        name
    }
}

/// Every question whose answers together are the state of `model`, and of a store that should equal it.
#[must_use]
pub fn questions(model: &model::Store, keys: &[Vec<u8>], uploads: u32) -> Vec<Operation> {
    let mut questions = Vec::new();
    for bucket in BUCKETS {
        let bucket = bucket.to_owned();
        let query = Listing { max: 1000, ..Listing::default() };
        questions.push(Operation::List { bucket: bucket.clone(), query });
        let mut asked: Vec<Vec<u8>> = model.keys(&bucket).map(<[u8]>::to_vec).chain(keys.to_vec()).collect();
        asked.sort();
        asked.dedup();
        let get = |key| Operation::Get { bucket: bucket.clone(), key, range: None };
        questions.extend(asked.into_iter().map(get));
        questions.push(Operation::ListUploads { bucket, prefix: Vec::new(), page: 1000 });
    }
    questions.extend((1..=uploads).map(|name| Operation::ListParts { upload: UploadName(name), page: 1000 }));
    questions
}

fn refusal(error: &EngineError) -> Option<Refusal> {
    let refusals = [
        (EngineError::NoSuchBucket, Refusal::NoSuchBucket),
        (EngineError::BucketExists, Refusal::BucketExists),
        (EngineError::BucketNotEmpty, Refusal::BucketNotEmpty),
        (EngineError::NoSuchKey, Refusal::NoSuchKey),
        (EngineError::NoSuchUpload, Refusal::NoSuchUpload),
        (EngineError::InvalidPart, Refusal::InvalidPart),
        (EngineError::PreconditionFailed, Refusal::PreconditionFailed),
    ];
    refusals.into_iter().find(|(known, _)| known == error).map(|(_, refusal)| refusal)
}

fn found(engine: &SimEngine, bucket: &str) -> Result<Rc<Bucket>, EngineError> {
    engine.bucket(bucket).ok_or(EngineError::NoSuchBucket)
}

fn etag(tag: Tag) -> Etag {
    Etag { md5: tag.md5, parts: u32::from(tag.part_count) }
}

fn tag(etag: &Etag) -> Tag {
    Tag { md5: etag.md5, part_count: u16::try_from(etag.parts).unwrap_or(u16::MAX) }
}

fn asked(condition: model::Condition) -> Condition {
    let matching = |wanted| match wanted {
        TagMatch::Any => EtagMatch::Any,
        TagMatch::Exactly(tag) => EtagMatch::OneOf(vec![etag(tag)]),
    };
    Condition {
        if_match: condition.if_match.map(matching),
        if_none_match: condition.if_none_match.map(matching),
    }
}

fn stored(metadata: u64) -> Vec<Metadata> {
    vec![Metadata { name: "x-amz-meta-number".to_owned(), value: metadata.to_string().into_bytes() }]
}

fn meta(tag: Tag, metadata: u64) -> ObjectMeta {
    ObjectMeta { etag: etag(tag), checksum: None, metadata: stored(metadata) }
}

/// Sends a body in pieces, as a socket would give them.
///
/// # Errors
/// As the engine says.
///
/// # Panics
/// The engine hashed other bytes than were sent.
pub async fn send(engine: &SimEngine, content: Content) -> Result<Body, EngineError> {
    // Every third body comes without a declared length.
    let declared = (!content.seed.is_multiple_of(3)).then_some(content.length);
    let mut writer = engine.begin_body(declared)?;
    let lanes = Lanes::new();
    // As long as another is awaited that never comes, rows are hashed only when they are written.
    let _absent =
        content.seed.is_multiple_of(2).then(|| BodyHasher::new(&lanes, BodyDigests::new(false, false)));
    let refused = writer.hash_with(&lanes, BodyDigests::new(false, false));
    let bytes = content.all();
    for piece in bytes.chunks(100_000) {
        writer.write(piece).await?;
    }
    let (body, digests) = writer.finish_hashed().await?;
    assert!(refused.is_some() != digests.is_some(), "the engine hashes, or says at once that it does not");
    if let Some(mut digests) = digests {
        digests.take_alone(b"", Ends { body: true, chunk: false });
        let mut expected = Md5::new();
        expected.update(&bytes);
        assert_eq!(digests.md5(), expected.finish(), "what was sent was hashed, in order and once");
    }
    Ok(body)
}

/// Reads what one looks at of an object.
///
/// # Errors
/// As the engine says.
pub async fn view(
    engine: &SimEngine,
    object: &Object,
    range: Option<Range<u64>>,
) -> Result<View, EngineError> {
    let size = object.size();
    let range = range.unwrap_or(0..size);
    let range = range.start.min(size)..range.end.min(size);
    let mut bytes = Vec::new();
    if !range.is_empty() {
        let mut reader = engine.read(object, range);
        while let Some(slice) = reader.next().await? {
            bytes.extend_from_slice(slice.bytes());
        }
    }
    let number = object.metadata().first().map(|header| String::from_utf8_lossy(&header.value).into_owned());
    let metadata = number.and_then(|number| number.parse().ok()).unwrap_or(u64::MAX);
    Ok(View { tag: tag(object.etag()), size, metadata, bytes })
}

async fn list(engine: &SimEngine, bucket: &Bucket, query: &Listing) -> Result<Page, EngineError> {
    let Listing { prefix, delimiter, after, max } = query.clone();
    let page = engine.list(bucket, ListQuery { prefix, delimiter, after, max }).await?;
    let row = |entry| match entry {
        ListEntry::Object { key, size, etag, .. } => Row::Object { key, size, tag: tag(&etag) },
        ListEntry::Prefix(prefix) => Row::Prefix(prefix),
    };
    Ok(Page { rows: page.entries.into_iter().map(row).collect(), truncated: page.truncated })
}

async fn parts(
    engine: &SimEngine,
    bucket: &Bucket,
    key: &[u8],
    id: UploadId,
    max: usize,
) -> Result<Vec<(u16, u64, [u8; 16])>, EngineError> {
    let (mut rows, mut after) = (Vec::new(), 0);
    loop {
        let page = engine.list_parts(bucket, key, id, after, max).await?;
        rows.extend(page.parts.iter().map(|part| (part.number, part.size, part.md5)));
        let Some(last) = page.parts.last().filter(|_| page.truncated) else { return Ok(rows) };
        after = last.number;
    }
}
