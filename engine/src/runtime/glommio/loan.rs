//! Memory that is lent to sockets: sends without a copy.
//!
//! An ordinary send is done when the kernel has copied the bytes. One that lends is done when the socket has taken
//! them, and the kernel reads the memory itself until the peer has acknowledged them; then it says so, and whether it
//! has copied them after all. How long that takes is up to the peer, so what is lent is bounded: per connection, per
//! core, and in time by [`LENT_MAX`](super::limits::LENT_MAX). Whatever is beyond a bound is copied as ever, and nobody
//! waits for a loan.

use super::super::contract::SendParts;
use super::limits::{LEND_BYTES_MIN, LENT_PER_CONNECTION_BYTES_MAX, LOANS_MAX};
use crate::buffer::BufferSlice;
use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

/// How the kernel says that it has copied what was lent to it (`IORING_NOTIF_USAGE_ZC_COPIED`): the highest bit.
const COPIED: i32 = i32::MIN;

/// What one core has lent.
#[derive(Debug)]
pub(super) struct Lending {
    bytes_max: usize,
    bytes: Cell<usize>,
    loans: Cell<usize>,
}

impl Lending {
    /// At most so many bytes of memory at once.
    pub(super) fn new(bytes_max: usize) -> Rc<Self> {
        Rc::new(Self { bytes_max, bytes: Cell::new(0), loans: Cell::new(0) })
    }
}

/// What one connection has lent.
#[derive(Debug)]
pub(super) struct Lender {
    core: Rc<Lending>,
    /// The kernel does not copy as far as we know.
    is_useful: Cell<bool>,
    bytes: Cell<usize>,
}

/// The memory of one send.
#[derive(Debug)]
pub(super) struct Loan {
    lender: Rc<Lender>,
    bytes: usize,
}

/// Whether both ends of a connection are on this machine, as far as the addresses say. What goes there is received as
/// it is, so the kernel has to copy it.
pub(super) fn is_local(own: IpAddr, peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback() || peer.to_canonical() == own.to_canonical()
}

impl Lender {
    pub(super) fn new(core: &Rc<Lending>, is_useful: bool) -> Rc<Self> {
        Rc::new(Self { core: Rc::clone(core), is_useful: Cell::new(is_useful), bytes: Cell::new(0) })
    }

    /// The loan for a send of `parts`, if they should be lent: enough bytes that it costs less than to copy them, all
    /// of it memory of arenas, and within the bounds.
    pub(super) fn lend(self: &Rc<Self>, parts: &SendParts) -> Option<Loan> {
        if !self.is_useful.get() {
            return None;
        }
        let length: usize = parts.iter().map(BufferSlice::len).sum();
        let bytes: usize = parts.iter().map(BufferSlice::memory_bytes).sum();
        let core = &self.core;
        let fits = self.bytes.get() + bytes <= LENT_PER_CONNECTION_BYTES_MAX
            && core.bytes.get() + bytes <= core.bytes_max
            && core.loans.get() < LOANS_MAX;
        if length < LEND_BYTES_MIN || !fits || !parts.iter().all(BufferSlice::is_in_buffer) {
            return None;
        }
        self.bytes.set(self.bytes.get() + bytes);
        core.bytes.set(core.bytes.get() + bytes);
        core.loans.set(core.loans.get() + 1);
        Some(Loan { lender: Rc::clone(self), bytes })
    }

    /// Lends no more: the kernel refused, or has to copy.
    pub(super) fn stop(&self) {
        self.is_useful.set(false);
    }

    /// Bytes of memory that are lent now.
    #[cfg(test)]
    pub(super) fn lent(&self) -> usize {
        self.bytes.get()
    }

    /// Whether the next send may be a loan.
    #[cfg(test)]
    pub(super) fn is_useful(&self) -> bool {
        self.is_useful.get()
    }

    /// Forgets what the kernel said.
    #[cfg(test)]
    pub(super) fn try_again(&self) {
        self.is_useful.set(true);
    }
}

