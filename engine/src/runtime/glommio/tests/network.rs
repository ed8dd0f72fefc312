//! Sockets over loopback: echoes, deadlines, closing.

use super::super::super::contract::{
    Listener as _, Monotonic, NetError, Runtime as _, SendParts, Stream as _, TaskQueue,
};
use super::super::limits::ARRIVALS_MAX;
use super::super::{GlommioListener, GlommioRuntime, GlommioStream};
use super::{config, run};
use crate::buffer::BufferSlice;
use futures_util::future::{poll_immediate, select};
use std::cell::Cell;
use std::future::{Future, ready};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const NEVER: Monotonic = Monotonic(u64::MAX);

/// Runs `server` on one connection, and `client` on a thread of its own.
fn serve<S, F>(server: S, client: impl FnOnce(TcpStream) + Send)
where
    S: Fn(GlommioRuntime, GlommioStream) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let (to, from) = mpsc::channel::<SocketAddr>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let socket = TcpStream::connect(from.recv().unwrap()).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            client(socket);
        });
        run(config(1, Vec::new()), move |runtime| {
            let (server, to) = (server.clone(), to.clone());
            async move {
                let listener = runtime.listen("127.0.0.1:0".parse().unwrap()).unwrap();
                to.send(listener.address()).unwrap();
                let stream = listener.accept().await.unwrap();
                assert!(stream.peer().ip().is_loopback());
                server(runtime, stream).await;
            }
        });
    });
}

#[test]
fn readable_holds_no_buffer_and_waits_for_bytes_or_the_end() {
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        let all = runtime.arena().available();
        let soon = runtime.now().after(Duration::from_millis(30));
        assert_eq!(stream.readable(soon).await, Err(NetError::TimedOut));
        send_byte(&runtime, &stream).await;
        assert_eq!(stream.readable(NEVER).await, Ok(()));
        assert_eq!(runtime.arena().available(), all, "nothing is held");
        // As often as asked: nothing was taken.
        assert_eq!(stream.readable(NEVER).await, Ok(()));
        let buffer = runtime.arena().take(4096).await.unwrap();
        let (received, buffer) = stream.receive(buffer, 0..4096, NEVER).await;
        assert_eq!((received, &buffer.bytes()[..5]), (Ok(5), &b"hello"[..]));
        send_byte(&runtime, &stream).await;
        assert_eq!(stream.readable(NEVER).await, Ok(()));
        assert_eq!(stream.receive(buffer, 0..4096, NEVER).await.0, Ok(0));
    };
    serve(server, |mut client| {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        client.write_all(b"hello").unwrap();
        client.read_exact(&mut byte).unwrap();
    });
}

#[test]
fn what_comes_while_a_receive_is_cut_is_kept() {
    const ROUNDS: u8 = 250;
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        let mut buffer = runtime.arena().take(4096).await.unwrap();
        for round in 0..ROUNDS {
            let (result, back) = stream.receive_unless(buffer, 0..4096, NEVER, ready(())).await;
            assert_eq!(result, Err(NetError::TimedOut), "nothing was sent yet");
            buffer = back;
            send_byte(&runtime, &stream).await;
            // The byte comes before, while or after one of these is cut.
            let mut waits = (0..).map(|turn| Duration::from_micros(turn * 7 % 60));
            loop {
                let wait = runtime.sleep(waits.next().unwrap_or_default());
                let (result, back) = stream.receive_unless(buffer, 0..4096, NEVER, wait).await;
                buffer = back;
                match result {
                    Ok(count) => break assert_eq!((count, buffer.bytes()[0]), (1, round)),
                    Err(error) => assert_eq!(error, NetError::TimedOut),
                }
            }
        }
    };
    serve(server, |mut client| {
        client.set_nodelay(true).unwrap();
        for round in 0..ROUNDS {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            client.write_all(&[round]).unwrap();
        }
    });
}

#[test]
fn a_turn_takes_in_what_has_come_by_then() {
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        let received = Rc::new(Cell::new(0));
        let (own, seen) = (runtime.clone(), Rc::clone(&received));
        send_byte(&runtime, &stream).await;
        stream.readable(NEVER).await.unwrap();
        runtime.spawn(TaskQueue::Foreground, async move {
            let buffer = own.arena().take(4096).await.unwrap();
            let (count, _buffer) = stream.receive(buffer, 0..4096, NEVER).await;
            seen.set(count.unwrap());
        });
        runtime.turn().await;
        assert_eq!(received.get(), 5);
    };
    serve(server, |mut client| {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        client.write_all(b"hello").unwrap();
    });
}

async fn send_byte(runtime: &GlommioRuntime, stream: &GlommioStream) {
    let buffer = runtime.arena().take(1).await.unwrap();
    let parts = std::iter::once(BufferSlice::of(buffer, 0..1)).collect();
    stream.send(parts, NEVER).await.unwrap();
}

