//! One thread of the generator: an epoll loop that keeps its connections busy.
//!
//! A connection has at most one request under way. When the answer is complete the next request goes out at once, so
//! the number of requests in flight is the number of connections. Connections that break are opened again; a server
//! that only breaks them ends the run.

use super::LoadError;
use super::lane::{Lane, Received, Task};
use super::mix::Operation;
use super::phase::{Shared, Ticket};
use super::plan::Plan;
use super::tally::Tally;
use crate::client::{Signer, error_code};
use crate::clock;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A request unanswered for this long has failed.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);

/// How often requests are checked against that.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Longest sleep, so that the checks happen.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Events taken from the kernel at a time.
const EVENTS_MAX: usize = 256;

/// Read at a time. Larger reads gain little and push other connections' answers out of the cache.
const BUFFER_BYTES: usize = 256 << 10;

/// Reads on one connection before the others get their turn, where the kernel tells again of what is left.
const READS_MAX: usize = 8;

/// Connections lost in a row, without an answer between them, that end the run.
const LOSSES_MAX: u32 = 100;

/// Signed heads that are kept to be sent again.
const HEADS_MAX: usize = 32_768;

/// Heads are signed anew after this time: servers refuse dates more than 15 minutes from their own.
const HEAD_AGE_MAX: Duration = Duration::from_secs(300);

/// One thread's state.
pub(super) struct Worker<'run> {
    plan: &'run Plan,
    shared: &'run Shared<'run>,
    epoll: OwnedFd,
    lanes: Vec<Option<Lane>>,
    busy: usize,
    signer: Signer,
    signed_at: Instant,
    heads: BTreeMap<(Operation, u64), Rc<[u8]>>,
    losses: u32,
    tally: Tally,
}

impl<'run> Worker<'run> {
    /// Opens `connections` connections.
    pub(super) fn connect(
        plan: &'run Plan,
        shared: &'run Shared<'run>,
        connections: usize,
    ) -> io::Result<Self> {
        let mut worker = Self {
            plan,
            shared,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            lanes: Vec::new(),
            busy: 0,
            signer: plan.signer(clock::wall()),
            signed_at: clock::now(),
            heads: BTreeMap::new(),
            losses: 0,
            tally: Tally::new(),
        };
        for index in 0..connections {
            let lane = worker.open(index)?;
            worker.lanes.push(Some(lane));
        }
        Ok(worker)
    }

