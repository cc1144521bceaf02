//! Keys that come to a shard and leave it, and its bookkeeping made anew.

use super::CacheShard;
use crate::entry::{CacheEntry, NEVER, NOWHERE};
use crate::key::CacheKey;
use crate::order::{Order, Queue};
use evenfold_groups::KeyHash;
use std::collections::BTreeSet;

/// What a shard knows about a key, on its way to another. What the entry takes up stays taken.
#[derive(Debug)]
pub(crate) struct Moved {
    key: CacheKey,
    bytes: u32,
    expires: u64,
    queue: Queue,
}

impl CacheShard {
    /// Makes the bookkeeping anew, from what is in the view. Whatever a panic came between: room is taken before an
    /// entry is put there and given back after it has been removed, so there is too much of it at worst.
    pub(crate) fn rebuild(&mut self) {
        (self.order, self.expiring) = (Order::new(), BTreeSet::new());
        let mut found = 0;
        for (key, bytes, expires) in self.shared.view.of_shard(self.index) {
            found += u64::from(bytes);
            self.enter(Moved { key, bytes, expires, queue: Queue::Main });
        }
        self.free(self.bytes.saturating_sub(found));
        self.bytes = found;
    }

    pub(crate) fn give_away(&mut self, leaves: &dyn Fn(KeyHash) -> bool) -> Vec<(KeyHash, Moved)> {
        let slots = self.order.slots();
        let leaving = slots.into_iter().filter_map(|slot| Some((slot, self.order.key(slot)?.hash())));
        let leaving: Vec<_> = leaving.filter(|(_, hash)| leaves(*hash)).collect();
        let mut given = Vec::with_capacity(leaving.len());
        for (slot, hash) in leaving {
            let Some((key, bytes, queue)) = self.order.remove(slot) else { continue };
            let expires = self.shared.view.peek(&key, |entry| entry.expires).unwrap_or(NEVER);
            self.expiring.remove(&(expires, slot));
            given.push((hash, Moved { key, bytes, expires, queue }));
        }
        // At the end, and at once: after a panic before, all of them would still be its own.
        for (_, moved) in &given {
            self.bytes -= u64::from(moved.bytes);
            self.shared.view.peek(&moved.key, |entry| entry.put_at(NOWHERE, 0));
        }
        given
    }

    pub(crate) fn take_moved(&mut self, items: impl Iterator<Item = Moved>) {
        for moved in items {
            self.bytes += u64::from(moved.bytes);
            self.enter(moved);
        }
    }

    /// Leaves the order as a panic in it may.
    #[cfg(test)]
    pub(crate) fn forget_all(&mut self) {
        self.order = Order::new();
    }

    /// Leaves the budget as a panic before a put may.
    #[cfg(test)]
    pub(crate) fn take_room(&mut self, bytes: u64) {
        assert!(self.shared.budget.take(bytes));
        self.bytes += bytes;
    }

    fn enter(&mut self, Moved { key, bytes, expires, queue }: Moved) {
        let slot = self.order.push(key.clone(), bytes, queue);
        if expires != NEVER {
            self.expiring.insert((expires, slot));
        }
        self.shared.view.peek(&key, |entry| entry.put_at(self.index, slot));
    }

    /// Takes an entry up that no shard has: the one that was to take it over has panicked before it did.
    pub(super) fn adopt(&mut self, key: &CacheKey) {
        let lost = |entry: &CacheEntry| (entry.place().0 == NOWHERE).then_some((entry.bytes, entry.expires));
        if let Some((bytes, expires)) = self.shared.view.peek(key, lost).flatten() {
            self.take_moved(std::iter::once(Moved { key: key.clone(), bytes, expires, queue: Queue::Small }));
        }
    }
}
