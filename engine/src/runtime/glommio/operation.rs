//! The future of one operation.

use super::held::Held;
use super::ring::{Kind, Ring};
use super::slot::Token;
use crate::sync::Permit;
use io_uring::squeue;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// One operation under way. Dropping it leaves its resources to the kernel until the last
/// completion; a socket operation is cancelled then, a device transfer runs out. It resolves when the
/// operation is done, and memory that was lent stays in the slot.
pub(super) struct Operation {
    ring: Rc<Ring>,
    token: Token,
    kind: Kind,
    taken: bool,
}

impl Operation {
    /// Queues one operation, waiting for a place when the ring is full. Everything that `entry`
    /// points at must be owned by `held` (or never go away); so the caller builds both together.
    pub(super) async fn start(
        ring: &Rc<Ring>,
        kind: Kind,
        entry: squeue::Entry,
        held: Held,
        device: Option<Permit>,
    ) -> Self {
        let token = ring.queue(kind, entry, held, device).await;
        Self { ring: Rc::clone(ring), token, kind, taken: false }
    }

    /// Asks the kernel to end it soon. The result still has to be awaited.
    pub(super) fn cancel(&self) {
        if !self.taken {
            self.ring.want_cancel(self.token);
        }
    }
}

impl Future for Operation {
    type Output = (i32, Held);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.ring.poll_slot(self.token, context);
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready((result, held, places)) => {
                self.taken = true;
                drop(places);
                Poll::Ready((result, held))
            }
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let unclaimed = self.ring.orphan_slot(self.token);
        match unclaimed {
            Some((result, held, places)) => {
                held.abandon(result);
                drop(places);
            }
            None if self.kind == Kind::Socket => self.cancel(),
            None => {}
        }
    }
}
