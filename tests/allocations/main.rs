//! What requests take of the heap: the real server in this process, the load generator beside it, and an allocator
//! that counts what the server's cores ask it for.
//!
//! A program of its own, because the allocator is the whole program's. What one run takes is compared with what a
//! longer one takes, so that connections, the bucket and the first look at each object do not count.
#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use ashlar_disk_format::code::CodeShape;
use ashlar_tools::client::{Credentials, SignStyle};
use ashlar_tools::clock::pause;
use ashlar_tools::command::load::{
    KeyOrder, Limit, LoadOptions, Mix, Operation, PayloadMode, measure, upload,
};
use ashlar_tools::command::pool::{PoolCreateOptions, create};
use ashlar_tools::command::serve::{DemoOptions, Keys, run_demo};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The system's allocator, which counts what the cores of a server take.
struct Counting;

static TAKEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this thread is a core; unknown at first, and while that is found out.
    static IS_CORE: Cell<Option<bool>> = const { Cell::new(None) };
    static IS_ASKING: Cell<bool> = const { Cell::new(false) };
}

fn note() {
    if IS_ASKING.get() {
        return;
    }
    let is_core = IS_CORE.get().unwrap_or_else(|| {
        IS_ASKING.set(true);
        let is_core = std::thread::current().name().is_some_and(|name| name.starts_with("ashlar"));
        IS_ASKING.set(false);
        IS_CORE.set(Some(is_core));
        is_core
    });
    if is_core {
        TAKEN.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from there.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ACCESS_KEY: &str = "allocations";
const SECRET_KEY: &str = "a secret of no worth";
const DEVICE_BYTES: u64 = 768 << 20;
/// Less than any pool has whose devices have 32 GiB or more, so that what it takes to open groups counts too much rather
/// than too little.
const SEGMENT_BYTES: u64 = 8 << 20;
const DEVICES: usize = 6;
const TRIES: u64 = 3;

/// Requests of one kind, counted.
struct Case {
    operation: Operation,
    bytes: u64,
    objects: u64,
    /// Requests of the shorter run, and how many more the longer one sends.
    few: u64,
    more: u64,
    /// Pieces of the heap that all of the latter take at most. To be lowered with what is saved, never raised.
    taken_max: u64,
}

impl Case {
    const fn new(operation: Operation, bytes: u64, taken_max: u64) -> Self {
        Self { operation, bytes, objects: 64, few: 400, more: 2000, taken_max }
    }

    const fn large(operation: Operation, bytes: u64, taken_max: u64) -> Self {
        Self { operation, bytes, objects: 16, few: 40, more: 200, taken_max }
    }
}

/// What the server takes for itself while so many requests run: its clocks, its counters, a checkpoint.
const OWN_MAX: u64 = 40;
/// One core, which owns every key. What PUTs take is not theirs alone: groups are opened, and a checkpoint is made when
/// space runs short.
const ONE_CORE: [Case; 5] = [
    Case::new(Operation::Get, 4 << 10, OWN_MAX),
    Case::new(Operation::Get, 128 << 10, OWN_MAX),
    Case::new(Operation::Put, 4 << 10, 200),
    Case::new(Operation::Put, 128 << 10, 2000),
    Case::large(Operation::Put, 4 << 20, 10_000),
];
/// Two cores: of the keys that come to one, the other owns half.
const TWO_CORES: [Case; 2] =
    [Case::new(Operation::Put, 4 << 10, 1500), Case::new(Operation::Put, 128 << 10, 4000)];

fn options(address: SocketAddr, case: &Case) -> LoadOptions {
    LoadOptions {
        endpoint: format!("http://{address}"),
        ca: None,
        credentials: Credentials { access_key: ACCESS_KEY.to_owned(), secret_key: SECRET_KEY.to_owned() },
        region: "us-east-1".to_owned(),
        bucket: "allocations".to_owned(),
        prefix: format!("{}/", case.bytes),
        mix: Mix::only(case.operation),
        sizes: vec![case.bytes],
        objects: case.objects,
        connections: 4,
        threads: 1,
        limit: Limit::Requests(case.few),
        order: KeyOrder::Usual,
        payload: PayloadMode::Signed,
        sign: SignStyle::Header,
        verify: false,
        prepare: false,
        remove: false,
        seed: 1,
        json: None,
        server_pid: None,
    }
}

/// What so many requests take, with everything around them.
fn taken(options: LoadOptions, requests: u64) -> u64 {
    let before = TAKEN.load(Ordering::Relaxed);
    let report = measure(LoadOptions { limit: Limit::Requests(requests), ..options }).unwrap();
    assert_eq!(report.verdict().map_err(|error| error.to_string()), Ok(()));
    TAKEN.load(Ordering::Relaxed) - before
}

/// What the case takes: the least that a longer run took without the least that a shorter one took. What requests take
/// they take each time; a table that is written out meanwhile comes once, to either.
fn taken_by(address: SocketAddr, case: &Case) -> u64 {
    let options = options(address, case);
    upload(options.clone()).unwrap();
    // Tables grow and caches fill in the first.
    taken(options.clone(), case.few);
    let least = |requests| (0..TRIES).map(|_| taken(options.clone(), requests)).min().unwrap_or_default();
    least(case.few + case.more).saturating_sub(least(case.few))
}

#[expect(clippy::print_stdout, reason = "a test says what it counted")]
fn hold(address: SocketAddr, cores: usize, cases: &[Case]) {
    for case in cases {
        let taken = taken_by(address, case);
        let Case { operation, bytes, more, taken_max, .. } = case;
        println!("{cores} cores, {more} times {operation:?} of {bytes} bytes: {taken} pieces");
        assert!(
            taken <= *taken_max,
            "{cores} cores: {more} times {operation:?} of {bytes} bytes took {taken} pieces of the heap"
        );
    }
}

/// The server, until the process ends.
fn serve(folder: PathBuf, cores: usize) -> SocketAddr {
    let device = |number| folder.join(format!("device-{number}.img"));
    std::fs::create_dir_all(&folder).unwrap();
    create(&PoolCreateOptions {
        name: "allocations".to_owned(),
        shape: CodeShape::parse("4+2").unwrap(),
        devices: (0..DEVICES).map(device).collect(),
        wipe: Vec::new(),
        file_bytes: Some(DEVICE_BYTES),
        segment_bytes: Some(SEGMENT_BYTES),
    })
    .unwrap();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let keys = Keys { access_key: ACCESS_KEY.to_owned(), secret_key: SECRET_KEY.to_owned() };
    let options = DemoOptions {
        folder,
        device_bytes: DEVICE_BYTES,
        listen: address,
        cores: Some(cores),
        memory: 512 << 20,
        keys: Some(keys),
        tls: None,
    };
    std::thread::Builder::new().name("server".to_owned()).spawn(|| run_demo(options).unwrap()).unwrap();
    let is_up = (0..1000).any(|_| {
        pause(Duration::from_millis(100));
        TcpStream::connect(address).is_ok()
    });
    assert!(is_up, "the server listens");
    address
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_warm_read_takes_nothing_and_a_write_little() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("allocations-{}", std::process::id()));
    let folder = Folder(folder);
    let before = TAKEN.load(Ordering::Relaxed);
    let address = serve(folder.0.join("one"), 1);
    assert!(TAKEN.load(Ordering::Relaxed) > before, "an allocator that counts sees a start");
    hold(address, 1, &ONE_CORE);
    hold(serve(folder.0.join("two"), 2), 2, &TWO_CORES);
}
