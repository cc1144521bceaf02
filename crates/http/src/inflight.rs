//! How many requests may be in flight at a time, and how many bytes they may have in memory together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// So many bytes of a request are not counted: there are places for so many requests only. So small requests, nearly
/// all, share no count but that of the places, are answered also while large ones have all of the bytes, and nobody is
/// refused the answer to a change that was made.
pub const FREE: usize = 2048;

/// The message to a request that gets no place.
pub const ALL_TAKEN: &str = "as many requests are in flight as may be; try again in a moment";

/// The message to a request for which there are not enough bytes left.
pub const OVER_BUDGET: &str =
    "the requests and answers in flight have as many bytes as they may; try again in a moment";

/// As many places as there may be requests, and as many bytes as these may have.
///
/// One request by itself may need more than all of the bytes: such a one is let through while there is no other. So
/// there are never more bytes than the budget, what one request may have, and [`FREE`] for each place.
#[derive(Debug)]
pub struct InFlight {
    places: usize,
    budget: usize,
    taken: AtomicUsize,
    bytes: AtomicUsize,
    /// The bytes of the request that is larger than the budget; 0 while there is none.
    oversize: AtomicUsize,
    received: AtomicU64,
    sent: AtomicU64,
}

/// The requests in flight have as many bytes as they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverBudget;

/// As many requests are in flight as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllTaken;

impl InFlight {
    /// So many places, and so many bytes for all of them together.
    pub fn new(places: usize, budget: usize) -> Arc<Self> {
        let [taken, bytes, oversize] = [0; 3].map(AtomicUsize::new);
        let [received, sent] = [0; 2].map(AtomicU64::new);
        Arc::new(Self { places, budget, taken, bytes, oversize, received, sent })
    }

    /// A place, until it is dropped.
    ///
    /// Counted before it is compared, so that no two take the last one; dropping the place counts it out again.
    pub fn enter(self: &Arc<Self>) -> Result<Place, AllTaken> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let place = Place { of: Arc::clone(self), bytes: 0, oversize: false };
        if before < self.places { Ok(place) } else { Err(AllTaken) }
    }

    /// How many requests are in flight.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// The bytes that are counted.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed).saturating_add(self.oversize.load(Ordering::Relaxed))
    }

    /// How many bytes the bodies have had that were read whole.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// How many bytes the bodies have had that were given to a connection to be sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// One of the requests in flight, with the bytes that are kept for it: those of its body, and then those of its answer.
#[derive(Debug)]
pub struct Place {
    of: Arc<InFlight>,
    /// Those that are counted.
    bytes: usize,
    /// Whether it is the one that is larger than the budget: it stays that until it is dropped.
    oversize: bool,
}

impl Place {
    /// Its body was read, of so many bytes.
    pub(crate) fn received(&self, bytes: usize) {
        self.of.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Its answer is given to the connection, of so many bytes.
    pub(crate) fn sent(&self, bytes: usize) {
        self.of.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// From now on it has so many bytes. To be called before they are allocated, and after they are freed: to have
    /// fewer is always possible.
    pub fn resize(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let counted = bytes.saturating_sub(FREE);
        if counted <= self.bytes || self.oversize {
            self.settle(bytes);
            return Ok(());
        }
        if counted > self.of.budget {
            return self.outgrow(counted);
        }
        // Counted before it is compared, as places are.
        let more = counted - self.bytes;
        let before = self.of.bytes.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > self.of.budget {
            self.of.bytes.fetch_sub(more, Ordering::Relaxed);
            return Err(OverBudget);
        }
        self.bytes = counted;
        Ok(())
    }

    /// Becomes the one that is larger than the budget, if there is no other.
    fn outgrow(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let taken = self.of.oversize.compare_exchange(0, bytes, Ordering::Relaxed, Ordering::Relaxed);
        taken.map_err(|_| OverBudget)?;
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        (self.bytes, self.oversize) = (bytes, true);
        Ok(())
    }

    /// Counts what is there already, also over the budget: the answer to a change that was made is given whatever there
    /// is.
    pub fn settle(&mut self, bytes: usize) {
        let (bytes, before) = (bytes.saturating_sub(FREE), self.bytes);
        self.bytes = bytes;
        if self.oversize {
            // Never 0, which would be nobody's.
            self.of.oversize.store(bytes.max(1), Ordering::Relaxed);
        } else if bytes > before {
            self.of.bytes.fetch_add(bytes - before, Ordering::Relaxed);
        } else if bytes < before {
            // Small ones, nearly all, touch nothing that others share.
            self.of.bytes.fetch_sub(before - bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.oversize {
            self.of.oversize.store(0, Ordering::Relaxed);
        } else {
            self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
        self.of.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_the_limit_and_a_refusal_takes_none() {
        let places = InFlight::new(2, usize::MAX);
        let (first, second) = (places.enter().unwrap(), places.enter().unwrap());
        assert_eq!(places.enter().unwrap_err(), AllTaken);
        assert_eq!(places.taken(), 2);
        drop(second);
        assert!(places.enter().is_ok());
        drop(first);
        assert_eq!((places.taken(), places.bytes()), (0, 0));
    }

    #[test]
    fn the_bytes_of_all_stay_within_the_budget_and_a_refusal_takes_none() {
        let places = InFlight::new(10, 1_000);
        let (mut first, mut second) = (places.enter().unwrap(), places.enter().unwrap());
        first.resize(FREE + 800).unwrap();
        second.resize(FREE).unwrap();
        assert_eq!(second.resize(FREE + 201), Err(OverBudget));
        assert_eq!(places.bytes(), 800);
        second.resize(FREE + 200).unwrap();
        places.enter().unwrap().resize(FREE).unwrap();
        assert_eq!(places.enter().unwrap().resize(FREE + 1), Err(OverBudget));
        first.resize(0).unwrap();
        second.resize(FREE + 1_000).unwrap();
        first.settle(FREE + 500);
        assert_eq!(places.bytes(), 1_500, "what is there is counted");
        drop((first, second));
        assert_eq!((places.taken(), places.bytes()), (0, 0));
    }

    #[test]
    fn one_request_at_a_time_may_be_larger_than_the_budget() {
        let places = InFlight::new(10, 1_000);
        let (mut large, mut other) = (places.enter().unwrap(), places.enter().unwrap());
        other.resize(FREE + 900).unwrap();
        large.resize(FREE + 2_000).unwrap();
        large.resize(FREE + 3_000).unwrap();
        assert_eq!(places.bytes(), 3_900);
        assert_eq!(other.resize(FREE + 1_001), Err(OverBudget), "there is one already");
        other.resize(FREE + 1_000).unwrap();
        large.settle(FREE + 1);
        assert_eq!(other.resize(FREE + 1_001), Err(OverBudget), "it is that until its end");
        drop(large);
        other.resize(FREE + 1_001).unwrap();
        drop(other);
        assert_eq!((places.taken(), places.bytes()), (0, 0));
    }
}