    /// Sends requests until `ticket` gives no more and the last answer is in.
    pub(super) fn run(mut self, mut ticket: Ticket<'_>) -> Result<Tally, LoadError> {
        self.busy = self.lanes.len();
        for index in 0..self.lanes.len() {
            self.begin(index, &mut ticket)?;
        }
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut checked = clock::now();
        while self.busy > 0 && !self.shared.is_aborted() {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&WAIT)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(LoadError::Connection(error.into())),
            }
            for event in events.drain(..) {
                let event: epoll::Event = event;
                let (flags, data) = (event.flags, event.data);
                let index = usize::try_from(data.u64()).unwrap_or(usize::MAX);
                self.attend(index, flags, &mut buffer, &mut ticket)?;
            }
            if checked.elapsed() >= CHECK_INTERVAL {
                checked = clock::now();
                self.expire(&mut ticket)?;
            }
        }
        Ok(self.tally)
    }

    /// Goes on with whatever the socket is ready for.
    fn attend(
        &mut self,
        index: usize,
        flags: epoll::EventFlags,
        buffer: &mut [u8],
        ticket: &mut Ticket<'_>,
    ) -> Result<(), LoadError> {
        let content = self.plan.content();
        let compared = self.plan.options().verify.then_some(content);
        let Some(lane) = self.lanes.get_mut(index).and_then(Option::as_mut) else { return Ok(()) };
        // Only sending was waited for: a broken connection shows itself by the read below as well.
        if flags.contains(epoll::EventFlags::OUT) && !flags.contains(epoll::EventFlags::IN) {
            return match lane.send(content) {
                Ok(sent) => self.wait_to_send(index, !sent),
                Err(error) => self.lose(index, error.to_string(), ticket),
            };
        }
        let reads_max = if lane.must_be_emptied() { usize::MAX } else { READS_MAX };
        for _ in 0..reads_max {
            match lane.receive(compared, buffer) {
                Ok(Received::Some) => {}
                Ok(Received::Nothing) => break,
                Ok(Received::Complete) => return self.finish(index, ticket),
                Err(error) => return self.lose(index, error.to_string(), ticket),
            }
        }
        Ok(())
    }

    /// Sends the next request on a connection that has none under way, or closes it if there is none to send.
    fn begin(&mut self, index: usize, ticket: &mut Ticket<'_>) -> Result<(), LoadError> {
        loop {
            let Some((operation, object)) = ticket.next() else {
                if let Some(lane) = self.lanes.get_mut(index).and_then(Option::take) {
                    drop(lane);
                    self.busy -= 1;
                }
                return Ok(());
            };
            let head = self.head(operation, object);
            let body_bytes = self.plan.body_bytes(operation, object);
            let Some(lane) = self.lanes.get_mut(index).and_then(Option::as_mut) else { return Ok(()) };
            lane.task = Some(Task::new(operation, object, head, body_bytes, clock::now()));
            match lane.send(self.plan.content()) {
                Ok(sent) => return self.wait_to_send(index, !sent),
                Err(error) => {
                    self.tally.fail(error.to_string());
                    self.reopen(index)?;
                }
            }
        }
    }

    /// Judges a complete answer and sends the next request.
    fn finish(&mut self, index: usize, ticket: &mut Ticket<'_>) -> Result<(), LoadError> {
        let Some(lane) = self.lanes.get_mut(index).and_then(Option::as_mut) else { return Ok(()) };
        let Some(task) = lane.task.take() else { return Ok(()) };
        let now = clock::now();
        self.losses = 0;
        self.tally.last = Some(now);
        self.judge(&task, now);
        // A server that answered before it had read the whole body expects no second request.
        if task.reader.head().is_none_or(|head| head.closes) || !task.is_sent() {
            self.reopen(index)?;
        }
        self.begin(index, ticket)
    }

    fn judge(&mut self, task: &Task, now: Instant) {
        let status = task.reader.head().map_or(0, |head| head.status);
        let took = now.duration_since(task.begun);
        let expected_bytes = (task.operation == Operation::Get).then(|| self.plan.size(task.object));
        let deletes = self.shared.mix().has(Operation::Delete);
        match status {
            200 if task.differs => {
                self.tally.wrong_bytes += 1;
                self.tally.fail("200 WRONG BYTES".to_owned());
            }
            200 if expected_bytes.is_some_and(|bytes| bytes != task.received) => {
                self.tally.wrong_bytes += 1;
                self.tally.fail("200 WRONG LENGTH".to_owned());
            }
            200 | 204 => {
                let bytes = if task.operation == Operation::Put { task.body_bytes() } else { task.received };
                self.tally.succeed(task.operation, bytes, took);
                self.shared.count(bytes);
            }
            404 if deletes && matches!(task.operation, Operation::Get | Operation::Head) => {
                self.tally.absent += 1;
                self.tally.succeed(task.operation, 0, took);
                self.shared.count(0);
            }
            _ => {
                let code = error_code(&task.document).unwrap_or_default();
                self.tally.fail(format!("{status} {code}").trim_end().to_owned());
            }
        }
    }

    /// Counts a failure, opens the connection again and sends the next request.
    fn lose(&mut self, index: usize, what: String, ticket: &mut Ticket<'_>) -> Result<(), LoadError> {
        self.tally.fail(what);
        self.reopen(index)?;
        self.begin(index, ticket)
    }

    fn expire(&mut self, ticket: &mut Ticket<'_>) -> Result<(), LoadError> {
        for index in 0..self.lanes.len() {
            let task = self.lanes.get(index).and_then(Option::as_ref).and_then(|lane| lane.task.as_ref());
            if task.is_some_and(|task| task.begun.elapsed() >= REQUEST_TIME_MAX) {
                self.lose(index, "no answer in time".to_owned(), ticket)?;
            }
        }
        Ok(())
    }

    fn reopen(&mut self, index: usize) -> Result<(), LoadError> {
        self.losses += 1;
        if self.losses > LOSSES_MAX {
            return Err(LoadError::Connection(io::ErrorKind::ConnectionAborted.into()));
        }
        // The old socket leaves the epoll set when it is closed, so it must be closed first.
        if let Some(slot) = self.lanes.get_mut(index) {
            drop(slot.take());
        }
        let lane = self.open(index).map_err(LoadError::Connection)?;
        if let Some(slot) = self.lanes.get_mut(index) {
            *slot = Some(lane);
        }
        Ok(())
    }

    fn open(&self, index: usize) -> io::Result<Lane> {
        let wire = self.plan.endpoint().connect()?;
        wire.socket().set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(u64::try_from(index).unwrap_or(u64::MAX));
        epoll::add(&self.epoll, wire.socket(), data, epoll::EventFlags::IN)?;
        Ok(Lane::new(wire))
    }

    /// Asks the kernel to tell when the socket takes bytes again, or to stop telling.
    fn wait_to_send(&mut self, index: usize, wait: bool) -> Result<(), LoadError> {
        let Some(lane) = self.lanes.get_mut(index).and_then(Option::as_mut) else { return Ok(()) };
        if lane.waits_to_send == wait {
            return Ok(());
        }
        let flags = if wait { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        let data = epoll::EventData::new_u64(u64::try_from(index).unwrap_or(u64::MAX));
        epoll::modify(&self.epoll, lane.socket(), data, flags)
            .map_err(|e| LoadError::Connection(e.into()))?;
        lane.waits_to_send = wait;
        Ok(())
    }

    /// The signed head of a request, from the store if it was sent before.
    fn head(&mut self, operation: Operation, object: u64) -> Rc<[u8]> {
        if self.signed_at.elapsed() >= HEAD_AGE_MAX {
            self.signer.renew(clock::wall());
            self.signed_at = clock::now();
            self.heads.clear();
        }
        if let Some(head) = self.heads.get(&(operation, object)) {
            return Rc::clone(head);
        }
        let head: Rc<[u8]> = self.plan.head(&self.signer, operation, object).into();
        if self.heads.len() < HEADS_MAX {
            self.heads.insert((operation, object), Rc::clone(&head));
        }
        head
    }
}
