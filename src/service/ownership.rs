//! Which shards are this node's.

use super::peer::{Question, Reply};
use crate::cluster::Cluster;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;

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
    /// None while the node has not joined, and where it is by itself.
    cluster: OnceLock<Cluster<Question, Reply>>,
}

impl Ownership {
    /// All shards of a node by itself; none, before it has taken them over from others.
    pub(super) fn new(shards: u32, all: bool) -> Self {
        let shards = (0..shards).map(|_| AtomicU8::new(if all { OWN } else { OTHERS })).collect();
        Self { shards, given: Notify::new(), cluster: OnceLock::new() }
    }

    pub(super) fn owns(&self, shard: u32) -> bool {
        self.shards.get(shard as usize).is_some_and(|state| state.load(Ordering::SeqCst) == OWN)
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
        // A node joins once.
        let _first = self.cluster.set(cluster);
    }

    pub(super) fn cluster(&self) -> Option<&Cluster<Question, Reply>> {
        self.cluster.get()
    }

    /// Whether no other node can have taken this one for dead: then nobody else has appended to what it owns.
    pub(super) fn is_certain(&self) -> bool {
        self.cluster().is_none_or(Cluster::is_certain)
    }
}
