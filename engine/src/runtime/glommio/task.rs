//! Tasks: an exact count of those that are runnable, and a fence around their panics.
//!
//! The count is what lets the driver block. A task is runnable from the moment it is spawned or
//! woken until its poll begins. Each transition passes through [`TaskWaker`] or [`Tracked::poll`],
//! on this one thread, so the count is exact: when it is zero, no task can run until the driver
//! itself wakes one. (Wrapping the waker also means that glommio sees one waker per task however
//! often it is cloned: its own counter has 16 bits.)
//!
//! A task that is over is kept, with its waker, its place and what glommio has of it, and runs the next future of the
//! same type. Only if nobody has its waker any more: who still had it would wake the next one.

use super::limits::{POLLS_PER_TURN_MAX, SPARE_TASK_BYTES_MAX, SPARE_TASKS_MAX, TASK_SLICE};
use super::timer::Clock;
use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use super::super::contract::{Monotonic, TaskQueue};

thread_local! {
    /// Its address names the thread.
    static THREAD: u8 = const { 0 };
}

fn this_thread() -> usize {
    THREAD.with(|mark| std::ptr::from_ref(mark).addr())
}

/// Runnable tasks per queue. Atomic only because a waker must be `Sync`.
#[derive(Debug, Default)]
struct Load {
    foreground: AtomicUsize,
    background: AtomicUsize,
}

impl Load {
    fn of(&self, queue: TaskQueue) -> &AtomicUsize {
        match queue {
            TaskQueue::Foreground => &self.foreground,
            TaskQueue::Background => &self.background,
        }
    }
}

struct TaskWaker {
    queue: TaskQueue,
    load: Arc<Load>,
    thread: usize,
    runnable: AtomicBool,
    finished: AtomicBool,
    /// glommio's own waker of the task, known from its first poll on.
    inner: OnceLock<Waker>,
}

impl TaskWaker {
    fn stop_counting(&self) {
        if self.runnable.swap(false, Ordering::Relaxed) {
            self.load.of(self.queue).fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        assert!(self.thread == this_thread(), "a task is woken on its own core: send mail and notify");
        if self.finished.load(Ordering::Relaxed) || self.runnable.swap(true, Ordering::Relaxed) {
            return;
        }
        self.load.of(self.queue).fetch_add(1, Ordering::Relaxed);
        if let Some(inner) = self.inner.get() {
            inner.wake_by_ref();
        }
    }
}

/// The memory of futures of one type, one after another.
trait Memory {
    /// Runs the future that is there; `None` if there is none.
    fn poll(&mut self, context: &mut Context<'_>) -> Option<Poll<()>>;

    /// Drops it.
    fn empty(&mut self);

    /// Takes the future out of `next`, which is an `Option` of its type.
    fn fill(&mut self, next: &mut dyn Any);
}

impl<F: Future<Output = ()> + 'static> Memory for Pin<Box<Option<F>>> {
    fn poll(&mut self, context: &mut Context<'_>) -> Option<Poll<()>> {
        Some(self.as_mut().as_pin_mut()?.poll(context))
    }

    fn empty(&mut self) {
        self.set(None);
    }

    fn fill(&mut self, next: &mut dyn Any) {
        let Some(next) = next.downcast_mut::<Option<F>>() else { unreachable!("it is kept by this type") };
        self.set(next.take());
    }
}

struct Task<M: ?Sized = dyn Memory> {
    /// Its place among the living.
    place: usize,
    queue: TaskQueue,
    /// The type of its futures, if it is to be kept.
    kind: Option<TypeId>,
    /// A panic of a task with this name ends the process.
    vital: Cell<Option<&'static str>>,
    state: Arc<TaskWaker>,
    waker: Waker,
    memory: RefCell<M>,
}

impl Task {
    /// Whether anyone else could wake it.
    fn is_known(&self) -> bool {
        const OWN: usize = 2;
        Arc::strong_count(&self.state) > OWN
    }
}

/// Tasks that are over, by the type of their futures. They are among the living.
#[derive(Default)]
struct Spare {
    kinds: BTreeMap<TypeId, Vec<Rc<Task>>>,
    count: usize,
}

impl Spare {
    fn take(&mut self, kind: TypeId, queue: TaskQueue) -> Option<Rc<Task>> {
        let tasks = self.kinds.get_mut(&kind)?;
        let place = tasks.iter().rposition(|task| task.queue == queue)?;
        self.count -= 1;
        Some(tasks.swap_remove(place))
    }

