//! The two pipes of a connection.
//!
//! Invariant: pieces of one pipe arrive in the order in which they were sent; the end arrives
//! after all of them.

use super::plan::LinkPlan;
use crate::runtime::contract::{Monotonic, NetError, SendParts};
use crate::runtime::sim::random::Pick;
use crate::runtime::sim::timeline::Action;
use crate::runtime::sim::world::{Mark, World};
use crate::sync::{Event, EventWait};
use futures_util::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use xxhash_rust::xxh3::xxh3_64;

/// One piece in so many is only a few bytes long.
const CRUMB_ONE_IN: u64 = 8;
const CRUMB_BYTES_MAX: u64 = 16;

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    arrived: RefCell<VecDeque<u8>>,
    under_way: Cell<usize>,
    /// Nothing sent later may arrive before this.
    not_before: Cell<u64>,
    ended: Cell<bool>,
    reader_gone: Cell<bool>,
    changed: Event,
}

/// A connection; its ends are 0 (who connected) and 1 (who accepted).
#[derive(Debug)]
pub(crate) struct Link {
    world: Rc<World>,
    plan: LinkPlan,
    /// Pipe `n` carries what end `n` sends.
    pipes: [Pipe; 2],
    carried: Cell<u64>,
    reset: Cell<bool>,
}

impl Link {
    pub(crate) fn new(world: &Rc<World>, plan: LinkPlan) -> Rc<Self> {
        let pipes = [Pipe::default(), Pipe::default()];
        Rc::new(Self { world: Rc::clone(world), plan, pipes, carried: Cell::new(0), reset: Cell::new(false) })
    }

    /// Breaks the connection at once for both ends; bytes that arrived before can still be read.
    pub(crate) fn reset(&self) {
        self.reset.set(true);
        for pipe in &self.pipes {
            pipe.changed.fire();
        }
    }

    pub(crate) async fn send(
        self: &Rc<Self>,
        end: usize,
        bytes: &[u8],
        deadline: Monotonic,
    ) -> Result<(), NetError> {
        let pipe = &self.pipes[end];
        let mut rest = bytes;
        while !rest.is_empty() {
            let changed = pipe.changed.wait();
            if self.reset.get() {
                return Err(NetError::Closed);
            }
            let used = pipe.under_way.get() + pipe.arrived.borrow().len();
            let room = self.plan.window_bytes.max(1).saturating_sub(used);
            if room == 0 {
                self.wait(changed, deadline).await?;
                continue;
            }
            let (piece, after) = rest.split_at(self.piece(rest.len().min(room)));
            self.carry(end, piece.to_vec());
            rest = after;
        }
        Ok(())
    }

    /// Bytes at the front of `target`; 0 at the end of the stream.
    pub(crate) async fn receive(
        &self,
        end: usize,
        target: &mut [u8],
        deadline: Monotonic,
    ) -> Result<usize, NetError> {
        assert!(!target.is_empty(), "there is room to receive into");
        let pipe = &self.pipes[1 - end];
        loop {
            let changed = pipe.changed.wait();
            let available = pipe.arrived.borrow().len();
            if available > 0 {
                let taken = self.piece(available.min(target.len()));
                for (byte, place) in pipe.arrived.borrow_mut().drain(..taken).zip(target.iter_mut()) {
                    *place = byte;
                }
                pipe.changed.fire();
                return Ok(taken);
            }
            if pipe.ended.get() {
                return Ok(0);
            }
            if self.reset.get() {
                return Err(NetError::Closed);
            }
            self.wait(changed, deadline).await?;
        }
    }

    /// Waits until there is something to receive.
    pub(crate) async fn readable(&self, end: usize, deadline: Monotonic) -> Result<(), NetError> {
        let pipe = &self.pipes[1 - end];
        loop {
            let changed = pipe.changed.wait();
            if !pipe.arrived.borrow().is_empty() || pipe.ended.get() || self.reset.get() {
                return Ok(());
            }
            self.wait(changed, deadline).await?;
        }
    }

    /// `end` sends no more.
    pub(crate) fn finish(self: &Rc<Self>, end: usize) {
        let link = Rc::clone(self);
        self.plan_arrival(end, move || {
            // The end of a broken connection is never a clean one.
            if !link.is_silent() && !link.reset.get() {
                link.pipes[end].ended.set(true);
                link.pipes[end].changed.fire();
            }
        });
    }

