//! An entry, as readers see it: only the actor of its shard replaces it, and readers mark it as used.

use super::packed::Kept;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// The moment of an entry that does not expire.
pub(super) const NEVER: u64 = u64::MAX;

/// The shard of an entry that no shard has: it is on its way from one to another.
pub(super) const NOWHERE: u32 = u32::MAX;

/// More uses than this are not distinguished.
const MAX_USES: u8 = 3;

/// What the map has about a key.
#[derive(Debug)]
pub(super) struct CacheEntry {
    pub(super) kept: Kept,
    pub(super) version: u64,
    /// In nanoseconds since the start of the cache; [`NEVER`] for none.
    pub(super) expires: u64,
    /// What it takes up of the budget.
    pub(super) bytes: u32,
    /// Which shard has it in its order, and where there. Only the actors of shards use it.
    shard: AtomicU32,
    slot: AtomicU32,
    uses: AtomicU8,
}

impl CacheEntry {
    /// An entry at no place yet.
    pub(super) fn new(kept: Kept, version: u64, expires: u64, bytes: u32) -> Self {
        let (shard, slot, uses) = (AtomicU32::new(NOWHERE), AtomicU32::new(0), AtomicU8::new(0));
        Self { kept, version, expires, bytes, shard, slot, uses }
    }

    /// Where its shard's actor has it. Relaxed is enough: what an actor writes is read by itself, by one that has
    /// received the entry in a message since, or after a panic by itself.
    pub(super) fn place(&self) -> (u32, u32) {
        (self.shard.load(Ordering::Relaxed), self.slot.load(Ordering::Relaxed))
    }

    pub(super) fn put_at(&self, shard: u32, slot: u32) {
        self.shard.store(shard, Ordering::Relaxed);
        self.slot.store(slot, Ordering::Relaxed);
    }

    /// Marks it as used. Of two that do so at once one may be lost, which is cheaper than counting: an entry that is
    /// used often is not written at all, so that its cache line is shared by the readers' processors.
    pub(super) fn used(&self) {
        let uses = self.uses.load(Ordering::Relaxed);
        if uses < MAX_USES {
            self.uses.store(uses + 1, Ordering::Relaxed);
        }
    }

    pub(super) fn uses(&self) -> u8 {
        self.uses.load(Ordering::Relaxed)
    }

    pub(super) fn set_uses(&self, uses: u8) {
        self.uses.store(uses, Ordering::Relaxed);
    }

    /// Whether it has expired at this moment.
    pub(super) fn is_expired(&self, now: u64) -> bool {
        self.expires <= now
    }
}
