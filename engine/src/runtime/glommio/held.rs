//! What the kernel may touch while an operation is in flight. A slot of the ring owns it until the
//! last completion, also when nobody waits for the result any more.

use super::super::contract::{SEND_PARTS_MAX, SendParts};
use super::limits::{ARRIVALS_MAX, SPARE_SENDS_MAX};
use super::loan::{Lender, Loan};
use crate::buffer::{Buffer, BufferSlice};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;

/// A socket that closes when neither a handle nor an operation refers to it.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
}

impl Socket {
    pub(super) fn new(fd: OwnedFd) -> Rc<Self> {
        Rc::new(Self { fd })
    }

    pub(super) fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// The resources of one operation.
pub(super) enum Held {
    /// Nothing but the device, which outlives the ring.
    Nothing,
    /// The memory of a device read or write.
    Buffer(Buffer),
    /// The memory of a device transfer that takes several commands.
    Shared(#[expect(dead_code, reason = "held until the controller has finished with it")] Rc<Buffer>),
    /// A range of blocks, as a command describes it.
    Range(#[expect(dead_code, reason = "held until the controller has read it")] Box<[u8; 16]>),
    /// The memory and the socket of a receive.
    Receive(Buffer, Rc<Socket>),
    /// The memory, the vectors and the socket of a send.
    Send(Box<SendState>),
    /// What is left of a send that is done, and whose memory is lent: what has not gone.
    Sent(Option<Box<SendState>>),
    /// The memory of a send that is done. Not the socket: that closes when its owner lets go of it, whatever the peer
    /// does.
    Lent(Box<SendState>),
    /// The socket that is waited for.
    Watch(#[expect(dead_code, reason = "held until the kernel has finished with it")] Rc<Socket>),
    /// The listening socket of an accept that goes on until it is cancelled, and where its new
    /// descriptors go.
    Accept(Rc<Socket>, Rc<Arrivals>),
}

/// Whether an operation that completes several times should go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// As long as it can.
    On,
    /// Its owner does not keep up.
    Enough,
    /// It is done, and has lent its memory.
    Lent,
}

/// Sockets that were accepted and that nobody has asked for yet. Those that are left close with it.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    waiting: RefCell<VecDeque<OwnedFd>>,
}

impl Arrivals {
    /// Keeps the descriptor that an accept returned, in order; an error number is none.
    pub(super) fn add(&self, result: i32) -> Flow {
        if result < 0 {
            return Flow::On;
        }
        let mut waiting = self.waiting.borrow_mut();
        waiting.push_back(adopt(result));
        // What the kernel has accepted by the time that it hears of it comes on top: about a backlog at most.
        if waiting.len() == ARRIVALS_MAX { Flow::Enough } else { Flow::On }
    }

    pub(super) fn take(&self) -> Option<OwnedFd> {
        self.waiting.borrow_mut().pop_front()
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.waiting.borrow().len()
    }
}

impl Held {
    /// Bytes that the kernel copies while the operation is submitted, at most.
    pub(super) fn copied_at_submission(&self) -> usize {
        match self {
            Self::Send(state) if state.loan.is_none() => state.parts.iter().map(BufferSlice::len).sum(),
            Self::Nothing
            | Self::Buffer(_)
            | Self::Shared(_)
            | Self::Range(_)
            | Self::Receive(..)
            | Self::Send(_)
            | Self::Sent(_)
            | Self::Lent(_)
            | Self::Watch(_)
            | Self::Accept(..) => 0,
        }
    }

    /// Takes the result of a completion that is not the last.
    pub(super) fn pass_on(&self, result: i32) -> Flow {
        match self {
            Self::Accept(_, arrivals) => arrivals.add(result),
            Self::Send(_) => Flow::Lent,
            Self::Nothing
            | Self::Buffer(_)
            | Self::Shared(_)
            | Self::Range(_)
            | Self::Receive(..)
            | Self::Sent(_)
            | Self::Lent(_)
            | Self::Watch(_) => unreachable!("such an operation completes once"),
        }
    }

    /// Of a send that is done with `result`: the memory that the kernel still reads, and what its owner goes on with.
    pub(super) fn split(self, result: i32) -> (Self, Self) {
        let Self::Send(state) = self else { unreachable!("only a send lends memory") };
        let (lent, rest) = state.split(result);
        (Self::Lent(lent), Self::Sent(rest))
    }

    /// The kernel has returned the memory before anyone asked for the send's result.
    pub(super) fn end_loan(&mut self, usage: i32) {
        let Self::Send(state) = self else { unreachable!("only a send lends memory") };
        state.end_loan(usage);
    }

