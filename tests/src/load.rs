//! Several clients at once, and what of their work must be found afterwards.

use crate::check::{Ledger, Outcome};
use crate::driver::{send, view};
use crate::model::{Body, Content, Tag};
use crate::rig::{Boot, Rig, SimEngine};
use ashlar_engine::Object;
use ashlar_engine::error::EngineError;
use ashlar_engine::runtime::{Runtime as _, TaskQueue};
use ashlar_engine::sync::{Answer, answer};
use ashlar_engine::types::{
    Bucket, Condition, Etag, ListEntry, ListQuery, Metadata, NamedPart, ObjectMeta, UploadInit, UploadQuery,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::rc::Rc;

/// The bucket that clients work in.
pub const BUCKET: &str = "bucket";

/// What clients did so far, over all lives of the process. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Work {
    inner: Rc<RefCell<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// What each key may hold, by the number of the object.
    ledger: Ledger<Vec<u8>, u64>,
    /// Every object that was ever sent, by its number.
    bodies: Vec<Body>,
    acknowledged: u64,
    failed: Vec<EngineError>,
}

/// What a client does.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// Operations, one after another.
    pub operations: u32,
    /// Different keys, shared by all clients.
    pub keys: u32,
    /// The largest body, bytes.
    pub size_max: u64,
    /// Out of ten operations, so many delete.
    pub deletes: u32,
    /// And so many copy one key to another.
    pub copies: u32,
}

impl Default for Habits {
    fn default() -> Self {
        Self { operations: 12, keys: 12, size_max: 700_000, deletes: 2, copies: 0 }
    }
}

