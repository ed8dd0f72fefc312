//! The timers of one core, and the clock all cores share.

use super::super::contract::Monotonic;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Counts from the start of the runtime; copies agree, also on different cores.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everyone else is given")]
    pub(super) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(super) fn now(self) -> Monotonic {
        Monotonic::default().after(self.started.elapsed())
    }

    /// Milliseconds since 1970, or 0 when the machine's date lies before.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everyone else is given")]
    pub(super) fn wall_ms() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Pending timers in order; the number tells timers of one moment apart.
pub(super) struct Timers {
    clock: Clock,
    pending: RefCell<BTreeMap<(Monotonic, u64), Waker>>,
    made: Cell<u64>,
}

impl Timers {
    pub(super) fn new(clock: Clock) -> Rc<Self> {
        Rc::new(Self { clock, pending: RefCell::default(), made: Cell::new(0) })
    }

    pub(super) fn now(&self) -> Monotonic {
        self.clock.now()
    }

    /// A future that resolves at `deadline`.
    pub(super) fn until(self: &Rc<Self>, deadline: Monotonic) -> Sleep {
        let number = self.made.get();
        self.made.set(number + 1);
        Sleep { timers: Rc::clone(self), key: (deadline, number) }
    }

    /// Wakes every timer that is due.
    pub(super) fn fire(&self) {
        if self.pending.borrow().is_empty() {
            return;
        }
        let now = self.now();
        loop {
            let due = {
                let mut pending = self.pending.borrow_mut();
                match pending.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    Some(_) | None => return,
                }
            };
            due.wake();
        }
    }

    /// How long until the first timer is due, at most `most`.
    pub(super) fn wait(&self, most: Duration) -> Duration {
        match self.pending.borrow().first_key_value() {
            Some(((deadline, _), _)) => deadline.since(self.now()).min(most),
            None => most,
        }
    }
}

/// See [`Timers::until`].
pub(super) struct Sleep {
    timers: Rc<Timers>,
    key: (Monotonic, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let never = self.key.0 == Monotonic(u64::MAX);
        if never {
            return Poll::Pending;
        }
        if self.timers.now() >= self.key.0 {
            return Poll::Ready(());
        }
        self.timers.pending.borrow_mut().insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let waker = self.timers.pending.borrow_mut().remove(&self.key);
        drop(waker);
    }
}
