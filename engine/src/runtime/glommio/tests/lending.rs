//! Sends whose memory is lent to the kernel, over loopback: there it copies once it delivers, and until then, as long as
//! the peer reads nothing, it holds what it was lent.

use super::super::super::contract::{
    Listener as _, Monotonic, NetError, Runtime as _, SendParts, Stream as _,
};
use super::super::held::{Held, SendState};
use super::super::limits::LENT_PER_CONNECTION_BYTES_MAX;
use super::super::operation::Operation;
use super::super::ring::Kind;
use super::super::{GlommioListener, GlommioRuntime, GlommioStream};
use super::{config, run};
use crate::buffer::BufferSlice;
use futures_util::future::poll_immediate;
use io_uring::{opcode, types};
use rustix::net::sockopt;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const NEVER: Monotonic = Monotonic(u64::MAX);
const MIB: usize = 1 << 20;
/// So that an eighth of it is more than one connection may have lent.
const ARENA_BYTES: usize = 64 * MIB;

/// Runs `server` on one connection that lends in spite of loopback, and `client` on a thread of its own. The client is
/// also told when the core has ended.
fn serve<S, F>(server: S, client: impl FnOnce(TcpStream, mpsc::Receiver<()>) + Send)
where
    S: Fn(GlommioRuntime, GlommioStream) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    serve_by(GlommioListener::lend_to_everyone, server, client);
}

fn serve_by<S, F>(
    prepare: fn(&mut GlommioListener),
    server: S,
    client: impl FnOnce(TcpStream, mpsc::Receiver<()>) + Send,
) where
    S: Fn(GlommioRuntime, GlommioStream) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let (to, from) = mpsc::channel::<SocketAddr>();
    let (ended, has_ended) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let socket = TcpStream::connect(from.recv().unwrap()).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            client(socket, has_ended);
        });
        let mut config = config(1, Vec::new());
        config.arena_bytes = ARENA_BYTES;
        run(config, move |runtime| {
            let (server, to) = (server.clone(), to.clone());
            async move {
                let mut listener = runtime.listen("127.0.0.1:0".parse().unwrap()).unwrap();
                prepare(&mut listener);
                to.send(listener.address()).unwrap();
                let stream = listener.accept().await.unwrap();
                server(runtime, stream).await;
            }
        });
        // A client that has heard enough is gone.
        let _told = ended.send(());
    });
}

/// Lets the client read when the server has seen what it wanted to see.
#[derive(Debug, Clone, Default)]
struct Gate(Arc<AtomicBool>);

impl Gate {
    fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn wait(&self) {
        for _millisecond in 0..20_000 {
            if self.0.load(Ordering::SeqCst) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        panic!("the server never came so far");
    }
}

/// Parts of these lengths; byte `n` of all is `n % 251`.
fn parts(runtime: &GlommioRuntime, lengths: &[usize]) -> SendParts {
    let mut number = 0;
    let mut part = |length: &usize| {
        let mut buffer = runtime.arena().try_take(*length).unwrap();
        for byte in &mut buffer.bytes_mut()[..*length] {
            *byte = u8::try_from(number % 251).unwrap();
            number += 1;
        }
        BufferSlice::of(buffer, 0..*length)
    };
    lengths.iter().map(&mut part).collect()
}

fn assert_received(socket: &mut TcpStream, length: usize) {
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).unwrap();
    assert!(bytes.iter().enumerate().all(|(number, byte)| usize::from(*byte) == number % 251));
}

