//! The power goes at every write of a short history and at random moments of long ones; afterwards every
//! acknowledged change is there, and of the others each is there wholly or not at all.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may fail where it stands, and says where it is"
)]

use ashlar_engine::runtime::sim::{CutAt, DiskSnapshot, FaultPlan, Loss, Outcome};
use ashlar_tests::check::compare;
use ashlar_tests::driver::{Driver, questions};
use ashlar_tests::load::{Habits, Work, settle};
use ashlar_tests::model::{Condition, Content, Operation, Store, UploadName};
use ashlar_tests::rig::{Boot, Rig, SimEngine};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::rc::Rc;

const LOSSES: [Loss; 6] =
    [Loss::DropAll, Loss::KeepAll, Loss::Random, Loss::Torn, Loss::Prefix, Loss::Process];

/// What an empty store may still hold: its index and its last checkpoint.
const EMPTY_BYTES: u64 = 64 << 10;

/// The least body that copies share.
const SHARED_FROM: u64 = (64 << 10) + 1;

/// A step of a history.
#[derive(Clone)]
enum Step {
    Do(Operation),
    Checkpoint,
}

fn put(key: &str, seed: u64, length: u64) -> Step {
    Step::Do(Operation::Put {
        bucket: "one".into(),
        key: key.into(),
        content: Content { seed, length },
        metadata: seed,
        condition: Condition::NONE,
    })
}

/// Everything that changes something, small and large, in few writes.
fn short() -> Vec<Step> {
    let bucket = || "one".to_owned();
    let upload = UploadName;
    let begin = |number, key: &str| {
        Step::Do(Operation::CreateUpload {
            bucket: bucket(),
            key: key.into(),
            upload: upload(number),
            metadata: 77,
        })
    };
    let part = |number, part, seed, length| {
        let content = Content { seed, length };
        Step::Do(Operation::PutPart { upload: upload(number), number: part, content })
    };
    let delete = |key: &str| {
        Step::Do(Operation::Delete { bucket: bucket(), key: key.into(), condition: Condition::NONE })
    };
    vec![
        Step::Do(Operation::CreateBucket { bucket: bucket() }),
        put("small", 1, 3000),
        put("large", 2, 300_000),
        Step::Checkpoint,
        put("small", 4, 9000),
        put("large", 5, 150_000),
        Step::Do(Operation::Copy {
            source: (bucket(), b"large".to_vec()),
            bucket: bucket(),
            key: b"copy".to_vec(),
            condition: Condition::NONE,
        }),
        begin(1, "made"),
        part(1, 1, 7, 200_000),
        part(1, 2, 8, 100),
        part(1, 1, 10, 80_000),
        begin(2, "dropped"),
        part(2, 1, 11, 90_000),
        Step::Do(Operation::Complete {
            upload: upload(1),
            parts: vec![1, 2],
            wrong_part: false,
            condition: Condition::NONE,
        }),
        Step::Do(Operation::Abort { upload: upload(2) }),
        delete("small"),
        Step::Checkpoint,
        delete("large"),
        put("large", 13, 70_000),
        Step::Do(Operation::CreateBucket { bucket: "two".into() }),
        Step::Do(Operation::DeleteBucket { bucket: "two".into() }),
    ]
}

