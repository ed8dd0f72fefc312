//! What cores tell each other about shared bodies behind the clients' backs: unreferences on their way to the owners
//! of bodies, and, after a start, questions about copies that may never have been published.
//!
//! Nothing of it is kept in memory: both stand in the index, and are read from it a page at a time. What fails is
//! tried again after a pause.

use super::commit::Planned;
use super::message::{Reply, Request, Sharer, SharingStep};
use super::sharing::shared_by;
use super::state::Shard;
use crate::error::EngineError;
use crate::limits::{SHARING_PAGE, SHARING_PAUSE_MAX, SHARING_PAUSE_MIN};
use crate::mesh::Lane;
use crate::runtime::{CoreId, Runtime};
use ashlar_disk_format::key::{
    decode_shared_key, decode_shared_ref_key, decode_unref_key, object_key, prefix_end, shared_prefix,
    shared_refs_prefix, unrefs_prefix,
};
use ashlar_disk_format::units::BucketId;
use ashlar_disk_format::value::{Entries, ObjectRecord, SharedRecord, decode_shared_ref};
use futures_util::future::join_all;
use std::ops::Bound;
use std::rc::Rc;
use std::time::Duration;

/// A record, and the body that it shares, if it shares one.
type Held = Option<Box<(ObjectRecord, Option<SharedRecord>)>>;

/// Sends this core's unreferences to the owners of the bodies, for the life of the shard.
pub(crate) async fn send_unreferences<R: Runtime>(shard: Rc<Shard<R>>) {
    let mut pause = SHARING_PAUSE_MIN;
    while !shard.closing.get() {
        let wait = shard.unrefs_written.wait();
        if shard.for_each(unrefs_prefix(), async |key, _| shard.send_one(key).await).await.is_ok() {
            pause = SHARING_PAUSE_MIN;
            wait.await;
        } else {
            back_off(&shard, &mut pause).await;
        }
    }
}

/// Asks once about every reference that an earlier mount left unconfirmed, and then once about every body.
pub(crate) async fn ask_about_references<R: Runtime>(shard: Rc<Shard<R>>) {
    let mut pause = SHARING_PAUSE_MIN;
    let ask = async |key: &[u8], value: &[u8]| shard.ask_about(key, value).await;
    while !shard.closing.get() && shard.for_each(shared_refs_prefix(), &ask).await.is_err() {
        back_off(&shard, &mut pause).await;
    }
    let sweep = async |key: &[u8], _: &[u8]| shard.sweep(key).await;
    while !shard.closing.get() && shard.for_each(shared_prefix(), &sweep).await.is_err() {
        back_off(&shard, &mut pause).await;
    }
}

async fn back_off<R: Runtime>(shard: &Shard<R>, pause: &mut Duration) {
    shard.view.runtime.sleep(*pause).await;
    *pause = SHARING_PAUSE_MAX.min(*pause * 2);
}

/// A page of the index: the entries, and the key of the last.
type Page = (Vec<(Vec<u8>, Rc<[u8]>)>, Option<Vec<u8>>);

impl<R: Runtime> Shard<R> {
    /// Does `act` for every entry of a space, a page of them side by side. Goes on behind one that fails, and
    /// fails in the end.
    async fn for_each(
        self: &Rc<Self>,
        prefix: Vec<u8>,
        act: impl AsyncFn(&[u8], &[u8]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let mut result = Ok(());
        let mut last = None;
        loop {
            let _guard = self.enter()?;
            let (page, end) = self.page(&prefix, last.as_deref()).await?;
            if end.is_none() {
                return result;
            }
            last = end;
            for acted in join_all(page.iter().map(|(key, value)| act(key, value))).await {
                result = result.and(acted);
            }
        }
    }

    async fn send_one(self: &Rc<Self>, key: &[u8]) -> Result<(), EngineError> {
        let (shard, id, token) = decode_unref_key(key)?;
        self.ask_core(self.router.core(id.vshard()), SharingStep::Drop { id, token }).await?;
        // Only now: what is sent twice does no harm, what is never sent leaks.
        self.submit_shared(shard, vec![Planned::Delete { key: key.to_vec() }], Entries::new()).await
    }

    /// When the log refuses a batch that takes a reference off, the reference stays in memory, so the next
    /// one to go is not the last; but the next start may find that batch, and then nobody is left who would
    /// take the body off.
    async fn sweep(self: &Rc<Self>, key: &[u8]) -> Result<(), EngineError> {
        self.drop_unreferenced(decode_shared_key(key)?).await
    }

    async fn ask_about(self: &Rc<Self>, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        let (id, token) = decode_shared_ref_key(key)?;
        let reference = decode_shared_ref(value)?;
        // A token of this mount may belong to a copy that is under way.
        let is_old = token >> 32 < u64::from(self.view.facts.epoch.0);
        if reference.confirmed || !is_old {
            return Ok(());
        }
        let owner = self.router.object(reference.bucket, &reference.key);
        let sharer = Sharer { bucket: reference.bucket, key: reference.key };
        let Reply::Names(named) = self.ask_core(owner, SharingStep::Names { sharer, id, token }).await?
        else {
            return Err(EngineError::Closing);
        };
        if named { self.confirm(id, &[token]).await } else { self.drop_reference(id, token).await }
    }

    /// The next entries of a space behind `last`.
    async fn page(&self, prefix: &[u8], last: Option<&[u8]>) -> Result<Page, EngineError> {
        let end = prefix_end(prefix);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let start = last.map_or(Bound::Included(prefix), Bound::Excluded);
        let mut scan = self.index.scan(start, end);
        let mut page = Vec::new();
        while page.len() < SHARING_PAGE {
            let Some(entry) = scan.next().await? else { break };
            page.push((entry.key.to_vec(), Rc::from(&*entry.value)));
        }
        let last = page.last().map(|(key, _)| key.clone());
        Ok((page, last))
    }

    /// The record of a key and the body that it shares. The lock of the key keeps the record as it is, and so the
    /// body where it is.
    pub(crate) async fn lookup_held(
        self: &Rc<Self>,
        bucket: BucketId,
        key: &[u8],
    ) -> Result<Held, EngineError> {
        let _lock = self.locks.lock(&object_key(bucket, key)).await;
        let Some(record) = self.lookup(bucket, key).await? else { return Ok(None) };
        let Some((id, _)) = shared_by(&record) else { return Ok(Some(Box::new((record, None)))) };
        let _place = self.held_questions.enter().await;
        let asked = self.ask_core(self.router.core(id.vshard()), SharingStep::Where(id)).await?;
        let Reply::Where(Some(shared)) = asked else {
            return Err(EngineError::SharedBodyMissing { id });
        };
        Ok(Some(Box::new((record, Some(*shared)))))
    }

    /// Asks a core, this one included.
    async fn ask_core(self: &Rc<Self>, core: CoreId, step: SharingStep) -> Result<Reply, EngineError> {
        if core == self.core() {
            return self.sharing_step(step).await;
        }
        let reply = self.post.call(core, Request::Sharing(step), Lane::System).await;
        reply.ok_or(EngineError::Closing)?.checked()
    }
}
