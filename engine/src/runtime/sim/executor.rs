//! Tasks of all simulated cores on one thread; who runs next is drawn by lot.
//!
//! Invariant: between two steps every woken task is in exactly one ready list, so the same seed
//! draws the same task. A task that yielded runs only once it is the one that waits longest in its
//! queue, which is what "lets every other runnable task run first" means.

use super::random::Dice;
use crate::runtime::contract::TaskQueue;
use crossbeam_queue::SegQueue;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// While both queues of a core have work, background runs once in so many times.
const BACKGROUND_SHARE: u64 = 16;

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct TaskWaker {
    task: u64,
    queued: AtomicBool,
    woken: Arc<SegQueue<u64>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.woken.push(self.task);
        }
    }
}

struct Task {
    core: usize,
    queue: TaskQueue,
    /// Absent while the task is being polled.
    work: Option<Work>,
    state: Arc<TaskWaker>,
}

#[derive(Debug, Clone, Copy)]
struct Ready {
    task: u64,
    yielded: bool,
}

/// In the order in which the tasks became ready.
#[derive(Debug, Default)]
struct CoreReady {
    foreground: Vec<Ready>,
    background: Vec<Ready>,
}

/// What one step did.
pub(crate) enum Step {
    /// Polled this task.
    Ran(u64),
    /// Nobody is ready.
    Idle,
    /// The task panicked with this message.
    Panicked(String),
}

#[derive(Default)]
pub(crate) struct Executor {
    tasks: RefCell<BTreeMap<u64, Task>>,
    ready: RefCell<Vec<CoreReady>>,
    woken: Arc<SegQueue<u64>>,
    started: Cell<u64>,
    yielded: Cell<bool>,
    stopped: Cell<bool>,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("started", &self.started).field("stopped", &self.stopped).finish()
    }
}

impl Executor {
    pub(crate) fn spawn(&self, core: usize, queue: TaskQueue, work: impl Future<Output = ()> + 'static) {
        if self.stopped.get() {
            return;
        }
        let task = self.started.get();
        self.started.set(task + 1);
        let state =
            Arc::new(TaskWaker { task, queued: AtomicBool::new(false), woken: Arc::clone(&self.woken) });
        state.wake_by_ref();
        let work: Work = Box::pin(work);
        self.tasks.borrow_mut().insert(task, Task { core, queue, work: Some(work), state });
    }

    /// Says that the task now being polled wants the others to go first.
    pub(crate) fn mark_yield(&self) {
        self.yielded.set(true);
    }

    /// How many tasks have not ended.
    pub(crate) fn waiting(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Takes in who was woken, draws one and polls it.
    pub(crate) fn step(&self, dice: &RefCell<Dice>) -> Step {
        self.collect(None);
        let Some(task) = self.draw(&mut dice.borrow_mut()) else { return Step::Idle };
        let Some((mut work, state)) = self.tasks.borrow_mut().get_mut(&task).and_then(|entry| {
            let work = entry.work.take()?;
            Some((work, Arc::clone(&entry.state)))
        }) else {
            return Step::Ran(task);
        };
        state.queued.store(false, Ordering::Relaxed);
        self.yielded.set(false);
        let waker = Waker::from(state);
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut Context::from_waker(&waker))));
        match polled {
            Ok(Poll::Pending) => {
                if let Some(entry) = self.tasks.borrow_mut().get_mut(&task) {
                    entry.work = Some(work);
                }
                self.collect(self.yielded.take().then_some(task));
                Step::Ran(task)
            }
            Ok(Poll::Ready(())) => {
                self.tasks.borrow_mut().remove(&task);
                match catch_unwind(AssertUnwindSafe(|| drop(work))) {
                    Ok(()) => Step::Ran(task),
                    Err(payload) => Step::Panicked(message_of(payload.as_ref())),
                }
            }
            Err(payload) => Step::Panicked(message_of(payload.as_ref())),
        }
    }

    /// Ends everything: drops every task and takes no new one. Panics of destructors are
    /// swallowed, because the run is over already.
    pub(crate) fn stop(&self) {
        self.stopped.set(true);
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        for (_, task) in tasks {
            if catch_unwind(AssertUnwindSafe(|| drop(task.work))).is_err() {
                continue;
            }
        }
        self.ready.borrow_mut().clear();
    }

    fn collect(&self, yielded: Option<u64>) {
        let tasks = self.tasks.borrow();
        let mut cores = self.ready.borrow_mut();
        while let Some(task) = self.woken.pop() {
            let Some(entry) = tasks.get(&task) else { continue };
            if cores.len() <= entry.core {
                cores.resize_with(entry.core + 1, CoreReady::default);
            }
            let ready = Ready { task, yielded: yielded == Some(task) };
            match entry.queue {
                TaskQueue::Foreground => cores[entry.core].foreground.push(ready),
                TaskQueue::Background => cores[entry.core].background.push(ready),
            }
        }
    }

    fn draw(&self, dice: &mut Dice) -> Option<u64> {
        let mut cores = self.ready.borrow_mut();
        let busy = |core: &CoreReady| !core.foreground.is_empty() || !core.background.is_empty();
        let count = cores.iter().filter(|core| busy(core)).count();
        if count == 0 {
            return None;
        }
        let chosen = dice.index(count);
        let core = cores.iter_mut().filter(|core| busy(core)).nth(chosen)?;
        let background =
            core.foreground.is_empty() || (!core.background.is_empty() && dice.below(BACKGROUND_SHARE) == 0);
        let queue = if background { &mut core.background } else { &mut core.foreground };
        // The list is in order of waiting, so only its first may run although it yielded.
        let able = |(position, ready): &(usize, &Ready)| *position == 0 || !ready.yielded;
        let count = queue.iter().enumerate().filter(able).count();
        let chosen = dice.index(count);
        let position = queue.iter().enumerate().filter(able).nth(chosen)?.0;
        Some(queue.remove(position).task)
    }
}

fn message_of(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "(no message)".to_owned())
}

/// Pending once, so that everybody else runs first.
pub(crate) struct Yield<'a> {
    executor: &'a Executor,
    done: bool,
}

impl<'a> Yield<'a> {
    pub(crate) fn new(executor: &'a Executor) -> Self {
        Self { executor, done: false }
    }
}

impl Future for Yield<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.done {
            return Poll::Ready(());
        }
        self.done = true;
        self.executor.mark_yield();
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