/// Copies, and everything that may happen to sources and targets. No body is put twice.
fn copying() -> Vec<Step> {
    let copy = |source: &str, key: &str, condition| {
        Step::Do(Operation::Copy {
            source: ("one".into(), source.into()),
            bucket: "one".into(),
            key: key.into(),
            condition,
        })
    };
    let delete = |key: &str| {
        Step::Do(Operation::Delete { bucket: "one".into(), key: key.into(), condition: Condition::NONE })
    };
    let part = |part, seed, length| {
        let content = Content { seed, length };
        Step::Do(Operation::PutPart { upload: UploadName(1), number: part, content })
    };
    vec![
        Step::Do(Operation::CreateBucket { bucket: "one".into() }),
        put("large", 1, 150_000),
        copy("large", "copy", Condition::NONE),
        copy("copy", "again", Condition::NONE),
        Step::Checkpoint,
        put("small", 2, 70_000),
        copy("large", "small", Condition::NONE),
        copy("large", "small", Condition::ABSENT),
        delete("large"),
        copy("again", "again", Condition::NONE),
        put("copy", 3, 90_000),
        copy("copy", "large", Condition::NONE),
        Step::Do(Operation::CreateUpload {
            bucket: "one".into(),
            key: b"made".to_vec(),
            upload: UploadName(1),
            metadata: 77,
        }),
        part(1, 7, 80_000),
        part(2, 8, 100),
        Step::Do(Operation::Complete {
            upload: UploadName(1),
            parts: vec![1, 2],
            wrong_part: false,
            condition: Condition::NONE,
        }),
        copy("made", "small", Condition::NONE),
        Step::Checkpoint,
        delete("copy"),
        copy("made", "made", Condition::NONE),
        delete("again"),
        // Over those that share, the last of them too: what is replaced stays until it is.
        put("small", 9, 1000),
        put("made", 10, 2000),
    ]
}

/// What a client of an interrupted history knows.
#[derive(Clone, Default)]
struct Progress {
    /// With everything acknowledged.
    before: Store,
    /// And with what was asked for and not answered.
    after: Store,
    driver: Driver,
}

type Shared = Rc<RefCell<Progress>>;

/// One life: the history, or as much of it as the power allows.
#[expect(clippy::await_holding_refcell_ref, reason = "the driver is used by this task only")]
async fn play(engines: Vec<SimEngine>, steps: Vec<Step>, progress: Shared, driver: Rc<RefCell<Driver>>) {
    for (step, engine) in steps.into_iter().zip(engines.iter().cycle()) {
        let operation = match step {
            Step::Checkpoint => {
                engines[0].checkpoint().await.unwrap();
                continue;
            }
            Step::Do(operation) => operation,
        };
        let expected = progress.borrow_mut().after.apply(&operation);
        let found = driver.borrow_mut().apply(engine, &operation).await;
        let found = found.unwrap_or_else(|error| panic!("{operation:?}: {error}"));
        compare(&operation, &expected, &found).unwrap_or_else(|error| panic!("{operation:?}: {error}"));
        let mut progress = progress.borrow_mut();
        progress.before = progress.after.clone();
        progress.driver = driver.borrow().clone();
    }
}

/// The store as a whole is one of the two that it may be. Returns which.
async fn check(engines: &[SimEngine], progress: &Shared, driver: &Rc<RefCell<Driver>>) -> Store {
    let Progress { before, after, .. } = progress.borrow().clone();
    let mut first = None;
    for mut model in [before, after] {
        match Box::pin(differs(engines, &mut model, driver)).await {
            None => return model,
            Some(difference) => first = first.or(Some(difference)),
        }
    }
    panic!("neither without nor with the unanswered change: {}", first.unwrap_or_default());
}

#[expect(clippy::await_holding_refcell_ref, reason = "the driver is used by this task only")]
async fn differs(engines: &[SimEngine], model: &mut Store, driver: &Rc<RefCell<Driver>>) -> Option<String> {
    let keys = ["small", "large", "copy", "again", "made", "dropped"].map(|key| key.as_bytes().to_vec());
    for (operation, engine) in questions(model, &keys, 2).into_iter().zip(engines.iter().cycle()) {
        let expected = model.apply(&operation);
        let found = match driver.borrow_mut().apply(engine, &operation).await {
            Ok(found) => found,
            Err(error) => return Some(format!("{operation:?}: {error}")),
        };
        if let Err(mismatch) = compare(&operation, &expected, &found) {
            return Some(format!("{operation:?}: {mismatch}"));
        }
    }
    None
}

/// Once what the crash left is cleared up, exactly the bytes of the model live: shared ones once.
async fn space(engines: &[SimEngine], model: &Store) {
    settle(&engines[0]).await;
    let bodies = model.body_bytes(SHARED_FROM);
    let live = engines[0].status().unwrap().live_bytes;
    let allowed = bodies..bodies + EMPTY_BYTES;
    assert!(allowed.contains(&live), "{live} bytes live, not in {allowed:?}");
}

