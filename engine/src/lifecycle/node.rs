//! One core's end of all calls: receives them, answers them.

use super::coordinator::Coordinator;
use super::start::EngineOptions;
use crate::error::EngineError;
use crate::mesh::Post;
use crate::pool::{PoolLink, PoolReply, PoolRequest, PoolView};
use crate::rows::{rebuild_member, scrub_group};
use crate::runtime::{CoreId, Device, Runtime, TaskQueue};
use crate::shard::{
    Reply, Request, Shard, ShardSeed, ask_about_references, run_committer, send_unreferences,
};
use crate::sync::{Event, answer};
use ashlar_disk_format::layout::DeviceLayout;
use futures_util::future::LocalBoxFuture;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

/// How far a core has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Starting,
    Serving,
    Abandoned,
}

/// A core of the engine.
pub(crate) struct Node<R: Runtime> {
    pub(crate) runtime: R,
    pub(super) options: EngineOptions,
    pub(crate) post: Rc<Post<R, Request, Reply>>,
    pub(crate) shard: RefCell<Option<Rc<Shard<R>>>>,
    pub(crate) coordinator: RefCell<Option<Rc<Coordinator<R>>>>,
    pub(crate) stage: Cell<Stage>,
    pub(crate) moved: Event,
}

impl<R: Runtime> std::fmt::Debug for Node<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("stage", &self.stage.get()).finish_non_exhaustive()
    }
}

/// A core's way to the pool's owner on core 0. The node owns the view that this connects.
struct Link<R: Runtime> {
    node: Weak<Node<R>>,
}

impl<R: Runtime> PoolLink for Link<R> {
    fn ask(&self, request: PoolRequest) -> LocalBoxFuture<'static, Result<PoolReply, EngineError>> {
        let node = self.node.upgrade();
        Box::pin(async move {
            let Some(node) = node else { return Err(EngineError::Closing) };
            let Reply::Pool(reply) = node.ask(CoreId(0), Request::Pool(request)).await? else {
                return Err(EngineError::Closing);
            };
            Ok(reply)
        })
    }
}

impl<R: Runtime> Node<R> {
    pub(crate) fn new(runtime: R, post: Rc<Post<R, Request, Reply>>, options: EngineOptions) -> Rc<Self> {
        Rc::new(Self {
            runtime,
            options,
            post,
            shard: RefCell::new(None),
            coordinator: RefCell::new(None),
            stage: Cell::new(Stage::Starting),
            moved: Event::new(),
        })
    }

    /// Receives calls for the life of the process.
    pub(crate) fn listen(self: &Rc<Self>) {
        let node = Rc::clone(self);
        self.runtime.spawn_vital(TaskQueue::Foreground, "the mailbox", async move {
            loop {
                let (from, token, request) = node.post.receive().await;
                let handler = Rc::clone(&node);
                node.runtime.spawn(TaskQueue::Foreground, async move {
                    let owed = handler.post.owe(from, token, Reply::Failed(EngineError::Panicked));
                    owed.send(handler.handle(request).await.unwrap_or_else(Reply::Failed));
                });
            }
        });
    }

    /// Calls any core, this one included. Looking something up may be given up half way; a change may not.
    pub(crate) async fn ask(self: &Rc<Self>, core: CoreId, request: Request) -> Result<Reply, EngineError> {
        if core != self.runtime.core() {
            return self.call(core, request).await;
        }
        if request.only_reads() {
            return Box::pin(self.handle(request)).await;
        }
        self.ask_holding(core, request, ()).await
    }

    /// Calls any core, in a task of its own that keeps `held` until the answer is here, also when
    /// whoever asked goes away.
    pub(crate) async fn ask_holding(
        self: &Rc<Self>,
        core: CoreId,
        request: Request,
        held: impl Sized + 'static,
    ) -> Result<Reply, EngineError> {
        let (to, reply) = self.post.outcome();
        let node = Rc::clone(self);
        self.runtime.spawn(TaskQueue::Foreground, async move {
            let is_here = core == node.runtime.core();
            let reply = if is_here { node.handle(request).await } else { node.call(core, request).await };
            drop(held);
            to.send(reply);
        });
        reply.await.unwrap_or(Err(EngineError::Panicked))
    }

    async fn call(&self, core: CoreId, request: Request) -> Result<Reply, EngineError> {
        let lane = request.lane();
        self.post.call(core, request, lane).await.ok_or(EngineError::Closing)?.checked()
    }

