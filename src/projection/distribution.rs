//! How often something was how large: counted without a lock, by bounds that are known beforehand.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers, counted by the bounds that they are not above. A reader may see one more in a bucket than in the sum.
#[derive(Debug)]
pub(super) struct Distribution<const BOUNDS: usize> {
    bounds: [u64; BOUNDS],
    counts: [AtomicU64; BOUNDS],
    above: AtomicU64,
    sum: AtomicU64,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    /// The numbers together.
    pub sum: u64,
    /// An upper bound, and how many are in this bucket alone; the last one has no bound.
    pub buckets: Vec<(Option<u64>, u64)>,
}

impl<const BOUNDS: usize> Distribution<BOUNDS> {
    pub(super) fn new(bounds: [u64; BOUNDS]) -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        Self { bounds, counts, above: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    pub(super) fn record(&self, number: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < number);
        self.counts.get(bucket).unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn buckets(&self) -> Buckets {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        let counts = self.counts.iter().chain([&self.above]).map(|count| count.load(Ordering::Relaxed));
        Buckets { sum: self.sum.load(Ordering::Relaxed), buckets: bounds.zip(counts).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_is_above_all_is_counted_too() {
        let distribution = Distribution::new([1, 10]);
        for number in [0, 1, 2, 10, 11] {
            distribution.record(number);
        }
        let expected = Buckets { sum: 24, buckets: vec![(Some(1), 2), (Some(10), 2), (None, 1)] };
        assert_eq!(distribution.buckets(), expected);
    }
}
