//! How many events went into each transaction.

use std::sync::atomic::{AtomicU64, Ordering};

/// Up to 1, 2, 4 … 1,024, and more.
const BUCKETS: usize = 12;

/// Counts transactions by the number of their events.
#[derive(Debug, Default)]
pub struct Sizes {
    buckets: [AtomicU64; BUCKETS],
    events: AtomicU64,
}

/// The transactions that have appended events, by the number of their events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupCommits {
    /// How many events all of them had together.
    pub events: u64,
    /// How many had up to so many events, in each bucket by itself: the upper bounds are powers of two, and the last
    /// one is infinite. Empty if nothing is counted.
    pub buckets: Vec<(f64, u64)>,
}

impl GroupCommits {
    /// How many transactions there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

impl Sizes {
    pub(super) fn add(&self, events: usize) {
        let bucket = events.max(1).next_power_of_two().trailing_zeros() as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(events as u64, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn commits(&self) -> GroupCommits {
        let bounds = (0..BUCKETS - 1).map(|power| f64::from(1_u32 << power)).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        GroupCommits { events: self.events.load(Ordering::Relaxed), buckets: bounds.zip(counts).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let sizes = Sizes::default();
        for events in [1, 2, 3, 4, 1024, 1025, 10_000] {
            sizes.add(events);
        }
        let commits = sizes.commits();
        let full: Vec<_> = commits.buckets.iter().filter(|(_, count)| *count > 0).copied().collect();
        assert_eq!(full, [(1.0, 1), (2.0, 1), (4.0, 2), (1024.0, 1), (f64::INFINITY, 2)]);
        assert_eq!((commits.count(), commits.events), (7, 12_059));
    }
}