    /// `end` reads no more and sends no more.
    pub(crate) fn close(self: &Rc<Self>, end: usize) {
        if self.world.is_halted() {
            return;
        }
        let incoming = &self.pipes[1 - end];
        incoming.reader_gone.set(true);
        let unread = !incoming.arrived.borrow().is_empty();
        if unread && self.plan.unread_close_resets {
            let link = Rc::clone(self);
            self.plan_arrival(end, move || link.reset());
        } else {
            self.finish(end);
        }
    }

    /// Holds what `end` has sent until about when it has arrived and the sender has heard of it.
    pub(crate) fn keep(&self, end: usize, parts: Box<SendParts>) {
        let back = self.world.network.borrow_mut().between(*self.plan.delay.start(), *self.plan.delay.end());
        let arrived = self.world.now().0.max(self.pipes[end].not_before.get());
        let action = Action::Run(Box::new(move || drop(parts)));
        self.world.timeline.plan(Monotonic(arrived.saturating_add(back)), action);
    }

    fn piece(&self, bytes: usize) -> usize {
        let most = u64::try_from(bytes.min(self.plan.piece_bytes_max.max(1))).unwrap_or(u64::MAX);
        let mut dice = self.world.network.borrow_mut();
        let most = if dice.below(CRUMB_ONE_IN) == 0 { most.min(CRUMB_BYTES_MAX) } else { most };
        usize::try_from(dice.between(1, most)).unwrap_or(bytes)
    }

    fn carry(self: &Rc<Self>, end: usize, piece: Vec<u8>) {
        let pipe = &self.pipes[end];
        pipe.under_way.set(pipe.under_way.get() + piece.len());
        let link = Rc::clone(self);
        self.plan_arrival(end, move || link.arrive(end, piece));
    }

    fn plan_arrival(&self, end: usize, arrival: impl FnOnce() + 'static) {
        let delay = {
            let mut dice = self.world.network.borrow_mut();
            dice.between(*self.plan.delay.start(), *self.plan.delay.end())
        };
        let pipe = &self.pipes[end];
        let at = self.world.now().0.saturating_add(delay).max(pipe.not_before.get());
        pipe.not_before.set(at);
        // Events of one moment fire in the order in which they were planned.
        self.world.timeline.plan(Monotonic(at), Action::Run(Box::new(arrival)));
    }

    fn is_silent(&self) -> bool {
        self.plan.silent_after.is_some_and(|after| self.carried.get() >= after)
    }

    fn arrive(&self, end: usize, mut piece: Vec<u8>) {
        let pipe = &self.pipes[end];
        if self.reset.get() || self.is_silent() {
            return;
        }
        pipe.under_way.set(pipe.under_way.get() - piece.len());
        self.world.note(Mark::Network, xxh3_64(&piece));
        let odds = self.plan.reset_one_in.map_or(Pick::Never, Pick::OneIn);
        let broken = odds.hits(0, &mut self.world.network.borrow_mut());
        if broken || pipe.reader_gone.get() {
            self.reset();
            return;
        }
        let limit = [self.plan.reset_after, self.plan.silent_after].into_iter().flatten().min();
        if let Some(limit) = limit {
            let left = usize::try_from(limit.saturating_sub(self.carried.get())).unwrap_or(usize::MAX);
            piece.truncate(left);
        }
        self.carried.set(self.carried.get() + u64::try_from(piece.len()).unwrap_or_default());
        pipe.arrived.borrow_mut().extend(piece);
        pipe.changed.fire();
        if self.plan.reset_after.is_some_and(|after| self.carried.get() >= after) {
            self.reset();
        }
    }

    async fn wait(&self, changed: EventWait, deadline: Monotonic) -> Result<(), NetError> {
        if self.world.now() >= deadline {
            return Err(NetError::TimedOut);
        }
        // Whether it changed or the time is up, the caller looks again: bytes that came at the
        // last moment still count.
        match select(changed, self.world.until(deadline)).await {
            Either::Left(_) | Either::Right(_) => Ok(()),
        }
    }
}
