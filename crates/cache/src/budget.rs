//! The memory budget: what an entry takes up, and who may have how much.

use super::key::CacheKey;
use super::options::MAX_KEY_BYTES;
use super::packed::Kept;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What is kept about every entry besides its key and its value, in bytes.
///
/// It is made up of 96 for the entry in the map (88, and the allocator's), 24 for its slot there (9, in a table that is
/// between half full and nearly full, and for a while has another one next to it), 40 for its place in the order, 16
/// for its ghost, and 72 for what has been replaced and is not freed yet, and the gaps that many threads leave. The sum
/// was chosen by measuring, as the resident memory that full caches add to a process: through ten million writes by
/// several threads (`evenfold bench cache`), and by one (`tests/all/cache/memory.rs`), where it is more than is needed.
const PER_ENTRY: usize = 96 + 24 + 40 + 16 + 72;

/// What is kept about an entry that expires, besides: 16 bytes in a tree, which is half full where what comes later
/// expires later.
const PER_EXPIRY: usize = 40;

/// What an allocation of so many bytes takes up, with the header of a counted reference (16 bytes) and that of the
/// allocator (8), rounded up to 16 as glibc does, and a quarter for the gaps that remain where others were.
const fn allocated(bytes: usize) -> usize {
    let whole = (bytes + 16 + 8).next_multiple_of(16);
    whole + whole / 4
}

/// What an entry takes up, in bytes.
pub(super) fn cost(key: &CacheKey, kept: &Kept, expires: bool) -> u64 {
    let key = if matches!(key, CacheKey::Long(_)) { allocated(key.heap_bytes()) } else { 0 };
    let value = kept.heap_bytes().map_or(0, allocated);
    let about = PER_ENTRY + if expires { PER_EXPIRY } else { 0 };
    (about + key + value) as u64
}

/// What the largest entry takes up whose value may have so many bytes.
pub(super) fn largest(value_bytes: usize) -> u64 {
    (PER_ENTRY + PER_EXPIRY + allocated(MAX_KEY_BYTES) + allocated(value_bytes)) as u64
}

/// The budget of a whole cache. What is counted in it never exceeds the limit: room is taken before something is put
/// there, and given back after it has been removed.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    used: AtomicU64,
    shards: AtomicU32,
}

impl Budget {
    pub(super) fn new(limit: u64, shards: u32) -> Self {
        Self { limit, used: AtomicU64::new(0), shards: AtomicU32::new(shards) }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// What is taken up now.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// What one shard may have.
    pub(super) fn share(&self) -> u64 {
        self.limit / u64::from(self.shards().get())
    }

    /// Among how many shards the keys are divided.
    pub(super) fn shards(&self) -> NonZeroU32 {
        NonZeroU32::new(self.shards.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN)
    }

    pub(super) fn divide(&self, shards: u32) {
        self.shards.store(shards, Ordering::Relaxed);
    }

    /// Takes room; false if there is not so much. While the number of shards changes, some have more than their share,
    /// so that a shard within its own can find none.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let more = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives room back that was taken.
    pub(super) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    #[test]
    fn the_bytes_taken_never_exceed_the_limit_however_many_take() {
        let budget = Budget::new(1000, 4);
        assert_eq!(budget.share(), 250);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for bytes in (1..=300).cycle().take(10_000) {
                        if budget.take(bytes) {
                            assert!(budget.used() <= 1000);
                            budget.give(bytes);
                        }
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
        assert!(budget.take(1000) && !budget.take(1) && !budget.take(u64::MAX));
    }

    /// What [`PER_ENTRY`] was measured with.
    #[test]
    fn the_bytes_kept_about_an_entry_have_not_grown() {
        assert_eq!(size_of::<(CacheKey, crate::entry::CacheEntry)>(), 88);
    }

    #[test]
    fn an_entry_costs_its_bytes_and_what_is_kept_about_it() {
        let cost =
            |key: &str, value: Value, expires| cost(&CacheKey::new(key).unwrap(), &Kept::new(value, None), expires);
        let least = cost("k", true.into(), false);
        assert_eq!(cost("k", 1.into(), false), least, "a number is in the entry");
        assert_eq!(cost("k", true.into(), true), least + 40);
        assert_eq!(cost("k", "".into(), false), least + 40);
        assert_eq!(cost("k", "x".repeat(1000).as_str().into(), false), least + 1280);
        assert_eq!(cost(&"k".repeat(512), true.into(), false), least + 680);
        assert_eq!(cost(&"k".repeat(512), "x".repeat(1000).as_str().into(), true), largest(1000));
    }
}
