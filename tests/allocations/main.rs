//! What requests take of the heap: the real server in this process, the load generator beside it, and an allocator
//! that counts what the server's cores ask it for.
//!
//! A program of its own, because the allocator is the whole program's. What one run takes is compared with what a
//! longer one takes, so that connections, the bucket and the first look at each object do not count.
#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use ashlar_tools::client::{Credentials, SignStyle};
use ashlar_tools::clock::pause;
use ashlar_tools::command::load::{
    KeyOrder, Limit, LoadOptions, Mix, Operation, PayloadMode, measure, upload,
};
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
const DEVICE_BYTES: u64 = 256 << 20;
/// Requests of the shorter run, and how many more the longer one sends.
const FEW: u64 = 400;
const MORE: u64 = 2000;
const OBJECTS: u64 = 64;
const TRIES: u64 = 3;

/// What the server takes for itself while so many requests run: its clocks, its counters, a checkpoint.
const OWN_MAX: u64 = 40;
/// What a PUT takes at most, by bytes. To be lowered with what is saved, never raised. Of 4 KiB only what several have in
/// common: the list of a row's buffers, and opening groups of the log, which in a pool as small as this one are full
/// soon. Of 128 KiB besides a task and lists for the row of its own.
const PUT_MAX: [(u64, u64); 2] = [(4 << 10, 2), (128 << 10, 22)];

fn options(address: SocketAddr, operation: Operation, bytes: u64, requests: u64) -> LoadOptions {
    LoadOptions {
        endpoint: format!("http://{address}"),
        ca: None,
        credentials: Credentials { access_key: ACCESS_KEY.to_owned(), secret_key: SECRET_KEY.to_owned() },
        region: "us-east-1".to_owned(),
        bucket: "allocations".to_owned(),
        prefix: format!("{bytes}/"),
        mix: Mix::only(operation),
        sizes: vec![bytes],
        objects: OBJECTS,
        connections: 4,
        threads: 1,
        limit: Limit::Requests(requests),
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

/// What [`MORE`] requests take: the least that a longer run took without the least that a shorter one took. What requests
/// take they take each time; a table that is written out meanwhile comes once, to either.
fn taken_by_more(options: &LoadOptions) -> u64 {
    upload(options.clone()).unwrap();
    // Tables grow and caches fill in the first.
    taken(options.clone(), FEW);
    let least = |requests| (0..TRIES).map(|_| taken(options.clone(), requests)).min().unwrap_or_default();
    least(FEW + MORE).saturating_sub(least(FEW))
}

/// The server, until the process ends.
fn serve(folder: PathBuf) -> SocketAddr {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let keys = Keys { access_key: ACCESS_KEY.to_owned(), secret_key: SECRET_KEY.to_owned() };
    let options = DemoOptions {
        folder,
        device_bytes: DEVICE_BYTES,
        listen: address,
        cores: Some(1),
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
    let address = serve(folder.0.clone());
    for bytes in [4 << 10, 128 << 10] {
        let reads = taken_by_more(&options(address, Operation::Get, bytes, FEW));
        println!("{MORE} reads of {bytes} bytes: {reads} allocations");
        assert!(reads <= OWN_MAX, "{MORE} warm reads of {bytes} bytes took {reads} pieces of the heap");
    }
    for (bytes, most) in PUT_MAX {
        let writes = taken_by_more(&options(address, Operation::Put, bytes, FEW));
        println!("{MORE} writes of {bytes} bytes: {writes} allocations");
        assert!(writes > 0, "an allocator that counts sees writes");
        assert!(writes <= most * MORE, "{MORE} writes of {bytes} bytes took {writes} pieces of the heap");
    }
}
