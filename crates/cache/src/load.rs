//! Counts that many threads add to at once, and that no reader waits for.

use evenfold_groups::threads;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many threads have a stripe of their own. Those that begin later share some.
const OWN: usize = 64;

/// As many stripes are shared.
const SHARED: usize = 16;

/// One read in so many is counted for its shard. Which shard a key belongs to costs more than the rest of a read.
const SAMPLE: u64 = 64;

/// One thread's counts, alone in two cache lines: processors fetch lines by pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// The reads of the cache, and the reads and changes of each shard.
#[derive(Debug)]
pub(super) struct Load {
    stripes: Box<[Stripe]>,
    /// Reads, by shard, in multiples of [`SAMPLE`].
    reads: Box<[AtomicU64]>,
    changes: Box<[AtomicU64]>,
}

fn zeros(shards: u32) -> Box<[AtomicU64]> {
    (0..shards).map(|_| AtomicU64::new(0)).collect()
}

impl Load {
    /// Counts for as many shards as there may ever be.
    pub(super) fn new(shards: u32) -> Self {
        let stripes = (0..OWN + SHARED).map(|_| Stripe::default()).collect();
        Self { stripes, reads: zeros(shards), changes: zeros(shards) }
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
        // Not every 64th: keys that are read in turns would always meet the same one. The multiples of the golden ratio
        // are spread evenly over any sequence that repeats itself.
        before.wrapping_mul(0x9e37_79b9_7f4a_7c15) < u64::MAX / SAMPLE
    }

    pub(super) fn sampled(&self, shard: u32) {
        if let Some(reads) = self.reads.get(shard as usize) {
            reads.fetch_add(SAMPLE, Ordering::Relaxed);
        }
    }

    pub(super) fn changed(&self, shard: u32) {
        if let Some(changes) = self.changes.get(shard as usize) {
            changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn hits(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.hits.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn misses(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.misses.load(Ordering::Relaxed)).sum()
    }

    /// The reads and changes of each of the first shards since the start.
    pub(super) fn by_shard(&self, shards: u32) -> Vec<u64> {
        let both = self.reads.iter().zip(&self.changes).take(shards as usize);
        both.map(|(reads, changes)| reads.load(Ordering::Relaxed) + changes.load(Ordering::Relaxed)).collect()
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
                    load.sampled(read % keys);
                }
            }
            assert!(
                load.by_shard(keys).iter().all(|reads| reads.abs_diff(64_000) < 3_000),
                "{:?}",
                load.by_shard(keys)
            );
        }
    }
}
