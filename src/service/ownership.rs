//! Which shards are this node's.

use super::peer::{Question, Reply};
use crate::cluster::Cluster;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use tokio::sync::{Notify, watch};

/// Another node's, or nobody's.
const OTHERS: u8 = 0;
/// This node's.
const OWN: u8 = 1;
/// Not this node's any more, and not yet asked for by its new owner.
const TO_GIVE: u8 = 2;

/// What a node holds itself to be the owner of. It may be wrong about that: then the log refuses what it appends.
pub(super) struct Ownership {
    shards: Box<[AtomicU8]>,
    given: Notify,
    /// None while the node has not joined, and where it is by itself. With how often its certainty has lapsed.
    cluster: OnceLock<(Cluster<Question, Reply>, watch::Receiver<u64>)>,
    /// The lapses after which everything was given up that was known before.
    outlived: AtomicU64,
}

impl Ownership {
    /// All shards of a node by itself; none, before it has taken them over from others.
    pub(super) fn new(shards: u32, all: bool) -> Self {
        let shards = (0..shards).map(|_| AtomicU8::new(if all { OWN } else { OTHERS })).collect();
        Self { shards, given: Notify::new(), cluster: OnceLock::new(), outlived: AtomicU64::new(0) }
    }

    pub(super) fn owns(&self, shard: u32) -> bool {
        self.shards.get(shard as usize).is_some_and(|state| state.load(Ordering::SeqCst) == OWN)
    }

    /// One of the shards.
    pub(super) fn held(&self, shard: u32) -> Held<'_> {
        Held { ownership: self, shard }
    }

    /// The shard is this node's from now on.
    pub(super) fn own(&self, shard: u32) {
        if let Some(state) = self.shards.get(shard as usize) {
            state.store(OWN, Ordering::SeqCst);
        }
    }

    /// The shard is not this node's any more: its new owner will ask for it.
    pub(super) fn lose(&self, shard: u32) {
        if let Some(state) = self.shards.get(shard as usize) {
            // One that was not its own has nothing to give.
            let _not_own = state.compare_exchange(OWN, TO_GIVE, Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// Others may have owned the shards in between, after so many lapses: all are to be taken over again.
    pub(super) fn disown(&self, lapses: u64) {
        for state in &self.shards {
            let _not_own = state.compare_exchange(OWN, OTHERS, Ordering::SeqCst, Ordering::SeqCst);
        }
        self.outlived.store(lapses, Ordering::SeqCst);
    }

    /// The new owner has all there is to give.
    pub(super) fn give(&self, shard: u32) {
        if let Some(state) = self.shards.get(shard as usize) {
            state.store(OTHERS, Ordering::SeqCst);
        }
        self.given.notify_waiters();
    }

    /// Waits until all shards are other nodes'.
    pub(super) async fn all_given(&self) {
        let mut given = pin!(self.given.notified());
        loop {
            // Before looking: what is given from here on is not missed.
            given.as_mut().enable();
            if self.shards.iter().all(|state| state.load(Ordering::SeqCst) == OTHERS) {
                return;
            }
            given.as_mut().await;
            given.set(self.given.notified());
        }
    }

    /// How many are owned.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().filter(|state| state.load(Ordering::SeqCst) == OWN).count()
    }

    pub(super) fn join(&self, cluster: Cluster<Question, Reply>) {
        let lapses = cluster.lapses();
        // A node joins once.
        let _first = self.cluster.set((cluster, lapses));
    }

    pub(super) fn cluster(&self) -> Option<&Cluster<Question, Reply>> {
        self.cluster.get().map(|(cluster, _)| cluster)
    }

    /// Whether no other node can have taken this one for dead since it has owned what it owns: then nobody else has appended
    /// to that.
    pub(super) fn is_certain(&self) -> bool {
        self.cluster.get().is_none_or(|(cluster, lapses)| {
            // In this order: what makes it certain again has counted the lapse before.
            cluster.is_certain() && *lapses.borrow() == self.outlived.load(Ordering::SeqCst)
        })
    }
}

/// A shard, as its node holds it.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    ownership: &'a Ownership,
    shard: u32,
}

impl Held<'_> {
    pub(super) fn is_own(self) -> bool {
        self.ownership.owns(self.shard)
    }

    /// Whether what is appended now is known to whoever owns the shard after this node: it loads its counters later than that.
    pub(super) fn may_count(self) -> bool {
        self.is_own() && self.ownership.is_certain()
    }
}
