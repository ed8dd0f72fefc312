//! A counting limit with a first-come-first-served queue.

use super::quota::{Quota, Share};

/// At most so many at once.
#[derive(Debug, Clone)]
pub struct Limit {
    places: Quota,
}

/// A place under a [`Limit`]; dropping it hands it to the next in line.
#[derive(Debug)]
pub struct Permit {
    _place: Share,
}

impl Limit {
    /// A limit of `places`.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self { places: Quota::new(places) }
    }

    /// Waits for a place.
    pub async fn enter(&self) -> Permit {
        Permit { _place: self.places.take(1).await }
    }

    /// How many wait for a place.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.places.waiting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn places_pass_to_who_waits_and_survive_who_left() {
        let limit = Limit::new(1);
        let first = limit.enter().now_or_never().unwrap();
        let mut second = Box::pin(limit.enter());
        let mut third = Box::pin(limit.enter());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        drop(first);
        let permit = third.as_mut().now_or_never().unwrap();
        assert!(limit.enter().now_or_never().is_none());
        drop(permit);
        assert!(limit.enter().now_or_never().is_some());
    }
}
