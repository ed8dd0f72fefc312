//! Which devices a new group lies on. Pure: free segments in, members out.
//!
//! The n devices with the most free segments (as a share of what is left, so that devices of mixed
//! sizes fill evenly), ties by a rotation that moves with each group, so that groups are declustered
//! over all devices.

use ashlar_disk_format::group::Member;
use ashlar_disk_format::units::DeviceIndex;

/// A device that may take a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) device: DeviceIndex,
    /// Segments free on it.
    pub(crate) free: u32,
}

/// The devices of the next group of `members`, or `None` when too few have a free segment.
pub(crate) fn choose(candidates: &[Candidate], members: usize, turn: u32) -> Option<Vec<DeviceIndex>> {
    let mut free: Vec<(u32, u32, DeviceIndex)> = candidates
        .iter()
        .filter(|candidate| candidate.free > 0)
        .enumerate()
        .map(|(position, candidate)| {
            let count = u32::try_from(candidates.len()).unwrap_or(u32::MAX).max(1);
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            let rotated = position.wrapping_add(count).wrapping_sub(turn.rem_euclid(count)).rem_euclid(count);
            (u32::MAX - candidate.free, rotated, candidate.device)
        })
        .collect();
    if free.len() < members {
        return None;
    }
    free.sort_unstable();
    free.truncate(members);
    free.sort_unstable_by_key(|&(_, rotated, _)| rotated);
    Some(free.into_iter().map(|(_, _, device)| device).collect())
}

/// The device for a member that takes the place of a lost one: that with the most free segments of those that have no
/// member of the group. `None` when there is none with a free segment.
pub(crate) fn choose_another(candidates: &[Candidate], members: &[Member]) -> Option<DeviceIndex> {
    let has_none = |device: DeviceIndex| members.iter().all(|member| member.device != device);
    let fit = candidates.iter().filter(|candidate| candidate.free > 0 && has_none(candidate.device));
    fit.max_by_key(|candidate| candidate.free).map(|candidate| candidate.device)
}

/// How many more groups of `members` fit: the largest t with Σ min(free, t) ≥ members · t.
pub(crate) fn groups_left(candidates: &[Candidate], members: usize) -> u64 {
    let members = members as u64;
    let (mut low, mut high) = (0u64, candidates.iter().map(|c| u64::from(c.free)).sum::<u64>());
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let room: u64 = candidates.iter().map(|c| u64::from(c.free).min(middle)).sum();
        if room >= members * middle {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_disk_format::units::SegmentIndex;

    fn devices(free: &[u32]) -> Vec<Candidate> {
        free.iter()
            .enumerate()
            .map(|(i, &free)| Candidate { device: DeviceIndex(u16::try_from(i).unwrap()), free })
            .collect()
    }

    #[test]
    fn members_are_distinct_and_the_emptiest() {
        let chosen = choose(&devices(&[5, 9, 9, 0, 7]), 3, 0).unwrap();
        assert_eq!(chosen, vec![DeviceIndex(1), DeviceIndex(2), DeviceIndex(4)]);
        assert_eq!(choose(&devices(&[5, 0, 0]), 2, 0), None);
    }

    #[test]
    fn a_member_moves_to_the_emptiest_device_without_one() {
        let member = |device| Member { device: DeviceIndex(device), segment: SegmentIndex(0) };
        let members = [member(1), member(2)];
        assert_eq!(choose_another(&devices(&[5, 9, 9, 0, 7]), &members), Some(DeviceIndex(4)));
        assert_eq!(choose_another(&devices(&[0, 9, 9, 0]), &members), None);
        assert_eq!(choose_another(&devices(&[0, 9, 9]), &members[..1]), Some(DeviceIndex(2)));
    }

    #[test]
    fn groups_spread_over_all_devices() {
        let mut free = [100u32; 7];
        let mut used = [0u32; 7];
        for turn in 0..70 {
            for device in choose(&devices(&free), 3, turn).unwrap() {
                free[usize::from(device.0)] -= 1;
                used[usize::from(device.0)] += 1;
            }
        }
        assert!(used.iter().all(|&count| count == 30), "{used:?}");
    }

    #[test]
    fn what_is_left_counts_distinct_devices() {
        assert_eq!(groups_left(&devices(&[10, 10, 10]), 3), 10);
        assert_eq!(groups_left(&devices(&[10, 1, 1]), 3), 1);
        assert_eq!(groups_left(&devices(&[4, 4, 4, 4]), 2), 8);
        assert_eq!(groups_left(&devices(&[4, 0]), 2), 0);
    }
}
