//! Operations, weighted per run ("swarm testing": a run that never deletes finds what a balanced one does not).

use super::keys::{KeyPool, delimiter};
use super::sizes::size;
use crate::model::{Condition, Content, Listing, Operation, Store, TagMatch, UploadName};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// One run: its keys, its buckets, how likely each kind of operation is, and the state that the answers so far imply.
#[derive(Debug)]
pub struct Swarm {
    random: ChaCha8Rng,
    keys: KeyPool,
    weights: Vec<(Kind, u32)>,
    size_max: u64,
    upload_count: u32,
    /// No two bodies have the same bytes, unless one is a copy of the other.
    distinct: bool,
    /// What the store should hold, so that conditions sometimes hold and parts are sometimes the right ones.
    model: Store,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    CreateBucket,
    DeleteBucket,
    Put,
    Get,
    Delete,
    Copy,
    List,
    CreateUpload,
    PutPart,
    ListParts,
    ListUploads,
    Complete,
    Abort,
}

impl Swarm {
    /// The run of a seed, with bodies of at most `size_max` bytes.
    #[must_use]
    pub fn new(seed: u64, size_max: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let key_count = random.random_range(1..60);
        let keys = KeyPool::new(&mut random, key_count);
        // Some runs have small bodies only: they do a hundred times as much in the same time.
        let size_max = if random.random_bool(0.5) { size_max.min(20_000) } else { size_max };
        let mut weights: Vec<(Kind, u32)> = KINDS
            .iter()
            .map(|(kind, usual)| {
                (*kind, if random.random_bool(0.25) { 0 } else { usual * random.random_range(1..5) })
            })
            .collect();
        weights.push((Kind::Put, 5));
        Self { random, keys, weights, size_max, upload_count: 0, distinct: false, model: Store::default() }
    }

    /// A run that mostly copies, overwrites and deletes few keys. Bodies that are equal are copies.
    #[must_use]
    pub fn copying(seed: u64, size_max: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let key_count = random.random_range(2..16);
        let keys = KeyPool::new(&mut random, key_count);
        let weights = COPYING.to_vec();
        Self { random, keys, weights, size_max, upload_count: 0, distinct: true, model: Store::default() }
    }

    /// The next operation.
    pub fn next_operation(&mut self) -> Operation {
        let operation = if self.model.bucket_names().next().is_none() {
            Operation::CreateBucket { bucket: self.bucket() }
        } else {
            let kind = self.kind();
            self.of_kind(kind)
        };
        self.model.apply(&operation);
        operation
    }

    fn kind(&mut self) -> Kind {
        let total: u32 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.random.random_range(0..total);
        for (kind, weight) in &self.weights {
            if drawn < *weight {
                return *kind;
            }
            drawn -= weight;
        }
        unreachable!("a number below the total falls into one of its summands")
    }

    fn of_kind(&mut self, kind: Kind) -> Operation {
        match kind {
            Kind::CreateBucket => Operation::CreateBucket { bucket: self.bucket() },
            Kind::DeleteBucket => Operation::DeleteBucket { bucket: self.bucket() },
            Kind::Put => {
                let (bucket, key) = self.place();
                let condition = self.condition(&bucket, &key);
                let (content, metadata) = (self.content(), self.random.random());
                Operation::Put { bucket, key, content, metadata, condition }
            }
            Kind::Get => {
                let (bucket, key) = self.place();
                Operation::Get { bucket, key, range: self.range() }
            }
            Kind::Delete => {
                let (bucket, key) = self.place();
                let condition = self.condition(&bucket, &key);
                Operation::Delete { bucket, key, condition }
            }
            Kind::Copy => {
                let (source, (bucket, key)) = (self.place(), self.place());
                let condition = self.condition(&bucket, &key);
                Operation::Copy { source, bucket, key, condition }
            }
            Kind::List => Operation::List { bucket: self.bucket(), query: self.listing() },
            Kind::CreateUpload => {
                self.upload_count += 1;
                let ((bucket, key), upload) = (self.place(), UploadName(self.upload_count));
                Operation::CreateUpload { bucket, key, upload, metadata: self.random.random() }
            }
            Kind::PutPart => {
                let (upload, number) = (self.upload(), self.part_number());
                Operation::PutPart { upload, number, content: self.content() }
            }
            Kind::ListParts => {
                Operation::ListParts { upload: self.upload(), page: self.random.random_range(1..5) }
            }
            Kind::ListUploads => {
                let prefix = self.keys.prefix(&mut self.random);
                Operation::ListUploads { bucket: self.bucket(), prefix, page: self.random.random_range(1..5) }
            }
            Kind::Complete => self.complete(),
            Kind::Abort => Operation::Abort { upload: self.upload() },
        }
    }

