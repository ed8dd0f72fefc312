//! Bodies that several objects share, on the core that owns them: made from an object's body when it is first
//! copied, referred to by an entry per object, gone with the last of these.
//!
//! docs/decisions/0007-copies-share-bytes.md has the protocol and what recovery does at each of its steps.
//!
//! Invariants:
//! - References of one body are changed one at a time, under the body's lock; a body that stands in the index has
//!   at least one, or had its last taken off by a batch that the log refused and a later start found: that start
//!   takes the body off.
//! - Whatever record names a body has a reference there.
//! - The key of an object is locked before a body, and of bodies one at most: nobody waits in a circle.

use super::commit::{Change, Planned, PlannedValue};
use super::message::{Reply, ShareCall, Shared, Sharer, SharingStep};
use super::state::Shard;
use crate::error::EngineError;
use crate::runtime::Runtime;
use ashlar_disk_format::key::{
    SharedId, Space, object_key, prefix_end, shared_key, shared_ref_key, shared_ref_prefix, unref_key,
    virtual_shard,
};
use ashlar_disk_format::units::VirtualShard;
use ashlar_disk_format::value::{
    Body, BodyEntry, Entries, ObjectRecord, SharedRecord, SharedRefRecord, UnrefRecord, decode_shared,
    decode_shared_ref, encode_object, encode_shared, encode_shared_ref, encode_unref,
};
use smallvec::smallvec;
use std::ops::Bound;
use std::rc::Rc;

/// The shared body that a record's bytes are in, and its reference.
pub(crate) fn shared_by(record: &ObjectRecord) -> Option<(SharedId, u64)> {
    match record.body.0.as_slice() {
        [BodyEntry::Shared { id, token, .. }] => Some((*id, *token)),
        _ => None,
    }
}

/// What the batch that ends `record` must also hold: its reference is to be taken off.
pub(super) fn unref_of(shard: VirtualShard, record: &ObjectRecord) -> Option<Planned> {
    let (id, token) = shared_by(record)?;
    let value = PlannedValue::Ready(encode_unref(&UnrefRecord { id, token }));
    Some(Planned::Put { key: unref_key(shard, id, token).into(), value })
}

fn put_reference(id: SharedId, token: u64, sharer: &Sharer, confirmed: bool) -> Planned {
    let record = SharedRefRecord { bucket: sharer.bucket, key: sharer.key.clone(), confirmed };
    let value = PlannedValue::Ready(encode_shared_ref(&record));
    Planned::Put { key: shared_ref_key(id, token).into(), value }
}

fn put_shared(id: SharedId, record: &SharedRecord) -> Planned {
    Planned::Put { key: shared_key(id).into(), value: PlannedValue::Ready(encode_shared(record)) }
}

impl<R: Runtime> Shard<R> {
    /// Something was put under `key`: if that is an unreference, somebody is to be told.
    pub(super) fn note_unreference(&self, key: &[u8]) {
        if Space::of(key) == Ok(Space::Unref) {
            self.unrefs_written.fire();
        }
    }

    /// A token that no reference ever had: the mount's epoch above, a counter below.
    fn new_token(&self) -> Option<u64> {
        let counter = self.next_share()?;
        Some((u64::from(self.view.facts.epoch.0) << 32) | u64::from(counter))
    }

    /// An identity that no body ever had: epoch, core and counter.
    fn new_identity(&self, shard: VirtualShard) -> Option<SharedId> {
        let mut unique = [0; 14];
        unique[..4].copy_from_slice(&self.view.facts.epoch.0.to_le_bytes());
        unique[4..6].copy_from_slice(&self.core().0.to_le_bytes());
        unique[6..10].copy_from_slice(&self.next_share()?.to_le_bytes());
        Some(SharedId::new(shard, unique))
    }

    /// One step, on this core.
    pub(crate) async fn sharing_step(self: &Rc<Self>, step: SharingStep) -> Result<Reply, EngineError> {
        Ok(match step {
            SharingStep::Where(id) => Reply::Where(self.shared_body(id).await?),
            SharingStep::Share(call) => Reply::Shared(self.share(*call).await?),
            SharingStep::Refer { id, target } => Reply::Shared(self.refer(id, &target).await?),
            SharingStep::Confirm { id, tokens } => {
                self.confirm(id, &tokens).await?;
                Reply::Done
            }
            SharingStep::Drop { id, token } => {
                self.drop_reference(id, token).await?;
                Reply::Done
            }
            SharingStep::Names { sharer, id, token } => Reply::Names(self.names(&sharer, id, token).await?),
        })
    }

    /// Where a shared body is.
    async fn shared_body(&self, id: SharedId) -> Result<Option<Box<SharedRecord>>, EngineError> {
        let Some(value) = self.index.get(&shared_key(id)).await? else { return Ok(None) };
        Ok(Some(Box::new(decode_shared(&value)?)))
    }

