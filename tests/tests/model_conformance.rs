//! Random histories: the engine answers what the model answers, through checkpoints, restarts and other numbers of
//! cores.
//!
//! `ASHLAR_SEEDS=n` runs n seeds instead of the default; `ASHLAR_SEED=n` runs that one only.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may fail where it stands, and says where it is"
)]

use ashlar_engine::runtime::sim::Loss;
use ashlar_tests::check::compare;
use ashlar_tests::driver::{Driver, questions};
use ashlar_tests::generate::Swarm;
use ashlar_tests::load::settle;
use ashlar_tests::model::{Operation, Store};
use ashlar_tests::rig::{Boot, Rig, SimEngine};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::rc::Rc;

const SEEDS: u64 = 30;
const OPERATIONS: usize = 150;
/// Of the seeds, so many are played with copies too.
const COPY_SEEDS: usize = 10;
/// The least body that copies share.
const SHARED_FROM: u64 = (64 << 10) + 1;
/// What index, checkpoint and extent pages may take beside the bodies.
const OTHER_BYTES: u64 = 64 << 10;

/// What the lives of one history share.
struct History {
    swarm: Swarm,
    copying: bool,
    model: Store,
    driver: Driver,
    random: ChaCha8Rng,
    keys: Vec<Vec<u8>>,
    uploads: u32,
    left: usize,
    done: usize,
}

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("ASHLAR_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("ASHLAR_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

/// Prints the seed when the test that it belongs to fails, so that it stands last as well as first.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("replay with ASHLAR_SEED={}", self.0);
        }
    }
}

#[test]
fn the_engine_answers_as_the_model_does() {
    for seed in seeds() {
        println!("ASHLAR_SEED={seed}");
        let _named = Named(seed);
        run(seed);
    }
}

/// Copies share their bytes: what lives is what the model holds, each body once.
#[test]
fn copies_answer_as_the_model_does_and_take_no_space() {
    for seed in seeds().into_iter().take(COPY_SEEDS) {
        println!("ASHLAR_SEED={seed}");
        let _named = Named(seed);
        play(seed, Swarm::copying(seed, 700_000), true);
    }
}

fn run(seed: u64) {
    play(seed, Swarm::new(seed, 4 << 20), false);
}

fn play(seed: u64, swarm: Swarm, copying: bool) {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x5EED);
    let codes = [("1+0", 1), ("1+1", 2), ("2+1", 3), ("4+2", 6), ("1+2", 4), ("5+1", 7), ("3+2", 5)];
    let (shape, least) = codes[random.random_range(0..codes.len())];
    let rig = Rig::flash(shape, least + random.random_range(0..2), 160 << 20);
    let history = Rc::new(RefCell::new(Some(History {
        swarm,
        copying,
        model: Store::default(),
        driver: Driver::default(),
        random,
        keys: Vec::new(),
        uploads: 0,
        left: OPERATIONS,
        done: 0,
    })));
    let mut lives = 0;
    while history.borrow().as_ref().unwrap().left > 0 {
        lives += 1;
        let cores = [1, 2, 3, 8][history.borrow_mut().as_mut().unwrap().random.random_range(0..4)];
        let boot = Boot { seed: seed * 1000 + lives, cores, loss: Loss::DropAll, ..Boot::default() };
        let shared = Rc::clone(&history);
        let ended = rig.boot(&boot, move |engines| {
            let shared = Rc::clone(&shared);
            async move {
                let mut history = shared.take().unwrap();
                Box::pin(live(&engines, &mut history)).await;
                shared.replace(Some(history));
            }
        });
        let report = ended.assert_finished();
        assert_eq!(report.rows_lost, 0, "nothing was damaged");
    }
}

/// One life: it ends with the history, at random, or with an orderly shutdown.
async fn live(engines: &[SimEngine], history: &mut History) {
    Box::pin(check_all(engines, history)).await;
    while history.left > 0 {
        history.left -= 1;
        history.done += 1;
        let operation = history.swarm.next_operation();
        note(history, &operation);
        let expected = history.model.apply(&operation);
        let engine = &engines[history.random.random_range(0..engines.len())];
        let found = history.driver.apply(engine, &operation).await;
        let found = found.unwrap_or_else(|error| panic!("step {}: {operation:?}: {error}", history.done));
        if let Err(mismatch) = compare(&operation, &expected, &found) {
            panic!("step {}: {operation:?}: {mismatch}", history.done);
        }
        match history.random.random_range(0..60_u32) {
            0..=2 => engines[0].checkpoint().await.unwrap(),
            3 => return,
            4 => {
                Box::pin(check_all(engines, history)).await;
                engines[0].shutdown().await.unwrap();
                return;
            }
            _ => {}
        }
    }
    Box::pin(check_all(engines, history)).await;
}

fn note(history: &mut History, operation: &Operation) {
    if let Operation::CreateUpload { upload, .. } = operation {
        history.uploads = history.uploads.max(upload.0);
    }
    if let Operation::Put { key, .. } | Operation::Delete { key, .. } | Operation::Copy { key, .. } =
        operation
        && !history.keys.contains(key)
    {
        history.keys.push(key.clone());
    }
}

/// Once everything that was begun is over, exactly what the model holds lives.
async fn check_space(engines: &[SimEngine], history: &History) {
    settle(&engines[0]).await;
    let bodies = history.model.body_bytes(SHARED_FROM);
    let live = engines[0].status().unwrap().live_bytes;
    let allowed = bodies..bodies + OTHER_BYTES;
    assert!(allowed.contains(&live), "after {}: {live} bytes live, not in {allowed:?}", history.done);
}

async fn check_all(engines: &[SimEngine], history: &mut History) {
    if history.copying {
        check_space(engines, history).await;
    }
    for operation in questions(&history.model, &history.keys, history.uploads) {
        let expected = history.model.apply(&operation);
        let engine = &engines[history.random.random_range(0..engines.len())];
        let found = history.driver.apply(engine, &operation).await;
        let found =
            found.unwrap_or_else(|error| panic!("check after {}: {operation:?}: {error}", history.done));
        if let Err(mismatch) = compare(&operation, &expected, &found) {
            panic!("check after {}: {operation:?}: {mismatch}", history.done);
        }
    }
}
