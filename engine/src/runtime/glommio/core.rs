//! One core: what its tasks may ask for.

use super::super::contract::{CoreId, Monotonic, NetError, Runtime, TaskQueue, WallTime};
use super::device::GlommioDevice;
use super::held::SpareSends;
use super::loan::Lending;
use super::net::{GlommioListener, Network};
use super::nvme::Rings;
use super::ring::{Ring, RingCounters};
use super::shared::{Shared, Started};
use super::task::Tasks;
use super::timer::{Clock, Timers};
use super::warning::LaunchWarning;
use crate::buffer::Arena;
use crate::sync::Event;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Duration;

/// The state of one core. Lives on its thread.
pub(super) struct Core {
    pub(super) id: CoreId,
    pub(super) shared: Arc<Shared>,
    pub(super) started: Arc<Started>,
    pub(super) ring: Rc<Ring>,
    pub(super) nvme: Rings,
    pub(super) timers: Rc<Timers>,
    pub(super) tasks: Rc<Tasks>,
    pub(super) arena: Arena,
    pub(super) reserve: Arena,
    pub(super) lending: Rc<Lending>,
    pub(super) spare_sends: Rc<SpareSends>,
    pub(super) devices: Vec<GlommioDevice>,
    pub(super) foreground: ::glommio::TaskQueueHandle,
    pub(super) background: ::glommio::TaskQueueHandle,
    pub(super) post: Post,
    pub(super) shutdown: Event,
    /// Fires when the driver has submitted and reaped.
    pub(super) turned: Event,
}

/// Notifications: which cores to tell, and whether this one was told.
#[derive(Debug, Default)]
pub(super) struct Post {
    wanted: RefCell<Vec<u16>>,
    notified: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Post {
    fn want(&self, core: u16) {
        let mut wanted = self.wanted.borrow_mut();
        if !wanted.contains(&core) {
            wanted.push(core);
        }
    }

    /// True when a notification waits for the driver.
    pub(super) fn is_wanted(&self) -> bool {
        !self.wanted.borrow().is_empty()
    }

    fn deliver(&self) {
        self.notified.set(true);
        let mut waiting = self.waiting.take();
        waiting.drain(..).for_each(Waker::wake);
        // Nobody is polled meanwhile; the list serves those who wait next.
        self.waiting.replace(waiting);
    }
}

impl Core {
    /// `vital`: what the process ends with when the task panics.
    pub(super) fn spawn(
        &self,
        queue: TaskQueue,
        vital: Option<&'static str>,
        task: impl Future<Output = ()> + 'static,
    ) {
        let Some(tracked) = self.tasks.track(queue, vital, task) else { return };
        let handle = match queue {
            TaskQueue::Foreground => self.foreground,
            TaskQueue::Background => self.background,
        };
        let Ok(task) = ::glommio::spawn_local_into(tracked, handle) else {
            unreachable!("both queues live as long as the executor")
        };
        // Never dropped or cancelled through glommio: that leaks in 0.9. The join handle of a
        // detached task is only a way to wait for it.
        drop(task.detach());
    }

    pub(super) fn notify(&self, core: CoreId) {
        if core == self.id {
            self.post.deliver();
        } else {
            assert!(usize::from(core.0) < self.shared.mail.len(), "only existing cores are notified");
            self.post.want(core.0);
        }
    }

    pub(super) fn notify_others(&self) {
        for core in 0..self.shared.mail.len() {
            let core = CoreId(u16::try_from(core).unwrap_or(u16::MAX));
            if core != self.id {
                self.notify(core);
            }
        }
    }

    /// Queues the wanted messages. A core that has one under way needs no second: it clears its
    /// flag before it looks, so whatever was written before this swap will be seen.
    pub(super) fn post_mail(&self) {
        let mut wanted = self.post.wanted.borrow_mut();
        for core in wanted.drain(..) {
            let index = usize::from(core);
            if !self.shared.mail[index].under_way.swap(true, Ordering::AcqRel) {
                self.ring.send_mail(self.started.ring_fds[index], core);
            }
        }
        while let Some(core) = self.ring.take_unsent() {
            self.ring.send_mail(self.started.ring_fds[usize::from(core)], core);
        }
    }