/// Empties the store and sees that the ledger of live bytes says so.
async fn drain(engines: &[SimEngine], model: &Store) {
    let engine = &engines[0];
    for bucket in ["one", "two"] {
        let Some(known) = engine.bucket(bucket) else { continue };
        for key in model.keys(bucket) {
            assert_eq!(
                engine.delete(&known, key, ashlar_engine::types::Condition::default()).await,
                Ok(true)
            );
        }
        engine.delete_bucket(bucket).await.unwrap();
    }
    settle(engine).await;
    let status = engine.status().unwrap();
    assert!(status.live_bytes < EMPTY_BYTES, "{} bytes live in an empty store", status.live_bytes);
}

fn snapshot(rig: &Rig) -> Vec<DiskSnapshot> {
    rig.disks.iter().map(|disk| disk.snapshot()).collect()
}

fn restore(rig: &Rig, snapshots: &[DiskSnapshot]) {
    rig.disks.iter().zip(snapshots).for_each(|(disk, snapshot)| disk.restore(snapshot));
}

/// The history with a cut; what its client knows.
fn interrupted(rig: &Rig, boot: &Boot, steps: &[Step]) -> (Shared, Rc<RefCell<Driver>>, u64, Outcome) {
    let (progress, driver) = (Shared::default(), Rc::<RefCell<Driver>>::default());
    let (shared, own) = (Rc::clone(&progress), Rc::clone(&driver));
    let steps = steps.to_vec();
    let ended =
        rig.boot(boot, move |engines| play(engines, steps.clone(), Rc::clone(&shared), Rc::clone(&own)));
    (progress, driver, ended.writes, ended.outcome)
}

/// A life after a cut: the state is right, the store works, and can be emptied.
fn recovered(rig: &Rig, boot: &Boot, progress: &Shared, driver: &Rc<RefCell<Driver>>, what: &str) {
    let (shared, own) = (Rc::clone(progress), Rc::clone(driver));
    let ended = rig.boot(boot, move |engines| {
        let (shared, own) = (Rc::clone(&shared), Rc::clone(&own));
        async move {
            let model = Box::pin(check(&engines, &shared, &own)).await;
            space(&engines, &model).await;
            drain(&engines, &model).await;
        }
    });
    assert_eq!(ended.outcome, Outcome::Finished, "{what}");
    assert_eq!(ended.error, None, "{what}");
    assert_eq!(ended.report.map(|report| report.rows_lost), Some(0), "{what}: only what rots is lost");
}

/// Cuts at every write, inside and behind it, of the short history, every `stride`-th of them.
fn every_write(steps: &[Step], shape: &str, disks: usize, cores: u16, stride: usize) {
    let rig = Rig::flash(shape, disks, 64 << 20);
    let fresh = snapshot(&rig);
    let seed = u64::from(cores);
    let (.., writes, outcome) = interrupted(&rig, &Boot { cores, seed, ..Boot::default() }, steps);
    assert_eq!(outcome, Outcome::Finished);
    let mut moments = 0;
    for (number, position) in (1..=writes).zip(0_usize..).step_by(stride) {
        for (cut, turn) in [(CutAt::Write(number), 0), (CutAt::InsideWrite(number), 1)] {
            restore(&rig, &fresh);
            let loss = LOSSES[(position + turn) % LOSSES.len()];
            let what = format!("{shape} on {cores} cores, {cut:?}, {loss:?}");
            let boot = Boot { cores, seed, cut: Some(cut), loss, ..Boot::default() };
            let (progress, driver, _, outcome) = interrupted(&rig, &boot, steps);
            assert!(matches!(outcome, Outcome::PowerCut { .. }), "{what}: {outcome:?}");
            // As many cores, more, or fewer.
            let next = [cores, cores + 2, 1][position % 3];
            let boot = Boot { cores: next, seed: seed + 1, ..Boot::default() };
            recovered(&rig, &boot, &progress, &driver, &what);
            moments += 1;
        }
    }
    println!("{shape} on {cores} cores: {moments} cuts in {writes} writes");
}

#[test]
fn a_cut_at_every_write_with_one_core() {
    every_write(&short(), "2+1", 3, 1, 1);
}

#[test]
fn a_cut_at_every_write_with_two_cores() {
    every_write(&short(), "1+1", 3, 2, 1);
}

