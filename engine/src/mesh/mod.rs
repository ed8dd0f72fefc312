//! Calls between cores: bounded queues, one per receiving core, and the tokens that bring an answer
//! back to the task that waits for it.
//!
//! Invariants: a core has at most [`CALLS_MAX`] + [`SYSTEM_CALLS_MAX`] calls outstanding, so no queue can overflow; a call
//! to one's own core takes no queue; order between two cores is the order of sending.

use crate::limits::{CALLS_MAX, SYSTEM_CALLS_MAX};
use crate::number::to_u16;
use crate::runtime::{CoreId, Runtime};
use crate::sync::{AnswerTo, Limit, Permit, answer};
use crossbeam_queue::ArrayQueue;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

enum Mail<Q, A> {
    Call { from: CoreId, token: u64, question: Q },
    Answer { token: u64, answer: A },
}

/// The queues of all cores; made once, shared by all.
pub(crate) struct Mesh<Q, A> {
    queues: Vec<ArrayQueue<Mail<Q, A>>>,
}

impl<Q, A> std::fmt::Debug for Mesh<Q, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mesh").field("cores", &self.queues.len()).finish()
    }
}

impl<Q, A> Mesh<Q, A> {
    /// Queues for `cores` cores.
    pub(crate) fn new(cores: u16) -> Arc<Self> {
        let places = (CALLS_MAX + SYSTEM_CALLS_MAX) * (usize::from(cores) + 1);
        Arc::new(Self { queues: (0..cores).map(|_| ArrayQueue::new(places)).collect() })
    }

    /// How many cores it connects.
    pub(crate) fn cores(&self) -> u16 {
        to_u16(self.queues.len())
    }
}

/// Which limit a call counts against. What clients ask for may wait for the engine's own calls
/// (checkpoints, segments), so those have places that clients cannot take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Client,
    System,
}

/// One core's end of the mesh.
pub(crate) struct Post<R: Runtime, Q, A> {
    runtime: R,
    mesh: Arc<Mesh<Q, A>>,
    /// Who waits, with the place that the call takes until its answer is here: also when nobody waits
    /// any more, the answer still needs room in this core's queue.
    waiting: RefCell<BTreeMap<u64, (AnswerTo<A>, Permit)>>,
    next_token: Cell<u64>,
    client_places: Limit,
    system_places: Limit,
}

impl<R: Runtime, Q, A> std::fmt::Debug for Post<R, Q, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("waiting", &self.waiting.borrow().len()).finish_non_exhaustive()
    }
}

impl<R: Runtime, Q: Send + 'static, A: Send + 'static> Post<R, Q, A> {
    pub(crate) fn new(runtime: R, mesh: Arc<Mesh<Q, A>>) -> Rc<Self> {
        Rc::new(Self {
            runtime,
            mesh,
            waiting: RefCell::default(),
            next_token: Cell::new(0),
            client_places: Limit::new(CALLS_MAX),
            system_places: Limit::new(SYSTEM_CALLS_MAX),
        })
    }

    /// Calls another core and waits for its answer; `None` when that core is gone.
    pub(crate) async fn call(&self, to: CoreId, question: Q, lane: Lane) -> Option<A> {
        assert!(to != self.runtime.core(), "a core does not write to itself");
        let place = match lane {
            Lane::Client => self.client_places.enter().await,
            Lane::System => self.system_places.enter().await,
        };
        let token = self.next_token.get();
        self.next_token.set(token + 1);
        let (reply, wait) = answer();
        self.waiting.borrow_mut().insert(token, (reply, place));
        self.post(to, Mail::Call { from: self.runtime.core(), token, question });
        wait.await
    }

    /// Answers a call that came through [`Post::receive`].
    pub(crate) fn reply(&self, to: CoreId, token: u64, answer: A) {
        self.post(to, Mail::Answer { token, answer });
    }

    /// The next call to this core. Answers to this core's own calls are delivered on the way.
    pub(crate) async fn receive(&self) -> (CoreId, u64, Q) {
        let queue = &self.mesh.queues[usize::from(self.runtime.core().0)];
        loop {
            let notified = self.runtime.notified();
            while let Some(mail) = queue.pop() {
                match mail {
                    Mail::Call { from, token, question } => return (from, token, question),
                    Mail::Answer { token, answer } => {
                        let waiting = self.waiting.borrow_mut().remove(&token);
                        if let Some((waiting, _place)) = waiting {
                            waiting.send(answer);
                        }
                    }
                }
            }
            self.runtime.arena().reclaim();
            self.runtime.reserve().reclaim();
            notified.await;
        }
    }

    fn post(&self, to: CoreId, mail: Mail<Q, A>) {
        let sent = self.mesh.queues[usize::from(to.0)].push(mail);
        assert!(sent.is_ok(), "the limit on outstanding calls keeps every queue below its capacity");
        self.runtime.notify(to);
    }
}