impl Work {
    /// Nothing was done yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes that were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.inner.borrow().acknowledged
    }

    /// Takes what the engine said to requests that failed since the last time.
    #[must_use]
    pub fn take_failures(&self) -> Vec<EngineError> {
        std::mem::take(&mut self.inner.borrow_mut().failed)
    }

    /// Makes the bucket unless it is there.
    ///
    /// # Panics
    /// When the engine does not.
    pub async fn bucket(&self, engine: &SimEngine) -> Rc<Bucket> {
        if let Some(bucket) = engine.bucket(BUCKET) {
            return bucket;
        }
        match engine.create_bucket(BUCKET, "owner", "").await {
            Ok(bucket) => bucket,
            Err(error) => panic!("no bucket: {error}"),
        }
    }

    /// Runs `clients` clients at once, spread over the cores, until all are done.
    pub async fn run(&self, engines: &[SimEngine], seed: u64, clients: usize, habits: Habits) {
        let done: Vec<Answer<()>> = (0_u64..)
            .zip(engines.iter().cycle())
            .take(clients)
            .map(|(client, engine)| self.start(engine, seed.wrapping_mul(1000) + client, habits))
            .collect();
        for client in done {
            // A client that is gone was dropped with its machine.
            let _gone = client.await;
        }
    }

    /// Starts one client.
    pub fn start(&self, engine: &SimEngine, seed: u64, habits: Habits) -> Answer<()> {
        let (to, done) = answer();
        let (work, own) = (self.clone(), engine.clone());
        engine.runtime().spawn(TaskQueue::Foreground, async move {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            for _ in 0..habits.operations {
                Box::pin(work.step(&own, &mut random, habits)).await;
            }
            to.send(());
        });
        done
    }

    async fn step(&self, engine: &SimEngine, random: &mut ChaCha8Rng, habits: Habits) {
        let key = format!("key/{}", random.random_range(0..habits.keys)).into_bytes();
        let drawn = random.random_range(0..10_u32);
        let seed = random.random_range(0..u64::MAX);
        let length = match random.random_range(0..4_u32) {
            0 => random.random_range(0..5000),
            1 => random.random_range(0..70_000),
            _ => random.random_range(0..=habits.size_max),
        };
        let content = Content { seed, length: length.min(habits.size_max) };
        if drawn < habits.deletes {
            self.delete(engine, &key).await;
        } else if drawn < habits.deletes + habits.copies {
            let source = format!("key/{}", random.random_range(0..habits.keys)).into_bytes();
            self.copy(engine, &source, &key).await;
        } else if drawn == 9 {
            self.multipart(engine, &key, content, random.random_range(0..4_u32) == 0).await;
        } else {
            self.put(engine, &key, content).await;
        }
    }

    fn number(&self, body: Body) -> u64 {
        let mut inner = self.inner.borrow_mut();
        inner.bodies.push(body);
        u64::try_from(inner.bodies.len() - 1).unwrap_or(u64::MAX)
    }

    fn begin(&self, key: &[u8], outcome: Outcome<u64>) -> u64 {
        self.inner.borrow_mut().ledger.begin(key.to_vec(), outcome)
    }

    /// A failure is no refusal: the change may still be found after the next start.
    fn end<T>(&self, key: &[u8], change: u64, result: Result<T, EngineError>) -> bool {
        let mut inner = self.inner.borrow_mut();
        match result {
            Ok(_) => {
                inner.acknowledged += 1;
                inner.ledger.acknowledge(&key.to_vec(), change);
                true
            }
            Err(error) => {
                inner.failed.push(error);
                false
            }
        }
    }

    /// Puts one object; true when it was acknowledged.
    pub async fn put(&self, engine: &SimEngine, key: &[u8], content: Content) -> bool {
        let number = self.number(Body::new(vec![content]));
        let change = self.begin(key, Outcome::Present(number));
        let result = async {
            let bucket = engine.bucket(BUCKET).ok_or(EngineError::NoSuchBucket)?;
            let body = send(engine, content).await?;
            engine.publish(&bucket, key, body, meta(Tag::of(content), number), Condition::default()).await
        };
        let result = Box::pin(result).await;
        self.end(key, change, result)
    }

    /// Deletes one object; true when that was acknowledged.
    pub async fn delete(&self, engine: &SimEngine, key: &[u8]) -> bool {
        let change = self.begin(key, Outcome::Absent);
        let result = async {
            let bucket = engine.bucket(BUCKET).ok_or(EngineError::NoSuchBucket)?;
            engine.delete(&bucket, key, Condition::default()).await
        };
        let result = result.await;
        self.end(key, change, result)
    }

    /// Copies what is at one key to another; true when that was acknowledged, or there was nothing to copy.
    pub async fn copy(&self, engine: &SimEngine, source: &[u8], key: &[u8]) -> bool {
        let Some(bucket) = engine.bucket(BUCKET) else { return false };
        let object = match engine.lookup(&bucket, source).await {
            Ok(Some(object)) => object,
            Ok(None) => return true,
            Err(error) => {
                self.inner.borrow_mut().failed.push(error);
                return false;
            }
        };
        let number = number_of(&object);
        let change = self.begin(key, Outcome::Present(number));
        let etag = object.etag().clone();
        let meta = ObjectMeta { etag, checksum: None, metadata: object.metadata().to_vec() };
        let result = engine.copy(&object, &bucket, key, meta, Condition::default()).await;
        self.end(key, change, result)
    }

    /// Makes an object of two parts, the first of them sent twice, or gives the upload up.
    pub async fn multipart(&self, engine: &SimEngine, key: &[u8], content: Content, abort: bool) {
        let small = Content { seed: content.seed ^ 1, length: 3000 };
        let number = self.number(Body::new(vec![content, small]));
        let tag = Tag::of_parts(&[content.md5(), small.md5()]);
        let result = async {
            let bucket = engine.bucket(BUCKET).ok_or(EngineError::NoSuchBucket)?;
            let id = engine.create_upload(&bucket, key, UploadInit::default()).await?;
            for (part, content) in [(1, small), (2, small), (1, content)] {
                let body = send(engine, content).await?;
                engine.put_part(&bucket, key, id, part, body, content.md5(), None).await?;
            }
            if abort {
                engine.abort_upload(&bucket, key, id).await?;
                return Ok(());
            }
            let named = [(1, content), (2, small)];
            let named = named.map(|(number, content)| NamedPart { number, md5: content.md5() }).to_vec();
            let change = self.begin(key, Outcome::Present(number));
            let meta = meta(tag, number);
            let made = engine.complete_upload(&bucket, key, id, named, meta, Condition::default()).await;
            self.end(key, change, made);
            Ok(())
        };
        let result: Result<(), EngineError> = result.await;
        if let Err(error) = result {
            self.inner.borrow_mut().failed.push(error);
        }
    }

    /// What is at a key now: the number of the object, checked byte for byte.
    ///
    /// # Errors
    /// When the engine cannot read it.
    ///
    /// # Panics
    /// When a byte is wrong.
    pub async fn look(&self, engine: &SimEngine, key: &[u8]) -> Result<Outcome<u64>, EngineError> {
        let bucket = engine.bucket(BUCKET).ok_or(EngineError::NoSuchBucket)?;
        let Some(object) = engine.lookup(&bucket, key).await? else { return Ok(Outcome::Absent) };
        let view = view(engine, &object, None).await?;
        let inner = self.inner.borrow();
        let body = usize::try_from(view.metadata).ok().and_then(|number| inner.bodies.get(number));
        let Some(body) = body else { panic!("{key:?} holds something nobody sent: {}", view.metadata) };
        assert_eq!(view.size, body.length(), "size of {key:?}");
        assert!(view.bytes == body.bytes(&(0..body.length())), "wrong bytes in {key:?}");
        Ok(Outcome::Present(view.metadata))
    }

    /// Reads every key on one core after another: each must hold what the ledger allows. Returns how many objects
    /// there are.
    ///
    /// # Panics
    /// When something is lost, wrong or unreadable.
    pub async fn verify(&self, engines: &[SimEngine]) -> usize {
        let keys: Vec<Vec<u8>> = self.inner.borrow().ledger.keys().cloned().collect();
        let mut present = Vec::new();
        for (key, engine) in keys.into_iter().zip(engines.iter().cycle()) {
            let name = String::from_utf8_lossy(&key).into_owned();
            let found = match self.look(engine, &key).await {
                Ok(found) => found,
                Err(error) => panic!("{name} cannot be read: {error}"),
            };
            let allowed = self.inner.borrow().ledger.allows(&key, &found);
            assert!(allowed, "{name} holds {found:?}, which it must not");
            if found != Outcome::Absent {
                present.push(key.clone());
            }
            self.inner.borrow_mut().ledger.observe(key, found);
        }
        for engine in engines {
            let listed = listed(engine).await;
            assert_eq!(listed, present, "the listing shows what can be read");
        }
        present.len()
    }

    /// Keys whose objects cannot be read, in order.
    ///
    /// # Panics
    /// When one cannot be read for another reason than damage.
    pub async fn damaged(&self, engine: &SimEngine) -> Vec<Vec<u8>> {
        let keys: Vec<Vec<u8>> = self.inner.borrow().ledger.keys().cloned().collect();
        let mut damaged = Vec::new();
        for key in keys {
            if let Err(error) = self.look(engine, &key).await {
                assert!(error.is_damage(), "{error}");
                damaged.push(key);
            }
        }
        damaged
    }

    /// Deletes every object and every upload.
    ///
    /// # Panics
    /// When the engine does not.
    pub async fn empty(&self, engine: &SimEngine) {
        let Some(bucket) = engine.bucket(BUCKET) else { return };
        loop {
            let query = UploadQuery { max: 100, ..UploadQuery::default() };
            let Ok(page) = engine.list_uploads(&bucket, query).await else { panic!("uploads are listed") };
            for upload in &page.uploads {
                let aborted = engine.abort_upload(&bucket, &upload.key, upload.id).await;
                assert_eq!(aborted, Ok(()));
            }
            if page.uploads.is_empty() {
                break;
            }
        }
        for key in listed(engine).await {
            assert!(self.delete(engine, &key).await, "deletes work: {:?}", self.take_failures());
        }
    }
}