    /// The shard, once this core has one.
    pub(crate) fn shard(&self) -> Result<Rc<Shard<R>>, EngineError> {
        self.shard.borrow().clone().ok_or(EngineError::Closing)
    }

    pub(crate) fn move_to(&self, stage: Stage) {
        self.stage.set(stage);
        self.moved.fire();
    }

    /// A view over the devices that the seed names.
    pub(crate) fn view(self: &Rc<Self>, seed: &ShardSeed) -> Result<Rc<PoolView<R>>, EngineError> {
        let devices = self.runtime.devices();
        let mut slots = Vec::new();
        for &(index, position) in &seed.devices {
            let Some(device) = devices.get(position) else { continue };
            let layout = DeviceLayout::new(device.info().bytes, seed.facts.segment_bytes);
            let Ok(layout) = layout else { continue };
            slots.push((index, device.clone(), layout));
        }
        let view =
            PoolView::new(self.runtime.clone(), seed.facts, slots).with_block_cache(self.options.cache_bytes);
        view.wait_for_devices(self.options.device_patience);
        let view = Rc::new(view);
        view.connect(Rc::new(Link { node: Rc::downgrade(self) }));
        Ok(view)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the rest is the shard's, whose own match is exhaustive"
    )]
    async fn handle(self: &Rc<Self>, request: Request) -> Result<Reply, EngineError> {
        match request {
            Request::Pool(request) => {
                let coordinator = self.coordinator.borrow().clone();
                let Some(coordinator) = coordinator else { return Err(EngineError::Closing) };
                Ok(Reply::Pool(coordinator.pool_request(request).await?))
            }
            Request::Seed(seed) => {
                let view = self.view(&seed)?;
                let memtable_bytes = self.options.memtable_bytes;
                let shard = Shard::open(view, Rc::clone(&self.post), &seed, memtable_bytes).await?;
                *self.shard.borrow_mut() = Some(shard);
                Ok(Reply::Done)
            }
            Request::Serve => {
                let shard = self.shard()?;
                self.runtime.spawn(TaskQueue::Background, send_unreferences(Rc::clone(&shard)));
                self.runtime.spawn(TaskQueue::Background, ask_about_references(Rc::clone(&shard)));
                self.runtime.spawn(TaskQueue::Background, shard.watch_pins());
                self.move_to(Stage::Serving);
                Ok(Reply::Done)
            }
            Request::Abandon => {
                self.move_to(Stage::Abandoned);
                Ok(Reply::Done)
            }
            other => self.handle_on_shard(self.shard()?, other).await,
        }
    }

    /// Long work, in a task that leaves the core to requests.
    async fn in_background<T: 'static>(
        &self,
        work: impl Future<Output = Result<T, EngineError>> + 'static,
    ) -> Result<T, EngineError> {
        let (to, done) = answer();
        self.runtime.spawn(TaskQueue::Background, async move { to.send(work.await) });
        done.await.unwrap_or(Err(EngineError::Panicked))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is in the next match")]
    async fn handle_on_shard(
        self: &Rc<Self>,
        shard: Rc<Shard<R>>,
        request: Request,
    ) -> Result<Reply, EngineError> {
        match request {
            Request::Replay(batches) => {
                let (ends, unreadable) = shard.replay(batches).await?;
                Ok(Reply::Ends { ends, unreadable })
            }
            Request::Tails => Ok(Reply::Ends { ends: shard.tails(), unreadable: 0 }),
            Request::Start => {
                shard.log.start().await?;
                let committer = run_committer(Rc::clone(&shard));
                self.runtime.spawn_vital(TaskQueue::Foreground, "the committer", committer);
                Ok(Reply::Done)
            }
            Request::Snapshot => Ok(Reply::Snapshot(Box::new(shard.snapshot().await?))),
            Request::SnapshotDone { is_durable } => {
                shard.snapshot_done(is_durable);
                Ok(Reply::Done)
            }
            Request::Pinned(groups) => Ok(Reply::Pinned(shard.view.pins.want(&groups))),
            Request::PassEpoch => {
                shard.epochs.pass().await;
                shard.view.writes.pass().await;
                shard.doubtful.epochs.pass().await;
                Ok(Reply::Done)
            }
            Request::Live(groups) => {
                Ok(Reply::Live(groups.into_iter().map(|group| shard.view.ledger.total(group)).collect()))
            }
            Request::Forget(groups) => {
                shard.view.forget(&groups);
                Ok(Reply::Done)
            }
            Request::Use(device, how) => {
                shard.view.make_use(device, how);
                Ok(Reply::Done)
            }
            Request::Room(room) => {
                shard.view.room.set(room);
                Ok(Reply::Done)
            }
            Request::Close => {
                shard.closing.set(true);
                shard.view.room.close();
                shard.epochs.pass().await;
                shard.view.appends.pass().await;
                Ok(Reply::Done)
            }
            Request::Stop => {
                shard.stop();
                Ok(Reply::Done)
            }
            other => self.maintain(shard, other).await,
        }
    }

    /// What keeps data where it should be, and whole.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the rest are operations, whose own match is exhaustive"
    )]
    async fn maintain(&self, shard: Rc<Shard<R>>, request: Request) -> Result<Reply, EngineError> {
        match request {
            Request::Clean(call) => {
                let report = self.in_background(async move { shard.clean(*call).await }).await?;
                Ok(Reply::Cleaned(Box::new(report)))
            }
            Request::LeaveLost => {
                shard.leave_lost().await?;
                Ok(Reply::Done)
            }
            Request::Rebuild(job) => {
                let rebuilt = self.in_background(async move {
                    rebuild_member(&shard.view, &job, &|| shard.epochs.begun()).await
                });
                Ok(Reply::Rebuilt(rebuilt.await?))
            }
            Request::Scrub(job) => {
                let scrubbed = self.in_background(async move {
                    Ok(scrub_group(&shard.view, &job, &|| shard.epochs.begun()).await)
                });
                Ok(Reply::Scrubbed(Box::new(scrubbed.await?)))
            }
            Request::Lost(call) => {
                let report = self.in_background(async move { shard.lost(call).await }).await?;
                Ok(Reply::Lost(Box::new(report)))
            }
            operation => operate(&shard, operation).await,
        }
    }
}

