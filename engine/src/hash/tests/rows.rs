//! Bodies whose rows are hashed while somebody else sees to them, on the simulator.

use super::gathering::{buffer_of, run};
use super::{bytes, md5_of, sha256_of};
use crate::buffer::BufferSlice;
use crate::hash::{BodyDigests, BodyHasher, Ends, Lanes, LanesServed, RowHash};
use crate::runtime::sim::SimRuntime;
use crate::runtime::{Runtime as _, TaskQueue};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// The bytes of a row in buffers of their own.
fn slices(runtime: &SimRuntime, row: &[u8], piece: usize) -> Vec<BufferSlice> {
    let slice = |bytes: &[u8]| BufferSlice::of(buffer_of(runtime, bytes), 0..bytes.len());
    row.chunks(piece).map(slice).collect()
}

fn md5_at_end(mut digests: BodyDigests) -> [u8; 16] {
    digests.take_alone(b"", Ends { body: true, chunk: false });
    digests.md5()
}

/// Hands a row in after a while, sees to devices for a while, and waits for the hash.
async fn write_row(runtime: SimRuntime, hash: RowHash, row: Vec<BufferSlice>, [before, during]: [u64; 2]) {
    runtime.sleep(Duration::from_micros(before)).await;
    hash.hand_in(row.into_iter());
    let device = runtime.sleep(Duration::from_micros(during));
    futures_util::future::join(device, hash.help(&runtime)).await;
    hash.hashed(&runtime).await;
}

/// Writes all rows of a body at once, and gives its digests when they are written.
async fn hash_in_rows(
    runtime: &SimRuntime,
    lanes: &Lanes,
    body: &[u8],
    (row, piece): (usize, usize),
) -> BodyDigests {
    let hasher = BodyHasher::new(lanes, BodyDigests::new(true, false));
    // As many as a body has in flight.
    for rows in body.chunks(row).collect::<Vec<_>>().chunks(2) {
        let left = Rc::new(Cell::new(rows.len()));
        for (index, row) in rows.iter().enumerate() {
            let (own, left, hash) = (runtime.clone(), Rc::clone(&left), hasher.promise());
            let row = slices(runtime, row, piece);
            let mut random = [0; 3];
            runtime.fill_random(&mut random);
            // The second may be handed in before the first.
            let delays = [u64::from(random[0]) * (2 - index as u64), u64::from(random[1])];
            runtime.spawn(TaskQueue::Foreground, async move {
                write_row(own, hash, row, delays).await;
                left.set(left.get() - 1);
            });
        }
        while left.get() > 0 {
            runtime.sleep(Duration::from_micros(100)).await;
        }
    }
    hasher.finish()
}

#[test]
fn rows_of_many_bodies_are_hashed_in_their_order() {
    for seed in 0..20 {
        run(seed, |runtime, lanes| async move {
            let ended = Rc::new(Cell::new(0));
            for index in 0..24_u64 {
                let (own, lanes, ended) = (runtime.clone(), lanes.clone(), Rc::clone(&ended));
                runtime.spawn(TaskQueue::Foreground, async move {
                    let length = 1 + usize::try_from(index * index * 977 % 60_000).unwrap();
                    let body = bytes(index, length);
                    let cut = (20_000, 1 + usize::try_from(index * 631 % 7000).unwrap());
                    let mut digests = hash_in_rows(&own, &lanes, &body, cut).await;
                    digests.take_alone(b"", Ends { body: true, chunk: false });
                    assert_eq!(digests.md5(), md5_of(&body), "body {index}");
                    assert_eq!(digests.sha256(), Some(sha256_of(&body)), "body {index}");
                    ended.set(ended.get() + 1);
                });
            }
            while ended.get() < 24 {
                runtime.sleep(Duration::from_millis(1)).await;
            }
        });
    }
}

#[test]
fn what_nobody_waits_for_fills_the_lanes_of_those_who_wait() {
    run(1, |runtime, lanes| async move {
        let body = bytes(7, 40_000);
        let hashers: Vec<BodyHasher> =
            (0..8).map(|_| BodyHasher::new(&lanes, BodyDigests::new(false, false))).collect();
        let rows: Vec<RowHash> = hashers.iter().map(BodyHasher::promise).collect();
        for row in &rows[..7] {
            row.hand_in(slices(&runtime, &body, 10_000).into_iter());
            row.help(&runtime).await;
        }
        // One is still to come.
        assert_eq!(lanes.served(), LanesServed::default());
        rows[3].hashed(&runtime).await;
        assert_eq!(lanes.served(), LanesServed { slices: 1, bodies: 7 });
        for (hasher, row) in hashers.into_iter().zip(rows).take(7) {
            row.hashed(&runtime).await;
            assert_eq!(md5_at_end(hasher.finish()), md5_of(&body));
        }
        assert_eq!(lanes.served(), LanesServed { slices: 1, bodies: 7 }, "all were taken at once");
    });
}