    /// Lets go of everything, and of what the result stands for, because nobody waits for it.
    pub(super) fn abandon(self, result: i32) {
        match self {
            Self::Accept(listener, arrivals) => {
                arrivals.add(result);
                // Before those that it let in: who sees its connection close finds nobody listening.
                drop(listener);
            }
            Self::Lent(mut state) => state.end_loan(result),
            Self::Nothing
            | Self::Buffer(_)
            | Self::Shared(_)
            | Self::Range(_)
            | Self::Receive(..)
            | Self::Send(_)
            | Self::Sent(_)
            | Self::Watch(_) => {}
        }
    }
}

/// Takes ownership of the descriptor that an accept returned.
fn adopt(fd: RawFd) -> OwnedFd {
    assert!(fd >= 0, "an error number is no descriptor");
    // SAFETY: the number is the result of a successful accept, which opened it for us; every
    // result is handed out exactly once, so nobody else owns or closes it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The memory of sends that are over, for the next ones.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "the kernel knows their addresses, and they stay boxed in their slots")]
pub(super) struct SpareSends(RefCell<Vec<Box<SendState>>>);

impl SpareSends {
    /// A send of `parts` through `socket`.
    pub(super) fn take(&self, socket: Rc<Socket>, parts: SendParts) -> Box<SendState> {
        let spare = self.0.borrow_mut().pop();
        let Some(mut state) = spare else { return SendState::new(socket, parts) };
        state.socket = Some(socket);
        state.parts = parts;
        (state.part, state.offset) = (0, 0);
        state
    }

    /// Keeps the memory of a send that is over. What it held is let go of.
    pub(super) fn keep(&self, mut state: Box<SendState>) {
        state.socket = None;
        state.parts.clear();
        state.loan = None;
        let mut spare = self.0.borrow_mut();
        if spare.len() < SPARE_SENDS_MAX {
            spare.push(state);
        }
    }
}

/// A send under way: the parts, how far it got, and the vectors that the kernel reads.
pub(super) struct SendState {
    /// Until it is done.
    socket: Option<Rc<Socket>>,
    parts: SendParts,
    /// Where the memory is lent.
    loan: Option<Loan>,
    /// The first part that has not gone wholly, and how much of it has.
    part: usize,
    offset: usize,
    vectors: [libc::iovec; SEND_PARTS_MAX],
    header: libc::msghdr,
}

impl SendState {
    pub(super) fn new(socket: Rc<Socket>, parts: SendParts) -> Box<Self> {
        const EMPTY: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: all-zero bytes are a valid `msghdr`: null pointers and zero lengths.
        let header = unsafe { std::mem::zeroed::<libc::msghdr>() };
        Box::new(Self {
            socket: Some(socket),
            parts,
            loan: None,
            part: 0,
            offset: 0,
            vectors: [EMPTY; SEND_PARTS_MAX],
            header,
        })
    }

    /// Has the memory lent from now on, if `lender` agrees, or else copied. Says which.
    pub(super) fn borrow_from(&mut self, lender: &Rc<Lender>) -> bool {
        self.loan = None;
        self.loan = lender.lend(&self.parts);
        self.loan.is_some()
    }

    /// What stays lent, and a send of what has not gone; of `result` bytes nothing was noted yet.
    fn split(mut self: Box<Self>, result: i32) -> (Box<Self>, Option<Box<Self>>) {
        self.advance(usize::try_from(result).unwrap_or(0));
        let Some(socket) = self.socket.take() else { unreachable!("a send is done once") };
        let left: SendParts = self.parts.iter().skip(self.part).cloned().collect();
        if left.is_empty() {
            return (self, None);
        }
        let mut rest = Self::new(socket, left);
        rest.offset = self.offset;
        (self, Some(rest))
    }

    /// The kernel has returned the memory, and says what it did with it.
    fn end_loan(&mut self, usage: i32) {
        let loan = self.loan.take();
        loan.into_iter().for_each(|loan| loan.note(usage));
    }

    /// Points the header at what has not gone yet, and returns its address, or `None` when
    /// everything has. The address is good until the box is changed or dropped.
    pub(super) fn aim(self: &mut Box<Self>) -> Option<*const libc::msghdr> {
        let mut count = 0;
        let mut skip = self.offset;
        for part in self.parts.iter().skip(self.part) {
            let bytes = part.bytes();
            let rest = bytes.get(skip..).unwrap_or_default();
            skip = 0;
            if rest.is_empty() {
                continue;
            }
            // The kernel only reads through the vectors of a send.
            self.vectors[count] =
                libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() };
            count += 1;
        }
        if count == 0 {
            return None;
        }
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = count;
        Some(std::ptr::from_ref(&self.header))
    }

    /// Notes that `sent` more bytes have gone.
    pub(super) fn advance(&mut self, sent: usize) {
        let mut sent = sent;
        while let Some(part) = self.parts.get(self.part) {
            let left = part.len() - self.offset;
            if sent < left {
                self.offset += sent;
                return;
            }
            sent -= left;
            self.part += 1;
            self.offset = 0;
        }
        assert!(sent == 0, "the kernel sent more than it was given");
    }
}
