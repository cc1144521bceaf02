//! What readers see: one map for the whole cache, in which each key is written by the actor of its shard alone.
//!
//! One map and not one per shard, so that a reader needs not know how many shards there are, and misses nothing while
//! their number changes.

use super::clock::CacheClock;
use super::entry::{CacheEntry, NEVER};
use super::key::{CacheKey, Wanted};
use super::packed::Kept;
use foldhash::quality::RandomState;
use papaya::{Guard, HashMap};
use std::time::Duration;

/// What is removed or replaced is freed in batches of 32 per thread at least, once no reader can have it. An entry of
/// as many bytes as this starts that at once, which costs a system call: what is not freed yet stays below 128 KiB per
/// thread, or what few large entries the readers of this moment hold back.
const LARGE: u32 = 4096;

/// The map, and the clock that decides what in it has expired.
#[derive(Debug)]
pub(super) struct View {
    /// Hashed by seeded foldhash: the seed is drawn at random, so that colliding keys can't be prepared, and short keys
    /// take a fraction of the time that the standard library's `SipHash` takes.
    map: HashMap<CacheKey, CacheEntry, RandomState>,
    clock: CacheClock,
}

/// What a reader finds.
#[derive(Debug)]
pub(super) enum Look {
    Found { kept: Kept, version: u64, expires_in: Option<Duration> },
    Expired,
    Absent,
}

impl View {
    pub(super) fn new() -> Self {
        Self { map: HashMap::with_hasher(RandomState::default()), clock: CacheClock::new() }
    }

    pub(super) fn clock(&self) -> &CacheClock {
        &self.clock
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// The entry of a key. No reader waits for anything here, and none makes anyone wait. The clock is read for entries
    /// that expire, and for no others. Called from one place only: with a second one, the compiler makes functions of
    /// what is inlined here, which costs a read a tenth more instructions.
    #[inline]
    pub(super) fn look(&self, key: &str) -> Look {
        let map = self.map.pin();
        let Some(entry) = map.get(&Wanted(key)) else { return Look::Absent };
        let expires_in = if entry.expires == NEVER {
            None
        } else {
            let now = self.now();
            if entry.is_expired(now) {
                return Look::Expired;
            }
            Some(Duration::from_nanos(entry.expires - now))
        };
        entry.used();
        Look::Found { kept: entry.kept.clone(), version: entry.version, expires_in }
    }

    /// What the owner of a key wants to know about its entry, without marking it as used.
    pub(super) fn peek<T>(&self, key: &CacheKey, of: impl FnOnce(&CacheEntry) -> T) -> Option<T> {
        self.map.pin().get(key).map(of)
    }

    /// Puts an entry in the place of the one before, whose uses it takes over: to be put once more is a use.
    pub(super) fn insert(&self, key: CacheKey, entry: CacheEntry) {
        let guard = self.map.guard();
        if let Some(before) = self.map.get(&key, &guard) {
            entry.set_uses(before.uses());
            entry.used();
        }
        if self.map.insert(key, entry, &guard).is_some_and(|before| before.bytes >= LARGE) {
            guard.flush();
        }
    }

    pub(super) fn remove(&self, key: &CacheKey) {
        let guard = self.map.guard();
        if self.map.remove(key, &guard).is_some_and(|before| before.bytes >= LARGE) {
            guard.flush();
        }
    }

    /// What one shard has, in the order in which it was put.
    pub(super) fn of_shard(&self, shard: u32) -> Vec<(CacheKey, u32, u64)> {
        let map = self.map.pin();
        let own = map.iter().filter(|(_, entry)| entry.place().0 == shard);
        let mut own: Vec<_> =
            own.map(|(key, entry)| (entry.version, (key.clone(), entry.bytes, entry.expires))).collect();
        own.sort_unstable_by_key(|(version, _)| *version);
        own.into_iter().map(|(_, entry)| entry).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }
}
