//! What the actor of a shard does: the only writer of its keys.

mod moving;

pub(super) use moving::Moved;

use crate::answer::{Condition, Incremented, Stored};
use crate::budget::cost;
use crate::entry::{CacheEntry, NEVER};
use crate::expiry::EntryEnd;
use crate::key::CacheKey;
use crate::order::Order;
use crate::packed::Kept;
use crate::shared::Shared;
use crate::{CacheError, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// So many expired entries are removed at every change, which adds one at most: they can't pile up while there are
/// changes.
const SWEPT_BY_CHANGE: usize = 4;

/// The bookkeeping of one shard. The entries themselves are in the [`View`](super::view::View): it is the truth, and
/// this can be made from it again.
#[derive(Debug)]
pub(crate) struct CacheShard {
    index: u32,
    shared: Arc<Shared>,
    order: Order,
    /// The entries that expire, by moment and slot.
    expiring: BTreeSet<(u64, u32)>,
    /// What its entries take up of the budget. It is changed with the budget, and nothing between them can panic.
    bytes: u64,
}

/// What a change finds.
struct Current {
    version: u64,
    expires: u64,
    number: Option<i64>,
}

impl CacheShard {
    pub(crate) fn new(index: u32, shared: Arc<Shared>) -> Self {
        Self { index, shared, order: Order::new(), expiring: BTreeSet::new(), bytes: 0 }
    }

    pub(crate) fn put(
        &mut self,
        key: CacheKey,
        kept: Kept,
        ends: EntryEnd,
        condition: Condition,
    ) -> Result<Stored, CacheError> {
        let now = self.begin(&key);
        let current = self.current(&key, now);
        condition.check(current.as_ref().map(|current| current.version))?;
        let expires = match ends {
            EntryEnd::After(ttl) => moment(now, ttl),
            EntryEnd::At(moment) => moment,
        };
        let version = self.store(key, kept, expires, now)?;
        Ok(Stored { version, created: current.is_none() })
    }

    pub(crate) fn delete(&mut self, key: &CacheKey, condition: Condition) -> Result<bool, CacheError> {
        let now = self.begin(key);
        let current = self.current(key, now);
        condition.check(current.as_ref().map(|current| current.version))?;
        if current.is_some()
            && let Some((_, slot)) = self.shared.view.peek(key, CacheEntry::place)
        {
            self.remove(slot);
        }
        Ok(current.is_some())
    }

    pub(crate) fn incr(&mut self, key: CacheKey, delta: i64) -> Result<Incremented, CacheError> {
        let now = self.begin(&key);
        let current = self.current(&key, now);
        let expires = current.as_ref().map_or(NEVER, |current| current.expires);
        let before = current.map_or(Ok(0), |current| current.number.ok_or(CacheError::NotANumber))?;
        let value = before.checked_add(delta).ok_or(CacheError::Overflow)?;
        let version = self.store(key, Kept::Plain(Value::from(value)), expires, now)?;
        Ok(Incremented { value, version })
    }

    /// Removes up to `limit` entries whose time is over, and what is above the share, which may have become smaller.
    /// True if nothing expired is left.
    pub(crate) fn sweep(&mut self, limit: usize) -> bool {
        let now = self.shared.view.now();
        let done = !(0..limit).all(|_| self.remove_expired(now));
        let share = self.shared.budget.share();
        while self.bytes > share && self.evict() {}
        done
    }

    pub(crate) fn entries(&self) -> u64 {
        self.order.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What comes before every change. Gives the moment at which the change is made.
    fn begin(&mut self, key: &CacheKey) -> u64 {
        self.shared.load.changed(self.index, || key.hash());
        self.sweep(SWEPT_BY_CHANGE);
        self.adopt(key);
        self.shared.view.now()
    }

    /// The key's entry, unless its time is over.
    fn current(&self, key: &CacheKey, now: u64) -> Option<Current> {
        let of = |entry: &CacheEntry| {
            let (version, expires) = (entry.version, entry.expires);
            (!entry.is_expired(now)).then(|| Current { version, expires, number: entry.kept.as_i64() })
        };
        self.shared.view.peek(key, of).flatten()
    }

    fn store(&mut self, key: CacheKey, kept: Kept, expires: u64, now: u64) -> Result<u64, CacheError> {
        let bytes = self.make_room(&key, &kept, expires != NEVER, now)?;
        let version = self.shared.versions.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = CacheEntry::new(kept, version, expires, bytes);
        let of = |before: &CacheEntry| (before.place().1, before.bytes, before.expires);
        let before = self.shared.view.peek(&key, of);
        let slot = match before {
            Some((slot, _, at)) => {
                self.order.resize(slot, bytes);
                self.expiring.remove(&(at, slot));
                slot
            }
            None => self.order.admit(key.clone(), bytes),
        };
        if expires != NEVER {
            self.expiring.insert((expires, slot));
        }
        entry.put_at(self.index, slot);
        self.shared.view.insert(key, entry);
        // Not before: until now the larger of the two entries was in the map.
        self.free(u64::from(before.map_or(0, |(_, old, _)| old.saturating_sub(bytes))));
        Ok(version)
    }

    /// Takes room for an entry in the place of the one before, and gives its bytes. What has expired leaves first.
    fn make_room(&mut self, key: &CacheKey, kept: &Kept, expires: bool, now: u64) -> Result<u32, CacheError> {
        let (cost, share) = (cost(key, kept, expires), self.shared.budget.share());
        let no_room = CacheError::NoRoom { bytes: cost, limit: share };
        let Some(bytes) = u32::try_from(cost).ok().filter(|_| cost <= share) else { return Err(no_room) };
        loop {
            // Looked up again each time: the entry before may be the one that has just left.
            let before = self.shared.view.peek(key, |entry| entry.bytes).unwrap_or(0);
            let more = u64::from(bytes.saturating_sub(before));
            if self.bytes + more <= share && self.shared.budget.take(more) {
                self.bytes += more;
                return Ok(bytes);
            }
            if !self.remove_expired(now) && !self.evict() {
                return Err(no_room);
            }
        }
    }

    fn remove_expired(&mut self, now: u64) -> bool {
        if self.expiring.first().is_none_or(|(expires, _)| *expires > now) {
            return false;
        }
        let Some((_, slot)) = self.expiring.pop_first() else { return false };
        self.shared.expired.fetch_add(1, Ordering::Relaxed);
        self.remove(slot);
        true
    }

    fn evict(&mut self) -> bool {
        let Self { order, shared, .. } = self;
        let uses = |key: &CacheKey, change: fn(u8) -> u8| {
            let look = |entry: &CacheEntry| {
                let uses = entry.uses();
                entry.set_uses(change(uses));
                uses
            };
            shared.view.peek(key, look).unwrap_or(0)
        };
        let Some(slot) = order.victim(uses) else { return false };
        self.shared.evicted.fetch_add(1, Ordering::Relaxed);
        self.remove(slot);
        true
    }

    fn remove(&mut self, slot: u32) {
        let Some((key, bytes, _)) = self.order.remove(slot) else { return };
        if let Some(expires) = self.shared.view.peek(&key, |entry| entry.expires) {
            self.expiring.remove(&(expires, slot));
        }
        self.shared.view.remove(&key);
        self.free(u64::from(bytes));
    }

    fn free(&mut self, bytes: u64) {
        self.bytes -= bytes;
        self.shared.budget.give(bytes);
    }
}

/// The moment so long after another one, in nanoseconds. A time to live has an upper limit that is far below 64 bits.
fn moment(now: u64, ttl: Duration) -> u64 {
    now.saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(NEVER)).min(NEVER - 1)
}