    fn complete(&mut self) -> Operation {
        let upload = self.upload();
        let mut parts: Vec<u16> = PART_NUMBERS
            .into_iter()
            .filter(|number| self.model.part_md5(upload, *number).is_some())
            .collect();
        if parts.len() > 1 && self.random.random_bool(0.3) {
            parts.remove(self.random.random_range(0..parts.len()));
        }
        let unstored = PART_NUMBERS.into_iter().find(|number| !parts.contains(number));
        if let Some(number) = unstored.filter(|_| parts.is_empty() || self.random.random_bool(0.1)) {
            parts.push(number);
            parts.sort_unstable();
        }
        let place = self.model.place(upload).map(|(bucket, key)| (bucket.to_owned(), key.to_vec()));
        let condition = place.map_or(Condition::NONE, |(bucket, key)| self.condition(&bucket, &key));
        Operation::Complete { upload, parts, wrong_part: self.random.random_bool(0.1), condition }
    }

    fn bucket(&mut self) -> String {
        BUCKETS.get(self.random.random_range(0..BUCKETS.len())).copied().unwrap_or("one").to_owned()
    }

    fn place(&mut self) -> (String, Vec<u8>) {
        // Mostly a bucket that exists.
        let existing: Vec<String> = self.model.bucket_names().map(str::to_owned).collect();
        let bucket = match existing.get(self.random.random_range(0..existing.len() + 1)) {
            Some(name) => name.clone(),
            None => self.bucket(),
        };
        (bucket, self.keys.pick(&mut self.random))
    }

    fn content(&mut self) -> Content {
        if self.distinct {
            // Large enough to be shared, most of them.
            let length = size(&mut self.random, self.size_max).max(self.random.random_range(0..200_000));
            return Content { seed: self.random.random(), length };
        }
        // Few seeds, so that different objects sometimes have the same tag.
        let seed = self.random.random_range(0..1000);
        Content { seed, length: size(&mut self.random, self.size_max) }
    }

    fn range(&mut self) -> Option<std::ops::Range<u64>> {
        if self.random.random_bool(0.4) {
            return None;
        }
        let start = size(&mut self.random, self.size_max);
        Some(start..start + size(&mut self.random, self.size_max))
    }

    fn condition(&mut self, bucket: &str, key: &[u8]) -> Condition {
        let current = self.model.tag(bucket, key).map_or(TagMatch::Any, TagMatch::Exactly);
        let other = TagMatch::Exactly(crate::model::Tag { md5: [7; 16], part_count: 0 });
        let (if_match, if_none_match) = match self.random.random_range(0..12_u32) {
            0 | 1 => (None, Some(TagMatch::Any)),
            2 => (Some(TagMatch::Any), None),
            3 => (Some(current), None),
            4 => (Some(other), None),
            5 => (None, Some(current)),
            6 => (None, Some(other)),
            7 => (Some(current), Some(other)),
            _ => (None, None),
        };
        Condition { if_match, if_none_match }
    }

    fn listing(&mut self) -> Listing {
        let random = &mut self.random;
        let prefix = self.keys.prefix(random);
        let delimiter = random.random_bool(0.6).then(|| delimiter(random));
        let after = random.random_bool(0.5).then(|| self.keys.marker(random));
        let max = match random.random_range(0..4_u32) {
            0 => 1000,
            1 => random.random_range(0..3),
            _ => random.random_range(1..20),
        };
        Listing { prefix, delimiter, after, max }
    }

    fn upload(&mut self) -> UploadName {
        // Mostly the newest, seldom one that was never begun.
        let age = [0, 0, 0, 0, 0, 1, 1, 2, 3].get(self.random.random_range(0..10)).copied();
        UploadName(age.map_or(self.upload_count + 1, |age| self.upload_count.saturating_sub(age)))
    }

    fn part_number(&mut self) -> u16 {
        PART_NUMBERS.get(self.random.random_range(0..PART_NUMBERS.len())).copied().unwrap_or(1)
    }
}

/// The first `count` operations of a seed.
#[must_use]
pub fn history(seed: u64, count: usize, size_max: u64) -> Vec<Operation> {
    let mut swarm = Swarm::new(seed, size_max);
    (0..count).map(|_| swarm.next_operation()).collect()
}