impl Loan {
    /// The kernel has returned the memory, and says what it did with it.
    pub(super) fn note(&self, usage: i32) {
        if usage & COPIED != 0 {
            self.lender.stop();
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Self { lender, bytes } = self;
        lender.bytes.set(lender.bytes.get() - *bytes);
        lender.core.bytes.set(lender.core.bytes.get() - *bytes);
        lender.core.loans.set(lender.core.loans.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Arena, Region};

    fn parts(arena: &Arena, bytes: usize) -> SendParts {
        SendParts::from_iter([BufferSlice::of(arena.try_take(bytes).unwrap(), 0..bytes)])
    }

    #[test]
    fn what_is_lent_is_bounded_and_comes_back() {
        let arena = Arena::new(Region::allocate(8 << 20).unwrap(), 0);
        let core = Lending::new(3 << 19);
        let (first, second) = (Lender::new(&core, true), Lender::new(&core, true));
        let loan = first.lend(&parts(&arena, 1 << 20)).unwrap();
        let other = second.lend(&parts(&arena, 1 << 19)).unwrap();
        assert_eq!((first.lent(), second.lent()), (1 << 20, 1 << 19));
        assert!(second.lend(&parts(&arena, 1 << 14)).is_none(), "the core has lent what it may");
        drop(loan);
        assert!(second.lend(&parts(&arena, 1 << 14)).is_some());
        drop(other);
        assert_eq!((first.lent(), second.lent(), core.bytes.get(), core.loans.get()), (0, 0, 0, 0));
    }

    #[test]
    fn one_connection_does_not_lend_everything() {
        let arena = Arena::new(Region::allocate(8 << 20).unwrap(), 0);
        let core = Lending::new(8 << 20);
        let lender = Lender::new(&core, true);
        let lent: Vec<Loan> = (0..8).map_while(|_| lender.lend(&parts(&arena, 1 << 20))).collect();
        assert_eq!(lent.len() << 20, LENT_PER_CONNECTION_BYTES_MAX);
        assert!(Lender::new(&core, true).lend(&parts(&arena, 1 << 20)).is_some());
    }

    #[test]
    fn little_and_what_is_on_the_heap_is_copied() {
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let lender = Lender::new(&Lending::new(1 << 20), true);
        assert!(lender.lend(&parts(&arena, LEND_BYTES_MIN - 1)).is_none());
        let mut mixed = parts(&arena, LEND_BYTES_MIN);
        mixed.push(BufferSlice::of_heap(vec![0; 10].into(), 0..10));
        assert!(lender.lend(&mixed).is_none());
        mixed.pop();
        assert!(lender.lend(&mixed).is_some());
    }

    #[test]
    fn a_kernel_that_copies_is_lent_nothing_more() {
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let lender = Lender::new(&Lending::new(1 << 20), true);
        lender.lend(&parts(&arena, 1 << 16)).unwrap().note(0);
        let loan = lender.lend(&parts(&arena, 1 << 16)).unwrap();
        loan.note(COPIED);
        assert!(lender.lend(&parts(&arena, 1 << 16)).is_none());
        assert!(
            Lender::new(&lender.core, true).lend(&parts(&arena, 1 << 16)).is_some(),
            "another connection"
        );
    }

    #[test]
    fn peers_on_this_machine_are_known() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(is_local(address("127.0.0.1"), address("127.0.0.2")));
        assert!(is_local(address("::1"), address("::1")));
        assert!(is_local(address("::ffff:127.0.0.1"), address("::ffff:127.0.0.1")));
        assert!(is_local(address("192.0.2.1"), address("192.0.2.1")));
        assert!(is_local(address("192.0.2.1"), address("::ffff:192.0.2.1")));
        assert!(!is_local(address("192.0.2.1"), address("192.0.2.2")));
        assert!(!is_local(address("2001:db8::1"), address("2001:db8::2")));
    }
}
