//! The ring of commands with a device that does every command at once and nothing else: `/dev/null` (Linux 6.1).

use super::super::super::contract::{DeviceError, Durability};
use super::super::timer::Clock;
use super::namespace::Namespace;
use super::ring::NvmeRing;
use super::way::{Direction, Way};
use crate::buffer::{Arena, Region};
use crate::sync::Limit;
use futures_util::FutureExt as _;
use std::future::Future;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::rc::Rc;

const PAGE: usize = 4096;

struct Bench {
    arena: Arena,
    ring: Rc<NvmeRing>,
    way: Way,
    limit: Limit,
}

/// `path` as a namespace that takes two pages at once.
fn bench(path: &str, places: usize) -> Bench {
    let fd = OwnedFd::from(std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap());
    let clock = Clock::start();
    let ring = Rc::new(NvmeRing::new(&[fd.as_raw_fd()], false, clock).unwrap());
    let namespace = Namespace::stand_in(fd, 2 * PAGE);
    let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
    Bench { way: Way::new(&ring, 0, &namespace), ring, arena, limit: Limit::new(places) }
}

impl Bench {
    /// Drives the ring until `work` is done.
    fn drive<F: Future>(&self, work: F) -> F::Output {
        let mut work = std::pin::pin!(work);
        for _turn in 0..1000 {
            if let Some(done) = work.as_mut().now_or_never() {
                return done;
            }
            self.ring.turn();
        }
        panic!("a transfer does not end");
    }
}

#[test]
fn a_transfer_gives_its_buffer_back_whole_or_in_pieces() {
    // Fewer places than pieces, so that a transfer has to wait for its own.
    let bench = bench("/dev/null", 3);
    for length in [0, PAGE, 2 * PAGE, 3 * PAGE, 64 * PAGE, 256 * PAGE] {
        let buffer = bench.arena.try_take(length.max(PAGE)).unwrap();
        let read = bench.way.transfer(&bench.limit, Direction::Read, 1 << 20, buffer, length);
        let (done, buffer) = bench.drive(read);
        assert_eq!(done, Ok(()), "{length}");
        let durable = (Durability::Durable, true);
        let (done, _buffer) = bench.drive(bench.way.write(&bench.limit, 0, buffer, length, durable));
        assert_eq!(done, Ok(()), "{length}");
    }
    assert_eq!(bench.drive(bench.way.flush(&bench.limit)), Ok(()));
    bench.drive(bench.way.discard(&bench.limit, 0, 1 << 20));
    assert_eq!((bench.ring.in_flight(), bench.arena.available()), (0, bench.arena.capacity()));
    bench.ring.close();
}

#[test]
fn many_transfers_share_few_places_without_waiting_for_each_other() {
    let bench = bench("/dev/null", 4);
    let buffers: Vec<_> = (0..16).map(|_| bench.arena.try_take(16 * PAGE).unwrap()).collect();
    let transfers = buffers
        .into_iter()
        .map(|buffer| bench.way.transfer(&bench.limit, Direction::Write, 0, buffer, 16 * PAGE));
    let done = bench.drive(futures_util::future::join_all(transfers));
    assert!(done.iter().all(|(result, _)| *result == Ok(())));
}

#[test]
fn memory_of_a_dropped_transfer_is_kept_until_its_commands_complete() {
    let bench = bench("/dev/null", 64);
    for length in [PAGE, 32 * PAGE] {
        let buffer = bench.arena.try_take(length).unwrap();
        let mut transfer = Box::pin(bench.way.transfer(&bench.limit, Direction::Read, 0, buffer, length));
        assert!(transfer.as_mut().now_or_never().is_none());
        drop(transfer);
        assert!(bench.ring.in_flight() > 0);
        assert!(bench.arena.available() < bench.arena.capacity(), "the memory was let go too early");
        bench.ring.turn();
        assert_eq!((bench.ring.in_flight(), bench.arena.available()), (0, bench.arena.capacity()));
    }
}

#[test]
fn who_takes_no_commands_is_an_error() {
    let bench = bench("/dev/zero", 64);
    let buffer = bench.arena.try_take(8 * PAGE).unwrap();
    let (done, buffer) = bench.drive(bench.way.transfer(&bench.limit, Direction::Read, 0, buffer, 8 * PAGE));
    assert_eq!(done, Err(DeviceError::Io { errno: libc::EOPNOTSUPP }));
    drop(buffer);
    assert_eq!(bench.arena.available(), bench.arena.capacity());
}