/// Takes operations out of a failing history for as long as it still fails; what is left is what matters.
///
/// `fails` runs a history from the start. It is called about `n log n` times for `n` operations.
pub fn shrink(mut operations: Vec<Operation>, mut fails: impl FnMut(&[Operation]) -> bool) -> Vec<Operation> {
    let mut taken = operations.len().div_ceil(2).max(1);
    loop {
        let (mut at, mut shorter) = (0, false);
        while at < operations.len() {
            let end = (at + taken).min(operations.len());
            let rest: Vec<Operation> =
                operations.iter().take(at).chain(operations.iter().skip(end)).cloned().collect();
            if fails(&rest) {
                (operations, shorter) = (rest, true);
            } else {
                at = end;
            }
        }
        if taken == 1 && !shorter {
            return operations;
        }
        taken = taken.div_ceil(2).max(1);
    }
}

const BUCKETS: [&str; 3] = ["one", "two", "three"];

/// Few, so that parts are sent again; with the least and the greatest that S3 allows.
const PART_NUMBERS: [u16; 6] = [1, 2, 3, 7, 9_999, 10_000];

/// How often each kind comes in an ordinary run.
const KINDS: [(Kind, u32); 13] = [
    (Kind::CreateBucket, 1),
    (Kind::DeleteBucket, 1),
    (Kind::Put, 20),
    (Kind::Get, 15),
    (Kind::Delete, 8),
    (Kind::Copy, 4),
    (Kind::List, 10),
    (Kind::CreateUpload, 4),
    (Kind::PutPart, 12),
    (Kind::ListParts, 2),
    (Kind::ListUploads, 2),
    (Kind::Complete, 6),
    (Kind::Abort, 1),
];

/// How often each kind comes in a run of copies.
const COPYING: [(Kind, u32); 9] = [
    (Kind::CreateBucket, 1),
    (Kind::Put, 6),
    (Kind::Get, 6),
    (Kind::Delete, 8),
    (Kind::Copy, 20),
    (Kind::CreateUpload, 1),
    (Kind::PutPart, 3),
    (Kind::Complete, 2),
    (Kind::Abort, 1),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reply;
    use md5::{Digest as _, Md5};

    #[test]
    fn a_seed_makes_the_same_history_every_time() {
        assert_eq!(history(5, 300, 1 << 20), history(5, 300, 1 << 20));
        assert_ne!(history(5, 300, 1 << 20), history(6, 300, 1 << 20));
        // When this changes, the seeds of old failures mean something else: say so in the commit.
        let written = format!("{:?}", history(1, 100, 1 << 20));
        let digest: [u8; 16] = Md5::digest(written).into();
        assert_eq!(
            digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
            "ac3e3fd180253b02c1b3b72276d8e80a"
        );
    }

    #[test]
    fn histories_meet_every_kind_and_every_kind_of_answer() {
        let (mut refused, mut published, mut read, mut pages, mut completed, mut again) = (0, 0, 0, 0, 0, 0);
        for seed in 0..30 {
            let mut model = Store::default();
            for operation in history(seed, 300, 5000) {
                let reply = model.apply(&operation);
                match (&operation, reply) {
                    (Operation::Complete { .. }, Reply::Published(Some(_))) => completed += 1,
                    (Operation::Complete { .. }, Reply::Published(None)) => again += 1,
                    (_, Reply::Published(_)) => published += 1,
                    (_, Reply::Object(_)) => read += 1,
                    (_, Reply::Page(page)) if !page.rows.is_empty() => pages += 1,
                    (_, Reply::Refused(_)) => refused += 1,
                    (
                        _,
                        Reply::Page(_)
                        | Reply::Done
                        | Reply::Deleted { .. }
                        | Reply::Parts(_)
                        | Reply::Uploads(_),
                    ) => {}
                }
            }
        }
        for (what, count) in
            [("refused", refused), ("published", published), ("read", read), ("pages", pages)]
        {
            assert!(count > 100, "{what}: {count}");
        }
        assert!(completed > 20, "{completed}");
        assert!(again > 0, "{again}");
    }

    #[test]
    fn shrinking_leaves_what_matters() {
        let operations = history(2, 200, 1000);
        let wanted = [operations[17].clone(), operations[130].clone()];
        let left = shrink(operations, |rest| wanted.iter().all(|needed| rest.contains(needed)));
        assert_eq!(left, wanted);
    }
}
