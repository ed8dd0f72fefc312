//! Accepts connections and starts a task for each, up to a bound. For what comes above it idle ones are closed; if there
//! are none, it waits in the socket.

use crate::connection;
use crate::front::Core;
use crate::limits::ACCEPT_PAUSE;
use ashlar_engine::runtime::{Listener as _, Runtime, TaskQueue};
use ashlar_engine::sync::{Event, Seats};
use core::cell::Cell;
use core::pin::pin;
use futures_util::future::select;
use std::rc::Rc;

/// The connections of one core.
pub(crate) struct Connections {
    places: Seats,
    open: Cell<usize>,
    closed: Event,
    cut: Event,
}

impl Connections {
    /// None yet, and never more than `max`.
    pub(crate) fn new(max: usize) -> Self {
        Self { places: Seats::new(max.max(1)), open: Cell::new(0), closed: Event::new(), cut: Event::new() }
    }

    /// Accepts for ever.
    pub(crate) async fn accept<R: Runtime>(self: &Rc<Self>, core: &Rc<Core<R>>, listener: &R::Listener) {
        loop {
            let Ok(stream) = listener.accept().await else {
                core.runtime.sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let place = self.places.enter().await;
            let open = Open::new(self);
            let (core, connections) = (Rc::clone(core), Rc::clone(self));
            let runtime = core.runtime.clone();
            runtime.spawn(TaskQueue::Foreground, async move {
                let cut = connections.cut.wait();
                select(pin!(connection::serve(&core, stream, &place)), cut).await;
                drop((place, open));
            });
        }
    }

    /// Resolves when no connection is open.
    pub(crate) async fn ended(&self) {
        loop {
            let closed = self.closed.wait();
            if self.open.get() == 0 {
                return;
            }
            closed.await;
        }
    }

    /// Ends every connection where it is.
    pub(crate) fn cut(&self) {
        self.cut.fire();
    }
}

/// Counts a connection for as long as its task lives, however that ends.
struct Open(Rc<Connections>);

impl Open {
    fn new(connections: &Rc<Connections>) -> Self {
        connections.open.set(connections.open.get() + 1);
        Self(Rc::clone(connections))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.closed.fire();
    }
}
