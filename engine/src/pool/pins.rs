//! Groups that hold rows which no record names yet.
//!
//! A body takes as long as its client, and its rows count as alive only once its record is published. Until then each of
//! its rows pins its group: a group that looks dead is taken back only if nobody has pinned it. So a slow upload keeps
//! the groups that it wrote to, and no others.
//!
//! Whoever takes groups back asks for pins *before* it asks the ledgers what lives: a pin goes only after the record that
//! names the row is counted, or together with the row.

use crate::sync::Event;
use ashlar_disk_format::units::GroupId;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

#[derive(Debug, Default)]
struct Pinned {
    pins: usize,
    /// It would be taken back or emptied, were it not pinned.
    is_wanted: bool,
}

#[derive(Debug, Default)]
struct Inner {
    groups: RefCell<BTreeMap<GroupId, Pinned>>,
    released: Event,
}

/// What the bodies of one core pin.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pins(Rc<Inner>);

/// Keeps one group from being taken back, until it is dropped.
#[derive(Debug)]
pub(crate) struct Pin {
    pins: Pins,
    group: GroupId,
}

/// Keeps several, each once.
#[derive(Debug, Default)]
pub(crate) struct PinSet(SmallVec<[Pin; 2]>);

impl Pins {
    /// Pins a group, which must be open or pinned already.
    pub(crate) fn pin(&self, group: GroupId) -> Pin {
        self.0.groups.borrow_mut().entry(group).or_default().pins += 1;
        Pin { pins: self.clone(), group }
    }

    /// Which of `groups` are pinned; when one of those is let go of, [`Pins::released`] says so.
    pub(crate) fn want(&self, groups: &[GroupId]) -> Vec<GroupId> {
        let mut pinned = self.0.groups.borrow_mut();
        let mut found = Vec::new();
        for group in groups {
            if let Some(pinned) = pinned.get_mut(group) {
                pinned.is_wanted = true;
                found.push(*group);
            }
        }
        found
    }

    /// Fires when a group that is wanted is not pinned any more.
    pub(crate) fn released(&self) -> &Event {
        &self.0.released
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut groups = self.pins.0.groups.borrow_mut();
        let Some(pinned) = groups.get_mut(&self.group) else { unreachable!("a pin stands in the table") };
        pinned.pins -= 1;
        if pinned.pins > 0 {
            return;
        }
        let was_wanted = pinned.is_wanted;
        groups.remove(&self.group);
        drop(groups);
        if was_wanted {
            self.pins.0.released.fire();
        }
    }
}

impl PinSet {
    /// Adds a pin, unless its group is pinned by this set.
    pub(crate) fn add(&mut self, pin: Pin) {
        // Rows go to few groups, most of them to the same as the row before.
        if !self.0.iter().rev().any(|known| known.group == pin.group) {
            self.0.push(pin);
        }
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|pin| self.add(pin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn a_group_is_pinned_until_the_last_pin_is_gone() {
        let pins = Pins::default();
        let (mut one, mut other) = (PinSet::default(), PinSet::default());
        one.add(pins.pin(GroupId(1)));
        one.add(pins.pin(GroupId(1)));
        one.add(pins.pin(GroupId(2)));
        other.add(pins.pin(GroupId(1)));
        assert_eq!(one.0.len(), 2);
        let all = [GroupId(1), GroupId(2), GroupId(3)];
        assert_eq!(pins.want(&all), [GroupId(1), GroupId(2)]);
        drop(one);
        assert_eq!(pins.want(&all), [GroupId(1)]);
        drop(other);
        assert_eq!(pins.want(&all), []);
    }

    #[test]
    fn letting_go_is_told_of_groups_that_are_wanted() {
        let pins = Pins::default();
        let (wanted, other) = (pins.pin(GroupId(1)), pins.pin(GroupId(2)));
        let mut released = Box::pin(pins.released().wait());
        pins.want(&[GroupId(1)]);
        drop(other);
        assert!(released.as_mut().now_or_never().is_none());
        drop(wanted);
        assert!(released.as_mut().now_or_never().is_some());
    }
}
