//! When space is made and out of which groups. Pure: how many groups are left and what lives in the others in, marks
//! and victims out.
//!
//! Four marks, in groups that are left. Below each one somebody more has to do without:
//!
//! | left | what happens |
//! |---|---|
//! | `clean` | groups that are partly dead are emptied, in the background |
//! | `short` | bodies wait at the door as long as space is being made |
//! | `out` | bodies get no new group: the rest is for the cleaner |
//! | `low` | the cleaner gets none either: the rest is for log and index, so that deletes and checkpoints go on |

use ashlar_disk_format::units::{Generation, GroupId};

/// How much room a pool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Enough.
    Ample,
    /// Partly dead groups are emptied.
    Cleaning,
    /// Bodies wait at the door.
    Short,
    /// Bodies are refused.
    Out,
    /// Everything but deletes is refused.
    Low,
}

/// Groups left at which each level begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) clean: u64,
    pub(crate) short: u64,
    pub(crate) out: u64,
    pub(crate) low: u64,
}

impl Marks {
    /// The marks of a pool with room for `all` groups, of which `reserved` are kept for log and index.
    pub(crate) fn new(all: u64, reserved: u64, cores: u64) -> Self {
        let spare = all.saturating_sub(reserved);
        if spare < SPARE_MIN {
            // The last group of bodies is theirs who have begun: what was received must find room for its record.
            let out = reserved + u64::from(spare > 0);
            return Self { clean: out, short: out, out, low: reserved };
        }
        // What is left above is divided so that in a pool of few groups clients keep most of it.
        let share = |wanted: u64, part: u64| wanted.min(spare.div_euclid(part).max(1));
        // Each core writes what it moves to a group of its own, and one of them may need a second. With more a pass
        // brings more: what a walk and a checkpoint cost is the same for one group and for many.
        let cleaner = share((cores + 1).max(all.div_euclid(PASS_PART)), CLEANER_PART);
        // Bodies that were let in before the door closed.
        let gap = share((cores + 1).max(all.div_euclid(RUSH_PART)), GAP_PART);
        let ahead = spare.div_euclid(AHEAD_PART).max(1);
        let out = reserved + cleaner;
        Self { clean: out + gap + ahead, short: out + gap, out, low: reserved }
    }

    /// Whether groups of such a pool are emptied at all.
    pub(crate) fn is_cleaned(&self) -> bool {
        self.out < self.short
    }

    /// The level of a pool with so many groups left.
    pub(crate) fn level(&self, left: u64) -> Level {
        if left <= self.low {
            Level::Low
        } else if left <= self.out {
            Level::Out
        } else if left <= self.short {
            Level::Short
        } else if left <= self.clean {
            Level::Cleaning
        } else {
            Level::Ample
        }
    }
}

/// A group that could be emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) group: GroupId,
    /// Orders groups by age.
    pub(crate) generation: Generation,
    /// Bytes of its data chunks, headers included.
    pub(crate) capacity: u64,
    /// Bytes that something points at.
    pub(crate) live: u64,
    /// Bytes that died in it, if it was filled by the cleaner: what is left out of it otherwise cannot be left out.
    pub(crate) died: Option<u64>,
}

/// What a pass may cost and is to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Bytes that may be moved.
    pub(crate) budget: u64,
    /// Bytes of groups that are to be gained; a pass gains no more than needed, because what is not emptied now may
    /// die by itself.
    pub(crate) wanted: u64,
    /// Bytes that come to lie in a hundred bytes of group, as measured.
    pub(crate) density: u64,
    /// Somebody waits for space: little is better than nothing.
    pub(crate) is_urgent: bool,
}

