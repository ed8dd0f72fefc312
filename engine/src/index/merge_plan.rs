//! Which runs to merge next: sizes in, a window out. Pure.
//!
//! Size-tiered: a run's tier is the logarithm of its size to the base of the fan-out, and as many
//! runs of one tier as the fan-out are merged into about one of the next. So an entry is rewritten
//! once per tier. Only runs that are neighbours in age may be merged, because a run's place in the
//! list is what says which of two entries is newer; smaller runs between them are taken along.

use std::ops::Range;

/// Runs below this size count as one tier, bytes: merging them costs next to nothing.
const TIER_ZERO_BYTES: u64 = 256 * 1024;
/// Most runs merged at once: each holds a page of memory.
const MERGE_RUNS_MAX: usize = 16;
/// More runs than this and the cheapest window is merged whatever its tiers: a get may have to ask
/// every run's filter.
const RUNS_MAX: usize = 24;

/// The window of runs to merge, given their sizes in bytes, newest first; `None` when all is well.
///
/// # Panics
/// When `fanout` is below 2.
pub(super) fn plan_merge(sizes: &[u64], fanout: usize) -> Option<Range<usize>> {
    assert!(fanout >= 2, "merging fewer than two runs does nothing");
    let tiers: Vec<u32> = sizes.iter().map(|size| tier_of(*size, fanout)).collect();
    let mut wanted = tiers.clone();
    wanted.sort_unstable();
    wanted.dedup();
    let full = wanted.into_iter().find_map(|tier| full_window(&tiers, tier, fanout));
    full.or_else(|| (sizes.len() > RUNS_MAX).then(|| cheapest_window(sizes, fanout)))
}

fn tier_of(size: u64, fanout: usize) -> u32 {
    let base = u64::try_from(fanout).unwrap_or(u64::MAX);
    size.max(TIER_ZERO_BYTES).ilog(base)
}

/// The oldest stretch of runs of at most `tier` that holds `fanout` runs of exactly `tier`, without
/// smaller runs at its ends.
fn full_window(tiers: &[u32], tier: u32, fanout: usize) -> Option<Range<usize>> {
    let mut end = tiers.len();
    while end > 0 {
        let start = tiers[..end].iter().rposition(|found| *found > tier).map_or(0, |at| at + 1);
        let members: Vec<usize> = (start..end).filter(|at| tiers[*at] == tier).collect();
        if members.len() >= fanout
            && let Some(last) = members.last()
        {
            // The oldest ones, as many as may be merged at once.
            let oldest = members.iter().find(|first| *last - **first < MERGE_RUNS_MAX);
            let first = oldest.copied().unwrap_or(*last);
            if first < *last {
                return Some(first..*last + 1);
            }
        }
        end = start.saturating_sub(1);
    }
    None
}

fn cheapest_window(sizes: &[u64], fanout: usize) -> Range<usize> {
    let width = fanout.min(sizes.len());
    let cost = |start: &usize| sizes[*start..start + width].iter().sum::<u64>();
    let start = (0..=sizes.len() - width).min_by_key(cost).unwrap_or(0);
    start..start + width
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn waits_for_enough_of_a_size() {
        assert_eq!(plan_merge(&[], 4), None);
        assert_eq!(plan_merge(&[MIB; 3], 4), None);
        assert_eq!(plan_merge(&[MIB; 4], 4), Some(0..4));
        assert_eq!(plan_merge(&[MIB, MIB, MIB, 100 * MIB], 4), None);
    }

    #[test]
    fn takes_small_tiers_first_and_leaves_big_runs_alone() {
        let sizes = [MIB, MIB, MIB, MIB, 100 * MIB, 100 * MIB, 100 * MIB, 100 * MIB];
        assert_eq!(plan_merge(&sizes, 4), Some(0..4));
        assert_eq!(plan_merge(&[MIB, 100 * MIB, 100 * MIB, 100 * MIB, 100 * MIB], 4), Some(1..5));
    }

    #[test]
    fn takes_smaller_runs_in_between_along() {
        let sizes = [20 * MIB, MIB, 20 * MIB, 20 * MIB, MIB, 20 * MIB, 2000 * MIB];
        assert_eq!(plan_merge(&sizes, 4), Some(0..6));
    }

    #[test]
    fn merges_oldest_first_and_not_too_many() {
        assert_eq!(plan_merge(&[MIB; 20], 4), Some(4..20));
    }

    #[test]
    fn too_many_runs_are_merged_whatever_their_sizes() {
        // Each a tier of its own, so that none ever fills.
        let sizes: Vec<u64> = (0..26).map(|at| MIB << at).collect();
        assert_eq!(plan_merge(&sizes[..24], 2), None);
        assert_eq!(plan_merge(&sizes, 2), Some(0..2));
    }

    /// Flushing for ever keeps the number of runs small and the rewriting logarithmic.
    #[test]
    fn bounded_runs_and_bounded_rewriting() {
        let (mut runs, mut written) = (Vec::new(), 0);
        for _ in 0..4096 {
            runs.insert(0, 16 * MIB);
            while let Some(window) = plan_merge(&runs, 4) {
                let merged: u64 = runs[window.clone()].iter().sum();
                written += merged;
                runs.splice(window, [merged]);
            }
            assert!(runs.len() <= 3 * 7, "{} runs", runs.len());
        }
        // 4096 flushes are 6 tiers.
        assert!(written <= 4096 * 16 * MIB * 6, "{written}");
    }
}