/// Waits until everything that was taken is back in the arena.
async fn all_back(runtime: &GlommioRuntime) {
    while runtime.arena().available() != runtime.arena().capacity() {
        runtime.sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(runtime.core.ring.lent(), 0);
}

#[test]
fn lent_bytes_arrive_and_the_memory_comes_back() {
    const LENGTHS: [&[usize]; 3] = [&[300, 20_000], &[100_000, 1, 70_000, MIB], &[MIB, MIB, MIB, 17, 4096]];
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        for (number, lengths) in (1_u64..).zip(LENGTHS) {
            stream.lend(parts(&runtime, lengths), NEVER).await.unwrap();
            assert_eq!(runtime.ring_counters().lent, number, "this one was lent");
            all_back(&runtime).await;
            assert_eq!(stream.lender().lent(), 0);
            stream.lender().try_again();
        }
    };
    serve(server, |mut socket, _| {
        for lengths in LENGTHS {
            assert_received(&mut socket, lengths.iter().sum());
        }
        assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_connection_on_which_the_kernel_copies_lends_once() {
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        assert!(stream.lender().is_useful());
        for _send in 0..3 {
            stream.lend(parts(&runtime, &[64 << 10]), NEVER).await.unwrap();
            all_back(&runtime).await;
            assert!(!stream.lender().is_useful());
        }
        assert_eq!(runtime.ring_counters().lent, 1);
    };
    serve(server, |mut socket, _| {
        for _send in 0..3 {
            assert_received(&mut socket, 64 << 10);
        }
    });
}

#[test]
fn nothing_is_lent_to_a_peer_on_this_machine() {
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        stream.lend(parts(&runtime, &[64 << 10]), NEVER).await.unwrap();
        assert_eq!(runtime.ring_counters().lent, 0);
        assert_eq!(runtime.arena().available(), runtime.arena().capacity());
    };
    serve_by(|_| {}, server, |mut socket, _| assert_received(&mut socket, 64 << 10));
}

#[test]
fn little_is_copied_and_whoever_asked_for_a_send_has_its_memory_back() {
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        stream.lend(parts(&runtime, &[300, 15_000]), NEVER).await.unwrap();
        stream.send(parts(&runtime, &[64 << 10]), NEVER).await.unwrap();
        assert_eq!(runtime.arena().available(), runtime.arena().capacity());
        assert_eq!(runtime.ring_counters().lent, 0);
    };
    serve(server, |mut socket, _| {
        assert_received(&mut socket, 15_300);
        assert_received(&mut socket, 64 << 10);
    });
}

#[test]
fn what_a_short_send_left_goes_from_where_it_stopped() {
    const LENGTHS: [usize; 4] = [MIB, 300, MIB, MIB];
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        // SAFETY: the stream owns the descriptor, and lives to the end of this block.
        let fd = unsafe { BorrowedFd::borrow_raw(stream.socket().raw()) };
        sockopt::set_socket_send_buffer_size(fd, 64 << 10).unwrap();
        let mut left = Some(SendState::new(Rc::clone(stream.socket()), parts(&runtime, &LENGTHS)));
        let mut shorts = 0;
        while let Some(mut state) = left.take() {
            stream.lender().try_again();
            let header = state.aim().unwrap();
            let fd = types::Fd(stream.socket().raw());
            // Without WAITALL it is done with what fits.
            let entry = if state.borrow_from(stream.lender()) {
                opcode::SendMsgZc::new(fd, header).build()
            } else {
                opcode::SendMsg::new(fd, header).build()
            };
            let (result, held) =
                Operation::start(&runtime.core.ring, Kind::Socket, entry, Held::Send(state), None)
                    .await
                    .await;
            assert!(result > 0, "{result}");
            left = match held {
                Held::Sent(rest) => rest,
                // Its memory was back before we came to ask.
                Held::Send(mut returned) => {
                    returned.advance(usize::try_from(result).unwrap());
                    returned.aim().is_some().then_some(returned)
                }
                Held::Nothing
                | Held::Buffer(_)
                | Held::Shared(_)
                | Held::Range(_)
                | Held::Receive(..)
                | Held::Lent(_)
                | Held::Watch(_)
                | Held::Accept(..) => panic!("a send returns what it was given"),
            };
            shorts += usize::from(left.is_some());
        }
        assert!(shorts > 0, "so much fits no send buffer");
        assert!(runtime.ring_counters().lent > 1);
        all_back(&runtime).await;
    };
    serve(server, |mut socket, _| assert_received(&mut socket, LENGTHS.iter().sum()));
}

/// Lends to a peer that reads nothing, until some of it stays lent.
async fn lend_until_held(runtime: &GlommioRuntime, stream: &GlommioStream) {
    loop {
        stream.lender().try_again();
        let soon = runtime.now().after(Duration::from_secs(5));
        stream.lend(parts(runtime, &[251 << 10]), soon).await.unwrap();
        runtime.sleep(Duration::from_millis(5)).await;
        if runtime.core.ring.lent() > 0 {
            return;
        }
    }
}