#[test]
fn a_cut_at_many_writes_of_a_wide_code() {
    every_write(&short(), "4+2", 6, 2, 5);
}

#[test]
fn a_cut_at_every_write_of_copies() {
    every_write(&copying(), "1+1", 2, 2, 1);
}

#[test]
fn a_cut_at_many_writes_of_copies_among_many_cores() {
    every_write(&copying(), "2+1", 4, 7, 3);
}

/// The power goes in the history, again while the store recovers, and devices are missing in the end.
#[test]
fn a_cut_during_recovery_after_a_cut() {
    let rig = Rig::flash("2+2", 5, 64 << 20);
    let fresh = snapshot(&rig);
    let steps = [short(), copying()];
    let (.., writes, _) = interrupted(&rig, &Boot { seed: 9, ..Boot::default() }, &steps[0]);
    let mut random = ChaCha8Rng::seed_from_u64(4);
    for round in 0..60_u64 {
        restore(&rig, &fresh);
        let loss = LOSSES[random.random_range(0..LOSSES.len())];
        let cut = Some(CutAt::InsideWrite(random.random_range(1..=writes)));
        let boot = Boot { seed: 9, cut, loss, ..Boot::default() };
        let (progress, driver, ..) = interrupted(&rig, &boot, &steps[usize::from(round % 2 == 1)]);
        let mut what = format!("round {round}: {cut:?} {loss:?}");
        for again in 0..3 {
            let cut = Some(CutAt::InsideWrite(random.random_range(1..60)));
            let cores = random.random_range(1..4);
            let boot = Boot { cores, seed: round * 10 + again, cut, loss, ..Boot::default() };
            let ended = rig.boot(&boot, |_| async {});
            what = format!("{what}, then {cut:?} on {cores} cores");
            let expected = matches!(ended.outcome, Outcome::PowerCut { .. } | Outcome::Finished);
            assert!(expected && ended.error.is_none(), "{what}: {ended:?}");
        }
        let first = random.random_range(0..5);
        let second = (first + random.random_range(1..5)) % 5;
        let unplugged = [vec![], vec![first], vec![first, second]][random.random_range(0..3)].clone();
        what = format!("{what}, without {unplugged:?}");
        recovered(&rig, &Boot { seed: round, unplugged, ..Boot::default() }, &progress, &driver, &what);
    }
}

/// The one put of a life that may be cut off, by a client that remembers it.
fn put_once(rig: &Rig, cut: Option<CutAt>, loss: Loss) -> (Work, u64) {
    let work = Work::new();
    let own = work.clone();
    let boot = Boot { seed: 3, cores: 1, cut, loss, ..Boot::default() };
    let ended = rig.boot(&boot, move |engines| {
        let work = own.clone();
        async move {
            work.bucket(&engines[0]).await;
            work.put(&engines[0], b"key", Content { seed: 1, length: 3000 }).await;
        }
    });
    (work, ended.writes)
}

fn verified(rig: &Rig, work: &Work, boot: &Boot) {
    let own = work.clone();
    let ended = rig.boot(boot, move |engines| {
        let work = own.clone();
        async move {
            work.verify(&engines).await;
        }
    });
    ended.assert_finished();
}

/// A row that was cut short is there or not there once somebody has looked: another recovery, with other devices to
/// read from, must not decide anew.
#[test]
fn what_a_recovery_decided_stays() {
    let rig = Rig::flash("2+1", 3, 64 << 20);
    rig.boot(&Boot::default(), |engines| async move {
        Work::new().bucket(&engines[0]).await;
    })
    .assert_finished();
    let before = snapshot(&rig);
    let (_, writes) = put_once(&rig, None, Loss::DropAll);
    let segments = (1 << 20)..(63 << 20);
    for number in writes - 5..=writes {
        for (cut, loss) in [(CutAt::Write(number), Loss::DropAll), (CutAt::InsideWrite(number), Loss::Random)]
        {
            for deaf in [None, Some(0), Some(1), Some(2)] {
                restore(&rig, &before);
                let (work, _) = put_once(&rig, Some(cut), loss);
                // One device does not tell what it holds while the first recovery looks.
                let plan = FaultPlan::default().unreadable_at(segments.clone());
                deaf.into_iter().for_each(|disk: usize| rig.disks[disk].set_faults(plan.clone()));
                verified(&rig, &work, &Boot { seed: 4, cores: 1, ..Boot::default() });
                rig.disks.iter().for_each(|disk| disk.set_faults(FaultPlan::default()));
                let decided = snapshot(&rig);
                for away in 0..3 {
                    restore(&rig, &decided);
                    // What could not be read before may be missing already.
                    let unplugged = if deaf.is_none() { vec![away] } else { Vec::new() };
                    verified(&rig, &work, &Boot { seed: 5, cores: 1, unplugged, ..Boot::default() });
                }
            }
        }
    }
}

