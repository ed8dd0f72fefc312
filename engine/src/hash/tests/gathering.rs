//! Bodies that meet in the lanes, on the simulator.

use super::{bytes, md5_of, sha256_of};
use crate::buffer::Buffer;
use crate::hash::{BodyDigests, Ends, Lanes, LanesServed};
use crate::limits::HASH_SLICE_BLOCKS;
use crate::runtime::sim::{Sim, SimConfig, SimDisk, SimRuntime};
use crate::runtime::{Runtime as _, TaskQueue};
use futures_util::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

pub(super) fn run<F: Future<Output = ()> + 'static>(seed: u64, work: impl Fn(SimRuntime, Lanes) -> F) {
    let sim = Sim::new(SimConfig {
        seed,
        disks: vec![SimDisk::flash("disk0", 1 << 30)],
        arena_bytes: 8 << 20,
        ..SimConfig::default()
    });
    let is_finished = Rc::new(Cell::new(false));
    let outcome = sim.run(|runtime| {
        let work = work(runtime, Lanes::new());
        let is_finished = Rc::clone(&is_finished);
        async move {
            work.await;
            is_finished.set(true);
        }
    });
    outcome.assert_finished();
    assert!(is_finished.get());
    assert_eq!(sim.leaked_bytes(), 0);
}

pub(super) fn buffer_of(runtime: &SimRuntime, bytes: &[u8]) -> Buffer {
    let mut buffer = runtime.arena().try_take(bytes.len().max(1)).unwrap();
    buffer.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    buffer
}

/// Hashes a body in pieces of `piece` bytes; gives the digests when its last piece is taken.
async fn hash_body(
    runtime: &SimRuntime,
    lanes: &Lanes,
    body: &[u8],
    piece: usize,
    chunked: bool,
) -> BodyDigests {
    let mut digests = BodyDigests::new(!chunked, chunked);
    let mut start = 0;
    loop {
        let end = body.len().min(start + piece);
        let buffer = buffer_of(runtime, &body[start..end]);
        let ends = Ends { body: end == body.len(), chunk: chunked };
        (_, digests) = lanes.take(runtime, (buffer, 0..end - start), digests, ends).await;
        if chunked {
            assert_eq!(digests.next_chunk(), Some(sha256_of(&body[start..end])));
        }
        start = end;
        if ends.body {
            return digests;
        }
    }
}

/// A core's tasks, each with a body of its own, and how many of them have ended.
async fn in_parallel(runtime: &SimRuntime, lanes: &Lanes, shapes: &[(usize, usize)]) {
    let ended = Rc::new(Cell::new(0));
    for (index, (length, piece)) in shapes.iter().copied().enumerate() {
        let (own, lanes, ended) = (runtime.clone(), lanes.clone(), Rc::clone(&ended));
        runtime.spawn(TaskQueue::Foreground, async move {
            let body = bytes(index as u64, length);
            let chunked = index % 3 == 0;
            let digests = hash_body(&own, &lanes, &body, piece, chunked).await;
            assert_eq!(digests.md5(), md5_of(&body), "body {index}");
            assert_eq!(digests.sha256(), (!chunked).then(|| sha256_of(&body)), "body {index}");
            ended.set(ended.get() + 1);
        });
    }
    while ended.get() < shapes.len() {
        runtime.turn().await;
    }
}

#[test]
fn bodies_of_all_lengths_and_cuts_get_their_own_hashes() {
    for seed in 0..20 {
        run(seed, |runtime, lanes| async move {
            let shapes: Vec<(usize, usize)> =
                (0..40).map(|index| (index * index * 7 % 9000, 1 + index * 97 % 3000)).collect();
            in_parallel(&runtime, &lanes, &shapes).await;
            let LanesServed { slices, bodies } = lanes.served();
            assert!(bodies > slices, "{bodies} bodies in {slices} slices");
        });
    }
}

#[test]
fn those_who_come_in_one_turn_are_hashed_together() {
    run(1, |runtime, lanes| async move {
        in_parallel(&runtime, &lanes, &[(4096, 4096); 16]).await;
        let LanesServed { slices, bodies } = lanes.served();
        assert_eq!(bodies, 16);
        assert!(slices <= 2, "{slices} slices");
    });
}

#[test]
fn one_alone_waits_for_nobody_and_yields_between_slices() {
    run(1, |runtime, lanes| async move {
        let before = runtime.now();
        let blocks = 3 * HASH_SLICE_BLOCKS;
        in_parallel(&runtime, &lanes, &[(blocks * 64, blocks * 64)]).await;
        // The simulator's clock goes on by a little with each turn, and by more only if someone sleeps.
        assert!(runtime.now().since(before) < Duration::from_micros(50));
        // The length takes a block of its own.
        assert_eq!(lanes.served(), LanesServed { slices: 4, bodies: 4 });
    });
}

#[test]
fn a_body_that_is_given_up_takes_its_buffer_away_and_stops_nobody() {
    for seed in 0..20 {
        run(seed, |runtime, lanes| async move {
            let ended = Rc::new(RefCell::new(Vec::new()));
            for index in 0..8_u64 {
                let (own, lanes, ended) = (runtime.clone(), lanes.clone(), Rc::clone(&ended));
                runtime.spawn(TaskQueue::Foreground, async move {
                    let body = bytes(index, 300_000);
                    let hashing = pin!(hash_body(&own, &lanes, &body, 100_000, false));
                    // Some give up after as many turns, whether they lead or wait.
                    let patience = pin!(async {
                        for _ in 0..index {
                            own.turn().await;
                        }
                        if index % 2 == 0 {
                            own.sleep(Duration::from_secs(1)).await;
                        }
                    });
                    let digest = match select(hashing, patience).await {
                        Either::Left((digests, _)) => Some(digests.md5()),
                        Either::Right(_) => None,
                    };
                    assert!(digest.is_none_or(|digest| digest == md5_of(&body)));
                    assert!(digest.is_some() || index % 2 == 1, "the patient get their hash");
                    ended.borrow_mut().push(index);
                });
            }
            while ended.borrow().len() < 8 {
                runtime.sleep(Duration::from_millis(1)).await;
            }
        });
    }
}
