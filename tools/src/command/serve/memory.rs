//! How one memory budget is divided among the cores.

use ashlar_engine::EngineOptions;

/// What the program itself takes, bytes: code, stacks, tables that do not grow with the load.
const FIXED_BYTES: u64 = 48 << 20;
/// Less than this per core, bytes, and rows, log and index cannot all be written at once.
const CORE_BYTES_MIN: u64 = 40 << 20;
const RESERVE_BYTES_MIN: u64 = 12 << 20;
const RESERVE_BYTES_MAX: u64 = 64 << 20;
const MEMTABLE_BYTES_MAX: u64 = 24 << 20;

/// One core's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) arena_bytes: usize,
    pub(super) reserve_bytes: usize,
    pub(super) document_bytes: usize,
    pub(super) engine: EngineOptions,
}

/// Divides `budget` bytes among `cores`: half of each share for request buffers, an eighth for log, index and
/// repair, three memtables of a thirty-second each, an eighth for index pages and small bodies that were read, a
/// sixteenth for documents; the rest for connections and filters.
///
/// # Errors
/// The budget that so many cores need, bytes.
pub(super) fn share(budget: u64, cores: usize) -> Result<Share, u64> {
    let count = u64::try_from(cores.max(1)).unwrap_or(u64::MAX);
    let needed = FIXED_BYTES + count * CORE_BYTES_MIN;
    if budget < needed {
        return Err(needed);
    }
    let core = (budget - FIXED_BYTES).div_euclid(count);
    let (eighth, sixteenth) = (core.div_euclid(8), core.div_euclid(16));
    let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    // Regions are rounded up to 2 MiB by the runtime, so they are rounded down here.
    let whole = |value: u64| bytes(value - value.rem_euclid(2 << 20));
    Ok(Share {
        arena_bytes: whole(8 * sixteenth),
        reserve_bytes: whole(eighth.clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX)),
        document_bytes: bytes(sixteenth),
        engine: EngineOptions {
            memtable_bytes: bytes(core.div_euclid(32).min(MEMTABLE_BYTES_MAX)),
            cache_bytes: bytes(eighth),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_share_exceeds_the_budget() {
        for (budget, cores) in
            [(256u64 << 20, 2), (512 << 20, 2), (1 << 30, 1), (1 << 30, 16), (64 << 30, 64)]
        {
            let share = share(budget, cores).unwrap();
            let core = share.arena_bytes
                + share.reserve_bytes
                + share.document_bytes
                + 3 * share.engine.memtable_bytes
                + share.engine.cache_bytes;
            let all = core as u64 * cores as u64 + FIXED_BYTES;
            assert!(all <= budget, "{all} of {budget} for {cores} cores");
        }
    }

    #[test]
    fn too_little_is_refused_with_what_is_needed() {
        assert_eq!(share(100 << 20, 2), Err((48 << 20) + 2 * (40 << 20)));
    }
}
