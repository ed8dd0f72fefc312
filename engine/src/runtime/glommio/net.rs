//! TCP through the ring: accept, receive into buffers, send from slices, with deadlines.
//!
//! Sockets are left blocking on purpose: the ring then waits inside the kernel, where a
//! non-blocking socket would answer "try again".

use super::super::contract::{Listener, Monotonic, NetError, SendParts, Stream};
use super::held::{Arrivals, Held, Socket, SpareSends};
use super::limits::{ACCEPT_PAUSE, LENT_MAX, LISTEN_BACKLOG};
use super::loan::{Lender, Lending, is_local};
use super::operation::Operation;
use super::ring::{Kind, Ring};
use super::timer::Timers;
use crate::buffer::Buffer;
use crate::sync::Limit;
use io_uring::{opcode, squeue, types};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

/// What sockets need of their core.
#[derive(Clone)]
pub(super) struct Network {
    pub(super) ring: Rc<Ring>,
    pub(super) timers: Rc<Timers>,
    pub(super) lending: Rc<Lending>,
    pub(super) spare_sends: Rc<SpareSends>,
}

/// To whom memory is lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LendTo {
    /// Peers on other machines: what stays on this one the kernel copies in any case.
    Others,
    /// Everyone, so that a test without a network can see it.
    #[cfg(test)]
    Everyone,
}

/// A listening socket of one core; the kernel spreads connections over all cores that listen on
/// the same address.
///
/// From the first time that somebody waits, one operation accepts for as long as the listener lives, also while
/// nobody waits. It ends when sockets are not claimed fast enough, or on an error, and begins again when somebody
/// waits who finds none.
pub struct GlommioListener {
    network: Network,
    socket: Rc<Socket>,
    address: SocketAddr,
    arrivals: Rc<Arrivals>,
    accepting: RefCell<Option<Operation>>,
    /// Whoever waits for the operation: one at a time, as only one is woken.
    turn: Limit,
    lend_to: LendTo,
}

impl std::fmt::Debug for GlommioListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlommioListener").field("address", &self.address).finish_non_exhaustive()
    }
}

fn net_error(errno: i32) -> NetError {
    match errno {
        libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED | libc::ENOTCONN | libc::ETIMEDOUT => {
            NetError::Closed
        }
        errno => NetError::Io { errno },
    }
}

fn of_errno(errno: Errno) -> NetError {
    NetError::Io { errno: errno.raw_os_error() }
}

impl GlommioListener {
    pub(super) fn bind(network: Network, address: SocketAddr) -> Result<Self, NetError> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let fd = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(of_errno)?;
        sockopt::set_socket_reuseaddr(&fd, true).map_err(of_errno)?;
        sockopt::set_socket_reuseport(&fd, true).map_err(of_errno)?;
        rustix::net::bind(&fd, &address).map_err(of_errno)?;
        rustix::net::listen(&fd, LISTEN_BACKLOG).map_err(of_errno)?;
        let bound = rustix::net::getsockname(&fd).map_err(of_errno)?;
        let address = SocketAddr::try_from(bound).map_err(of_errno)?;
        Ok(Self {
            network,
            socket: Socket::new(fd),
            address,
            arrivals: Rc::default(),
            accepting: RefCell::new(None),
            turn: Limit::new(1),
            lend_to: LendTo::Others,
        })
    }

    #[cfg(test)]
    pub(super) fn lend_to_everyone(&mut self) {
        self.lend_to = LendTo::Everyone;
    }

    /// Has the kernel accept, if it does not yet.
    async fn begin(&self) {
        if self.accepting.borrow().is_some() {
            return;
        }
        let entry = opcode::AcceptMulti::new(types::Fd(self.socket.raw())).flags(libc::SOCK_CLOEXEC).build();
        let held = Held::Accept(Rc::clone(&self.socket), Rc::clone(&self.arrivals));
        let operation = Operation::start(&self.network.ring, Kind::Socket, entry, held, None).await;
        *self.accepting.borrow_mut() = Some(operation);
    }

    /// Waits until a socket is there, or else the kernel has stopped accepting: with which result.
    async fn arrival(&self) -> Result<OwnedFd, i32> {
        poll_fn(|context| {
            let mut accepting = self.accepting.borrow_mut();
            if let Some(fd) = self.arrivals.take() {
                return Poll::Ready(Ok(fd));
            }
            let Some(operation) = accepting.as_mut() else { return Poll::Ready(Err(-libc::EAGAIN)) };
            let Poll::Ready((result, _held)) = Pin::new(operation).poll(context) else {
                return Poll::Pending;
            };
            *accepting = None;
            // The last completion may bring a socket like any other.
            self.arrivals.add(result);
            Poll::Ready(self.arrivals.take().ok_or(result))
        })
        .await
    }

    /// Sockets that were accepted and not asked for.
    #[cfg(test)]
    pub(super) fn unclaimed(&self) -> usize {
        self.arrivals.count()
    }

    /// The stream of a fresh descriptor; `None` when the peer has left already.
    fn stream(&self, fd: OwnedFd) -> Option<GlommioStream> {
        let peer = SocketAddr::try_from(rustix::net::getpeername(&fd).ok()??).ok()?;
        // An answer goes out when it is written; it never waits for the peer's acknowledgement.
        sockopt::set_tcp_nodelay(&fd, true).ok()?;
        let own = SocketAddr::try_from(rustix::net::getsockname(&fd).ok()?).ok()?;
        let may_lend = match self.lend_to {
            LendTo::Others => !is_local(own.ip(), peer.ip()),
            #[cfg(test)]
            LendTo::Everyone => true,
        };
        if may_lend {
            // Bounds how long a peer keeps memory that is lent to it, also when we have closed.
            let patience = u32::try_from(LENT_MAX.as_millis()).unwrap_or(u32::MAX);
            sockopt::set_tcp_user_timeout(&fd, patience).ok()?;
        }
        let lender = Lender::new(&self.network.lending, may_lend);
        Some(GlommioStream { network: self.network.clone(), socket: Socket::new(fd), peer, lender })
    }
}