/// The groups to empty in one pass, the best first. Empty when nothing would be gained.
pub(crate) fn choose_victims(candidates: &[Candidate], terms: Terms) -> Vec<GroupId> {
    let density = terms.density.clamp(1, 100);
    let cost = |candidate: &Candidate| candidate.live.saturating_mul(100).div_ceil(density);
    let mut by_age: Vec<&Candidate> = candidates.iter().collect();
    by_age.sort_unstable_by_key(|candidate| std::cmp::Reverse(candidate.generation));
    let count = u128::try_from(by_age.len().max(1)).unwrap_or(u128::MAX);
    let mut scored: Vec<(u128, &Candidate, u64)> = (1u128..)
        .zip(by_age)
        .filter_map(|(age, candidate)| {
            let gain = candidate.capacity.saturating_sub(cost(candidate));
            let part = if terms.is_urgent { URGENT_GAIN_PART } else { GAIN_PART };
            let enough = |bytes: u64| bytes.saturating_mul(part) >= candidate.capacity;
            // One with little in it was given up half way.
            let is_packed = candidate.live.saturating_mul(2) >= candidate.capacity
                && candidate.died.is_some_and(|died| !enough(died));
            let is_worth_it = gain > 0 && enough(gain) && !is_packed;
            // What is old will hardly die by itself any more, so its gain counts up to twice.
            let weight = 256 + (256 * age).div_euclid(count);
            let effort = u128::from(candidate.capacity) + u128::from(candidate.live);
            let score = (u128::from(gain) * weight * 65_536).div_euclid(effort.max(1));
            is_worth_it.then_some((score, candidate, gain))
        })
        .collect();
    scored.sort_unstable_by_key(|(score, candidate, _)| (std::cmp::Reverse(*score), candidate.group));
    let (mut victims, mut moved, mut gained) = (Vec::new(), 0u64, 0u64);
    for (_, candidate, gain) in scored {
        if gained >= terms.wanted || victims.len() >= VICTIMS_MAX {
            break;
        }
        // One that does not fit the budget leaves it to a smaller one behind.
        if moved.saturating_add(candidate.live) <= terms.budget {
            moved += candidate.live;
            gained += gain;
            victims.push(candidate.group);
        }
    }
    victims
}