#[test]
fn bytes_are_echoed() {
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        loop {
            let buffer = runtime.arena().take(16 << 10).await.unwrap();
            let (received, buffer) = stream.receive(buffer, 100..16 << 10, NEVER).await;
            let count = received.unwrap();
            if count == 0 {
                break;
            }
            // In three uneven parts.
            let whole = BufferSlice::of(buffer, 100..100 + count);
            let mut parts = SendParts::new();
            parts.push(whole.part(0..count.div_ceil(3)));
            parts.push(whole.part(count.div_ceil(3)..count.div_ceil(3)));
            parts.push(whole.part(count.div_ceil(3)..count));
            stream.send(parts, NEVER).await.unwrap();
        }
        assert_eq!(runtime.arena().available(), runtime.arena().capacity());
    };
    serve(server, |mut socket| {
        for length in [1, 2, 1000, 10_000] {
            let sent: Vec<u8> = (0..length).map(|index: usize| u8::try_from(index % 251).unwrap()).collect();
            socket.write_all(&sent).unwrap();
            let mut back = vec![0; length];
            socket.read_exact(&mut back).unwrap();
            assert!(back == sent);
        }
    });
}

#[test]
fn a_send_larger_than_any_socket_buffer_goes_whole() {
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        for round in 0..4_u8 {
            let mut parts = SendParts::new();
            for (index, mut buffer) in (0_u8..).zip(runtime.arena().take_many(8, MIB).await.unwrap()) {
                buffer.bytes_mut().fill(round * 8 + index);
                parts.push(BufferSlice::of(buffer, 0..MIB));
            }
            stream.send(parts, NEVER).await.unwrap();
        }
    };
    serve(server, |mut socket| {
        let mut block = vec![0; MIB];
        for expected in 0..32 {
            socket.read_exact(&mut block).unwrap();
            assert!(block.iter().all(|byte| *byte == expected));
        }
        assert_eq!(socket.read(&mut block).unwrap(), 0, "the server closed");
    });
}

#[test]
fn a_deadline_ends_a_receive_and_the_stream_stays_usable() {
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        let mut buffer = runtime.arena().take(4096).await.unwrap();
        for _round in 0..3 {
            let before = runtime.now();
            let deadline = before.after(Duration::from_millis(20));
            let received;
            (received, buffer) = stream.receive(buffer, 0..4096, deadline).await;
            assert_eq!(received, Err(NetError::TimedOut));
            let took = runtime.now().since(before);
            assert!(took >= Duration::from_millis(20), "{took:?}");
            assert!(took < Duration::from_secs(5), "{took:?}");
        }
        // A deadline that has passed already.
        let (received, buffer) = stream.receive(buffer, 0..4096, Monotonic(0)).await;
        assert_eq!(received, Err(NetError::TimedOut));
        let mut parts = SendParts::new();
        parts.push(BufferSlice::of(runtime.arena().take(1).await.unwrap(), 0..1));
        stream.send(parts, NEVER).await.unwrap();
        let (received, buffer) = stream.receive(buffer, 5..4096, NEVER).await;
        assert_eq!(received, Ok(3));
        assert_eq!(&buffer.bytes()[5..8], b"abc");
    };
    serve(server, |mut socket| {
        socket.read_exact(&mut [0]).unwrap();
        socket.write_all(b"abc").unwrap();
    });
}

#[test]
fn a_peer_that_does_not_read_cannot_hold_a_send_for_ever() {
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        let deadline = runtime.now().after(Duration::from_millis(100));
        let sent = loop {
            let buffer = runtime.arena().take(MIB).await.unwrap();
            let mut parts = SendParts::new();
            parts.push(BufferSlice::of(buffer, 0..MIB));
            if let Err(error) = stream.send(parts, deadline).await {
                break error;
            }
        };
        assert_eq!(sent, NetError::TimedOut);
        assert_eq!(runtime.arena().available(), runtime.arena().capacity());
    };
    serve(server, |mut socket| {
        std::thread::park_timeout(Duration::from_millis(300));
        let mut sink = Vec::new();
        let _until_closed = socket.read_to_end(&mut sink);
    });
}

#[test]
fn a_dropped_receive_lets_go_and_the_socket_closes() {
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        let free = runtime.arena().capacity();
        let buffer = runtime.arena().take(4096).await.unwrap();
        let mut receive = Box::pin(stream.receive(buffer, 0..4096, NEVER));
        assert!(poll_immediate(&mut receive).await.is_none());
        runtime.sleep(Duration::from_millis(5)).await;
        drop(receive);
        drop(stream);
        while runtime.arena().available() != free {
            runtime.sleep(Duration::from_millis(1)).await;
        }
        // Stay up until the peer has seen the end.
        runtime.sleep(Duration::from_millis(50)).await;
    };
    serve(server, |mut socket| {
        assert_eq!(socket.read(&mut [0; 16]).unwrap(), 0);
    });
}

