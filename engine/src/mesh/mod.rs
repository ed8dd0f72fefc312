//! Calls between cores: bounded queues, one per receiving core, and the tokens that bring an answer
//! back to the task that waits for it.
//!
//! Invariants: a core has at most [`CALLS_MAX`] + [`SYSTEM_CALLS_MAX`] calls outstanding, so no queue can overflow; a call
//! to one's own core takes no queue; order between two cores is the order of sending.

use crate::error::EngineError;
use crate::limits::{CALLS_MAX, SPARE_ANSWERS_MAX, SYSTEM_CALLS_MAX};
use crate::number::to_u16;
use crate::runtime::{CoreId, Runtime};
use crate::sync::{Answer, AnswerTo, Answers, Limit, Permit};
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

/// See [`Post::owe`].
pub(crate) struct Owed<R: Runtime, Q: Send + 'static, A: Send + 'static> {
    post: Rc<Post<R, Q, A>>,
    to: CoreId,
    token: u64,
    otherwise: Option<A>,
}

impl<R: Runtime, Q: Send + 'static, A: Send + 'static> Owed<R, Q, A> {
    /// Answers.
    pub(crate) fn send(mut self, answer: A) {
        self.otherwise = None;
        self.post.post(self.to, Mail::Answer { token: self.token, answer });
    }
}

impl<R: Runtime, Q: Send + 'static, A: Send + 'static> Drop for Owed<R, Q, A> {
    fn drop(&mut self) {
        // Tasks are also dropped when their core ends; then nobody waits any more.
        if let Some(answer) = self.otherwise.take().filter(|_| std::thread::panicking()) {
            self.post.post(self.to, Mail::Answer { token: self.token, answer });
        }
    }
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
    answers: Answers<A>,
    outcomes: Answers<Outcome<A>>,
}

/// What became of a call that a task of its own made.
type Outcome<A> = Result<A, EngineError>;

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
            answers: Answers::keeping(SPARE_ANSWERS_MAX),
            outcomes: Answers::keeping(SPARE_ANSWERS_MAX),
        })
    }

    /// A pair for a task that makes a call for somebody who may go away.
    pub(crate) fn outcome(&self) -> (AnswerTo<Outcome<A>>, Answer<Outcome<A>>) {
        self.outcomes.pair()
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
        let (reply, wait) = self.answers.pair();
        self.waiting.borrow_mut().insert(token, (reply, place));
        self.post(to, Mail::Call { from: self.runtime.core(), token, question });
        wait.await
    }

    /// The answer to a call that came through [`Post::receive`]. Should the task that holds it panic,
    /// `otherwise` is sent: who asked would wait for ever, with all that it holds.
    pub(crate) fn owe(self: &Rc<Self>, to: CoreId, token: u64, otherwise: A) -> Owed<R, Q, A> {
        Owed { post: Rc::clone(self), to, token, otherwise: Some(otherwise) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::sim::{Sim, SimConfig};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_panic_is_an_answer_too() {
        let mesh: Arc<Mesh<u32, &'static str>> = Mesh::new(2);
        let sim = Sim::new(SimConfig { cores: 2, ..SimConfig::default() });
        sim.run(|runtime| {
            let mesh = Arc::clone(&mesh);
            async move {
                let post = Post::new(runtime.clone(), mesh);
                if runtime.core() == CoreId(0) {
                    let own = Rc::clone(&post);
                    runtime.spawn(crate::runtime::TaskQueue::Foreground, async move {
                        own.receive().await;
                    });
                    assert_eq!(post.call(CoreId(1), 1, Lane::Client).await, Some("panicked"));
                    assert_eq!(post.call(CoreId(1), 2, Lane::Client).await, Some("done"));
                    return;
                }
                for _ in 0..2 {
                    let (from, token, question) = post.receive().await;
                    let ended = catch_unwind(AssertUnwindSafe(|| {
                        let owed = post.owe(from, token, "panicked");
                        assert_eq!(question, 2, "on purpose");
                        owed.send("done");
                    }));
                    assert_eq!(ended.is_ok(), question == 2);
                }
            }
        })
        .assert_finished();
    }
}
