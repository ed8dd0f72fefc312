//! Lets other tasks of the core run in the middle of long work.

use std::future::poll_fn;
use std::task::Poll;

/// Gives way once: pending at the first poll, ready at the second.
pub(super) async fn give_way() {
    let mut asked = false;
    poll_fn(|context| {
        if asked {
            return Poll::Ready(());
        }
        asked = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