    /// Makes the body of the source a shared one, unless it is already, and refers to it for the target.
    /// `None` when the source is no longer the object that was meant: its bytes cannot be shared.
    async fn share(self: &Rc<Self>, call: ShareCall) -> Result<Option<Shared>, EngineError> {
        let _changing = self.changing.enter();
        if self.is_low() {
            return Err(EngineError::Full);
        }
        let ShareCall { source, sequence, target } = call;
        let key = object_key(source.bucket, &source.key);
        let _lock = self.locks.lock(&key).await;
        if self.live_bucket(source.bucket).is_err() {
            return Ok(None);
        }
        let current = self.lookup(source.bucket, &source.key).await?;
        let Some(record) = current.filter(|record| record.sequence == sequence) else { return Ok(None) };
        if let Some((id, _)) = shared_by(&record) {
            // Turned since it was looked up: by its own shard, which is this one.
            return if self.router.core(id.vshard()) == self.core() {
                self.refer(id, &target).await
            } else {
                Ok(None)
            };
        }
        let shard = virtual_shard(source.bucket, &source.key);
        let new = (self.new_identity(shard), self.new_token(), self.new_token());
        let (Some(id), Some(own), Some(token)) = new else { return Ok(None) };
        let size = record.size;
        let shared = SharedRecord { size, body: record.body.clone() };
        let entry = BodyEntry::Shared { id, token: own, offset: 0, length: size };
        let turned = ObjectRecord { body: Body(smallvec![entry]), ..record };
        // The bytes pass from one record to the other: nothing becomes live, nothing dies.
        self.submit_shared(
            shard,
            vec![
                Planned::Put { key: key.into(), value: PlannedValue::Ready(encode_object(&turned)) },
                put_shared(id, &shared),
                put_reference(id, own, &source, false),
                put_reference(id, token, &target, false),
            ],
            Entries::new(),
        )
        .await?;
        Ok(Some(Shared { id, token, source: Some(own) }))
    }

    /// Refers to a shared body for one more object; `None` when there is no such body any more.
    async fn refer(self: &Rc<Self>, id: SharedId, target: &Sharer) -> Result<Option<Shared>, EngineError> {
        if self.is_low() {
            return Err(EngineError::Full);
        }
        let _lock = self.locks.lock(&shared_key(id)).await;
        let Some(shared) = self.shared_body(id).await? else { return Ok(None) };
        let Some(token) = self.new_token() else { return Ok(None) };
        // The body is written again beside the reference: a batch that its log refused may have deleted it,
        // and be found at the next start.
        let mutations = vec![put_shared(id, &shared), put_reference(id, token, target, false)];
        self.submit_shared(id.vshard(), mutations, Entries::new()).await?;
        Ok(Some(Shared { id, token, source: None }))
    }

    /// The objects of these references are published: nobody need ask about them.
    pub(super) async fn confirm(self: &Rc<Self>, id: SharedId, tokens: &[u64]) -> Result<(), EngineError> {
        let _lock = self.locks.lock(&shared_key(id)).await;
        let mut mutations = Vec::new();
        for &token in tokens {
            // One that was dropped meanwhile must not come back.
            let Some(value) = self.index.get(&shared_ref_key(id, token)).await? else { continue };
            let SharedRefRecord { bucket, key, confirmed } = decode_shared_ref(&value)?;
            if !confirmed {
                mutations.push(put_reference(id, token, &Sharer { bucket, key }, true));
            }
        }
        if mutations.is_empty() {
            return Ok(());
        }
        self.submit_shared(id.vshard(), mutations, Entries::new()).await
    }

    /// No record names this reference any more: it goes, and the body with the last one. Doing it again
    /// changes nothing.
    pub(super) async fn drop_reference(self: &Rc<Self>, id: SharedId, token: u64) -> Result<(), EngineError> {
        let _lock = self.locks.lock(&shared_key(id)).await;
        let key = shared_ref_key(id, token);
        if self.index.get(&key).await?.is_none() {
            return Ok(());
        }
        let mut mutations = vec![Planned::Delete { key: key.clone() }];
        let mut release = Entries::new();
        if self.is_last(id, &key).await?
            && let Some(shared) = self.shared_body(id).await?
        {
            mutations.push(Planned::Delete { key: shared_key(id) });
            release = shared.body.0;
        }
        self.submit_shared(id.vshard(), mutations, release).await
    }

    /// Takes a body off that nobody refers to.
    pub(super) async fn drop_unreferenced(self: &Rc<Self>, id: SharedId) -> Result<(), EngineError> {
        let _lock = self.locks.lock(&shared_key(id)).await;
        let first = shared_ref_prefix(id);
        let end = prefix_end(&first);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        if self.index.scan(Bound::Included(&first), end).next().await?.is_some() {
            return Ok(());
        }
        let Some(shared) = self.shared_body(id).await? else { return Ok(()) };
        let mutations = vec![Planned::Delete { key: shared_key(id) }];
        self.submit_shared(id.vshard(), mutations, shared.body.0).await
    }

    /// No other reference than `own` is left. Looks behind it first: who takes many off one after another then
    /// finds the next one at once, and need not pass all that are deleted.
    async fn is_last(&self, id: SharedId, own: &[u8]) -> Result<bool, EngineError> {
        let first = shared_ref_prefix(id);
        let end = prefix_end(&first);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        if self.index.scan(Bound::Excluded(own), end).next().await?.is_some() {
            return Ok(false);
        }
        let before = self.index.scan(Bound::Included(&first), Bound::Excluded(own)).next().await?;
        Ok(before.is_none())
    }

    /// Does the record of an object name this reference?
    async fn names(&self, sharer: &Sharer, id: SharedId, token: u64) -> Result<bool, EngineError> {
        let record = self.lookup(sharer.bucket, &sharer.key).await?;
        Ok(record.as_ref().and_then(shared_by) == Some((id, token)))
    }

    /// A change of this core's entries about sharing.
    pub(super) async fn submit_shared(
        &self,
        shard: VirtualShard,
        mutations: Vec<Planned>,
        release: Entries,
    ) -> Result<(), EngineError> {
        self.submit(Change { release, ..Change::new(shard, mutations) }).await
    }
}
