//! What the shards of a group have to do when their number changes.
//!
//! From few shards to many, keys only move to the new ones; from many to few, only away from those that go (jump hash). So
//! those who give never take, and each key moves once. Messages for a key wait at the shard that takes it until all have
//! given; the shards that only give go on at once.

use super::cell::Member;
use super::shard::Shard;
use crate::KeyHash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use tokio::sync::Notify;

/// How often a shard that panics while it gives is asked again.
const TRIES: u32 = 3;

/// No shard has this number.
const NONE: u32 = u32::MAX;

pub(super) struct HandOver<S: Shard> {
    /// The shards as they are from now on.
    members: Vec<Member<S>>,
    shards: NonZeroU32,
    takers: std::ops::Range<usize>,
    tries: Vec<AtomicU32>,
    left: AtomicUsize,
    failed: AtomicU32,
    done: Notify,
}

impl<S: Shard> HandOver<S> {
    pub(super) fn new(before: u32, members: Vec<Member<S>>, shards: NonZeroU32) -> Self {
        let after = shards.get();
        let takers = if after > before { before as usize..after as usize } else { 0..after as usize };
        let left = AtomicUsize::new(takers.len());
        let tries = (0..before).map(|_| AtomicU32::new(0)).collect();
        Self { members, shards, takers, tries, left, failed: AtomicU32::new(NONE), done: Notify::new() }
    }

    pub(super) fn shards(&self) -> NonZeroU32 {
        self.shards
    }

    /// Whether a shard that has panicked as often as this one may try again to give.
    pub(super) fn may_try(&self, shard: u32) -> bool {
        let tries = self.tries.get(shard as usize).map_or(0, |tries| tries.fetch_add(1, Ordering::Relaxed));
        if tries >= TRIES {
            self.failed.store(shard, Ordering::Relaxed);
        }
        tries < TRIES
    }

    /// Brings each item to the shard that it now belongs to, and tells all that one more has given.
    pub(super) fn deliver(&self, from: u32, items: Vec<(KeyHash, S::Item)>) {
        let mut parcels: Vec<Vec<(KeyHash, S::Item)>> = self.takers.clone().map(|_| Vec::new()).collect();
        for (key, item) in items {
            let place = (key.shard(self.shards) as usize).checked_sub(self.takers.start);
            match place.and_then(|place| parcels.get_mut(place)) {
                Some(parcel) => parcel.push((key, item)),
                // The shard gave what did not leave it: an item that nobody would ask for there.
                None => self.failed.store(from, Ordering::Relaxed),
            }
        }
        for (taker, parcel) in self.takers.clone().zip(parcels) {
            self.members[taker].cell.mailbox.deliver(parcel);
            self.members[taker].rouse();
        }
    }

    /// A shard takes; it has when this is dropped.
    pub(super) fn taking(&self, shard: u32) -> Taking<'_, S> {
        Taking { hand_over: self, shard }
    }

    /// Waits until all have taken. Gives the shard that panicked, if one did.
    pub(super) async fn done(&self) -> Option<u32> {
        let done = self.done.notified();
        if self.left.load(Ordering::SeqCst) > 0 {
            done.await;
        }
        Some(self.failed.load(Ordering::SeqCst)).filter(|failed| *failed != NONE)
    }
}

pub(super) struct Taking<'a, S: Shard> {
    hand_over: &'a HandOver<S>,
    shard: u32,
}

impl<S: Shard> Drop for Taking<'_, S> {
    fn drop(&mut self) {
        let HandOver { failed, left, done, .. } = self.hand_over;
        if std::thread::panicking() {
            failed.store(self.shard, Ordering::SeqCst);
        }
        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
            done.notify_one();
        }
    }
}