#[test]
fn a_dropped_stream_closes_though_its_memory_is_lent() {
    let gate = Gate::default();
    let closed = gate.clone();
    let server = move |runtime: GlommioRuntime, stream: GlommioStream| {
        let closed = closed.clone();
        async move {
            lend_until_held(&runtime, &stream).await;
            assert!(stream.lender().lent() > 0);
            assert!(runtime.arena().available() < runtime.arena().capacity());
            drop(stream);
            closed.open();
            all_back(&runtime).await;
        }
    };
    serve(server, |mut socket, _| {
        gate.wait();
        let mut received = Vec::new();
        let end = socket.read_to_end(&mut received).unwrap();
        assert!(end.is_multiple_of(251 << 10), "{end}: every send arrives whole, and then the end");
        let one = (0..251 << 10).map(|number| u8::try_from(number % 251).unwrap()).collect::<Vec<u8>>();
        assert!(received.chunks(251 << 10).all(|sent| sent == one));
    });
}

#[test]
fn a_send_that_nobody_waits_for_gives_everything_back() {
    let gate = Gate::default();
    let closed = gate.clone();
    let server = move |runtime: GlommioRuntime, stream: GlommioStream| {
        let closed = closed.clone();
        async move {
            let in_flight = runtime.core.ring.in_flight();
            lend_until_held(&runtime, &stream).await;
            // These do not fit any more: each is dropped in the middle, at once or when the kernel has seen it.
            for _send in 0..4 {
                stream.lender().try_again();
                let mut send = Box::pin(stream.lend(parts(&runtime, &[MIB, 300]), NEVER));
                assert!(poll_immediate(&mut send).await.is_none());
                drop(send);
                let mut send = Box::pin(stream.lend(parts(&runtime, &[MIB]), NEVER));
                assert!(poll_immediate(&mut send).await.is_none());
                runtime.sleep(Duration::from_millis(5)).await;
                drop(send);
            }
            drop(stream);
            closed.open();
            all_back(&runtime).await;
            assert_eq!(runtime.core.ring.in_flight(), in_flight);
        }
    };
    serve(server, |mut socket, _| {
        gate.wait();
        let _until_closed = socket.read_to_end(&mut Vec::new());
    });
}

#[test]
fn a_late_send_is_a_late_send_and_what_is_lent_stays_bounded() {
    let gate = Gate::default();
    let closed = gate.clone();
    let server = move |runtime: GlommioRuntime, stream: GlommioStream| {
        let closed = closed.clone();
        async move {
            let error = loop {
                stream.lender().try_again();
                let soon = runtime.now().after(Duration::from_millis(50));
                if let Err(error) = stream.lend(parts(&runtime, &[512 << 10, 512 << 10]), soon).await {
                    break error;
                }
                assert!(stream.lender().lent() <= LENT_PER_CONNECTION_BYTES_MAX);
            };
            assert_eq!(error, NetError::TimedOut);
            drop(stream);
            closed.open();
            all_back(&runtime).await;
        }
    };
    serve(server, |mut socket, _| {
        gate.wait();
        let _until_closed = socket.read_to_end(&mut Vec::new());
    });
}

#[test]
fn a_core_ends_while_a_peer_keeps_what_it_was_lent() {
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        lend_until_held(&runtime, &stream).await;
    };
    serve(server, |mut socket, has_ended| {
        has_ended.recv_timeout(Duration::from_secs(20)).expect("the core does not wait for its peers");
        // What the socket has taken is still sent.
        assert_received(&mut socket, 251 << 10);
    });
}

#[test]
fn a_peer_that_left_is_a_closed_connection_also_to_a_lender() {
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        let error = loop {
            stream.lender().try_again();
            if let Err(error) = stream.lend(parts(&runtime, &[64 << 10]), NEVER).await {
                break error;
            }
        };
        assert_eq!(error, NetError::Closed);
        all_back(&runtime).await;
    };
    serve(server, |mut socket, _| socket.write_all(b"x").unwrap());
}