/// What clients ask for, on the owner of the key.
async fn operate<R: Runtime>(shard: &Rc<Shard<R>>, request: Request) -> Result<Reply, EngineError> {
    match request {
        Request::Lookup { bucket, key } => Ok(Reply::Object(shard.lookup(bucket, &key).await?.map(Box::new))),
        Request::Publish { key, call } => shard.publish(&key, *call, None).await,
        Request::Delete { bucket, key, condition } => {
            Ok(Reply::Existed(shard.delete(bucket, &key, &condition).await?))
        }
        Request::List(call) => Ok(Reply::Listed(shard.list(&call).await?)),
        Request::CreateUpload { bucket, key, init } => {
            Ok(Reply::UploadCreated(shard.create_upload(bucket, &key, init).await?))
        }
        Request::Upload { bucket, key, id } => Ok(Reply::Upload(shard.upload(bucket, &key, id).await?)),
        Request::PutPart(call) => Ok(Reply::Part(shard.put_part(*call).await?)),
        Request::ListParts { bucket, key, id, after, max } => {
            Ok(Reply::Parts(shard.list_parts(bucket, &key, id, after, max).await?))
        }
        Request::ListUploads { bucket, query } => {
            Ok(Reply::Uploads(shard.list_uploads(bucket, &query).await?))
        }
        Request::Complete(call) => Ok(Reply::Published(shard.complete_upload(*call).await?)),
        Request::Abort { bucket, key, id } => {
            shard.abort_upload(bucket, &key, id).await?;
            Ok(Reply::Done)
        }
        Request::LookupHeld { bucket, key } => Ok(Reply::Held(shard.lookup_held(bucket, &key).await?)),
        Request::Sharing(step) => shard.sharing_step(step).await,
        Request::Bucket(step) => shard.bucket_step(step).await,
        Request::Pool(_)
        | Request::Seed(_)
        | Request::Serve
        | Request::Abandon
        | Request::Replay(_)
        | Request::Start
        | Request::Snapshot
        | Request::SnapshotDone { .. }
        | Request::Tails
        | Request::Pinned(_)
        | Request::PassEpoch
        | Request::Live(_)
        | Request::Forget(_)
        | Request::Use(..)
        | Request::Room(_)
        | Request::Clean(_)
        | Request::LeaveLost
        | Request::Rebuild(_)
        | Request::Scrub(_)
        | Request::Lost(_)
        | Request::Close
        | Request::Stop => unreachable!("handled by the node before it asks the shard"),
    }
}
