//! Copies: the new object refers to the bytes of the old one. Small bodies, and those of objects that were replaced
//! meanwhile, are written again.

use super::body::{Body, Object};
use super::hold::Hold;
use super::objects::published;
use super::{Engine, unexpected};
use crate::body::{BodyPlace, BodySpace};
use crate::error::EngineError;
use crate::limits::{PARTS_INLINE_MAX, PARTS_PER_PAGE, SHARE_BYTES_MIN};
use crate::number::to_u32;
use crate::runtime::{CoreId, Runtime, TaskQueue};
use crate::shard::{PublishCall, Reply, Request, ShareCall, Shared, Sharer, SharingStep, shared_by};
use crate::sync::{AnswerTo, OpGuard, answer};
use crate::types::{Bucket, Condition, ObjectMeta, Published};
use ashlar_disk_format::part_page;
use ashlar_disk_format::value::{BodyEntry, PartTable};

/// The answer to who asked for a copy; `None` when the bytes cannot be shared.
type CopyAnswer = AnswerTo<Result<Option<Published>, EngineError>>;

/// A copy that may share bytes, with all that it needs until its references are confirmed.
struct Sharing<R: Runtime> {
    engine: Engine<R>,
    /// Who is asked for the reference.
    owner: CoreId,
    step: SharingStep,
    key: Vec<u8>,
    publish: PublishCall,
    /// Keep the rows of new pages, and the source's bytes, where they are.
    _guards: (OpGuard, Hold),
}

impl<R: Runtime> Engine<R> {
    /// Gives `key` the bytes of `source`, under its own metadata. A multipart object stays one.
    ///
    /// # Errors
    /// As publishing, and as reading the source.
    pub async fn copy(
        &self,
        source: &Object,
        bucket: &Bucket,
        key: &[u8],
        meta: ObjectMeta,
        condition: Condition,
    ) -> Result<Published, EngineError> {
        if source.size() >= SHARE_BYTES_MIN {
            let target = Sharer { bucket: bucket.id, key: key.to_vec() };
            let sharing = self.copy_by_reference(source, target, meta.clone(), condition.clone());
            let shared = Box::pin(sharing).await?;
            if let Some(published) = shared {
                return Ok(published);
            }
        }
        Box::pin(self.copy_bytes(source, bucket, key, meta, condition)).await
    }

    /// `None` when the source is not what it was. Once begun it goes on, also when the caller goes away.
    async fn copy_by_reference(
        &self,
        source: &Object,
        target: Sharer,
        meta: ObjectMeta,
        condition: Condition,
    ) -> Result<Option<Published>, EngineError> {
        let guards = (self.enter()?, source.hold.clone());
        let mut space = BodySpace::default();
        let parts = self.copy_parts(source, &mut space).await?;
        let router = self.shard.router;
        let (owner, step) = match shared_by(source.record()) {
            Some((id, _)) => (router.core(id.vshard()), SharingStep::Refer { id, target: target.clone() }),
            None => {
                let call = ShareCall {
                    source: Sharer { bucket: source.hold.bucket(), key: source.key().to_vec() },
                    sequence: source.record().sequence,
                    target: target.clone(),
                };
                (router.object(source.hold.bucket(), source.key()), SharingStep::Share(Box::new(call)))
            }
        };
        let publish = PublishCall {
            bucket: target.bucket,
            size: source.size(),
            body: BodyPlace::Stored { entries: Vec::new(), space },
            meta,
            condition,
            parts,
        };
        let sharing =
            Sharing { engine: self.clone(), owner, step, key: target.key, publish, _guards: guards };
        let (to, done) = answer();
        self.runtime().spawn(TaskQueue::Foreground, async move { sharing.run(to).await });
        done.await.unwrap_or(Err(EngineError::Panicked))
    }

    /// Reads the bytes and writes them again.
    async fn copy_bytes(
        &self,
        source: &Object,
        bucket: &Bucket,
        key: &[u8],
        meta: ObjectMeta,
        condition: Condition,
    ) -> Result<Published, EngineError> {
        let _place = self.copy_place().await;
        let mut writer = self.begin_copy(source.size())?;
        let mut reader = self.read(source, 0..source.size());
        while let Some(slice) = reader.next().await? {
            writer.write(slice.bytes()).await?;
        }
        let mut body: Body = writer.finish().await?;
        // The pages of its parts have no pins.
        let _guard = self.enter()?;
        let mut pages = BodySpace::default();
        body.parts = self.copy_parts(source, &mut pages).await?;
        if let BodyPlace::Stored { space, .. } = &mut body.place {
            space.merge(&pages);
        } else if pages != BodySpace::default() {
            // More parts than fit a record, all together small: only empty parts do that.
            return Err(EngineError::InvalidPart);
        }
        self.publish(bucket, key, body, meta, condition).await
    }

    /// The table of the source's parts for another record; the space of new pages is added to `space`.
    async fn copy_parts(&self, source: &Object, space: &mut BodySpace) -> Result<PartTable, EngineError> {
        let infos = self.part_infos(source).await?;
        if infos.is_empty() {
            return Ok(PartTable::None);
        }
        if infos.len() <= PARTS_INLINE_MAX {
            return Ok(PartTable::Inline(infos));
        }
        let pages: Vec<Vec<u8>> = infos.chunks(PARTS_PER_PAGE).map(part_page::encode).collect();
        let extents = self.shard.body_pages.place(&pages).await?;
        for extent in &extents {
            space.add(extent);
        }
        Ok(PartTable::Page { count: to_u32(infos.len()), extents })
    }
}

impl<R: Runtime> Sharing<R> {
    /// Reference first, then the record that needs it, then the word that nobody need ask about it.
    async fn run(self, to: CopyAnswer) {
        let engine = self.engine;
        // Until the end: so many copies may still have something to be confirmed.
        let _place = engine.shard.shares.enter().await;
        let shared = match engine.ask(self.owner, Request::Sharing(self.step)).await {
            Ok(Reply::Shared(Some(shared))) => shared,
            Ok(Reply::Shared(None)) => return to.send(Ok(None)),
            Ok(_) => return to.send(Err(unexpected())),
            Err(error) => return to.send(Err(error)),
        };
        let mut publish = self.publish;
        let (id, length) = (shared.id, publish.size);
        if let BodyPlace::Stored { entries, .. } = &mut publish.body {
            entries.push(BodyEntry::Shared { id, token: shared.token, offset: 0, length });
        }
        let owner = engine.shard.router.object(publish.bucket, &self.key);
        let reply =
            engine.ask(owner, Request::Publish { key: self.key.into(), call: Box::new(publish) }).await;
        let is_published = matches!(reply, Ok(Reply::Published(_)));
        let is_refused = matches!(reply, Ok(Reply::Refused(_)));
        to.send(reply.and_then(published).map(Some));
        engine.conclude(shared, is_published, is_refused).await;
    }
}

impl<R: Runtime> Engine<R> {
    /// Confirms the references of what is published, and takes that of a refused copy back. What fails here is
    /// asked about at the next start; so is a copy of which nobody knows whether it was published.
    async fn conclude(&self, shared: Shared, is_published: bool, is_refused: bool) {
        let Shared { id, token, source } = shared;
        let owner = self.shard.router.core(id.vshard());
        let tokens: Vec<u64> = source.into_iter().chain(is_published.then_some(token)).collect();
        if !tokens.is_empty() {
            let _confirmed = self.ask(owner, Request::Sharing(SharingStep::Confirm { id, tokens })).await;
        }
        if is_refused {
            let _dropped = self.ask(owner, Request::Sharing(SharingStep::Drop { id, token })).await;
        }
    }
}