    /// False if the task has to end.
    fn keep(&mut self, task: &Rc<Task>) -> bool {
        let Some(kind) = task.kind.filter(|_| self.count < SPARE_TASKS_MAX) else { return false };
        self.count += 1;
        self.kinds.entry(kind).or_default().push(Rc::clone(task));
        true
    }
}

/// Every task that has not ended, each in a place of its own.
#[derive(Default)]
struct Living {
    places: Vec<Option<Rc<Task>>>,
    free: Vec<usize>,
}

impl Living {
    /// Where the next one goes.
    fn place(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        })
    }

    fn insert(&mut self, task: Rc<Task>) {
        let place = task.place;
        let before = self.places[place].replace(task);
        assert!(before.is_none(), "two tasks in one place");
    }

    fn remove(&mut self, place: usize) {
        if self.places[place].take().is_some() {
            self.free.push(place);
        }
    }

    fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

/// What to call when a task panicked, with the panic's message.
pub(super) type PanicHook = Box<dyn Fn(&str)>;

/// All tasks of one core.
pub(super) struct Tasks {
    load: Arc<Load>,
    live: RefCell<Living>,
    spare: RefCell<Spare>,
    stopping: Cell<bool>,
    /// The driver, when it waits for tasks to run.
    driver: RefCell<Option<Waker>>,
    /// Since the driver's last turn.
    polls: Cell<u32>,
    turn_ended: Cell<Monotonic>,
    clock: Clock,
    panics: Cell<u64>,
    last_panic: RefCell<Option<String>>,
    hook: PanicHook,
}

impl Tasks {
    pub(super) fn new(clock: Clock, hook: PanicHook) -> Rc<Self> {
        Rc::new(Self {
            load: Arc::default(),
            live: RefCell::default(),
            spare: RefCell::default(),
            stopping: Cell::new(false),
            driver: RefCell::default(),
            polls: Cell::new(0),
            turn_ended: Cell::default(),
            clock,
            panics: Cell::new(0),
            last_panic: RefCell::default(),
            hook,
        })
    }

