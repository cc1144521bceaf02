//! Durations in buckets, counted without a lock: every request is recorded in one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds; the last bucket has no bound. The first ones are for what is done
/// in memory, the last ones for what waits for a database that is away.
const BOUNDS: [u64; 17] =
    [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000];

/// How long something took, in buckets.
///
/// The counts are independent of each other: a reader may see one more in a bucket than in the sum.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

/// What a histogram has counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// The durations together, in seconds.
    pub sum: f64,
    /// How many there were.
    pub count: u64,
    /// The upper bound of each bucket, in seconds, and how many are in this bucket alone; the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Records one.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What was recorded until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let bounds = BOUNDS.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64()).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let sum = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64();
        Counts { sum, count: buckets.iter().map(|(_, count)| count).sum(), buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::default();
        for nanos in [0, 1_000, 1_001, 25_000, 25_001, 50_000, 2_500_000_000, 2_500_000_001] {
            histogram.record(Duration::from_nanos(nanos));
        }
        let counts = histogram.counts();
        assert_eq!(counts.count, 8);
        assert!((counts.sum - 5.000_102_003).abs() < 1e-9, "{counts:?}");
        let full: Vec<_> = counts.buckets.iter().filter(|(_, count)| *count > 0).copied().collect();
        assert_eq!(full, [(0.000_001, 2), (0.000_005, 1), (0.000_025, 1), (0.000_05, 2), (2.5, 1), (f64::INFINITY, 1)]);
    }
}