/// A victim must bring at least one part in so many of itself: below that, moving costs more than it is worth, and
/// errors of the measured density could make it bring nothing at all.
const GAIN_PART: u64 = 16;
/// When bodies wait it is this part. With yet less to gain they would wait longer than they do.
const URGENT_GAIN_PART: u64 = 32;
/// Groups emptied in one pass at most: what the cores look every extent up in.
const VICTIMS_MAX: usize = 1024;
/// With fewer groups besides the reserve of log and index, those that the cleaner would keep back and those that it
/// would write to are more than what it brings.
const SPARE_MIN: u64 = 24;
/// Of what a pool has besides the reserve of log and index, the cleaner keeps at most one part in so many.
const CLEANER_PART: u64 = 6;
/// And so many parts are kept for bodies on their way.
const GAP_PART: u64 = 12;
/// Of a pool with many groups the cleaner keeps one part in so many.
const PASS_PART: u64 = 64;
/// Of a pool with many groups one part in so many, because many bodies may be on their way.
const RUSH_PART: u64 = 128;
/// Cleaning begins so many parts before bodies have to wait. The later, the more is dead by itself; the earlier, the
/// more is put by for a rush.
const AHEAD_PART: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_disk_format::units::Epoch;

    const MIB: u64 = 1 << 20;

    fn candidate(number: u32, live: u64) -> Candidate {
        let generation = Generation::new(Epoch(1), number);
        Candidate { group: GroupId(number), generation, capacity: 4 * MIB, live, died: None }
    }

    fn terms(budget: u64, wanted: u64) -> Terms {
        Terms { budget, wanted, density: 90, is_urgent: false }
    }

    fn victims(lives: &[u64], terms: Terms) -> Vec<u32> {
        let candidates: Vec<Candidate> =
            (1..).zip(lives).map(|(number, live)| candidate(number, *live)).collect();
        choose_victims(&candidates, terms).into_iter().map(|group| group.0).collect()
    }

    #[test]
    fn the_emptiest_go_first_and_no_more_than_needed() {
        let lives = [3 * MIB, MIB, 2 * MIB, 0];
        assert_eq!(victims(&lives, terms(100 * MIB, 100 * MIB)), [4, 2, 3, 1]);
        assert_eq!(victims(&lives, terms(100 * MIB, 5 * MIB)), [4, 2]);
    }

    #[test]
    fn of_equals_the_oldest_goes_first() {
        assert_eq!(victims(&[2 * MIB; 3], terms(2 * MIB, 100 * MIB)), [1]);
        // And a little more dead weighs less than much more age.
        assert_eq!(victims(&[2 * MIB, 2 * MIB, 2 * MIB - 1], terms(2 * MIB, 100 * MIB)), [1]);
        assert_eq!(victims(&[3 * MIB, 3 * MIB, MIB], terms(3 * MIB, 100 * MIB)), [3]);
    }

    #[test]
    fn a_pass_moves_no_more_than_fits() {
        assert_eq!(victims(&[3 * MIB, 3 * MIB, 2 * MIB], terms(4 * MIB, 100 * MIB)), [3]);
        assert_eq!(victims(&[3 * MIB, 3 * MIB], terms(2 * MIB, 100 * MIB)), [0; 0]);
    }

    #[test]
    fn a_pool_full_of_live_data_is_left_alone() {
        // 15 of 16 parts live: what rows lose to their headers and ends looks like that.
        let lives = [4 * MIB, 15 * MIB.div_euclid(4), 7 * MIB.div_euclid(2)];
        assert_eq!(victims(&lives, terms(100 * MIB, 100 * MIB)), [0; 0]);
        assert_eq!(victims(&lives, Terms { is_urgent: true, ..terms(100 * MIB, 100 * MIB) }), [0; 0]);
        assert_eq!(
            victims(
                &[7 * MIB.div_euclid(2) - 64_000],
                Terms { is_urgent: true, ..terms(100 * MIB, 100 * MIB) }
            ),
            [1]
        );
    }

    #[test]
    fn what_was_packed_is_not_packed_again_before_something_died() {
        let packed = |died, live| Candidate { died: Some(died), ..candidate(1, live) };
        let chosen = |candidate| choose_victims(&[candidate], terms(100 * MIB, 100 * MIB)).len();
        assert_eq!(chosen(packed(0, 3 * MIB)), 0);
        assert_eq!(chosen(packed(MIB.div_euclid(4), 3 * MIB)), 1);
        assert_eq!(chosen(packed(0, MIB)), 1, "most of it was never named");
    }

    #[test]
    fn marks_leave_small_pools_usable() {
        for cores in 1..=8 {
            for all in [4, 8, 12, 22, 62, 158, 510, 64_000] {
                let reserved = (2 * cores + 4).max(8);
                let marks = Marks::new(all, reserved, cores);
                let spare = all.saturating_sub(reserved);
                assert!(
                    marks.clean - reserved <= spare.div_euclid(3).max(u64::from(spare > 0)),
                    "{all} groups, {cores} cores: {marks:?}"
                );
                assert_eq!(marks.is_cleaned(), spare >= 24);
                if marks.is_cleaned() {
                    assert!(marks.low < marks.out && marks.out < marks.short && marks.short < marks.clean);
                } else {
                    assert_eq!(marks.level(reserved), Level::Low);
                    let least = if spare > 0 { Level::Out } else { Level::Ample };
                    assert_eq!(
                        marks.level(reserved + 1),
                        least,
                        "one group is for records of what was received"
                    );
                    assert_eq!(marks.level(reserved + 2), Level::Ample, "nobody has to do without for it");
                }
            }
        }
        let marks = Marks::new(510, 8, 1);
        assert_eq!((marks.low, marks.out, marks.short, marks.clean), (8, 15, 18, 25));
        assert_eq!(marks.level(26), Level::Ample);
        assert_eq!(
            [25, 18, 15, 8].map(|left| marks.level(left)),
            [Level::Cleaning, Level::Short, Level::Out, Level::Low]
        );
    }
}