    /// Makes the future to hand to glommio, already counted as runnable; `None` when glommio has one that runs it, or
    /// when the core is stopping, then it is dropped unrun.
    pub(super) fn track<F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        queue: TaskQueue,
        vital: Option<&'static str>,
        future: F,
    ) -> Option<Tracked> {
        if self.stopping.get() {
            return None;
        }
        let kind = (size_of::<F>() <= SPARE_TASK_BYTES_MAX).then(TypeId::of::<F>);
        let spare = kind.and_then(|kind| self.spare.borrow_mut().take(kind, queue));
        if let Some(task) = spare {
            task.vital.set(vital);
            task.memory.borrow_mut().fill(&mut Some(future));
            task.waker.wake_by_ref();
            return None;
        }
        let state = Arc::new(TaskWaker {
            queue,
            load: Arc::clone(&self.load),
            thread: this_thread(),
            runnable: AtomicBool::new(true),
            finished: AtomicBool::new(false),
            inner: OnceLock::new(),
        });
        self.load.of(queue).fetch_add(1, Ordering::Relaxed);
        let place = self.live.borrow_mut().place();
        let waker = Waker::from(Arc::clone(&state));
        let memory = RefCell::new(Box::pin(Some(future)));
        let task: Rc<Task> =
            Rc::new(Task { place, queue, kind, vital: Cell::new(vital), state, waker, memory });
        self.live.borrow_mut().insert(Rc::clone(&task));
        Some(Tracked { tasks: Rc::clone(self), task })
    }

    /// True when no task of `queue` is runnable.
    pub(super) fn is_idle(&self) -> bool {
        self.load.foreground.load(Ordering::Relaxed) == 0 && self.load.background.load(Ordering::Relaxed) == 0
    }

    /// The driver waits until a task was polled.
    pub(super) fn park_driver(&self, waker: &Waker) {
        self.polls.set(0);
        self.turn_ended.set(self.clock.now());
        *self.driver.borrow_mut() = Some(waker.clone());
    }

    /// Tasks that have not ended, also those that are over and may run again.
    pub(super) fn live(&self) -> usize {
        self.live.borrow().count()
    }

    /// Panics caught so far, and the newest one's message.
    pub(super) fn panics(&self) -> (u64, Option<String>) {
        (self.panics.get(), self.last_panic.borrow().clone())
    }

    /// Drops what every task holds and takes no new ones. The tasks end at their next poll.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        drop(self.spare.take());
        let tasks: Vec<_> = self.live.borrow().places.iter().flatten().cloned().collect();
        for task in tasks {
            self.empty(&task);
            task.waker.wake_by_ref();
        }
    }

    fn report(&self, task: &Task, panic: &(dyn Any + Send)) {
        let message = message_of(panic);
        if let Some(name) = task.vital.get() {
            super::abort(&format!("{name} of a core panicked"), message);
        }
        self.panics.set(self.panics.get() + 1);
        (self.hook)(message);
        *self.last_panic.borrow_mut() = Some(message.to_owned());
    }

    /// Drops what the future of a task holds.
    fn empty(&self, task: &Task) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| task.memory.borrow_mut().empty())) {
            self.report(task, &*panic);
        }
    }

    /// The future of a task has ended and is dropped: another may run in its place.
    fn rest(&self, task: &Rc<Task>) -> Poll<()> {
        if self.stopping.get() || task.is_known() || !self.spare.borrow_mut().keep(task) {
            return self.finish(task);
        }
        self.after_poll(task.queue);
        Poll::Pending
    }

    fn finish(&self, task: &Task) -> Poll<()> {
        task.state.finished.store(true, Ordering::Relaxed);
        task.state.stop_counting();
        self.live.borrow_mut().remove(task.place);
        self.after_poll(task.queue);
        Poll::Ready(())
    }

    /// Gives the driver its turn: when this queue has run dry, or after some polls or some time; in
    /// the background after every poll, so that a long queue of slow tasks cannot hold up requests.
    fn after_poll(&self, queue: TaskQueue) {
        let driver = self.driver.borrow_mut().take();
        if let Some(driver) = driver {
            driver.wake();
        }
        self.polls.set(self.polls.get() + 1);
        if queue == TaskQueue::Background
            || self.polls.get() >= POLLS_PER_TURN_MAX
            || self.clock.now().since(self.turn_ended.get()) >= TASK_SLICE
        {
            let executor = ::glommio::executor();
            let yielding = pin!(executor.yield_task_queue_now());
            // Its first poll marks the running queue as done for this round, which is all we want.
            let marked = yielding.poll(&mut Context::from_waker(Waker::noop()));
            assert!(marked.is_pending(), "yielding takes effect when the task returns");
        }
    }
}

/// The words of a panic.
pub(super) fn message_of(panic: &(dyn Any + Send)) -> &str {
    if let Some(message) = panic.downcast_ref::<&'static str>() {
        message
    } else if let Some(message) = panic.downcast_ref::<String>() {
        message
    } else {
        "a panic without words"
    }
}

/// The future glommio runs for a task. Never panics; ends when the task ends or is dropped.
pub(super) struct Tracked {
    tasks: Rc<Tasks>,
    task: Rc<Task>,
}

impl Future for Tracked {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { tasks, task } = &*self;
        if task.state.inner.get().is_none() {
            let set = task.state.inner.set(context.waker().clone());
            assert!(set.is_ok(), "only this poll sets the waker");
        }
        task.state.stop_counting();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            task.memory.borrow_mut().poll(&mut Context::from_waker(&task.waker))
        }));
        match polled {
            Ok(Some(Poll::Pending)) => {
                tasks.after_poll(task.queue);
                return Poll::Pending;
            }
            Ok(Some(Poll::Ready(()))) => {}
            Ok(None) if tasks.stopping.get() => return tasks.finish(task),
            // It woke itself while it ended, and runs nothing new yet.
            Ok(None) => {
                tasks.after_poll(task.queue);
                return Poll::Pending;
            }
            Err(panic) => tasks.report(task, &*panic),
        }
        tasks.empty(task);
        tasks.rest(task)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        // glommio drops tasks unfinished only when their executor ends.
        self.task.state.finished.store(true, Ordering::Relaxed);
        self.task.state.stop_counting();
    }
}
