//! What the kernel may touch while an operation is in flight. A slot of the ring owns it until the
//! last completion, also when nobody waits for the result any more.

use super::super::contract::{SEND_PARTS_MAX, SendParts};
use super::limits::ARRIVALS_MAX;
use crate::buffer::Buffer;
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
    /// The socket that is waited for.
    Watch(#[expect(dead_code, reason = "held until the kernel has finished with it")] Rc<Socket>),
    /// The listening socket of an accept that goes on until it is cancelled, and where its new
    /// descriptors go.
    Accept(
        #[expect(dead_code, reason = "held until the kernel has finished with it")] Rc<Socket>,
        Rc<Arrivals>,
    ),
}

/// Whether an operation that completes several times should go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// As long as it can.
    On,
    /// Its owner does not keep up.
    Enough,
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
    /// Takes the result of a completion that is not the last.
    pub(super) fn pass_on(&self, result: i32) -> Flow {
        match self {
            Self::Accept(_, arrivals) => arrivals.add(result),
            Self::Nothing
            | Self::Buffer(_)
            | Self::Shared(_)
            | Self::Range(_)
            | Self::Receive(..)
            | Self::Send(_)
            | Self::Watch(_) => unreachable!("such an operation completes once"),
        }
    }

    /// Lets go of everything, and of what the result stands for, because nobody waits for it.
    pub(super) fn abandon(self, result: i32) {
        match self {
            Self::Accept(_, arrivals) => {
                arrivals.add(result);
            }
            Self::Nothing
            | Self::Buffer(_)
            | Self::Shared(_)
            | Self::Range(_)
            | Self::Receive(..)
            | Self::Send(_)
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

/// A send under way: the parts, how far it got, and the vectors that the kernel reads.
pub(super) struct SendState {
    socket: Rc<Socket>,
    parts: SendParts,
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
        Box::new(Self { socket, parts, part: 0, offset: 0, vectors: [EMPTY; SEND_PARTS_MAX], header })
    }

    pub(super) fn socket(&self) -> &Rc<Socket> {
        &self.socket
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