fn busy() -> Habits {
    Habits { operations: 30, ..Habits::default() }
}

/// Many lives of one pool, each cut off under the load of several clients.
fn many_lives(seed: u64, shape: &str, disks: usize, lives: u64, missing_max: usize, habits: Habits) {
    let rig = Rig::flash(shape, disks, 160 << 20);
    let work = Work::new();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for life in 0..lives {
        let cores = [1, 2, 3, 8][random.random_range(0..4)];
        let loss = LOSSES[random.random_range(0..LOSSES.len())];
        let number = random.random_range(1..500);
        let cut =
            Some(if random.random_bool(0.5) { CutAt::Write(number) } else { CutAt::InsideWrite(number) });
        let mut unplugged: Vec<usize> = (0..disks).collect();
        while unplugged.len() > random.random_range(0..=missing_max) {
            unplugged.swap_remove(random.random_range(0..unplugged.len()));
        }
        let what =
            format!("seed {seed} life {life}: {cores} cores, {cut:?}, {loss:?}, without {unplugged:?}");
        let boot = Boot { seed: seed * 100 + life, cores, loss, cut, unplugged, ..Boot::default() };
        let own = work.clone();
        let ended = rig.boot(&boot, move |engines| {
            let work = own.clone();
            async move {
                work.bucket(&engines[0]).await;
                work.verify(&engines).await;
                let pause = engines[0].checkpoint();
                let load = work.run(&engines, seed * 100 + life, 4, habits);
                let (made, ()) = futures_util::future::join(pause, load).await;
                assert_eq!(made, Ok(()));
                assert_eq!(work.take_failures(), vec![], "with enough devices nothing fails");
                work.verify(&engines).await;
            }
        });
        let expected = matches!(ended.outcome, Outcome::PowerCut { .. } | Outcome::Finished);
        assert!(expected && ended.error.is_none(), "{what}: {:?} {:?}", ended.outcome, ended.error);
    }
    let own = work.clone();
    let ended = rig.boot(&Boot { seed, ..Boot::default() }, move |engines| {
        let work = own.clone();
        async move {
            work.verify(&engines).await;
            work.empty(&engines[0]).await;
            settle(&engines[0]).await;
            let status = engines[0].status().unwrap();
            assert!(status.live_bytes < EMPTY_BYTES, "{} bytes live in an empty store", status.live_bytes);
            let open = status.capacity_bytes - status.free_bytes;
            assert!(open * 4 < status.capacity_bytes, "{open} of {} bytes stay taken", status.capacity_bytes);
        }
    });
    ended.assert_finished();
    assert!(work.acknowledged() > 50, "the clients got something done: {}", work.acknowledged());
}

#[test]
fn many_lives_of_one_pool() {
    many_lives(1, "2+1", 4, 25, 0, busy());
    many_lives(2, "1+1", 2, 25, 0, busy());
}

#[test]
fn many_lives_with_devices_missing() {
    many_lives(3, "2+2", 5, 25, 2, busy());
    many_lives(4, "4+2", 6, 20, 2, busy());
}

#[test]
fn many_lives_that_copy() {
    let habits = Habits { operations: 30, keys: 8, copies: 5, deletes: 2, size_max: 300_000 };
    many_lives(5, "2+1", 4, 20, 0, habits);
    many_lives(6, "1+1", 2, 20, 0, habits);
    many_lives(7, "2+2", 5, 15, 2, habits);
}
