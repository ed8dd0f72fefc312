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
use ashlar_disk_format::value::{BodyEntry, ObjectRecord, PartTable, SharedRecord};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

/// What the index says of an object: its record, and where its bytes are when the record says that they are shared.
pub(super) type Found = (ObjectRecord, Option<Box<SharedRecord>>);

/// Where an object is now, and what keeps it there.
#[derive(Debug)]
struct Place {
    /// Absent while it is where it was when it was looked up first.
    moved: Option<Box<Found>>,
    guard: OpGuard,
}

/// Holds that nobody has any more are kept, so many, for the next objects.
const SPARE_HOLDS_MAX: usize = 256;

/// The memory of holds, to be used again: looking something up takes none.
#[derive(Debug, Clone, Default)]
pub(super) struct Holds(Rc<RefCell<Vec<Rc<Option<Held>>>>>);

/// Shared by an object and its readers: they let go of an old epoch one after another, each as it goes on from the
/// new place.
#[derive(Debug)]
pub(super) struct Hold {
    /// Empty only while it is being dropped.
    memory: Option<Rc<Option<Held>>>,
    spare: Holds,
}

/// See [`Hold`].
#[derive(Debug)]
pub(super) struct Held {
    bucket: BucketId,
    key: SmallVec<[u8; 64]>,
    found: Found,
    place: RefCell<Place>,
    renewed: Cell<Monotonic>,
    /// How often the hold was renewed, and how often the bytes were somewhere else by then.
    renewals: Cell<Renewals>,
    /// Since when the object is known to be gone.
    gone: Cell<Option<Monotonic>>,
}

/// See [`Held::renewals`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Renewals {
    pub(super) all: u64,
    pub(super) moves: u64,
}

fn entries_of((record, shared): &Found) -> &[BodyEntry] {
    shared.as_ref().map_or(&record.body.0, |shared| &shared.body.0)
}

impl Holds {
    /// A hold on what was found under a key at `now`, while `guard` was held.
    pub(super) fn hold(
        &self,
        (bucket, key): (BucketId, &[u8]),
        found: Found,
        (guard, now): (OpGuard, Monotonic),
    ) -> Hold {
        let held = Held {
            bucket,
            key: SmallVec::from_slice(key),
            found,
            place: RefCell::new(Place { moved: None, guard }),
            renewed: Cell::new(now),
            renewals: Cell::default(),
            gone: Cell::new(None),
        };
        let mut memory = self.0.borrow_mut().pop().unwrap_or_default();
        let Some(place) = Rc::get_mut(&mut memory) else { unreachable!("what is spare has no other owner") };
        *place = Some(held);
        Hold { memory: Some(memory), spare: self.clone() }
    }
}

impl Deref for Hold {
    type Target = Held;

    fn deref(&self) -> &Held {
        let held = self.memory.as_deref().and_then(Option::as_ref);
        let Some(held) = held else { unreachable!("a hold is full until it is dropped") };
        held
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        Self { memory: self.memory.clone(), spare: self.spare.clone() }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(mut memory) = self.memory.take() else { return };
        if let Some(held) = Rc::get_mut(&mut memory) {
            // What it held is let go of now, whatever becomes of its memory.
            *held = None;
            let mut spare = self.spare.0.borrow_mut();
            if spare.len() < SPARE_HOLDS_MAX {
                spare.push(memory);
            }
        }
    }
}

impl Held {
    /// Its bucket.
    pub(super) fn bucket(&self) -> BucketId {
        self.bucket
    }

    /// Its key.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its record as it was when it was looked up first; only addresses may have changed since.
    pub(super) fn record(&self) -> &ObjectRecord {
        &self.found.0
    }

    fn look<T>(&self, at: impl FnOnce(&Found) -> T) -> T {
        let place = self.place.borrow();
        at(place.moved.as_deref().unwrap_or(&self.found))
    }

    /// Gives `at` the places of its bytes as of the last look-up.
    pub(super) fn entries<T>(&self, at: impl FnOnce(&[BodyEntry]) -> T) -> T {
        self.look(|found| at(entries_of(found)))
    }

    /// Its table of parts as of then.
    pub(super) fn parts(&self) -> PartTable {
        self.look(|(record, _)| record.parts.clone())
    }

    /// Keeps what the last look-up found where it is.
    pub(super) fn guard(&self) -> OpGuard {
        self.place.borrow().guard.clone()
    }

    /// How often it was renewed.
    pub(super) fn renewals(&self) -> Renewals {
        self.renewals.get()
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
        let Ok(found) = Box::pin(engine.locate(self.bucket, &self.key)).await else { return Ok(()) };
        if let Some(found) = found.filter(|(record, _)| record.sequence == self.found.0.sequence) {
            self.renew(found, guard);
            return Ok(());
        }
        let gone = self.gone.get().unwrap_or(now);
        self.gone.set(Some(gone));
        if now.since(gone) > READER_GRACE { Err(EngineError::Superseded) } else { Ok(()) }
    }

    fn renew(&self, found: Found, guard: OpGuard) {
        let Renewals { all, moves } = self.renewals.get();
        let has_moved = self.entries(|before| before != entries_of(&found));
        self.place.replace(Place { moved: Some(Box::new(found)), guard });
        self.renewals.set(Renewals { all: all + 1, moves: moves + u64::from(has_moved) });
    }
}
