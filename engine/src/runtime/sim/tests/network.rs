//! Simulated connections: split, delayed, reset, silent.

use super::{NEVER, config, disk};
use crate::buffer::BufferSlice;
use crate::runtime::contract::{
    CoreId, Listener as _, NetError, Runtime as _, SendParts, Stream as _, TaskQueue,
};
use crate::runtime::sim::{LinkPlan, Outcome, Sim, SimConfig, SimRuntime};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

fn address() -> SocketAddr {
    "10.0.0.1:9000".parse().unwrap()
}

/// Echoes every connection until shutdown.
async fn echo(runtime: SimRuntime) {
    let listener = runtime.listen(address()).unwrap();
    let server = runtime.clone();
    let accept = async move {
        while let Ok(stream) = listener.accept().await {
            let runtime = server.clone();
            server.spawn(TaskQueue::Foreground, async move {
                loop {
                    let buffer = runtime.arena().take(8192).await.unwrap();
                    let (count, buffer) = stream.receive(buffer, 100..8192, NEVER).await;
                    let Ok(count @ 1..) = count else { return };
                    let mut parts = SendParts::new();
                    parts.push(BufferSlice::of(buffer, 100..100 + count));
                    if stream.send(parts, NEVER).await.is_err() {
                        return;
                    }
                }
            });
        }
    };
    futures_util::future::select(Box::pin(accept), Box::pin(runtime.shutdown())).await;
}

fn with_client<F: Future<Output = ()> + 'static>(
    config: SimConfig,
    client: impl FnOnce(SimRuntime) -> F,
) -> (Sim, Outcome) {
    let sim = Sim::new(config);
    let control = sim.control();
    sim.client(|runtime| {
        let client = client(runtime);
        async move {
            client.await;
            control.request_shutdown();
        }
    });
    let outcome = sim.run(echo);
    (sim, outcome)
}

