//! What keeps an object's bytes where they are while they are read.
//!
//! Space is taken back when every operation that began before has ended, so one slow reader would keep
//! all of it from coming back, wherever it reads. A reader therefore looks its key up again from time to
//! time. When the same object is still there, it begins anew: what dies from now on waits for it, what
//! died before does not. It may have been moved meanwhile: what it reads from then on, it reads where the bytes are
//! now. When the object is gone its bytes are dead, and are kept for a grace only.

use super::Engine;
use crate::error::EngineError;
use crate::limits::{READER_GRACE, READER_RENEWAL};
use crate::runtime::{Monotonic, Runtime};
use crate::sync::OpGuard;
use ashlar_disk_format::units::BucketId;
use ashlar_disk_format::value::{BodyEntry, ObjectRecord, SharedRecord};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Where an object is, and what keeps it there as long as somebody has this.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) record: Rc<ObjectRecord>,
    /// Where its bytes are, when the record says that they are shared.
    pub(super) shared: Option<Box<SharedRecord>>,
    _guard: OpGuard,
}

impl Place {
    pub(super) fn new(
        record: Rc<ObjectRecord>,
        shared: Option<Box<SharedRecord>>,
        guard: OpGuard,
    ) -> Rc<Self> {
        Rc::new(Self { record, shared, _guard: guard })
    }

    /// Where its bytes are.
    pub(super) fn entries(&self) -> &[BodyEntry] {
        self.shared.as_ref().map_or(&self.record.body.0, |shared| &shared.body.0)
    }
}

/// Shared by an object and its readers: they let go of an old epoch one after another, each as it goes on from the
/// new place.
#[derive(Debug)]
pub(super) struct Hold {
    bucket: BucketId,
    key: Vec<u8>,
    /// Which record of the key it is.
    sequence: u64,
    place: RefCell<Rc<Place>>,
    renewed: Cell<Monotonic>,
    /// Since when the object is known to be gone.
    gone: Cell<Option<Monotonic>>,
}

impl Hold {
    pub(super) fn new(bucket: BucketId, key: &[u8], place: Rc<Place>, now: Monotonic) -> Rc<Self> {
        Rc::new(Self {
            bucket,
            key: key.to_vec(),
            sequence: place.record.sequence,
            place: RefCell::new(place),
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

    /// Where the object was when it was looked up last.
    pub(super) fn place(&self) -> Rc<Place> {
        Rc::clone(&self.place.borrow())
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
        // An index that cannot be read now says nothing about the object.
        let Ok(located) = Box::pin(engine.locate(self.bucket, &self.key)).await else { return Ok(()) };
        if let Some((record, shared)) = located.filter(|(record, _)| record.sequence == self.sequence) {
            let place = Place::new(Rc::from(record), shared, guard);
            self.place.replace(place);
            return Ok(());
        }
        let gone = self.gone.get().unwrap_or(now);
        self.gone.set(Some(gone));
        if now.since(gone) > READER_GRACE { Err(EngineError::Superseded) } else { Ok(()) }
    }
}
