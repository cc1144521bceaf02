//! What the shards of a group have to do when their number changes.
//!
//! From few shards to many, keys only move to the new ones; from many to few, only away from those that go (jump hash).
//! So those who give never take, and each key moves once. Messages for a key wait at the shard that takes it until all
//! have given; the shards that only give go on at once.

use super::change::ShardChange;
use super::member::ShardMember;
use super::shard::Resizable;
use crate::KeyHash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// How often a shard that panics while it gives is asked again.
const TRIES: u32 = 3;

/// No shard has this number.
const NONE: u32 = u32::MAX;

/// What was given to one of those who take, until it takes it.
type Parcel<S> = Mutex<Vec<(KeyHash, <S as Resizable>::Item)>>;

pub(super) struct Handover<S: Resizable> {
    /// The shards as they are from now on.
    members: Vec<Arc<ShardMember<S>>>,
    shards: NonZeroU32,
    takers: std::ops::Range<usize>,
    /// What was given to each of those who take.
    parcels: Vec<Parcel<S>>,
    tries: Vec<AtomicU32>,
    left: AtomicUsize,
    failed: AtomicU32,
    done: Notify,
}

impl<S: Resizable> Handover<S> {
    pub(super) fn new(before: u32, members: Vec<Arc<ShardMember<S>>>, shards: NonZeroU32) -> Self {
        let after = shards.get();
        let takers = if after > before { before as usize..after as usize } else { 0..after as usize };
        let left = AtomicUsize::new(takers.len());
        let tries = (0..before).map(|_| AtomicU32::new(0)).collect();
        let parcels = takers.clone().map(|_| Mutex::default()).collect();
        Self { members, shards, takers, parcels, tries, left, failed: AtomicU32::new(NONE), done: Notify::new() }
    }

    /// Whether a shard that has panicked as often as this one may try again to give.
    fn may_try(&self, shard: u32) -> bool {
        let tries = self.tries.get(shard as usize).map_or(0, |tries| tries.fetch_add(1, Ordering::Relaxed));
        if tries >= TRIES {
            self.failed.store(shard, Ordering::Relaxed);
        }
        tries < TRIES
    }

    /// What was given to the shard of this number; none if that takes nothing.
    fn parcel(&self, shard: u32) -> Option<&Parcel<S>> {
        self.parcels.get((shard as usize).checked_sub(self.takers.start)?)
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

impl<S: Resizable> ShardChange<S> for Handover<S> {
    fn give(&self, here: u32, state: &mut S) {
        if !self.may_try(here) {
            return;
        }
        let shards = self.shards;
        for (key, item) in state.give(&move |key: KeyHash| key.shard(shards) != here) {
            match self.parcel(key.shard(shards)) {
                Some(parcel) => parcel.lock().unwrap_or_else(PoisonError::into_inner).push((key, item)),
                // The shard gave what did not leave it: an item that nobody would ask for there.
                None => self.failed.store(here, Ordering::Relaxed),
            }
        }
    }

    fn has_given(&self) {
        for member in &self.members[self.takers.clone()] {
            member.cell.mailbox.one_has_given();
            member.rouse();
        }
    }

    fn take(&self, here: u32, state: &mut S) {
        // Counted whatever happens: nobody may wait for a shard that panics.
        let _done = Taking { handover: self, shard: here };
        let items =
            self.parcel(here).map(|parcel| std::mem::take(&mut *parcel.lock().unwrap_or_else(PoisonError::into_inner)));
        state.take(items.unwrap_or_default());
    }
}

/// A shard takes; it has when this is dropped.
struct Taking<'a, S: Resizable> {
    handover: &'a Handover<S>,
    shard: u32,
}

impl<S: Resizable> Drop for Taking<'_, S> {
    fn drop(&mut self) {
        let Handover { failed, left, done, .. } = self.handover;
        if std::thread::panicking() {
            failed.store(self.shard, Ordering::SeqCst);
        }
        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
            done.notify_one();
        }
    }
}