#[test]
fn a_peer_that_left_is_a_closed_connection() {
    let server = |runtime: GlommioRuntime, stream: GlommioStream| async move {
        let sent = loop {
            let buffer = runtime.arena().take(4096).await.unwrap();
            let mut parts = SendParts::new();
            parts.push(BufferSlice::of(buffer, 0..4096));
            if let Err(error) = stream.send(parts, NEVER).await {
                break error;
            }
        };
        assert_eq!(sent, NetError::Closed);
    };
    serve(server, drop);
}

#[test]
fn every_core_listens_on_one_address() {
    let (to, from) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let address: SocketAddr = from.recv().unwrap();
            for _connection in 0..50 {
                let mut socket = TcpStream::connect(address).unwrap();
                socket.write_all(b"x").unwrap();
                socket.read_exact(&mut [0]).unwrap();
            }
        });
        let address = Arc::new(std::sync::OnceLock::new());
        let served = Arc::new(std::sync::atomic::AtomicU32::new(0));
        run(config(2, Vec::new()), move |runtime| {
            let (address, served, to) = (address.clone(), served.clone(), to.clone());
            async move {
                use super::super::super::contract::{CoreId, TaskQueue};
                let ordering = Ordering::SeqCst;
                let listener = if runtime.core() == CoreId(0) {
                    let listener = runtime.listen("127.0.0.1:0".parse().unwrap()).unwrap();
                    address.set(listener.address()).unwrap();
                    runtime.notify(CoreId(1));
                    runtime.notified().await;
                    to.send(listener.address()).unwrap();
                    listener
                } else {
                    runtime.notified().await;
                    let listener = runtime.listen(*address.get().unwrap()).unwrap();
                    runtime.notify(CoreId(0));
                    listener
                };
                let other = CoreId(1 - runtime.core().0);
                let own = runtime.clone();
                let counted = served.clone();
                runtime.spawn(TaskQueue::Foreground, async move {
                    while let Ok(stream) = listener.accept().await {
                        let buffer = own.arena().take(1).await.unwrap();
                        let (received, buffer) = stream.receive(buffer, 0..1, NEVER).await;
                        assert_eq!(received, Ok(1));
                        let mut parts = SendParts::new();
                        parts.push(BufferSlice::of(buffer, 0..1));
                        stream.send(parts, NEVER).await.unwrap();
                        counted.fetch_add(1, ordering);
                        own.notify(own.core());
                        own.notify(other);
                    }
                });
                while served.load(ordering) < 50 {
                    runtime.notified().await;
                }
            }
        });
    });
}

/// Runs `server` with a listener, and `client` on a thread of its own with the listener's address.
fn listen<S, F>(server: S, client: impl FnOnce(SocketAddr) + Send)
where
    S: Fn(GlommioRuntime, GlommioListener) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    /// Tells the server when the client fails, for it might wait for more for ever.
    struct Failing(Arc<AtomicBool>);
    impl Drop for Failing {
        fn drop(&mut self) {
            self.0.store(std::thread::panicking(), Ordering::SeqCst);
        }
    }
    let (to, from) = mpsc::channel::<SocketAddr>();
    let has_failed = Arc::new(AtomicBool::new(false));
    let failing = Failing(Arc::clone(&has_failed));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _failing = failing;
            client(from.recv().unwrap());
        });
        run(config(1, Vec::new()), move |runtime| {
            let (server, to, has_failed) = (server.clone(), to.clone(), Arc::clone(&has_failed));
            async move {
                let listener = runtime.listen("127.0.0.1:0".parse().unwrap()).unwrap();
                to.send(listener.address()).unwrap();
                let failed = async {
                    while !has_failed.load(Ordering::SeqCst) {
                        runtime.sleep(Duration::from_millis(50)).await;
                    }
                };
                let served = pin!(server(runtime.clone(), listener));
                // The client's own words are the error.
                select(served, pin!(failed)).await;
            }
        });
    });
}

