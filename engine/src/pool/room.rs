//! How much room the pool has, as core 0 told this core last, and those who wait for more.
//!
//! Nobody may wait here who keeps what began before it from ending (an operation's guard): space comes back only when
//! those who began before have ended.

use super::clean_plan::Level;
use crate::error::EngineError;
use crate::limits::SPACE_WAIT;
use crate::runtime::Runtime;
use crate::sync::Event;
use futures_util::future::{Either, select};
use std::cell::Cell;
use std::pin::pin;

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) level: Level,
    /// Space is being made: waiting may help.
    pub(crate) is_hopeful: bool,
}

impl Room {
    /// As long as nobody said otherwise.
    pub(crate) const AMPLE: Self = Self { level: Level::Ample, is_hopeful: true };
}

/// What becomes of a writer for whom there is no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It waits as long as space is being made, [`SPACE_WAIT`] at most.
    Waits,
    /// It is refused at once.
    GivesUp,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct RoomWatch {
    room: Cell<Room>,
    is_closed: Cell<bool>,
    changed: Event,
}

impl Default for RoomWatch {
    fn default() -> Self {
        Self { room: Cell::new(Room::AMPLE), is_closed: Cell::new(false), changed: Event::new() }
    }
}

impl RoomWatch {
    /// As core 0 told it last.
    pub(crate) fn level(&self) -> Level {
        self.room.get().level
    }

    /// So much room there is from now on.
    pub(crate) fn set(&self, room: Room) {
        self.room.set(room);
        self.changed.fire();
    }

    /// Bodies are not written any more; nobody waits.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        self.changed.fire();
    }

    /// See [`RoomWatch::close`].
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    fn may_help(&self) -> bool {
        self.room.get().is_hopeful && !self.is_closed()
    }

    /// Waits until there is more room than at `level`, as long as waiting may help.
    pub(crate) async fn above(&self, runtime: &impl Runtime, level: Level) {
        if self.level() < level {
            return;
        }
        let mut patience = pin!(runtime.sleep(SPACE_WAIT));
        loop {
            let changed = self.changed.wait();
            if self.level() < level || !self.may_help() {
                return;
            }
            if let Either::Right(_) = select(changed, patience.as_mut()).await {
                return;
            }
        }
    }

    /// Attempts again when the room changed, as long as the answer is that there is none and waiting may help; for who
    /// gives up, once only.
    pub(crate) async fn insist<T>(
        &self,
        runtime: &impl Runtime,
        patience: Patience,
        attempt: impl AsyncFn() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let mut sleep = None;
        loop {
            let changed = self.changed.wait();
            let result = attempt().await;
            let is_refused = matches!(result, Err(EngineError::Full));
            if !is_refused || patience == Patience::GivesUp || !self.may_help() {
                return result;
            }
            // What core 0 refused it for it may not have told yet, so only a change says more.
            let sleep = sleep.get_or_insert_with(|| Box::pin(runtime.sleep(SPACE_WAIT)));
            if let Either::Right(_) = select(changed, sleep.as_mut()).await {
                return result;
            }
        }
    }
}
