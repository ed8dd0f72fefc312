//! Names of what left lately, without their bytes.
//!
//! Invariants: the table never grows; a name is known for as long as names that together cost no more than the room
//! were remembered behind it, unless too many others share its place. A name that is forgotten early costs one more read of
//! what it stands for.

#[derive(Debug, Clone, Copy, Default)]
struct Ghost {
    /// Of the name.
    hash: u64,
    /// Where the clock stood.
    at: u64,
}

/// Names that share a place; with one more the oldest is forgotten. Together they are as long as a line of the
/// processor's cache.
const PLACE_NAMES: usize = 4;

type Place = [Ghost; PLACE_NAMES];

/// See the module.
#[derive(Debug)]
pub(super) struct Ghosts {
    /// A power of two of them; a name's is given by its hash.
    places: Box<[Place]>,
    /// What was remembered altogether would cost so much, bytes. Begins where an empty place is too old.
    clock: u64,
    /// The room of the cache, bytes.
    room: u64,
}

impl Ghosts {
    /// For a cache of so much room. What leaves it costs `usual_bytes` for the most part, or more: the table has space
    /// for each.
    pub(super) fn new(room: usize, usual_bytes: usize) -> Self {
        let places = room.div_ceil(usual_bytes * PLACE_NAMES);
        let places = vec![Place::default(); places.next_power_of_two()].into();
        let room = room as u64;
        Self { places, clock: room + 1, room }
    }

    /// Takes note of what would have cost so much.
    pub(super) fn remember(&mut self, hash: u64, cost: usize) {
        self.forget(hash);
        self.clock += cost as u64;
        let at = self.clock;
        let oldest = self.place(hash).iter_mut().min_by_key(|ghost| ghost.at);
        if let Some(oldest) = oldest {
            *oldest = Ghost { hash, at };
        }
    }

    /// Whether the name is known.
    pub(super) fn knows(&mut self, hash: u64) -> bool {
        let (clock, room) = (self.clock, self.room);
        self.place(hash).iter().any(|ghost| ghost.hash == hash && clock - ghost.at <= room)
    }

    pub(super) fn forget(&mut self, hash: u64) {
        for ghost in self.place(hash).iter_mut().filter(|ghost| ghost.hash == hash) {
            *ghost = Ghost::default();
        }
    }

    /// Memory taken, bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.places)
    }

    fn place(&mut self, hash: u64) -> &mut Place {
        let last = self.places.len() - 1;
        // The low bits of a 64-bit hash, whatever the width of an address.
        let index = usize::try_from(hash & last as u64).unwrap_or(0);
        &mut self.places[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: usize = 2048;

    #[test]
    fn names_are_known_for_a_while_and_need_no_more_memory() {
        let mut ghosts = Ghosts::new(64 * USUAL, USUAL);
        let before = ghosts.bytes();
        assert!(!ghosts.knows(0) && !ghosts.knows(7));
        ghosts.remember(7, 1000);
        assert!(ghosts.knows(7));
        assert!(!ghosts.knows(7 + 64), "another name of the same place");
        (1..=3).for_each(|number| ghosts.remember(7 + 64 * number, 1));
        assert!((0..=3).all(|number| ghosts.knows(7 + 64 * number)), "a place has space for four");
        ghosts.remember(7 + 64 * 4, 1);
        assert!(!ghosts.knows(7), "the oldest made way");
        ghosts.remember(7, 1);
        (8..40).for_each(|hash| ghosts.remember(hash, 4 * USUAL));
        assert!(!ghosts.knows(7), "more than the room came after it");
        assert!(ghosts.knows(39));
        ghosts.forget(39);
        assert!(!ghosts.knows(39));
        (0..10_000).for_each(|hash| ghosts.remember(hash, 1));
        assert_eq!(ghosts.bytes(), before);
    }
}