#[test]
fn bytes_arrive_whole_and_in_order_however_they_are_split() {
    for seed in 0..10 {
        let sizes = Rc::new(RefCell::new(BTreeSet::new()));
        let seen = Rc::clone(&sizes);
        let (sim, outcome) =
            with_client(SimConfig { cores: 2, ..config(seed, &disk()) }, |runtime| async move {
                let stream = Rc::new(runtime.net().connect(address()).await.unwrap());
                let sent: Vec<u8> =
                    (0..600_000u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect();
                let (sender, bytes) = (Rc::clone(&stream), sent.clone());
                runtime.spawn(TaskQueue::Foreground, async move {
                    sender.send_bytes(&bytes, NEVER).await.unwrap();
                    sender.finish();
                });
                let mut received = Vec::new();
                while received.len() < sent.len() {
                    let piece = stream.receive_bytes(100_000, NEVER).await.unwrap();
                    seen.borrow_mut().insert(piece.len());
                    received.extend(piece);
                }
                assert!(received == sent);
                assert_eq!(stream.receive_bytes(1, NEVER).await, Ok(Vec::new()));
            });
        outcome.assert_finished();
        assert_eq!(sim.leaked_bytes(), 0);
        assert!(sizes.borrow().len() > 10, "pieces differ in size");
        assert!(sizes.borrow().first() < Some(&20), "some are crumbs");
    }
}

#[test]
fn connections_spread_over_the_cores_that_listen() {
    let cores = Rc::new(RefCell::new(BTreeSet::new()));
    let sim = Sim::new(SimConfig { cores: 4, ..config(1, &disk()) });
    let control = sim.control();
    sim.client(|runtime| async move {
        for _ in 0..40 {
            let stream = runtime.net().connect(address()).await.unwrap();
            assert_eq!(stream.peer(), address());
            assert_eq!(stream.receive_bytes(10, NEVER).await, Ok(Vec::new()));
        }
        control.request_shutdown();
    });
    let outcome = sim.run(|runtime| {
        let cores = Rc::clone(&cores);
        async move {
            let listener = runtime.listen(address()).unwrap();
            assert_eq!(listener.address(), address());
            assert!(runtime.listen(address()).is_err());
            let accept = async {
                loop {
                    let stream = listener.accept().await.unwrap();
                    assert_ne!(stream.peer(), address());
                    cores.borrow_mut().insert(runtime.core());
                }
            };
            futures_util::future::select(Box::pin(accept), Box::pin(runtime.shutdown())).await;
        }
    });
    outcome.assert_finished();
    assert_eq!(cores.borrow().len(), 4);
    assert!(!cores.borrow().contains(&CoreId(4)));
}

#[test]
fn a_deadline_ends_a_wait_in_virtual_time() {
    let (_, outcome) = with_client(config(0, &disk()), |runtime| async move {
        let stream = runtime.net().connect(address()).await.unwrap();
        let deadline = runtime.now().after(Duration::from_secs(5));
        assert_eq!(stream.receive_bytes(10, deadline).await, Err(NetError::TimedOut));
        assert!(runtime.now() >= deadline);
        assert!(runtime.now() < deadline.after(Duration::from_millis(1)));
        stream.send_bytes(b"still open", NEVER).await.unwrap();
        assert!(!stream.receive_bytes(10, NEVER).await.unwrap().is_empty());
    });
    outcome.assert_finished();
}

#[test]
fn a_sender_waits_for_a_slow_reader_until_its_deadline() {
    let sim = Sim::new(config(0, &disk()));
    sim.client(|runtime| async move {
        let stream = runtime.net().connect(address()).await.unwrap();
        let deadline = runtime.now().after(Duration::from_secs(1));
        let sent = stream.send_bytes(&vec![0; 1 << 20], deadline).await;
        assert_eq!(sent, Err(NetError::TimedOut));
    });
    let outcome = sim.run(|runtime| async move {
        let listener = runtime.listen(address()).unwrap();
        let _stream = listener.accept().await.unwrap();
        runtime.sleep(Duration::from_secs(10)).await;
    });
    outcome.assert_finished();
}

#[test]
fn what_was_lent_comes_back_when_it_has_arrived() {
    let sim = Sim::new(config(0, &disk()));
    sim.client(|runtime| async move {
        let stream = runtime.net().connect(address()).await.unwrap();
        assert_eq!(stream.receive_all(NEVER).await.unwrap(), vec![7; 8192]);
    });
    let outcome = sim.run(|runtime| async move {
        let listener = runtime.listen(address()).unwrap();
        let stream = listener.accept().await.unwrap();
        let all = runtime.arena().available();
        let part = || {
            let mut buffer = runtime.arena().try_take(4096).unwrap();
            buffer.bytes_mut().fill(7);
            SendParts::from_iter([BufferSlice::of(buffer, 0..4096)])
        };
        stream.send(part(), NEVER).await.unwrap();
        assert_eq!(runtime.arena().available(), all, "a send leaves nothing behind");
        stream.lend(part(), NEVER).await.unwrap();
        assert_eq!(runtime.arena().available(), all - 4096);
        drop(stream);
        assert_eq!(runtime.arena().available(), all - 4096, "closing does not take it back");
        runtime.sleep(Duration::from_millis(5)).await;
        assert_eq!(runtime.arena().available(), all);
    });
    outcome.assert_finished();
    assert_eq!(sim.leaked_bytes(), 0);
}

#[test]
fn a_planned_reset_breaks_the_connection_for_both() {
    let broken = Rc::new(Cell::new(0));
    let sim = Sim::new(config(0, &disk()));
    let seen = Rc::clone(&broken);
    sim.client(|runtime| async move {
        let plan = LinkPlan { reset_after: Some(1000), ..LinkPlan::default() };
        let stream = runtime.net().connect_with(address(), plan).await.unwrap();
        stream.send_bytes(&[7; 2000], NEVER).await.unwrap();
        assert_eq!(stream.receive_bytes(10, NEVER).await, Err(NetError::Closed));
        assert_eq!(stream.send_bytes(&[7; 10], NEVER).await, Err(NetError::Closed));
        seen.set(seen.get() + 1);
    });
    let outcome = sim.run(|runtime| {
        let broken = Rc::clone(&broken);
        async move {
            let listener = runtime.listen(address()).unwrap();
            let stream = listener.accept().await.unwrap();
            let mut total = 0;
            loop {
                match stream.receive_bytes(4096, NEVER).await {
                    Ok(bytes) => total += bytes.len(),
                    Err(error) => break assert_eq!(error, NetError::Closed),
                }
            }
            assert_eq!(total, 1000);
            broken.set(broken.get() + 1);
        }
    });
    outcome.assert_finished();
    assert_eq!(broken.get(), 2);
}

#[test]
fn a_silent_link_stalls_and_a_closed_reader_resets() {
    let (_, outcome) = with_client(config(0, &disk()), |runtime| async move {
        let plan = LinkPlan { silent_after: Some(100), ..LinkPlan::default() };
        let stream = runtime.net().connect_with(address(), plan).await.unwrap();
        stream.send_bytes(&[1; 200], NEVER).await.unwrap();
        let deadline = runtime.now().after(Duration::from_secs(60));
        assert_eq!(stream.receive_all(deadline).await, Err(NetError::TimedOut));
        assert!(runtime.now() >= deadline);
    });
    // The server still waits for the silent peer when it is asked to end; that is not a deadlock.
    outcome.assert_finished();
    let sim = Sim::new(config(0, &disk()));
    sim.client(|runtime| async move {
        let stream = runtime.net().connect(address()).await.unwrap();
        runtime.sleep(Duration::from_millis(5)).await;
        stream.send_bytes(b"to nobody", NEVER).await.unwrap();
        runtime.sleep(Duration::from_millis(5)).await;
        assert_eq!(stream.send_bytes(b"x", NEVER).await, Err(NetError::Closed));
    });
    let outcome = sim.run(|runtime| async move {
        let listener = runtime.listen(address()).unwrap();
        drop(listener.accept().await.unwrap());
        runtime.sleep(Duration::from_millis(20)).await;
    });
    outcome.assert_finished();
}

#[test]
fn some_connections_break_when_the_plan_says_so() {
    let broken = Rc::new(Cell::new(0));
    let link = LinkPlan { reset_one_in: Some(32), ..LinkPlan::default() };
    let seen = Rc::clone(&broken);
    let (_, outcome) = with_client(SimConfig { link, ..config(0, &disk()) }, |runtime| async move {
        for _ in 0..50 {
            let stream = runtime.net().connect(address()).await.unwrap();
            stream.send_bytes(&[1; 64], NEVER).await.unwrap();
            stream.finish();
            match stream.receive_all(NEVER).await {
                Ok(bytes) => assert_eq!(bytes, [1; 64]),
                Err(error) => {
                    assert_eq!(error, NetError::Closed);
                    seen.set(seen.get() + 1);
                }
            }
        }
    });
    outcome.assert_finished();
    assert!((5..45).contains(&broken.get()), "{} of 50 broke", broken.get());
}

#[test]
fn unread_bytes_at_the_close_reset_the_peer_when_the_plan_says_so() {
    let received = |unread_close_resets| {
        let result = Rc::new(RefCell::new(None));
        let link = LinkPlan { unread_close_resets, ..LinkPlan::default() };
        let sim = Sim::new(SimConfig { link, ..config(0, &disk()) });
        let slot = Rc::clone(&result);
        sim.client(|runtime| async move {
            let stream = runtime.net().connect(address()).await.unwrap();
            stream.send_bytes(&[1; 64], NEVER).await.unwrap();
            let received = stream.receive_all(NEVER).await;
            slot.borrow_mut().replace(received);
        });
        let outcome = sim.run(|runtime| async move {
            let listener = runtime.listen(address()).unwrap();
            let stream = listener.accept().await.unwrap();
            runtime.sleep(Duration::from_millis(5)).await;
            drop(stream);
            runtime.sleep(Duration::from_millis(5)).await;
        });
        outcome.assert_finished();
        let received = result.borrow_mut().take();
        received.unwrap()
    };
    assert_eq!(received(false), Ok(Vec::new()));
    assert_eq!(received(true), Err(NetError::Closed));
}

#[test]
fn nobody_listens_is_refused() {
    let sim = Sim::new(config(0, &disk()));
    sim.client(|runtime| async move {
        let refused = runtime.net().connect(address()).await;
        assert_eq!(refused.err(), Some(NetError::Io { errno: 111 }));
    });
    sim.run(|_| async {}).assert_finished();
}

#[test]
fn a_run_with_connections_replays() {
    let trace = |seed| {
        let (sim, outcome) = with_client(config(seed, &disk()), |runtime| async move {
            let stream = runtime.net().connect(address()).await.unwrap();
            stream.send_bytes(&[9; 3000], NEVER).await.unwrap();
            stream.finish();
            assert_eq!(stream.receive_all(NEVER).await.unwrap(), [9; 3000]);
        });
        outcome.assert_finished();
        sim.trace()
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}
