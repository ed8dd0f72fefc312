//! How one memory budget is divided among the cores.

use ashlar_engine::EngineOptions;
use ashlar_s3::limits::{ATTENDED_BYTES, CONNECTION_BYTES, TLS_BYTES};

/// What the program itself takes, bytes: code, stacks, tables that do not grow with the load.
const FIXED_BYTES: u64 = 48 << 20;
/// Less than this per core, bytes, and rows, log and index cannot all be written at once.
const CORE_BYTES_MIN: u64 = 40 << 20;
const RESERVE_BYTES_MIN: u64 = 12 << 20;
const RESERVE_BYTES_MAX: u64 = 64 << 20;
const MEMTABLE_BYTES_MAX: u64 = 24 << 20;
/// Connections of one core, however much memory there is.
const CONNECTIONS_MAX: u64 = 1 << 16;
/// Files that are open besides connections and devices.
const FILES_BESIDES: u64 = 128;
/// Files of one device on one core: as a block device and as a passthrough one.
const FILES_PER_DEVICE: u64 = 2;

/// One core's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) arena_bytes: usize,
    pub(super) reserve_bytes: usize,
    pub(super) document_bytes: usize,
    pub(super) connections_max: usize,
    pub(super) attended_max: usize,
    pub(super) engine: EngineOptions,
}

/// Divides `budget` bytes among `cores`: half of each share for request buffers, an eighth for log, index and
/// repair, three memtables of a thirty-second each, an eighth for index pages and small bodies that were read, a
/// sixteenth for documents. Of the rest half, at least a thirty-second, is for connections: half of that for all of them,
/// half for those that are served at a time. What remains is for filters. Where that is more than there is, request
/// buffers get less.
///
/// # Errors
/// The budget that so many cores need, bytes.
pub(super) fn share(budget: u64, cores: usize, has_tls: bool) -> Result<Share, u64> {
    let count = u64::try_from(cores.max(1)).unwrap_or(u64::MAX);
    let needed = FIXED_BYTES + count * CORE_BYTES_MIN;
    if budget < needed {
        return Err(needed);
    }
    let core = (budget - FIXED_BYTES).div_euclid(count);
    let [eighth, sixteenth, thirty_second] = [8, 16, 32].map(|part| core.div_euclid(part));
    let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    // Regions are rounded up to 2 MiB by the runtime, so they are rounded down here.
    let whole = |value: u64| bytes(value - value.rem_euclid(2 << 20));
    let reserve = eighth.clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX);
    let memtable = thirty_second.min(MEMTABLE_BYTES_MAX);
    let others = reserve + 3 * memtable + eighth + sixteenth;
    let rest = core.saturating_sub(8 * sixteenth + others);
    let connections = thirty_second.max(rest.div_euclid(2));
    let count = |bytes_each: usize| connections.div_euclid(2 * bytes_each as u64).min(CONNECTIONS_MAX);
    Ok(Share {
        arena_bytes: whole((8 * sixteenth).min(core - others - connections)),
        reserve_bytes: whole(reserve),
        document_bytes: bytes(sixteenth),
        connections_max: bytes(count(CONNECTION_BYTES + if has_tls { TLS_BYTES } else { 0 })),
        attended_max: bytes(count(ATTENDED_BYTES)),
        engine: EngineOptions {
            memtable_bytes: bytes(memtable),
            cache_bytes: bytes(eighth),
            ..EngineOptions::default()
        },
    })
}

impl Share {
    /// No more connections than there may be files open, `files` in all, for `devices` on each of `cores`.
    pub(super) fn within_files(mut self, files: u64, devices: usize, cores: usize) -> Self {
        let [devices, cores] = [devices, cores.max(1)].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        let besides = FILES_BESIDES.saturating_add(FILES_PER_DEVICE.saturating_mul(devices));
        let each = files.div_euclid(cores).saturating_sub(besides).max(1);
        let each = usize::try_from(each).unwrap_or(usize::MAX);
        self.connections_max = self.connections_max.min(each);
        self.attended_max = self.attended_max.min(each);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_share_exceeds_the_budget() {
        for (budget, cores) in
            [(128u64 << 20, 2), (256 << 20, 2), (512 << 20, 2), (1 << 30, 1), (1 << 30, 16), (64 << 30, 64)]
        {
            let tls = share(budget, cores, true).unwrap();
            let share = share(budget, cores, false).unwrap();
            let tls_bytes = tls.connections_max * (CONNECTION_BYTES + TLS_BYTES);
            assert!(tls_bytes < (share.connections_max + 1) * CONNECTION_BYTES, "{tls_bytes}");
            let core = share.arena_bytes
                + share.reserve_bytes
                + share.document_bytes
                + 3 * share.engine.memtable_bytes
                + share.engine.cache_bytes
                + share.connections_max * CONNECTION_BYTES
                + share.attended_max * ATTENDED_BYTES;
            assert!(share.attended_max >= 32 && share.connections_max > share.attended_max, "{share:?}");
            let all = core as u64 * cores as u64 + FIXED_BYTES;
            assert!(all <= budget, "{all} of {budget} for {cores} cores");
        }
    }

    #[test]
    fn connections_are_no_more_than_files() {
        let share = share(1 << 30, 2, false).unwrap();
        assert_eq!(share.within_files(1 << 20, 6, 2), share);
        let few = share.within_files(1024, 6, 2);
        assert_eq!((few.connections_max, few.attended_max), (512 - 128 - 12, 512 - 128 - 12));
        assert_eq!(share.within_files(0, 6, 2).connections_max, 1);
    }

    #[test]
    fn too_little_is_refused_with_what_is_needed() {
        assert_eq!(share(100 << 20, 2, false), Err((48 << 20) + 2 * (40 << 20)));
    }
}
