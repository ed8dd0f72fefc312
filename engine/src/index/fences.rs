//! Which page of a run may hold a key: one fence key per page, front-coded.
//!
//! A fence is any byte string above every key of the page before and not above the first key of
//! its own page, so [`separator`] may cut it short. Every 16th fence is stored whole and the
//! others as what differs from the one before, which costs some 10 bytes a page for real keys.

use smallvec::SmallVec;

/// Fences between two that are stored whole: a search decodes at most this many.
const RESTART_INTERVAL: usize = 16;
/// In front of each fence: bytes shared with the previous one and bytes that follow, a `u16` each.
const HEAD_BYTES: usize = 4;

/// One while it is put together. Fences are short, so that a search takes nothing from the heap.
type Fence = SmallVec<[u8; 128]>;

/// The fence keys of a run, ascending.
#[derive(Debug, Default)]
pub(super) struct Fences {
    bytes: Vec<u8>,
    /// Where in `bytes` every 16th fence begins.
    restarts: Vec<u32>,
    count: usize,
    /// The newest fence, whole; only while building.
    last: Vec<u8>,
}

impl Fences {
    /// Adds the fence of the next page.
    ///
    /// # Panics
    /// When it is not above the last one, or is longer than a key can be.
    pub(super) fn push(&mut self, fence: &[u8]) {
        assert!(self.count == 0 || fence > self.last.as_slice(), "fences ascend");
        let whole = self.count.is_multiple_of(RESTART_INTERVAL);
        let shared = if whole { 0 } else { common_prefix(&self.last, fence) };
        if whole {
            let Ok(start) = u32::try_from(self.bytes.len()) else {
                unreachable!("the fences of a run come from one manifest, which is below 4 GiB")
            };
            self.restarts.push(start);
        }
        for length in [shared, fence.len() - shared] {
            let Ok(length) = u16::try_from(length) else {
                unreachable!("an index key is at most 4096 bytes")
            };
            self.bytes.extend(length.to_le_bytes());
        }
        self.bytes.extend(&fence[shared..]);
        self.last.clear();
        self.last.extend(fence);
        self.count += 1;
    }

    /// Gives back the memory that only building needs.
    pub(super) fn finish(&mut self) {
        self.last = Vec::new();
        self.bytes.shrink_to_fit();
        self.restarts.shrink_to_fit();
    }

    /// The only page that may hold `key`; `None` when it lies before all of them.
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        let block = self.restarts.partition_point(|start| self.whole(*start) <= key).checked_sub(1)?;
        let mut fence = Fence::new();
        let mut offset = self.restarts.get(block).map_or(self.bytes.len(), |start| offset_of(*start));
        let first = block * RESTART_INTERVAL;
        let mut page = first;
        for index in first..(first + RESTART_INTERVAL).min(self.count) {
            offset = self.decode(offset, &mut fence);
            if fence.as_slice() > key {
                break;
            }
            page = index;
        }
        Some(page)
    }

    /// The fence of the first page, which is the first key of all.
    pub(super) fn first(&self) -> &[u8] {
        self.restarts.first().map_or(&[], |start| self.whole(*start))
    }

    /// The fence of page `index`.
    pub(super) fn get(&self, index: usize) -> Vec<u8> {
        assert!(index < self.count, "page {index} of {}", self.count);
        let skip = index % RESTART_INTERVAL;
        let mut offset = offset_of(self.restarts[index.div_euclid(RESTART_INTERVAL)]);
        let mut fence = Fence::new();
        for _ in 0..=skip {
            offset = self.decode(offset, &mut fence);
        }
        fence.into_vec()
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Memory taken, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity() + self.restarts.capacity() * size_of::<u32>() + self.last.capacity()
    }

    /// Turns the fence before `offset` into the one at `offset`; answers where the next begins.
    fn decode(&self, offset: usize, fence: &mut Fence) -> usize {
        let (shared, start, end) = self.head(offset);
        fence.truncate(shared);
        fence.extend_from_slice(&self.bytes[start..end]);
        end
    }

    fn whole(&self, start: u32) -> &[u8] {
        let (_, start, end) = self.head(offset_of(start));
        &self.bytes[start..end]
    }

    fn head(&self, offset: usize) -> (usize, usize, usize) {
        let length = |at: usize| usize::from(u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]));
        let start = offset + HEAD_BYTES;
        (length(offset), start, start + length(offset + 2))
    }
}

/// The shortest byte string above `before` and not above `first`.
///
/// # Panics
/// When `first` is not above `before`.
pub(super) fn separator<'a>(before: &[u8], first: &'a [u8]) -> &'a [u8] {
    assert!(first > before, "keys ascend");
    // `first` either goes on behind `before` or has a greater byte where they part.
    &first[..common_prefix(before, first) + 1]
}

fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

fn offset_of(start: u32) -> usize {
    usize::try_from(start).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_parts_its_neighbours_and_is_short() {
        assert_eq!(separator(b"", b"abc"), b"a");
        assert_eq!(separator(b"abc", b"abd"), b"abd");
        assert_eq!(separator(b"abc", b"abcdef"), b"abcd");
        assert_eq!(separator(b"2019/a", b"2020/b/c"), b"202");
    }

    #[test]
    fn finds_the_page_of_any_key() {
        let keys: Vec<Vec<u8>> =
            (0..1000).map(|number| format!("photos/{:05}/x", number * 10).into_bytes()).collect();
        let mut fences = Fences::default();
        keys.iter().for_each(|key| fences.push(key));
        fences.finish();
        assert_eq!(fences.len(), 1000);
        assert_eq!(fences.find(b"a"), None);
        assert_eq!(fences.find(b"z"), Some(999));
        for number in 0..10_000_usize {
            let key = format!("photos/{number:05}/y").into_bytes();
            assert_eq!(fences.find(&key), Some(number.div_euclid(10)), "{number}");
        }
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(&fences.get(index), key);
            assert_eq!(fences.find(key), Some(index));
        }
        assert!(fences.bytes() < 1000 * 10, "{} bytes", fences.bytes());
    }

    #[test]
    fn no_fences_no_page() {
        assert_eq!(Fences::default().find(b"a"), None);
    }
}