impl Listener for GlommioListener {
    type Stream = GlommioStream;

    async fn accept(&self) -> Result<GlommioStream, NetError> {
        let _turn = self.turn.enter().await;
        loop {
            let result = match self.arrival().await {
                Ok(fd) => match self.stream(fd) {
                    Some(stream) => return Ok(stream),
                    None => continue,
                },
                Err(result) => result,
            };
            match result.saturating_neg() {
                // The process or the system is out of something that others give back.
                libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM => {
                    let timers = &self.network.timers;
                    timers.until(timers.now().after(ACCEPT_PAUSE)).await;
                }
                // It has not begun, or sockets were not claimed for a while.
                libc::EAGAIN | libc::ECANCELED => {}
                // Errors of the connection that was to be accepted (accept(2), "error handling").
                libc::ECONNABORTED
                | libc::EINTR
                | libc::EPROTO
                | libc::EPERM
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH => {}
                errno => return Err(net_error(errno)),
            }
            self.begin().await;
        }
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A connected socket. It closes when it is dropped and the kernel has finished with it.
pub struct GlommioStream {
    network: Network,
    socket: Rc<Socket>,
    peer: SocketAddr,
    lender: Rc<Lender>,
}

impl std::fmt::Debug for GlommioStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlommioStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl GlommioStream {
    /// Runs one operation; at the deadline cancels it, and still waits for its end, because only
    /// then the kernel has let go of the memory. Says whether the deadline passed.
    async fn run(&self, entry: squeue::Entry, held: Held, deadline: Monotonic) -> (i32, Held, bool) {
        self.run_unless(entry, held, deadline, pending()).await
    }

    /// As [`Self::run`]; `cut` is another deadline.
    async fn run_unless(
        &self,
        entry: squeue::Entry,
        held: Held,
        deadline: Monotonic,
        cut: impl Future<Output = ()>,
    ) -> (i32, Held, bool) {
        let operation = Operation::start(&self.network.ring, Kind::Socket, entry, held, None).await;
        let mut late = false;
        let (result, held) = {
            let mut operation: Pin<&mut Operation> = pin!(operation);
            let mut alarm = pin!(self.network.timers.until(deadline));
            let mut cut = pin!(cut);
            poll_fn(|context| {
                if let Poll::Ready(done) = operation.as_mut().poll(context) {
                    return Poll::Ready(done);
                }
                if !late && (alarm.as_mut().poll(context).is_ready() || cut.as_mut().poll(context).is_ready())
                {
                    late = true;
                    operation.cancel();
                }
                Poll::Pending
            })
            .await
        };
        (result, held, late)
    }

    /// Sends `parts`, from memory that `lender` lends, if there is one that does.
    async fn send_from(
        &self,
        parts: SendParts,
        lender: Option<&Rc<Lender>>,
        deadline: Monotonic,
    ) -> Result<(), NetError> {
        let mut state = self.network.spare_sends.take(Rc::clone(&self.socket), parts);
        while let Some(header) = state.aim() {
            let is_lent = lender.is_some_and(|lender| state.borrow_from(lender));
            let entry = send_entry(types::Fd(self.socket.raw()), header, is_lent);
            let (result, held, late) = self.run(entry, Held::Send(state), deadline).await;
            let is_refused = is_lent && is_refused(result);
            if is_refused {
                self.lender.stop();
            }
            let sent = if is_refused { Ok(0) } else { moved(result, late) };
            state = match held {
                Held::Send(mut returned) => {
                    returned.advance(sent?);
                    returned
                }
                // What is lent was counted when it was left behind.
                Held::Sent(rest) => match (sent?, rest) {
                    (_, None) => return Ok(()),
                    (_, Some(rest)) => rest,
                },
                Held::Nothing
                | Held::Buffer(_)
                | Held::Shared(_)
                | Held::Range(_)
                | Held::Receive(..)
                | Held::Lent(_)
                | Held::Watch(_)
                | Held::Accept(..) => unreachable!("an operation returns what it was given"),
            };
            if late && state.aim().is_some() {
                return Err(NetError::TimedOut);
            }
        }
        self.network.spare_sends.keep(state);
        Ok(())
    }

    /// Where this connection's memory is lent.
    #[cfg(test)]
    pub(super) fn lender(&self) -> &Rc<Lender> {
        &self.lender
    }

    #[cfg(test)]
    pub(super) fn socket(&self) -> &Rc<Socket> {
        &self.socket
    }
}

/// The entry of one send. WAITALL: the kernel goes on by itself after a part of it went; NOSIGNAL: a peer that has left is
/// an error and not SIGPIPE.
fn send_entry(fd: types::Fd, header: *const libc::msghdr, is_lent: bool) -> squeue::Entry {
    let flags = u32::try_from(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).unwrap_or(0);
    if is_lent {
        opcode::SendMsgZc::new(fd, header).flags(flags).ioprio(REPORT_USAGE).build()
    } else {
        opcode::SendMsg::new(fd, header).flags(flags).build()
    }
}

/// Has the kernel say whether it copied (`IORING_SEND_ZC_REPORT_USAGE`, Linux 6.2).
const REPORT_USAGE: u16 = 1 << 3;

/// The kernel, the socket's family or the limit of locked memory does not allow that memory is lent.
fn is_refused(result: i32) -> bool {
    [libc::EINVAL, libc::EOPNOTSUPP, libc::ENOBUFS, libc::ENOMEM].contains(&result.saturating_neg())
}

/// What a socket operation moved, or why it did not.
fn moved(result: i32, late: bool) -> Result<usize, NetError> {
    usize::try_from(result).map_err(|_negative| match result.saturating_neg() {
        libc::ECANCELED | libc::EINTR if late => NetError::TimedOut,
        errno => net_error(errno),
    })
}

/// What a connection has to say that waits to be read: bytes, or that there will be no more. Errors are told
/// unasked.
const READABLE: u32 = 0x0001 | 0x2000;
const _: () = assert!(libc::POLLIN == 0x0001 && libc::POLLRDHUP == 0x2000);

impl Stream for GlommioStream {
    async fn readable(&self, deadline: Monotonic) -> Result<(), NetError> {
        let entry = opcode::PollAdd::new(types::Fd(self.socket.raw()), READABLE).build();
        let (result, _held, late) = self.run(entry, Held::Watch(Rc::clone(&self.socket)), deadline).await;
        moved(result, late).map(|_events| ())
    }

    async fn receive_unless(
        &self,
        buffer: Buffer,
        range: Range<usize>,
        deadline: Monotonic,
        cut: impl Future<Output = ()>,
    ) -> (Result<usize, NetError>, Buffer) {
        assert!(range.start < range.end, "nothing can be received into an empty range");
        assert!(range.end <= buffer.capacity(), "the range lies inside the buffer");
        assert!(!buffer.is_shared(), "nothing is received into memory that others read");
        let start = buffer.start().as_ptr().wrapping_add(range.start);
        let length = u32::try_from(range.len()).unwrap_or(u32::MAX);
        let entry = opcode::Recv::new(types::Fd(self.socket.raw()), start, length).build();
        let held = Held::Receive(buffer, Rc::clone(&self.socket));
        let (result, held, late) = self.run_unless(entry, held, deadline, cut).await;
        let Held::Receive(buffer, _socket) = held else {
            unreachable!("an operation returns what it was given")
        };
        (moved(result, late), buffer)
    }

    // The parts go where they are needed at once: the futures would only carry them about.
    fn send(&self, parts: SendParts, deadline: Monotonic) -> impl Future<Output = Result<(), NetError>> {
        self.send_from(parts, None, deadline)
    }

    fn lend(&self, parts: SendParts, deadline: Monotonic) -> impl Future<Output = Result<(), NetError>> {
        self.send_from(parts, Some(&self.lender), deadline)
    }

    fn peer(&self) -> SocketAddr {
        self.peer
    }
}