    /// A message came: let everyone on this core look at what they share with others.
    pub(super) fn open_mail(&self) {
        // The swap, not a store: it reads what the sender released with its own swap.
        self.shared.mail[usize::from(self.id.0)].under_way.swap(false, Ordering::AcqRel);
        if self.shared.shutdown.load(Ordering::Acquire) {
            self.shutdown.fire();
        }
        self.post.deliver();
    }

    /// Tells every core that the process should end.
    pub(super) fn begin_shutdown(&self) {
        self.shared.shutdown.store(true, Ordering::Release);
        self.shutdown.fire();
        self.notify_others();
    }
}

/// The real runtime's handle on one core.
#[derive(Clone)]
pub struct GlommioRuntime {
    pub(super) core: Rc<Core>,
}

impl std::fmt::Debug for GlommioRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlommioRuntime").field("core", &self.core.id).finish_non_exhaustive()
    }
}

impl GlommioRuntime {
    /// What the launch could not have as it wanted.
    #[must_use]
    pub fn warnings(&self) -> &[LaunchWarning] {
        &self.core.started.warnings
    }

    /// How often this core's ring did what.
    #[must_use]
    pub fn ring_counters(&self) -> RingCounters {
        self.core.ring.counters()
    }

    /// How many tasks of this core panicked, and what the newest panic said.
    #[must_use]
    pub fn task_panics(&self) -> (u64, Option<String>) {
        self.core.tasks.panics()
    }

    /// Does what SIGTERM does: every core's [`Runtime::shutdown`] resolves.
    pub fn request_shutdown(&self) {
        self.core.begin_shutdown();
    }
}

impl Runtime for GlommioRuntime {
    type Device = GlommioDevice;
    type Listener = GlommioListener;
    type Stream = super::net::GlommioStream;

    fn core(&self) -> CoreId {
        self.core.id
    }

    fn cores(&self) -> u16 {
        u16::try_from(self.core.shared.mail.len()).unwrap_or(u16::MAX)
    }

    fn spawn(&self, queue: TaskQueue, task: impl Future<Output = ()> + 'static) {
        self.core.spawn(queue, None, task);
    }

    fn spawn_vital(&self, queue: TaskQueue, name: &'static str, task: impl Future<Output = ()> + 'static) {
        self.core.spawn(queue, Some(name), task);
    }

    async fn turn(&self) {
        // The driver turns when no task is runnable or many were polled. It wakes those whose completions it
        // reaps before those who wait for its turn, so that they run first.
        self.core.turned.wait().await;
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        let timers = &self.core.timers;
        timers.until(timers.now().after(duration))
    }

    fn now(&self) -> Monotonic {
        self.core.timers.now()
    }

    fn wall(&self) -> WallTime {
        WallTime(Clock::wall_ms())
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        super::facts::fill_random(bytes);
    }

    fn arena(&self) -> &Arena {
        &self.core.arena
    }

    fn reserve(&self) -> &Arena {
        &self.core.reserve
    }

    fn devices(&self) -> Vec<GlommioDevice> {
        self.core.devices.clone()
    }

    fn notify(&self, core: CoreId) {
        self.core.notify(core);
    }

    async fn notified(&self) {
        let post = &self.core.post;
        poll_fn(|context| {
            if post.notified.replace(false) {
                return Poll::Ready(());
            }
            let mut waiting = post.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    async fn shutdown(&self) {
        let fired = self.core.shutdown.wait();
        if !self.core.shared.shutdown.load(Ordering::Acquire) {
            fired.await;
        }
    }

    fn listen(&self, address: SocketAddr) -> Result<GlommioListener, NetError> {
        let network = Network {
            ring: Rc::clone(&self.core.ring),
            timers: Rc::clone(&self.core.timers),
            lending: Rc::clone(&self.core.lending),
            spare_sends: Rc::clone(&self.core.spare_sends),
        };
        GlommioListener::bind(network, address)
    }
}
