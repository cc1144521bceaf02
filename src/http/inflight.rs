//! How many requests may be under way at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// As many places as there may be requests.
#[derive(Debug)]
pub(super) struct InFlight {
    limit: usize,
    taken: AtomicUsize,
}

impl InFlight {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, taken: AtomicUsize::new(0) }
    }

    /// A place, until it is dropped; none if all are taken.
    pub(super) fn enter(&self) -> Option<Place<&Self>> {
        Place::of(self)
    }

    /// A place that may go wherever the request goes.
    pub(super) fn enter_for_long(self: &Arc<Self>) -> Option<Place<Arc<Self>>> {
        Place::of(Arc::clone(self))
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl AsRef<InFlight> for InFlight {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// One of the requests under way.
#[derive(Debug)]
pub(super) struct Place<T: AsRef<InFlight>>(T);

impl<T: AsRef<InFlight>> Place<T> {
    /// Counted before it is compared, so that two can't both take the last place; dropping it counts it out again.
    fn of(places: T) -> Option<Self> {
        let before = places.as_ref().taken.fetch_add(1, Ordering::Relaxed);
        let limit = places.as_ref().limit;
        let place = Self(places);
        (before < limit).then_some(place)
    }
}

impl<T: AsRef<InFlight>> Drop for Place<T> {
    fn drop(&mut self) {
        self.0.as_ref().taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_the_limit_and_a_refusal_takes_none() {
        let places = Arc::new(InFlight::new(2));
        let (first, second) = (places.enter().unwrap(), places.enter_for_long().unwrap());
        assert!(places.enter().is_none() && places.enter_for_long().is_none());
        assert_eq!(places.taken(), 2);
        drop(second);
        assert!(places.enter().is_some());
        drop(first);
        assert_eq!(places.taken(), 0);
    }
}
