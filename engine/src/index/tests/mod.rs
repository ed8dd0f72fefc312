//! The index as a whole, over pages in memory.

mod behaviour;
mod damage;
mod model;

use super::{Index, IndexOptions, PageStore};
use crate::buffer::{Arena, BufferSlice, Region};
use crate::cache::BlockCache;
use crate::error::EngineError;
use ashlar_disk_format::constants::VIRTUAL_SHARDS;
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::units::{Generation, GroupId, Height, RowOffset, VirtualShard};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Bound;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Pages in memory, each in a chunk place of its own; counts, fails on demand, checks that nothing
/// is released twice or read after it was released.
#[derive(Debug, Clone)]
struct MemoryStore {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    arena: Arena,
    pages: RefCell<BTreeMap<u32, Vec<u8>>>,
    next: Cell<u32>,
    reads: Cell<usize>,
    /// Operations that succeed before one fails; then it is unset.
    fail_after: Cell<Option<usize>>,
}

/// Room for a dozen pages.
const CACHE_BYTES: usize = 16 * 1024;

/// Rows of the test's chunks are 1 MiB high.
const CHUNK: u32 = 1 << 20;

impl MemoryStore {
    fn new() -> Self {
        thread_local! {
            static ARENA: Arena = Arena::new(Region::allocate(16 << 20).unwrap(), 0);
        }
        let inner = Inner {
            arena: ARENA.with(Arena::clone),
            pages: RefCell::default(),
            next: Cell::new(0),
            reads: Cell::new(0),
            fail_after: Cell::new(None),
        };
        Self { inner: Rc::new(inner) }
    }

    fn reads(&self) -> usize {
        self.inner.reads.get()
    }

    fn fail_after(&self, operations: usize) {
        self.inner.fail_after.set(Some(operations));
    }

    fn never_fail(&self) {
        self.inner.fail_after.set(None);
    }

    fn live_pages(&self) -> usize {
        self.inner.pages.borrow().len()
    }

    /// Changes the stored bytes of a page and the extent that vouches for them, as a writer with a
    /// bug would have.
    fn rewrite(&self, extent: &mut Extent, change: impl FnOnce(&mut Vec<u8>)) {
        let mut pages = self.inner.pages.borrow_mut();
        let page = pages.get_mut(&name_of(extent)).unwrap();
        change(page);
        extent.crcs = Extent::crcs_of(page);
        extent.length = u32::try_from(page.len()).unwrap();
    }

    fn step(&self) -> Result<(), EngineError> {
        match self.inner.fail_after.get() {
            Some(0) => {
                self.inner.fail_after.set(None);
                Err(EngineError::Full)
            }
            Some(left) => {
                self.inner.fail_after.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl PageStore for MemoryStore {
    async fn write_pages(&self, pages: Vec<Vec<u8>>) -> Result<Vec<Extent>, EngineError> {
        super::yielding::give_way().await;
        self.step()?;
        let extent = |page: Vec<u8>| {
            assert!(!page.is_empty() && page.len() <= super::PAGE_BYTES_MAX);
            let number = self.inner.next.replace(self.inner.next.get() + 1);
            let extent = Extent {
                generation: Generation(1),
                group: GroupId(0),
                row: RowOffset(number >> 4),
                height: Height(256),
                member: 0,
                data_count: 1,
                payload_offset: (number & 15) * (CHUNK >> 4),
                length: u32::try_from(page.len()).unwrap(),
                crcs: Extent::crcs_of(&page),
            };
            self.inner.pages.borrow_mut().insert(number, page);
            extent
        };
        Ok(pages.into_iter().map(extent).collect())
    }

    async fn read_page(&self, extent: &Extent) -> Result<BufferSlice, EngineError> {
        super::yielding::give_way().await;
        self.step()?;
        self.inner.reads.set(self.inner.reads.get() + 1);
        let mut buffer = self.inner.arena.take(super::PAGE_BYTES_MAX).await?;
        let pages = self.inner.pages.borrow();
        let page = pages.get(&name_of(extent)).expect("a released page is read");
        extent.verify(0, page)?;
        buffer.bytes_mut()[..page.len()].copy_from_slice(page);
        Ok(BufferSlice::of(buffer, 0..page.len()))
    }

    fn release_pages(&self, extents: &[Extent]) {
        for extent in extents {
            let page = self.inner.pages.borrow_mut().remove(&name_of(extent));
            assert!(page.is_some(), "a page is released twice");
        }
    }
}

fn name_of(extent: &Extent) -> u32 {
    extent.row.0 << 4 | (extent.payload_offset >> 16)
}

/// Runs a future that waits for nothing but its own turns.
fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Polls a future so often and drops it if it is not done.
fn run_for<F: Future>(turns: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..turns).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// Tests spread keys over the shards by their last byte.
fn vshard_of(key: &[u8]) -> VirtualShard {
    VirtualShard(u16::from(*key.last().unwrap_or(&0)) << 4)
}

fn options() -> IndexOptions {
    let all = VirtualShard(VIRTUAL_SHARDS - 1);
    IndexOptions {
        page_bytes: 1024,
        cache: BlockCache::of_heap(CACHE_BYTES),
        ..IndexOptions::new(VirtualShard(0), all, vshard_of)
    }
}

fn value(text: &str) -> Option<&[u8]> {
    Some(text.as_bytes())
}

fn flush(index: &Index<MemoryStore>) {
    let frozen = index.freeze().unwrap();
    run(index.flush(frozen)).unwrap();
}

fn get(index: &Index<MemoryStore>, key: &[u8]) -> Option<Vec<u8>> {
    run(index.get(key)).unwrap().map(|value| value.to_vec())
}

fn collect(index: &Index<MemoryStore>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut scan = index.scan(Bound::Unbounded, Bound::Unbounded);
    let mut all = Vec::new();
    while let Some(entry) = run(scan.next()).unwrap() {
        all.push((entry.key.to_vec(), entry.value.to_vec()));
    }
    all
}
