//! The reference: a `BTreeMap` that says what S3 must answer, one operation at a time.
//!
//! It is the only definition of right and wrong for the engine: conformance, crash and fault tests all compare with it.
//! It is `Clone`, so that a crash test can keep the states before and after an unfinished operation. It knows nothing of
//! time, devices or concurrency.

use super::content::{Body, Content, Tag};
use super::listing::{Listing, Page};
use super::operation::{Condition, Operation, Refusal, Reply, UploadName, View};
use std::collections::BTreeMap;

/// Everything that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Store {
    buckets: BTreeMap<String, Bucket>,
    /// Where each upload ever begun was begun. A bucket made again under an old name does not know them.
    places: BTreeMap<UploadName, (String, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Bucket {
    objects: BTreeMap<Vec<u8>, Object>,
    uploads: BTreeMap<UploadName, Upload>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    body: Body,
    tag: Tag,
    metadata: u64,
    made_by: Option<UploadName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Upload {
    key: Vec<u8>,
    metadata: u64,
    parts: BTreeMap<u16, Content>,
}

type Answer = Result<Reply, Vec<Refusal>>;

impl Store {
    /// Does what is asked and says what the answer must be.
    pub fn apply(&mut self, operation: &Operation) -> Reply {
        let answer = match operation {
            Operation::CreateBucket { bucket } => self.create_bucket(bucket),
            Operation::DeleteBucket { bucket } => self.delete_bucket(bucket),
            Operation::Put { bucket, key, content, metadata, condition } => {
                let object = Object {
                    body: Body::new(vec![*content]),
                    tag: Tag::of(*content),
                    metadata: *metadata,
                    made_by: None,
                };
                self.publish(bucket, key, object, condition)
            }
            Operation::Get { bucket, key, range } => self.get(bucket, key, range.as_ref()),
            Operation::Delete { bucket, key, condition } => self.delete(bucket, key, condition),
            Operation::Copy { source, bucket, key, condition } => self.copy(source, bucket, key, condition),
            Operation::List { bucket, query } => self.list(bucket, query).map(Reply::Page),
            Operation::CreateUpload { bucket, key, upload, metadata } => {
                self.create_upload(bucket, key, *upload, *metadata)
            }
            Operation::PutPart { upload, number, content } => self.put_part(*upload, *number, *content),
            Operation::ListParts { upload, .. } => self.list_parts(*upload),
            Operation::ListUploads { bucket, prefix, .. } => self.list_uploads(bucket, prefix),
            Operation::Complete { upload, parts, wrong_part, condition } => {
                self.complete(*upload, parts, *wrong_part, condition)
            }
            Operation::Abort { upload } => self.abort(*upload),
        };
        answer.unwrap_or_else(Reply::Refused)
    }

    /// Names of all buckets, in order.
    pub fn bucket_names(&self) -> impl Iterator<Item = &str> {
        self.buckets.keys().map(String::as_str)
    }

    /// Keys of a bucket's objects, in order; none when there is no such bucket.
    pub fn keys(&self, bucket: &str) -> impl Iterator<Item = &[u8]> {
        self.buckets.get(bucket).into_iter().flat_map(|bucket| bucket.objects.keys().map(Vec::as_slice))
    }

    /// The tag of an object, if it exists.
    #[must_use]
    pub fn tag(&self, bucket: &str, key: &[u8]) -> Option<Tag> {
        self.buckets.get(bucket)?.objects.get(key).map(|object| object.tag)
    }

    /// Bucket and key of an upload, also of a finished one; drivers need them to ask the engine.
    #[must_use]
    pub fn place(&self, upload: UploadName) -> Option<(&str, &[u8])> {
        self.places.get(&upload).map(|(bucket, key)| (bucket.as_str(), key.as_slice()))
    }

    /// MD5s of the parts of an unfinished upload, by number.
    #[must_use]
    pub fn part_md5(&self, upload: UploadName, number: u16) -> Option<[u8; 16]> {
        let (bucket, _) = self.places.get(&upload)?;
        let parts = &self.buckets.get(bucket)?.uploads.get(&upload)?.parts;
        parts.get(&number).map(Content::md5)
    }

    /// Bytes of all bodies and parts. Objects of at least `shared_from` bytes that are equal count once: to be asked
    /// only when such objects are copies of each other.
    #[must_use]
    pub fn body_bytes(&self, shared_from: u64) -> u64 {
        let mut seen: Vec<&Body> = Vec::new();
        let mut bytes = 0;
        for bucket in self.buckets.values() {
            for object in bucket.objects.values() {
                if object.body.length() >= shared_from {
                    if seen.contains(&&object.body) {
                        continue;
                    }
                    seen.push(&object.body);
                }
                bytes += object.body.length();
            }
            let parts = bucket.uploads.values().flat_map(|upload| upload.parts.values());
            bytes += parts.map(|content| content.length).sum::<u64>();
        }
        bytes
    }

    fn bucket(&mut self, name: &str) -> Result<&mut Bucket, Vec<Refusal>> {
        self.buckets.get_mut(name).ok_or_else(|| vec![Refusal::NoSuchBucket])
    }

    fn create_bucket(&mut self, name: &str) -> Answer {
        if self.buckets.contains_key(name) {
            return Err(vec![Refusal::BucketExists]);
        }
        self.buckets.insert(name.to_owned(), Bucket::default());
        Ok(Reply::Done)
    }

    /// Unfinished uploads do not keep a bucket: they end with it, as on AWS.
    fn delete_bucket(&mut self, name: &str) -> Answer {
        if !self.bucket(name)?.objects.is_empty() {
            return Err(vec![Refusal::BucketNotEmpty]);
        }
        self.buckets.remove(name);
        Ok(Reply::Done)
    }

    fn publish(&mut self, bucket: &str, key: &[u8], object: Object, condition: &Condition) -> Answer {
        let objects = &mut self.bucket(bucket)?.objects;
        if let Some(refusal) = condition.refusal(objects.get(key).map(|object| object.tag)) {
            return Err(vec![refusal]);
        }
        let replaced = objects.insert(key.to_vec(), object).is_some();
        Ok(Reply::Published(Some(replaced)))
    }

    fn get(&mut self, bucket: &str, key: &[u8], range: Option<&std::ops::Range<u64>>) -> Answer {
        let object = self.bucket(bucket)?.objects.get(key).ok_or_else(|| vec![Refusal::NoSuchKey])?;
        let size = object.body.length();
        let whole = 0..size;
        // Generators do not know sizes, so what lies outside is cut off; S3 proper refuses it before the engine.
        let range = range.unwrap_or(&whole);
        let range = range.start.min(size)..range.end.min(size);
        let bytes = object.body.bytes(&range);
        Ok(Reply::Object(View { tag: object.tag, size, metadata: object.metadata, bytes }))
    }

    fn delete(&mut self, bucket: &str, key: &[u8], condition: &Condition) -> Answer {
        let objects = &mut self.bucket(bucket)?.objects;
        // The reference of DeleteObject: If-Match holds too when there is no object.
        let current = objects.get(key).map(|object| object.tag);
        if let Some(refusal) = current.and_then(|tag| condition.refusal(Some(tag))) {
            return Err(vec![refusal]);
        }
        Ok(Reply::Deleted { existed: objects.remove(key).is_some() })
    }

    fn copy(
        &mut self,
        source: &(String, Vec<u8>),
        bucket: &str,
        key: &[u8],
        condition: &Condition,
    ) -> Answer {
        let object = self.bucket(&source.0)?.objects.get(&source.1).cloned();
        let object = object.ok_or_else(|| vec![Refusal::NoSuchKey]);
        if !self.buckets.contains_key(bucket) {
            return Err([object.err().unwrap_or_default(), vec![Refusal::NoSuchBucket]].concat());
        }
        // The copy is a plain object to later retries of the upload that made its source.
        self.publish(bucket, key, Object { made_by: None, ..object? }, condition)
    }

    fn list(&mut self, bucket: &str, query: &Listing) -> Result<Page, Vec<Refusal>> {
        let objects = &self.bucket(bucket)?.objects;
        Ok(query.page(objects.iter().map(|(key, object)| (key.as_slice(), object.body.length(), object.tag))))
    }

    fn create_upload(&mut self, bucket: &str, key: &[u8], upload: UploadName, metadata: u64) -> Answer {
        assert!(!self.places.contains_key(&upload), "{upload:?} was begun before");
        let begun = Upload { key: key.to_vec(), metadata, parts: BTreeMap::new() };
        self.bucket(bucket)?.uploads.insert(upload, begun);
        self.places.insert(upload, (bucket.to_owned(), key.to_vec()));
        Ok(Reply::Done)
    }

    /// The bucket and the upload, while both exist. A name whose bucket is gone may be refused for either.
    fn upload(&mut self, name: UploadName) -> Result<&mut Upload, Vec<Refusal>> {
        let place = self.places.get(&name).map(|(bucket, _)| bucket.clone());
        let bucket = place.and_then(|bucket| self.buckets.get_mut(&bucket));
        let Some(bucket) = bucket else { return Err(vec![Refusal::NoSuchUpload, Refusal::NoSuchBucket]) };
        bucket.uploads.get_mut(&name).ok_or_else(|| vec![Refusal::NoSuchUpload])
    }

    fn put_part(&mut self, upload: UploadName, number: u16, content: Content) -> Answer {
        self.upload(upload)?.parts.insert(number, content);
        Ok(Reply::Done)
    }

    fn list_parts(&mut self, upload: UploadName) -> Answer {
        let parts = &self.upload(upload)?.parts;
        let rows = parts.iter().map(|(number, content)| (*number, content.length, content.md5()));
        Ok(Reply::Parts(rows.collect()))
    }

    fn list_uploads(&mut self, bucket: &str, prefix: &[u8]) -> Answer {
        let uploads = self.bucket(bucket)?.uploads.iter();
        let matching = uploads.filter(|(_, upload)| upload.key.starts_with(prefix));
        let mut rows: Vec<_> = matching.map(|(name, upload)| (upload.key.clone(), *name)).collect();
        rows.sort();
        Ok(Reply::Uploads(rows))
    }

    fn complete(
        &mut self,
        name: UploadName,
        numbers: &[u16],
        wrong_part: bool,
        condition: &Condition,
    ) -> Answer {
        assert!(numbers.is_sorted_by(|left, right| left < right), "parts must ascend: {numbers:?}");
        if self.is_made_by(name) {
            return Ok(Reply::Published(None));
        }
        let upload = self.upload(name)?.clone();
        let parts: Option<Vec<Content>> =
            numbers.iter().map(|number| upload.parts.get(number).copied()).collect();
        let (bucket, key) = self.places.get(&name).cloned().unwrap_or_default();
        let unmet = condition.refusal(self.tag(&bucket, &key));
        let Some(parts) = parts.filter(|parts| !wrong_part && !parts.is_empty()) else {
            return Err([Some(Refusal::InvalidPart), unmet].into_iter().flatten().collect());
        };
        let tags: Vec<_> = parts.iter().map(Content::md5).collect();
        let object = Object {
            body: Body::new(parts),
            tag: Tag::of_parts(&tags),
            metadata: upload.metadata,
            made_by: Some(name),
        };
        let answer = self.publish(&bucket, &key, object, condition)?;
        self.bucket(&bucket)?.uploads.remove(&name);
        Ok(answer)
    }

    /// Whether the current object at the upload's key is the one that it made: then completing again changes nothing.
    fn is_made_by(&self, name: UploadName) -> bool {
        let Some((bucket, key)) = self.places.get(&name) else { return false };
        let object = self.buckets.get(bucket).and_then(|bucket| bucket.objects.get(key));
        object.is_some_and(|object| object.made_by == Some(name))
    }

    fn abort(&mut self, name: UploadName) -> Answer {
        self.upload(name)?;
        let bucket = self.places.get(&name).map(|(bucket, _)| bucket.clone()).unwrap_or_default();
        self.bucket(&bucket)?.uploads.remove(&name);
        Ok(Reply::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::TagMatch;
    use super::*;

    const B: &str = "bucket";

    fn content(seed: u64) -> Content {
        Content { seed, length: 100 + seed }
    }

    fn put(key: &str, seed: u64, condition: Condition) -> Operation {
        Operation::Put {
            bucket: B.into(),
            key: key.into(),
            content: content(seed),
            metadata: seed,
            condition,
        }
    }

    fn get(key: &str) -> Operation {
        Operation::Get { bucket: B.into(), key: key.into(), range: None }
    }

    fn with_bucket() -> Store {
        let mut store = Store::default();
        assert_eq!(store.apply(&Operation::CreateBucket { bucket: B.into() }), Reply::Done);
        store
    }

    fn refused(refusal: Refusal) -> Reply {
        Reply::Refused(vec![refusal])
    }

    fn complete(parts: &[u16], wrong_part: bool) -> Operation {
        let upload = UploadName(1);
        Operation::Complete { upload, parts: parts.to_vec(), wrong_part, condition: Condition::NONE }
    }

    #[test]
    fn what_was_put_is_got_until_it_is_deleted() {
        let mut store = with_bucket();
        assert_eq!(store.apply(&put("k", 1, Condition::NONE)), Reply::Published(Some(false)));
        assert_eq!(store.apply(&put("k", 2, Condition::NONE)), Reply::Published(Some(true)));
        let Reply::Object(view) = store.apply(&get("k")) else { panic!("not read") };
        assert_eq!(view.bytes, content(2).all());
        assert_eq!((view.size, view.metadata, view.tag), (102, 2, Tag::of(content(2))));
        let delete = Operation::Delete { bucket: B.into(), key: b"k".to_vec(), condition: Condition::NONE };
        assert_eq!(store.apply(&delete), Reply::Deleted { existed: true });
        assert_eq!(store.apply(&delete), Reply::Deleted { existed: false });
        assert_eq!(store.apply(&get("k")), refused(Refusal::NoSuchKey));
    }

    #[test]
    fn a_refused_change_changes_nothing() {
        let mut store = with_bucket();
        store.apply(&put("k", 1, Condition::NONE));
        let before = store.clone();
        assert_eq!(store.apply(&put("k", 2, Condition::ABSENT)), refused(Refusal::PreconditionFailed));
        let other = Some(TagMatch::Exactly(Tag::of(content(9))));
        let condition = Condition { if_match: other, if_none_match: None };
        assert_eq!(store.apply(&put("k", 2, condition)), refused(Refusal::PreconditionFailed));
        assert_eq!(store.apply(&put("other", 2, condition)), refused(Refusal::NoSuchKey));
        assert_eq!(
            store.apply(&Operation::DeleteBucket { bucket: B.into() }),
            refused(Refusal::BucketNotEmpty)
        );
        assert_eq!(store, before);
    }

    #[test]
    fn a_range_is_cut_to_the_object() {
        let mut store = with_bucket();
        store.apply(&put("k", 0, Condition::NONE));
        for (asked, wanted) in [(10..20, 10..20), (90..200, 90..100), (150..200, 100..100)] {
            let get = Operation::Get { bucket: B.into(), key: b"k".to_vec(), range: Some(asked) };
            let Reply::Object(view) = store.apply(&get) else { panic!("not read") };
            assert_eq!(view.bytes, content(0).bytes(wanted));
        }
    }

    #[test]
    fn bytes_that_copies_share_count_once() {
        let mut store = with_bucket();
        store.apply(&put("k", 1, Condition::NONE));
        store.apply(&put("other", 2, Condition::NONE));
        for target in ["c", "d"] {
            let source = (B.to_owned(), b"k".to_vec());
            let key = target.into();
            store.apply(&Operation::Copy { source, bucket: B.into(), key, condition: Condition::NONE });
        }
        assert_eq!(store.body_bytes(0), 101 + 102);
        assert_eq!(store.body_bytes(102), 3 * 101 + 102);
    }

    #[test]
    fn a_copy_lives_on_without_its_source() {
        let mut store = with_bucket();
        store.apply(&put("k", 1, Condition::NONE));
        let source = (B.to_owned(), b"k".to_vec());
        let copy =
            Operation::Copy { source, bucket: B.into(), key: b"c".to_vec(), condition: Condition::ABSENT };
        assert_eq!(store.apply(&copy), Reply::Published(Some(false)));
        store.apply(&Operation::Delete { bucket: B.into(), key: b"k".to_vec(), condition: Condition::NONE });
        let Reply::Object(view) = store.apply(&get("c")) else { panic!("not read") };
        assert_eq!((view.bytes, view.metadata), (content(1).all(), 1));
        assert_eq!(store.apply(&copy), refused(Refusal::NoSuchKey));
    }

    fn with_upload() -> Store {
        let mut store = with_bucket();
        let upload = UploadName(1);
        let begin = Operation::CreateUpload { bucket: B.into(), key: b"k".to_vec(), upload, metadata: 8 };
        assert_eq!(store.apply(&begin), Reply::Done);
        for (number, seed) in [(5, 1), (2, 2), (9, 3), (2, 4)] {
            let part = Operation::PutPart { upload, number, content: content(seed) };
            assert_eq!(store.apply(&part), Reply::Done);
        }
        store
    }

    #[test]
    fn parts_make_an_object_once() {
        let mut store = with_upload();
        assert_eq!(store.apply(&get("k")), refused(Refusal::NoSuchKey));
        for (parts, wrong) in [(&[2, 3][..], false), (&[2, 5], true), (&[], false)] {
            assert_eq!(store.apply(&complete(parts, wrong)), refused(Refusal::InvalidPart));
        }
        assert_eq!(store.apply(&complete(&[2, 5], false)), Reply::Published(Some(false)));
        let Reply::Object(view) = store.apply(&get("k")) else { panic!("not read") };
        assert_eq!(view.bytes, [content(4).all(), content(1).all()].concat());
        assert_eq!((view.tag.part_count, view.metadata), (2, 8));
        assert_eq!(store.apply(&complete(&[2, 5], false)), Reply::Published(None));
        assert_eq!(store.apply(&Operation::Abort { upload: UploadName(1) }), refused(Refusal::NoSuchUpload));
        store.apply(&put("k", 1, Condition::NONE));
        assert_eq!(store.apply(&complete(&[2, 5], false)), refused(Refusal::NoSuchUpload));
    }

    #[test]
    fn uploads_are_listed_until_they_end() {
        let mut store = with_upload();
        let list = Operation::ListUploads { bucket: B.into(), prefix: b"k".to_vec(), page: 10 };
        assert_eq!(store.apply(&list), Reply::Uploads(vec![(b"k".to_vec(), UploadName(1))]));
        let parts = store.apply(&Operation::ListParts { upload: UploadName(1), page: 10 });
        let rows = [(2, 4), (5, 1), (9, 3)].map(|(number, seed)| (number, 100 + seed, content(seed).md5()));
        assert_eq!(parts, Reply::Parts(rows.to_vec()));
        assert_eq!(store.apply(&Operation::Abort { upload: UploadName(1) }), Reply::Done);
        assert_eq!(store.apply(&list), Reply::Uploads(Vec::new()));
    }

    #[test]
    fn a_bucket_made_again_knows_nothing_of_the_old_one() {
        let mut store = with_upload();
        assert_eq!(store.apply(&Operation::DeleteBucket { bucket: B.into() }), Reply::Done);
        assert_eq!(store.apply(&Operation::CreateBucket { bucket: B.into() }), Reply::Done);
        assert_eq!(store.apply(&complete(&[2], false)), refused(Refusal::NoSuchUpload));
        assert_eq!(store.keys(B).count(), 0);
    }
}
