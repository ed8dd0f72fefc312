//! What keeps an object's bytes where they are while they are read.
//!
//! Space is taken back when every operation that began before has ended, so one slow reader would keep
//! all of it from coming back, wherever it reads. A reader therefore looks its key up again from time to
//! time. When the same object is still there, it begins anew: what dies from now on waits for it, what
//! died before does not. When the object is gone its bytes are dead, and are kept for a grace only.

use super::Engine;
use crate::error::EngineError;
use crate::limits::{READER_GRACE, READER_RENEWAL};
use crate::runtime::{Monotonic, Runtime};
use crate::shard::{Reply, Request};
use crate::sync::OpGuard;
use ashlar_disk_format::units::BucketId;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Shared by an object and its readers: they let go of an old epoch together.
#[derive(Debug)]
pub(super) struct Hold {
    bucket: BucketId,
    key: Vec<u8>,
    /// Which record of the key it is.
    sequence: u64,
    guard: RefCell<OpGuard>,
    renewed: Cell<Monotonic>,
    /// Since when the object is known to be gone.
    gone: Cell<Option<Monotonic>>,
}

impl Hold {
    pub(super) fn new(
        bucket: BucketId,
        key: &[u8],
        sequence: u64,
        guard: OpGuard,
        now: Monotonic,
    ) -> Rc<Self> {
        Rc::new(Self {
            bucket,
            key: key.to_vec(),
            sequence,
            guard: RefCell::new(guard),
            renewed: Cell::new(now),
            gone: Cell::new(None),
        })
    }

    /// Its bucket.
    pub(super) fn bucket(&self) -> BucketId {
        self.bucket
    }

    /// Its key.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Renews the hold when that is due.
    ///
    /// # Errors
    /// [`EngineError::Superseded`] when the object has been gone for longer than the grace.
    pub(super) async fn keep<R: Runtime>(&self, engine: &Engine<R>) -> Result<(), EngineError> {
        let now = engine.runtime().now();
        if now.since(self.renewed.get()) < READER_RENEWAL {
            return Ok(());
        }
        self.renewed.set(now);
        // An engine that is closing waits for its readers, as they are.
        let Ok(guard) = engine.enter() else { return Ok(()) };
        let owner = engine.shard.router.object(self.bucket, &self.key);
        let request = Request::Lookup { bucket: self.bucket, key: self.key.clone() };
        // An index that cannot be read now says nothing about the object.
        let Ok(Reply::Object(record)) = engine.ask(owner, request).await else { return Ok(()) };
        if record.is_some_and(|record| record.sequence == self.sequence) {
            *self.guard.borrow_mut() = guard;
            return Ok(());
        }
        let gone = self.gone.get().unwrap_or(now);
        self.gone.set(Some(gone));
        if now.since(gone) > READER_GRACE { Err(EngineError::Superseded) } else { Ok(()) }
    }
}
