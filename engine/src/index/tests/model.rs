//! The index against an ordered map, over random histories.

use super::{MemoryStore, collect, get, options, run, value};
use crate::cache::BlockCache;
use crate::error::EngineError;
use crate::index::{Index, IndexOptions, Scan};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};
use std::collections::BTreeMap;
use std::ops::Bound;

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    DeleteRange(u8, u8),
    Get(u8),
    Freeze,
    Flush { fail_after: Option<usize> },
    Merge { fail_after: Option<usize> },
    Checkpoint,
    Reopen,
    ScanBegin(u8, u8),
    ScanNext(usize),
    ScanSeek(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let failure = prop_oneof![4 => Just(None), 1 => (0..12_usize).prop_map(Some)];
    let number = 0..=255_u8;
    prop_oneof![
        12 => (number.clone(), number.clone()).prop_map(|(key, value)| Step::Put(key, value)),
        5 => number.clone().prop_map(Step::Delete),
        1 => (number.clone(), 0..40_u8).prop_map(|(key, count)| Step::DeleteRange(key, count)),
        4 => number.clone().prop_map(Step::Get),
        3 => Just(Step::Freeze),
        4 => failure.clone().prop_map(|fail_after| Step::Flush { fail_after }),
        3 => failure.prop_map(|fail_after| Step::Merge { fail_after }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
        2 => (number.clone(), number.clone()).prop_map(|(start, end)| Step::ScanBegin(start, end)),
        5 => (1..20_usize).prop_map(Step::ScanNext),
        2 => number.prop_map(Step::ScanSeek),
    ]
}

fn key(number: u8) -> Vec<u8> {
    // Long shared prefixes, and keys that are prefixes of others.
    let tail = if number.is_multiple_of(3) { "" } else { "/tail" };
    format!("bucket/{:03}{tail}", number).into_bytes()
}

fn body(number: u8) -> String {
    format!("{number}:{}", "x".repeat(usize::from(number)))
}

type Walk = (Scan<MemoryStore>, Bound<Vec<u8>>, Vec<u8>);

struct World {
    store: MemoryStore,
    index: Index<MemoryStore>,
    model: BTreeMap<Vec<u8>, Vec<u8>>,
    frozen: Option<crate::index::FrozenId>,
    /// A scan and the bounds of what it has still to answer.
    scan: Option<Walk>,
}

impl World {
    fn new() -> Self {
        let store = MemoryStore::new();
        let index = Index::new(store.clone(), small());
        Self { store, index, model: BTreeMap::new(), frozen: None, scan: None }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Put(at, number) => {
                self.index.put(&key(at), value(&body(number)));
                self.model.insert(key(at), body(number).into_bytes());
            }
            Step::Delete(at) => self.delete(at),
            Step::DeleteRange(at, count) => {
                (at..=at.saturating_add(count)).for_each(|at| self.delete(at));
            }
            Step::Get(at) => assert_eq!(get(&self.index, &key(at)), self.model.get(&key(at)).cloned()),
            Step::Freeze => match self.index.freeze() {
                Ok(frozen) => assert!(self.frozen.replace(frozen).is_none()),
                Err(busy) => assert_eq!(Some(busy.frozen), self.frozen),
            },
            Step::Flush { fail_after } => self.flush(fail_after),
            Step::Merge { fail_after } => {
                self.failing(fail_after, |world| run(world.index.merge_step()).map(|_| ()))
            }
            Step::Checkpoint => {
                let token = self.index.manifest_snapshot().retired_up_to;
                assert!(self.index.confirm(token).is_empty());
            }
            Step::Reopen => self.reopen(),
            Step::ScanBegin(start, end) => {
                let (start, end) = (key(start), key(end));
                let scan = self.index.scan(Bound::Included(&start), Bound::Excluded(&end));
                self.scan = Some((scan, Bound::Included(start), end));
            }
            Step::ScanNext(count) => (0..count).for_each(|_| self.scan_next()),
            Step::ScanSeek(at) => self.scan_seek(&key(at)),
        }
    }

    fn delete(&mut self, at: u8) {
        self.index.put(&key(at), None);
        self.model.remove(&key(at));
    }

    fn failing(&mut self, after: Option<usize>, act: impl FnOnce(&mut Self) -> Result<(), EngineError>) {
        if let Some(after) = after {
            self.store.fail_after(after);
        }
        match act(self) {
            Ok(()) => self.store.never_fail(),
            Err(error) => assert!(after.is_some(), "{error}"),
        }
    }

    fn flush(&mut self, fail_after: Option<usize>) {
        let Some(frozen) = self.frozen else { return };
        self.failing(fail_after, |world| {
            run(world.index.flush(frozen))?;
            world.frozen = None;
            Ok(())
        });
    }

    /// All is flushed first: what is in memory only comes back from the log, which is not here.
    fn reopen(&mut self) {
        self.flush(None);
        self.frozen = self.index.freeze().ok();
        self.flush(None);
        let token = self.index.manifest_snapshot();
        self.scan = None;
        let _shared = self.index.confirm(token.retired_up_to);
        self.index = run(Index::open(self.store.clone(), small(), &token.runs)).unwrap();
        assert_eq!(self.index.manifest_snapshot().runs, token.runs);
    }

    fn scan_next(&mut self) {
        let Some((scan, from, end)) = &mut self.scan else { return };
        let found = run(scan.next()).unwrap().map(|entry| (entry.key.to_vec(), entry.value.to_vec()));
        let inside = |key: &Vec<u8>| key < end;
        let mut rest = self.model.iter().filter(|(key, _)| match from {
            Bound::Included(from) => *key >= &*from,
            Bound::Excluded(from) => *key > &*from,
            Bound::Unbounded => true,
        });
        let expected = rest.next().filter(|(key, _)| inside(key));
        assert_eq!(found.as_ref().map(|(key, value)| (key, value)), expected);
        match found {
            Some((key, _)) => *from = Bound::Excluded(key),
            // It has passed tombstones up to its end, so what is put there now is behind it.
            None => self.scan = None,
        }
    }

    fn scan_seek(&mut self, key: &[u8]) {
        let Some((scan, from, _)) = &mut self.scan else { return };
        scan.seek(key);
        let (Bound::Included(at) | Bound::Excluded(at)) = from else { return };
        if key > at.as_slice() {
            *from = Bound::Included(key.to_vec());
        }
    }
}

/// Tiny pages and cache, so that few keys make many of them.
fn small() -> IndexOptions {
    IndexOptions { page_bytes: 600, cache: BlockCache::of_heap(4096), merge_fanout: 3, ..options() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_an_ordered_map(steps in vec(step(), 1..160)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.apply(step));
        let all: Vec<_> = world.model.clone().into_iter().collect();
        assert_eq!(collect(&world.index), all);
        for at in 0..=255 {
            assert_eq!(get(&world.index, &key(at)), world.model.get(&key(at)).cloned());
        }
        world.reopen();
        assert_eq!(collect(&world.index), all);
        // Nothing but the runs that are left takes space.
        let runs = world.index.manifest_snapshot().runs;
        if runs.is_empty() {
            assert_eq!(world.store.live_pages(), 0);
        }
    }
}
