//! The future of one command.

use super::super::held::Held;
use super::super::slot::Token;
use super::ring::NvmeRing;
use crate::sync::Permit;
use io_uring::squeue;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// One command under way. Dropping it leaves its memory to the controller until the completion.
pub(super) struct Transfer {
    ring: Rc<NvmeRing>,
    token: Token,
    taken: bool,
}

impl Transfer {
    /// Queues `entry`, waiting for a place when the ring is full. Everything that it points at must be owned by
    /// `held`.
    pub(super) async fn start(
        ring: &Rc<NvmeRing>,
        entry: squeue::Entry128,
        held: Held,
        device: Option<Permit>,
    ) -> Self {
        let token = ring.queue(entry, held, device).await;
        Self { ring: Rc::clone(ring), token, taken: false }
    }
}

impl Future for Transfer {
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

impl Drop for Transfer {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let unclaimed = self.ring.orphan_slot(self.token);
        if let Some((result, held, places)) = unclaimed {
            held.abandon(result);
            drop(places);
        }
    }
}