#[test]
fn who_comes_while_nobody_waits_is_accepted_up_to_a_bound() {
    const MORE: usize = 40;
    /// How many have connected, and whether more may.
    static CONNECTED: AtomicUsize = AtomicUsize::new(0);
    static MAY: AtomicBool = AtomicBool::new(false);
    let server = |runtime: GlommioRuntime, listener: GlommioListener| async move {
        let until = async |is_so: &dyn Fn() -> bool| {
            while !is_so() {
                runtime.sleep(Duration::from_millis(1)).await;
            }
            // Time for what must not happen.
            runtime.sleep(Duration::from_millis(20)).await;
        };
        // Somebody waits once: from then on the kernel accepts.
        assert!(poll_immediate(pin!(listener.accept())).await.is_none());
        until(&|| listener.unclaimed() == ARRIVALS_MAX).await;
        MAY.store(true, Ordering::SeqCst);
        until(&|| CONNECTED.load(Ordering::SeqCst) == ARRIVALS_MAX + MORE).await;
        assert_eq!(listener.unclaimed(), ARRIVALS_MAX, "the kernel keeps who came later");
        let mut streams = Vec::new();
        for _connection in 0..ARRIVALS_MAX + MORE {
            streams.push(listener.accept().await.unwrap());
        }
        assert_eq!(listener.unclaimed(), 0);
        for stream in &streams {
            send_byte(&runtime, stream).await;
        }
        let mut ports: Vec<u16> = streams.iter().map(|stream| stream.peer().port()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), streams.len(), "each was handed out once");
    };
    listen(server, |address| {
        let mut sockets = Vec::new();
        for number in 0..ARRIVALS_MAX + MORE {
            for _millisecond in 0..20_000 {
                if number < ARRIVALS_MAX || MAY.load(Ordering::SeqCst) {
                    break;
                }
                std::thread::park_timeout(Duration::from_millis(1));
            }
            sockets.push(TcpStream::connect(address).unwrap());
            CONNECTED.store(number + 1, Ordering::SeqCst);
        }
        for socket in &mut sockets {
            socket.read_exact(&mut [0]).unwrap();
        }
    });
}

#[test]
fn who_was_not_asked_for_is_let_go_with_the_listener() {
    let seen = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&seen);
    let server = move |runtime: GlommioRuntime, listener: GlommioListener| {
        let seen = Arc::clone(&seen);
        async move {
            assert!(poll_immediate(pin!(listener.accept())).await.is_none());
            while listener.unclaimed() == 0 {
                runtime.sleep(Duration::from_millis(1)).await;
            }
            drop(listener);
            // Nothing but the drop may close it.
            while !seen.load(Ordering::SeqCst) {
                runtime.sleep(Duration::from_millis(1)).await;
            }
        }
    };
    listen(server, |address| {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let ended = socket.read(&mut [0]);
        let refused = TcpStream::connect(address);
        told.store(true, Ordering::SeqCst);
        match ended {
            Ok(count) => assert_eq!(count, 0),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        assert!(refused.is_err(), "nobody listens any more");
    });
}

#[test]
fn two_tasks_that_wait_are_both_served() {
    let server = |runtime: GlommioRuntime, listener: GlommioListener| async move {
        let listener = Rc::new(listener);
        let served = Rc::new(Cell::new(0));
        for _task in 0..2 {
            let (own, listener, served) = (runtime.clone(), Rc::clone(&listener), Rc::clone(&served));
            runtime.spawn(TaskQueue::Foreground, async move {
                let stream = listener.accept().await.unwrap();
                send_byte(&own, &stream).await;
                served.set(served.get() + 1);
            });
        }
        for _millisecond in 0..5000 {
            if served.get() == 2 {
                return;
            }
            runtime.sleep(Duration::from_millis(1)).await;
        }
        panic!("one was not woken");
    };
    listen(server, |address| {
        std::thread::park_timeout(Duration::from_millis(20));
        for _connection in 0..2 {
            // One after the other, so that the second finds who waited longest.
            let mut socket = TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            socket.read_exact(&mut [0]).unwrap();
        }
    });
}

/// Runs in a process of its own, because it takes all descriptors away.
#[test]
#[ignore = "leaves no descriptors for other tests"]
fn descriptors_run_out() {
    let server = |runtime: GlommioRuntime, listener: GlommioListener| async move {
        let first = listener.accept().await.unwrap();
        let mut taken = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            taken.push(file);
        }
        send_byte(&runtime, &first).await;
        let mut second = pin!(listener.accept());
        for _try in 0..12 {
            assert!(poll_immediate(second.as_mut()).await.is_none(), "there is no descriptor to be had");
            runtime.sleep(Duration::from_millis(10)).await;
        }
        drop(taken);
        send_byte(&runtime, &second.await.unwrap()).await;
    };
    listen(server, |address| {
        // Made before the first is there, upon which they run out.
        let second =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None);
        let second = second.unwrap();
        let mut first = TcpStream::connect(address).unwrap();
        first.read_exact(&mut [0]).unwrap();
        rustix::net::connect(&second, &address).unwrap();
        TcpStream::from(second).read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn accepting_goes_on_after_descriptors_ran_out() {
    let this = std::env::current_exe().unwrap();
    // Few of them, so that they are soon taken.
    let limited = "ulimit -n 256 && exec \"$0\" --ignored --exact \"$1\"";
    let ended = std::process::Command::new("sh")
        .args(["-c", limited])
        .arg(this)
        .arg("runtime::glommio::tests::network::descriptors_run_out")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
}

const MIB: usize = 1 << 20;
