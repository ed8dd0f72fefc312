//! Bodies as recipes: a seed and a length instead of bytes, so that a model of gigabytes fits in kilobytes.

use md5::{Digest as _, Md5};
use std::ops::Range;

/// One run of bytes that can be made again at any offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Content {
    /// Which bytes.
    pub seed: u64,
    /// How many.
    pub length: u64,
}

/// An object's bytes: the runs of its parts, one after another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Body(Vec<Content>);

/// An entity tag: the MD5 of a plain body, or of the parts' MD5s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// The MD5.
    pub md5: [u8; 16],
    /// How many parts the object was made of; 0 when it was made by one PUT.
    pub part_count: u16,
}

impl Content {
    /// The bytes at `range`, which must lie within the length.
    #[must_use]
    pub fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        assert!(range.start <= range.end, "{range:?} runs backwards");
        assert!(range.end <= self.length, "{range:?} leaves a content of {} bytes", self.length);
        let mut bytes = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let word = word(self.seed, at >> WORD_SHIFT).to_le_bytes();
            let skipped = at & ((1 << WORD_SHIFT) - 1);
            let wanted = range.end - at;
            let taken =
                word.iter().zip(0_u64..).filter(|(_, index)| *index >= skipped && *index - skipped < wanted);
            let before = bytes.len();
            bytes.extend(taken.map(|(byte, _)| *byte));
            at += u64::try_from(bytes.len() - before).unwrap_or(u64::MAX);
        }
        bytes
    }

    /// Every byte.
    #[must_use]
    pub fn all(&self) -> Vec<u8> {
        self.bytes(0..self.length)
    }

    /// MD5 of every byte.
    #[must_use]
    pub fn md5(&self) -> [u8; 16] {
        Md5::digest(self.all()).into()
    }
}

impl Body {
    /// A body of several runs.
    #[must_use]
    pub fn new(runs: Vec<Content>) -> Self {
        Self(runs)
    }

    /// Its size, bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.0.iter().map(|run| run.length).sum()
    }

    /// The bytes at `range`, which must lie within the length.
    #[must_use]
    pub fn bytes(&self, range: &Range<u64>) -> Vec<u8> {
        assert!(range.end <= self.length(), "{range:?} leaves a body of {} bytes", self.length());
        let mut bytes = Vec::new();
        let mut run_start = 0;
        for run in &self.0 {
            let run_end = run_start + run.length;
            let start = range.start.clamp(run_start, run_end);
            let end = range.end.clamp(run_start, run_end);
            if start < end {
                bytes.extend(run.bytes(start - run_start..end - run_start));
            }
            run_start = run_end;
        }
        bytes
    }
}

impl Tag {
    /// The tag of a body that came in one piece.
    #[must_use]
    pub fn of(content: Content) -> Self {
        Self { md5: content.md5(), part_count: 0 }
    }

    /// The tag of an object made of parts with these MD5s, at most 10,000.
    #[must_use]
    pub fn of_parts(parts: &[[u8; 16]]) -> Self {
        let mut hasher = Md5::new();
        parts.iter().for_each(|md5| hasher.update(md5));
        let part_count = u16::try_from(parts.len()).unwrap_or(u16::MAX);
        assert!(part_count <= 10_000, "{part_count} parts");
        Self { md5: hasher.finalize().into(), part_count }
    }
}

/// SplitMix64 at a position: any eight bytes of a content cost the same, so ranges need not be read from the start.
fn word(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A word is eight bytes.
const WORD_SHIFT: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_slice_of_the_whole() {
        let content = Content { seed: 7, length: 41 };
        let all = content.all();
        assert_eq!(all.len(), 41);
        for start in 0..=41_u64 {
            for end in start..=41 {
                let slice = &all[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()];
                assert_eq!(content.bytes(start..end), slice);
            }
        }
    }

    #[test]
    fn seeds_make_different_bytes() {
        let bytes = |seed| Content { seed, length: 64 }.all();
        assert_ne!(bytes(1), bytes(2));
        assert_eq!(bytes(1), bytes(1));
        assert_eq!(Content { seed: 1, length: 10 }.all(), bytes(1)[..10]);
    }

    #[test]
    fn a_body_is_its_runs_in_order() {
        let (one, two) = (Content { seed: 1, length: 10 }, Content { seed: 2, length: 5 });
        let body = Body::new(vec![one, Content { seed: 3, length: 0 }, two]);
        let whole = [one.all(), two.all()].concat();
        assert_eq!(body.length(), 15);
        assert_eq!(body.bytes(&(0..15)), whole);
        assert_eq!(body.bytes(&(8..12)), whole[8..12]);
        assert_eq!(body.bytes(&(15..15)), Vec::<u8>::new());
    }

    #[test]
    fn tags_are_those_that_aws_documents() {
        let empty = Content { seed: 1, length: 0 };
        let hex = |tag: Tag| tag.md5.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(Tag::of(empty)), "d41d8cd98f00b204e9800998ecf8427e");
        let parts = Tag::of_parts(&[empty.md5()]);
        assert_eq!((hex(parts).as_str(), parts.part_count), ("59adb24ef3cdbe0297f05b395827453f", 1));
    }
}