#[test]
fn a_body_without_company_is_hashed_before_anyone_waits() {
    run(1, |runtime, lanes| async move {
        let body = bytes(7, 40_000);
        let hasher = BodyHasher::new(&lanes, BodyDigests::new(false, false));
        let row = hasher.promise();
        row.hand_in(slices(&runtime, &body, 10_000).into_iter());
        row.help(&runtime).await;
        assert_eq!(lanes.served(), LanesServed { slices: 1, bodies: 1 });
        assert_eq!(md5_at_end(hasher.finish()), md5_of(&body));
    });
}

#[test]
fn a_row_waits_for_the_one_before_it_without_taking_the_core() {
    run(1, |runtime, lanes| async move {
        let body = bytes(7, 40_000);
        let hasher = BodyHasher::new(&lanes, BodyDigests::new(false, false));
        let (first, second) = (hasher.promise(), hasher.promise());
        second.hand_in(slices(&runtime, &body[25_000..], 9000).into_iter());
        let (own, is_done) = (runtime.clone(), Rc::new(Cell::new(false)));
        let done = Rc::clone(&is_done);
        runtime.spawn(TaskQueue::Foreground, async move {
            second.hashed(&own).await;
            done.set(true);
        });
        runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!(lanes.served(), LanesServed::default(), "there is nothing to lead for");
        first.hand_in(slices(&runtime, &body[..25_000], 9000).into_iter());
        // Nobody waits for the first but who waits for the second.
        runtime.sleep(Duration::from_millis(1)).await;
        assert!(is_done.get());
        assert_eq!(md5_at_end(hasher.finish()), md5_of(&body));
    });
}

#[test]
fn a_row_that_never_comes_keeps_nobody_waiting() {
    run(1, |runtime, lanes| async move {
        let hasher = BodyHasher::new(&lanes, BodyDigests::new(false, false));
        let (first, second, third) = (hasher.promise(), hasher.promise(), hasher.promise());
        second.hand_in(slices(&runtime, &bytes(1, 9000), 4000).into_iter());
        let (own, is_done) = (runtime.clone(), Rc::new(Cell::new(false)));
        let done = Rc::clone(&is_done);
        runtime.spawn(TaskQueue::Foreground, async move {
            second.hashed(&own).await;
            done.set(true);
        });
        runtime.turn().await;
        drop(first);
        runtime.sleep(Duration::from_millis(1)).await;
        assert!(is_done.get());
        // Nor does one behind it, handed in later.
        third.hand_in(slices(&runtime, &bytes(1, 9000), 4000).into_iter());
        third.hashed(&runtime).await;
        assert_eq!(lanes.served(), LanesServed::default());
    });
}

#[test]
fn a_body_that_is_given_up_lets_its_rows_go() {
    run(1, |runtime, lanes| async move {
        let other = BodyHasher::new(&lanes, BodyDigests::new(false, false));
        let hasher = BodyHasher::new(&lanes, BodyDigests::new(false, false));
        let (missing, row) = (hasher.promise(), hasher.promise());
        row.hand_in(slices(&runtime, &bytes(1, 9000), 4000).into_iter());
        let is_done = Rc::new(Cell::new(false));
        let (own, done) = (runtime.clone(), Rc::clone(&is_done));
        runtime.spawn(TaskQueue::Foreground, async move {
            row.hashed(&own).await;
            done.set(true);
        });
        runtime.turn().await;
        let before = runtime.arena().available();
        drop(hasher);
        assert!(runtime.arena().available() > before, "its buffers come home");
        runtime.sleep(Duration::from_millis(1)).await;
        assert!(is_done.get());
        // A row that is handed in later is let go of at once, and the place serves another body.
        missing.hand_in(slices(&runtime, &bytes(1, 9000), 4000).into_iter());
        missing.hashed(&runtime).await;
        drop(missing);
        let row = other.promise();
        row.hand_in(slices(&runtime, b"abc", 3).into_iter());
        row.hashed(&runtime).await;
        assert_eq!(md5_at_end(other.finish()), md5_of(b"abc"));
    });
}
