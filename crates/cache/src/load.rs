//! Counts that many threads add to at once, and that no reader waits for.

use super::keys::SampledKeys;
use evenfold_groups::{KeyHash, threads};
use std::sync::atomic::{AtomicU64, Ordering};

/// So many threads have a stripe of their own. Those that begin later share some.
const OWN: usize = 64;

/// As many stripes are shared.
const SHARED: usize = 16;

/// One read in so many is counted for its shard. Which shard a key belongs to costs more than the rest of a read. Of
/// one change in so many the key is noted.
pub(super) const SAMPLE: u64 = 64;

/// One thread's counts, alone in two cache lines: processors fetch lines by pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What is counted of each shard, and some of the keys that it was about.
#[derive(Debug)]
pub(super) struct Tally {
    counts: Box<[AtomicU64]>,
    keys: SampledKeys,
}

impl Tally {
    fn new(shards: u32) -> Self {
        Self { counts: (0..shards).map(|_| AtomicU64::new(0)).collect(), keys: SampledKeys::new() }
    }

    /// Those of the first shards, since the start.
    pub(super) fn counts(&self, shards: usize) -> Vec<u64> {
        self.counts.iter().take(shards).map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Some of the keys since they were taken last.
    pub(super) fn take_keys(&self) -> Vec<KeyHash> {
        self.keys.take()
    }
}

/// The reads of the cache, and the reads and changes of each shard.
#[derive(Debug)]
pub(super) struct Load {
    stripes: Box<[Stripe]>,
    /// Reads, by shard, in multiples of [`SAMPLE`].
    pub(super) reads: Tally,
    pub(super) changes: Tally,
}

/// Whether this one of many, counted from 0, is the one in [`SAMPLE`]. Not every 64th: keys that come in turns would
/// always meet the same one. The multiples of the golden ratio are spread evenly over any sequence that repeats itself.
fn is_sampled(number: u64) -> bool {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) < u64::MAX / SAMPLE
}

impl Load {
    /// Counts for as many shards as there may ever be.
    pub(super) fn new(shards: u32) -> Self {
        let stripes = (0..OWN + SHARED).map(|_| Stripe::default()).collect();
        Self { stripes, reads: Tally::new(shards), changes: Tally::new(shards) }
    }

    /// Counts a read. True for one in 64 of a thread: that one is to be [counted for its shard](Self::sampled).
    pub(super) fn read(&self, hit: bool) -> bool {
        let number = threads::number();
        let stripe = &self.stripes[if number < OWN { number } else { OWN + number % SHARED }];
        let count = if hit { &stripe.hits } else { &stripe.misses };
        let before = if number < OWN {
            // Nobody else writes it, so that nothing is lost, and an atomic addition costs as much as a tenth of a
            // read.
            let before = count.load(Ordering::Relaxed);
            count.store(before + 1, Ordering::Relaxed);
            before
        } else {
            count.fetch_add(1, Ordering::Relaxed)
        };
        is_sampled(before)
    }

    /// Counts a read that stands for 64, and notes its key: two writes that nobody waits for.
    pub(super) fn sampled(&self, shard: u32, key: KeyHash) {
        if let Some(reads) = self.reads.counts.get(shard as usize) {
            let before = reads.fetch_add(SAMPLE, Ordering::Relaxed);
            self.reads.keys.note(shard, before / SAMPLE, key);
        }
    }

    /// Counts a change. The key's hash is needed for one in 64.
    pub(super) fn changed(&self, shard: u32, key: impl FnOnce() -> KeyHash) {
        if let Some(changes) = self.changes.counts.get(shard as usize) {
            let before = changes.fetch_add(1, Ordering::Relaxed);
            if is_sampled(before) {
                self.changes.keys.note(shard, before / SAMPLE, key());
            }
        }
    }

    pub(super) fn hits(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.hits.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn misses(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.misses.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_read_of_any_thread_is_lost() {
        let load = Load::new(2);
        std::thread::scope(|scope| {
            for thread in 0..2 * OWN {
                let load = &load;
                scope.spawn(move || (0..1_000).filter(|_| load.read(thread % 2 == 0)).count());
            }
        });
        assert_eq!((load.hits(), load.misses()), (64_000, 64_000));
    }

    #[test]
    fn keys_read_in_turns_are_sampled_alike() {
        for keys in [2, 3, 64] {
            let load = Load::new(keys);
            for read in 0..keys * 64_000 {
                if load.read(true) {
                    load.sampled(read % keys, KeyHash::from(u64::from(read % keys)));
                }
            }
            let reads = load.reads.counts(keys as usize);
            assert!(reads.iter().all(|reads| reads.abs_diff(64_000) < 3_000), "{reads:?}");
        }
    }

    #[test]
    fn the_keys_of_sampled_reads_and_changes_are_noted_and_no_others_are_hashed() {
        let load = Load::new(2);
        let mut hashed = 0_u64;
        for number in 0..6_400_u64 {
            load.changed(1, || {
                hashed += 1;
                KeyHash::from("changed")
            });
            if load.read(true) {
                load.sampled(0, KeyHash::from(number));
            }
        }
        assert!(hashed.abs_diff(100) < 5, "{hashed}");
        assert_eq!(load.changes.counts(2), [0, 6_400]);
        assert!(load.changes.take_keys().iter().all(|key| *key == KeyHash::from("changed")));
        assert_eq!(load.reads.take_keys().len(), 32);
    }
}
