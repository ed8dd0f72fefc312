//! The buddy allocator's arithmetic: which blocks are free. No memory is touched here.
//!
//! A block of order `o` has `1 << o` pages of 4 KiB and starts at a multiple of its length. Two
//! free buddies are always merged, so a fully freed arena is one list of largest blocks.

/// Log2 of the largest block in pages (1 MiB = 256 pages).
pub(super) const ORDER_MAX: usize = 8;
const NONE: u32 = u32::MAX;

/// What a page knows when it is the first of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// Not the first page of any block.
    Inside,
    Free(u8),
    Used(u8),
}

/// Free lists over `pages` pages of one arena.
#[derive(Debug)]
pub(super) struct Buddy {
    heads: Vec<Head>,
    next: Vec<u32>,
    previous: Vec<u32>,
    lists: [u32; ORDER_MAX + 1],
    free_pages: usize,
}

impl Buddy {
    /// All pages free. `pages` is a multiple of the largest block.
    pub(super) fn new(pages: usize) -> Self {
        assert!(pages > 0, "an arena holds at least one block");
        assert!(pages.is_multiple_of(1 << ORDER_MAX), "arena pages are whole largest blocks");
        assert!(u32::try_from(pages).is_ok(), "arena pages are counted in 32 bits");
        let mut buddy = Self {
            heads: vec![Head::Inside; pages],
            next: vec![NONE; pages],
            previous: vec![NONE; pages],
            lists: [NONE; ORDER_MAX + 1],
            free_pages: pages,
        };
        let mut page = pages;
        while page > 0 {
            page -= 1 << ORDER_MAX;
            buddy.link(page, ORDER_MAX);
        }
        buddy
    }

    /// Pages that are free, in whatever blocks.
    pub(super) fn free_pages(&self) -> usize {
        self.free_pages
    }

    /// Takes a block of `order`; its first page.
    pub(super) fn take(&mut self, order: usize) -> Option<usize> {
        assert!(order <= ORDER_MAX, "block order is at most ORDER_MAX");
        let mut from = (order..=ORDER_MAX).find(|&o| self.lists[o] != NONE)?;
        let page = self.lists[from] as usize;
        self.unlink(page, from);
        while from > order {
            from -= 1;
            self.link(page + (1 << from), from);
        }
        self.heads[page] = Head::Used(small(order));
        self.free_pages -= 1 << order;
        Some(page)
    }

    /// Gives back the block that starts at `page`.
    ///
    /// # Panics
    /// When no used block starts there: a double free.
    pub(super) fn give(&mut self, page: usize) {
        let Head::Used(order) = self.heads[page] else { panic!("page {page} is not a used block") };
        let mut order = usize::from(order);
        self.free_pages += 1 << order;
        self.heads[page] = Head::Inside;
        let mut page = page;
        while order < ORDER_MAX {
            let buddy = page ^ (1 << order);
            if self.heads[buddy] != Head::Free(small(order)) {
                break;
            }
            self.unlink(buddy, order);
            page = page.min(buddy);
            order += 1;
        }
        self.link(page, order);
    }

    fn link(&mut self, page: usize, order: usize) {
        let head = self.lists[order];
        let id = u32::try_from(page).unwrap_or(NONE);
        self.heads[page] = Head::Free(small(order));
        self.next[page] = head;
        self.previous[page] = NONE;
        if head != NONE {
            self.previous[head as usize] = id;
        }
        self.lists[order] = id;
    }

    fn unlink(&mut self, page: usize, order: usize) {
        let (next, previous) = (self.next[page], self.previous[page]);
        if previous == NONE {
            self.lists[order] = next;
        } else {
            self.next[previous as usize] = next;
        }
        if next != NONE {
            self.previous[next as usize] = previous;
        }
        self.heads[page] = Head::Inside;
    }
}

fn small(order: usize) -> u8 {
    u8::try_from(order).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_freed_arena_is_whole_again() {
        let mut buddy = Buddy::new(512);
        let blocks: Vec<usize> = (0..512).map(|_| buddy.take(0).unwrap()).collect();
        assert_eq!(buddy.take(0), None);
        for page in blocks {
            buddy.give(page);
        }
        assert_eq!(buddy.free_pages(), 512);
        assert!(buddy.take(ORDER_MAX).is_some());
        assert!(buddy.take(ORDER_MAX).is_some());
        assert_eq!(buddy.take(ORDER_MAX), None);
    }

    #[test]
    #[should_panic(expected = "not a used block")]
    fn a_double_free_is_noticed() {
        let mut buddy = Buddy::new(256);
        let page = buddy.take(3).unwrap();
        buddy.give(page);
        buddy.give(page);
    }

    proptest! {
        #[test]
        fn blocks_never_overlap(steps in proptest::collection::vec((0usize..=ORDER_MAX, any::<bool>(), any::<prop::sample::Index>()), 1..300)) {
            let mut buddy = Buddy::new(1024);
            let mut held: Vec<(usize, usize)> = Vec::new();
            for (order, give, which) in steps {
                if give && !held.is_empty() {
                    let (page, _) = held.swap_remove(which.index(held.len()));
                    buddy.give(page);
                } else if let Some(page) = buddy.take(order) {
                    prop_assert_eq!(page % (1 << order), 0);
                    for &(other, other_order) in &held {
                        prop_assert!(page + (1 << order) <= other || other + (1 << other_order) <= page);
                    }
                    held.push((page, order));
                }
                let used: usize = held.iter().map(|&(_, order)| 1usize << order).sum();
                prop_assert_eq!(used + buddy.free_pages(), 1024);
            }
        }
    }
}