/// One life in which `scenario` runs, and what was acknowledged before is still there in the beginning.
///
/// # Panics
/// When it is not, or the life does not come to its end.
pub fn life<F: Future<Output = ()> + 'static>(
    rig: &Rig,
    boot: &Boot,
    work: &Work,
    scenario: impl Fn(Vec<SimEngine>, Work) -> F + Clone + 'static,
) {
    let own = work.clone();
    let ended = rig.boot(boot, move |engines| {
        let (work, scenario) = (own.clone(), scenario.clone());
        async move {
            work.bucket(&engines[0]).await;
            work.verify(&engines).await;
            scenario(engines, work).await;
        }
    });
    ended.assert_finished();
}

/// Keys of the bucket's objects.
async fn listed(engine: &SimEngine) -> Vec<Vec<u8>> {
    let Some(bucket) = engine.bucket(BUCKET) else { return Vec::new() };
    let mut keys: Vec<Vec<u8>> = Vec::new();
    loop {
        let query = ListQuery { max: 1000, after: keys.last().cloned(), ..ListQuery::default() };
        let page = match engine.list(&bucket, query).await {
            Ok(page) => page,
            Err(error) => panic!("no listing: {error}"),
        };
        keys.extend(page.entries.iter().map(|entry: &ListEntry| entry.name().to_vec()));
        if !page.truncated {
            return keys;
        }
    }
}

/// Makes checkpoints until what is dead can have been taken back.
///
/// # Panics
/// When a checkpoint fails.
pub async fn settle(engine: &SimEngine) {
    for _ in 0..3 {
        let made = engine.checkpoint().await;
        assert_eq!(made, Ok(()));
        engine.runtime().sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// The number of an object, by its metadata.
fn number_of(object: &Object) -> u64 {
    let text = object.metadata().first().map(|header| String::from_utf8_lossy(&header.value).into_owned());
    text.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

fn meta(tag: Tag, number: u64) -> ObjectMeta {
    let header = Metadata { name: "x-amz-meta-number".to_owned(), value: number.to_string().into_bytes() };
    ObjectMeta {
        etag: Etag { md5: tag.md5, parts: u32::from(tag.part_count) },
        checksum: None,
        metadata: vec![header],
    }
}
